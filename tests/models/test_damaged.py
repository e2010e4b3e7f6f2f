"""Checkpoints with something missing, damaged or of another model: one clear line each."""

import json
import struct

import pytest

from seats.errors import ModelError
from seats.inference.answer import Question, answer
from seats.inference.generate import Decoding
from tests.checkpoints import save_full_checkpoint
from tests.inference.clips import clip_of
from tests.models.test_omni import edit, load


@pytest.mark.parametrize("which", ["thinker", "talker"])
def test_a_missing_shard(tmp_path, which):
    save_full_checkpoint(tmp_path, "qwen2.5-omni")
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())["weight_map"]
    shard = next(file for name, file in index.items() if name.startswith(which))
    (tmp_path / shard).unlink()
    with pytest.raises(ModelError, match=f"{shard} missing"):
        load(tmp_path)


def test_missing_weights_are_named(broken):
    from safetensors.torch import load_file, save_file

    weights = load_file(broken / "model.safetensors")
    name = next(name for name in weights if "layers.3.self_attn.k_proj.weight" in name and "audio" not in name)
    del weights[name]
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 weights .*layers\.3\.self_attn\.k_proj\.weight"):
        load(broken)


def test_weights_of_another_shape_are_named(broken):
    edit(broken / "config.json", lambda config: config["text_config"].update(intermediate_size=81))
    with pytest.raises(ModelError, match=r"in another shape, for example [\w.]*\.mlp\.\w+\.weight: download"):
        load(broken)


def truncate(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def overlap(folder):
    file = folder / "model.safetensors"
    (length,) = struct.unpack("<Q", (written := file.read_bytes())[:8])
    header = json.loads(written[8 : 8 + length])
    first, second, *_ = (key for key in header if key != "__metadata__")
    header[first]["data_offsets"] = header[second]["data_offsets"]
    new = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(new)) + new + written[8 + length :])


DAMAGE = {
    "truncated": (truncate, r"model\.safetensors is not a readable safetensors file \(.*not fully covered"),
    "offsets that overlap": (overlap, r"model\.safetensors is not a readable safetensors file \(.*invalid offset"),
    "empty": (lambda f: (f / "model.safetensors").write_bytes(b""), "not a readable safetensors file"),
    "pickle": (
        lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
        "only safetensors weights are loaded",
    ),
    "no JSON": (lambda f: (f / "config.json").write_text("{"), "not valid JSON"),
    "other model": (
        lambda f: edit(f / "config.json", lambda c: c.update(model_type="llama")),
        "is a llama model by its config.json: seats runs",
    ),
    "type of another kind": (
        lambda f: edit(f / "config.json", lambda c: c.update(model_type=200 * ["a"])),
        r"is a \['a', 'a', .*\.\.\.\] model by its config\.json: seats runs",
    ),
    "generation settings": (
        lambda f: (f / "generation_config.json").write_text("<html>"),
        r"generation_config\.json is not valid JSON: download",
    ),
    "chat template": (
        lambda f: (f / "chat_template.jinja").write_bytes(b"\xff"),
        "chat_template.jinja is not UTF-8 text",
    ),
    "no type": (lambda f: edit(f / "config.json", lambda c: c.pop("model_type")), "nameless model by its config.json"),
    "no part": (lambda f: edit(f / "config.json", lambda c: c.pop("text_config")), "has no text_config"),
    "empty part": (lambda f: edit(f / "config.json", lambda c: c.update(text_config=None)), "has no text_config"),
    "bad value": (
        lambda f: edit(f / "config.json", lambda c: c["text_config"].update(num_hidden_layers="eight")),
        "num_hidden_layers in config.json is 'eight', no whole number from 1 on",
    ),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "no tokenizer: tokenizer.json is missing"),
    "bad tokenizer": (lambda f: (f / "tokenizer.json").write_text("{}"), "no tokenizer that can be loaded"),
    "activation": (
        lambda f: edit(f / "config.json", lambda c: c["audio_config"].update(activation_function="gelux")),
        "cannot be loaded: KeyError 'gelux': correct its config.json or generation_config.json",
    ),
    "tokenizer's settings": (
        lambda f: edit(f / "tokenizer_config.json", lambda c: c.update(model_max_length="long")),
        "no tokenizer that can be loaded: TypeError",
    ),
    "id outside": (
        lambda f: edit(f / "config.json", lambda c: c.pop("audio_start_token_id")),
        r"config\.json: audio_start_token_id is 151647, but the tokenizer's <\|audio_bos\|> is 103: take both from",
    ),
    "id of another token": (
        lambda f: edit(f / "config.json", lambda c: c.update(audio_end_token_id=52)),
        r"config\.json: audio_end_token_id is 52, but the tokenizer's <\|audio_eos\|> is 104: take both from",
    ),
    "no id": (
        lambda f: edit(f / "config.json", lambda c: c.update(audio_end_token_id=[None])),
        r"audio_end_token_id",
    ),
    "processor": (lambda f: (f / "preprocessor_config.json").write_text("{"), "not valid JSON"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_checkpoint_is_one_clear_line(broken, what):
    damage, said = DAMAGE[what]
    damage(broken)
    with pytest.raises(ModelError, match=said) as caught:
        load(broken)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_tokenizer_with_more_words_than_the_model_is_told_when_one_is_used(broken):
    edit(broken / "tokenizer.json", lambda c: c["model"]["vocab"].update(zebra=500))
    model = load(broken)
    clip = clip_of(model.patches.token_side)
    assert answer(model, clip, Question("what is red ?", method="full", decoding=Decoding(2))).trace
    with pytest.raises(
        ModelError, match=r"prompt has token 500, but the model knows only 128: its tokenizer"
    ) as caught:
        answer(model, clip, Question("what is zebra ?", method="full", decoding=Decoding(2)))
    assert "\n" not in str(caught.value)
