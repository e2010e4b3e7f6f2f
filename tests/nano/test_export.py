"""The exported folder is a hub folder like any other: stock classes load it and give the same scores."""

import json
import random

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, Qwen2_5OmniThinkerForConditionalGeneration, WhisperFeatureExtractor

from seats.models.checkpoint import BUILT_IN_FOLDER
from seats.nano.config import LAYERS, build_thinker
from seats.nano.examples import make_batch
from seats.nano.export import SPECIAL_ATTRIBUTES, export, main
from seats.nano.packing import PackedForward, encode_audio, encode_video
from seats.nano.vocabulary import TOKEN_IDS, encode_words
from seats.nano.world import describe_clip


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    torch.manual_seed(1)
    thinker = build_thinker().eval()
    folder = tmp_path_factory.mktemp("weights")
    export(thinker, folder)
    return thinker, folder


def _ids(words):
    return encode_words(words.split())


@torch.no_grad()
def test_stock_from_pretrained_gives_the_same_scores(exported):
    thinker, folder = exported
    loaded = Qwen2_5OmniThinkerForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    # Weights are stored in bfloat16, so the original is rounded to it before it is compared.
    rounded = build_thinker().eval()
    rounded.load_state_dict({name: value.bfloat16().float() for name, value in thinker.state_dict().items()})
    batch = make_batch([describe_clip("train", 0, 4)], 3, random.Random(0))
    scores = []
    for model in (loaded, rounded):
        video, audio = encode_video(model, batch.frames), encode_audio(model, batch.mel)
        scores.append(model.lm_head(PackedForward(model)(batch, video, audio).final))
    assert (scores[0] - scores[1]).abs().max() < 1e-5
    assert loaded.config.vision_start_token_id == TOKEN_IDS["<|vision_bos|>"]
    assert loaded.generation_config.eos_token_id == TOKEN_IDS["<|im_end|>"]


def test_weights_have_the_names_of_the_hub(exported):
    """Releases of transformers that name modules otherwise read these."""
    names = load_file(exported[1] / "model.safetensors").keys()
    assert {name.split(".")[0] for name in names} == {"thinker"}
    assert {name.split(".")[1] for name in names} == {"audio_tower", "visual", "model"}
    assert "thinker.model.layers.0.input_layernorm.weight" in names


def test_tokenizer_and_template(exported):
    _, folder = exported
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for name, token in SPECIAL_ATTRIBUTES.items():
        assert getattr(tokenizer, name) == token
        assert getattr(tokenizer, f"{name}_id") == TOKEN_IDS[token]
    content = [{"type": "video", "video": "clip.mp4"}, {"type": "text", "text": "Which shape is RED?"}]
    messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": content},
    ]
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert tokenizer(text)["input_ids"] == _ids(
        "<|im_start|> system you are a helpful assistant . <|im_end|> <|im_start|> user <|vision_bos|> <|VIDEO|> "
        "<|vision_eos|> which shape is red ? <|im_end|> <|im_start|> assistant"
    )
    audio = [{"role": "user", "content": [{"type": "audio", "audio": "a.m4a"}, {"type": "text", "text": "Xylophone?"}]}]
    assert tokenizer.apply_chat_template(audio, add_generation_prompt=True)["input_ids"] == _ids(
        "<|im_start|> user <|audio_bos|> <|AUDIO|> <|audio_eos|> <unk> ? <|im_end|> <|im_start|> assistant"
    )
    assert tokenizer.decode(encode_words(["red", "circle", "<|im_end|>"]), skip_special_tokens=True) == "red circle"


def test_processor_files(exported):
    _, folder = exported
    extractor = WhisperFeatureExtractor.from_pretrained(folder)
    assert (extractor.feature_size, extractor.sampling_rate, extractor.hop_length) == (128, 16_000, 160)
    video = json.loads((folder / "video_preprocessor_config.json").read_text())
    assert video["video_processor_type"] == "Qwen2VLVideoProcessor"
    assert video["size"] == {"shortest_edge": 168 * 168, "longest_edge": 168 * 168}


def test_the_model_is_small_and_deep_enough(exported):
    thinker, folder = exported
    assert sum(parameter.numel() for parameter in thinker.parameters()) < 12e6
    assert thinker.config.text_config.num_hidden_layers == LAYERS >= 10
    assert sum(path.stat().st_size for path in folder.iterdir()) < 10e6


def test_the_shipped_model_answers(tmp_path):
    """The weights in the package load with the stock class and know some of the world."""
    loaded = Qwen2_5OmniThinkerForConditionalGeneration.from_pretrained(BUILT_IN_FOLDER, dtype=torch.float32).eval()
    from seats.nano.evaluate import evaluate, held_out_batches

    accuracy = evaluate(PackedForward(loaded), held_out_batches(lengths=(4, 6), clips=4))
    assert accuracy.of() > 0.35


def test_where_to_export_to_must_be_said(monkeypatch, capsys):
    """The shipped model, whose borders are measured, is not what an unsaid folder may stand for."""
    monkeypatch.setattr("sys.argv", ["export", "no-such-checkpoint.pt"])
    with pytest.raises(SystemExit):
        main()
    assert "--out" in capsys.readouterr().err
