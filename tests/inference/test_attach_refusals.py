"""What the patched prefill cannot do is said in one line, and the model is left as it was."""

import asyncio
import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest
import torch

from seats.errors import ModelError, SettingsError
from seats.inference.attach import attach
from seats.inference.prepared import Prepared
from seats.methods import Full, ModelShape, Random, Retention, method_class
from seats.models import compat
from tests.inference.prompts import SEATS
from tests.inference.test_attach import fingerprint
from tests.tiny import FAMILIES, tiny_inputs, tiny_thinker
from tests.waits import hide_values

both_families = pytest.mark.parametrize("family", FAMILIES)


def doubled(inputs: dict) -> dict:
    return {
        key: value.repeat(2, *[1] * (value.ndim - 1)) if isinstance(value, torch.Tensor) else value
        for key, value in inputs.items()
    }


def padded(inputs: dict) -> dict:
    pad = torch.zeros(1, 3, dtype=torch.long)
    return {
        **inputs,
        "input_ids": torch.cat([pad, inputs["input_ids"]], 1),
        "attention_mask": torch.cat([pad, inputs["attention_mask"]], 1),
    }


def two_videos(inputs: dict) -> dict:
    """A second clip, without sound, after the first."""
    ids = inputs["input_ids"]
    return {
        **inputs,
        "input_ids": torch.cat([ids, ids], 1),
        "attention_mask": torch.cat([inputs["attention_mask"]] * 2, 1),
        "pixel_values_videos": torch.cat([inputs["pixel_values_videos"]] * 2),
        "video_grid_thw": torch.cat([inputs["video_grid_thw"]] * 2),
        "video_second_per_grid": torch.cat([inputs["video_second_per_grid"]] * 2),
    }


def two_sounds(family: str) -> dict:
    inputs = tiny_inputs(family, grid=None)
    along = {"input_ids": 1, "attention_mask": 1}
    return {key: torch.cat([value] * 2, along.get(key, 0)) for key, value in inputs.items()}


@both_families
@pytest.mark.parametrize(
    ("change", "settings", "said"),
    [
        (doubled, {}, "one prompt at a time"),
        (padded, {}, "without padding"),
        (dict, {"num_beams": 2}, "without a batch or beams"),
        (two_videos, {}, "one video a prompt"),
    ],
    ids=["batch", "padding", "beams", "two videos"],
)
def test_what_it_cannot_do_is_said(thinkers, family, change: Callable, settings, said):
    refuses(thinkers[family], change(tiny_inputs(family, mel_frames=0)), said, **settings)


@both_families
def test_two_sounds(thinkers, family):
    refuses(thinkers[family], two_sounds(family), "one sound a prompt")


def refuses(thinker, inputs, said, **settings):
    before = fingerprint(thinker)
    with pytest.raises(SettingsError, match=said) as caught, attach(thinker, SEATS):
        thinker.generate(**inputs, max_new_tokens=3, do_sample=False, **settings)
    assert "\n" not in str(caught.value)
    assert fingerprint(thinker) == before


@both_families
def test_pictures_that_do_not_come(thinkers, family):
    inputs = tiny_inputs(family, mel_frames=0)
    inputs = {key: value for key, value in inputs.items() if "ids" in key or key == "attention_mask"}
    with (
        torch.no_grad(),
        pytest.raises(SettingsError, match="without its pictures: pass what"),
        attach(thinkers[family], SEATS),
    ):
        thinkers[family](**inputs, position_ids=torch.arange(inputs["input_ids"].shape[1]).expand(3, 1, -1))


@both_families
def test_sound_that_does_not_come(thinkers, family):
    inputs = tiny_inputs(family, grid=None)
    inputs = {key: value for key, value in inputs.items() if "ids" in key or key == "attention_mask"}
    refuses(thinkers[family], inputs, "without its sound: pass what")


@both_families
@pytest.mark.parametrize("where", ["vision", "audio"])
def test_compiled_code_that_cannot_be_put_aside(family, where):
    """Its hooks see nothing: tokens would be chosen as if all were alike."""
    thinker, inputs = tiny_thinker(family), tiny_inputs(family)
    layer = (compat.vision_encoder(thinker).blocks if where == "vision" else compat.audio_encoder(thinker).layers)[-1]
    torch.compiler.reset()
    layer.forward = torch.compile(layer.forward, backend="eager")
    thinker.generate(**inputs, max_new_tokens=1, do_sample=False)  # compiled without hooks
    refuses(thinker, inputs, r"use the thinker's own compile\(\)")


@both_families
def test_no_cache(thinkers, family):
    """The answer so far would be taken for the question."""
    refuses(thinkers[family], tiny_inputs(family, grid=None), "needs the cache, .*: leave it on", use_cache=False)


@both_families
def test_a_model_whose_own_setting_leaves_the_cache_out(thinkers, family, monkeypatch):
    """What a call says goes before it."""
    thinker, inputs = thinkers[family], tiny_inputs(family, grid=None)
    monkeypatch.setattr(compat.text_model(thinker).config, "use_cache", False)
    with torch.no_grad(), attach(thinker, SEATS):
        with pytest.raises(SettingsError, match=r"needs the cache, .*: leave it on"):
            thinker(**inputs)
        assert thinker(**inputs, use_cache=True)[compat.CACHE].get_seq_length()


@both_families
@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable`")
def test_layers_that_keep_no_cache(family):
    """As they do in training until 5.24, and since then where gradients are on, which is refused anyway."""
    thinker, inputs = tiny_thinker(family), tiny_inputs(family)
    settings = {"max_new_tokens": 3, "do_sample": False}
    with attach(thinker, SEATS):
        in_eval = thinker.generate(**inputs, **settings)
    thinker.train().gradient_checkpointing_enable()
    with attach(thinker, SEATS):
        if compat.CACHE == "past_key_values":
            with pytest.raises(SettingsError, match=r"leave the cache empty: call eval\(\)"):
                thinker.generate(**inputs, **settings)
        else:
            assert torch.equal(thinker.generate(**inputs, **settings), in_eval)


@both_families
def test_a_cache_of_a_fixed_length(family):
    thinker = tiny_thinker(family)  # which generate() leaves the cache on
    with pytest.raises(SettingsError, match="a cache that grows"), attach(thinker, SEATS):
        thinker.generate(**tiny_inputs(family), max_new_tokens=2, cache_implementation="static")


@both_families
@pytest.mark.parametrize("method", [SEATS, Full()], ids=["seats", "full"])
def test_assisted_decoding(family, method):
    """Candidates would be part of the prompt, and only its last position has logits."""
    thinker, inputs = tiny_thinker(family), tiny_inputs(family)
    before = fingerprint(thinker)
    for settings in ({"assistant_model": tiny_thinker(family, seed=1)}, {"prompt_lookup_num_tokens": 3}):
        with pytest.raises(SettingsError, match="leave out assistant_model and prompt_lookup"), attach(thinker, method):
            thinker.generate(**inputs, max_new_tokens=4, do_sample=False, **settings)
    assert fingerprint(thinker) == before


@both_families
@pytest.mark.parametrize("ask", ["output_hidden_states", "output_attentions"])
def test_what_no_layer_hands_out(family, ask):
    thinker, inputs = tiny_thinker(family), tiny_inputs(family)  # of its own: transformers leaves hooks for these
    with pytest.raises(SettingsError, match="leave out output_hidden_states"), attach(thinker, SEATS):
        thinker.generate(**inputs, max_new_tokens=1, return_dict_in_generate=True, **{ask: True})


@both_families
def test_training(thinkers, family):
    thinker, inputs = thinkers[family], tiny_inputs(family)
    with pytest.raises(SettingsError, match=r"run it under torch.no_grad\(\)"), attach(thinker, SEATS):
        thinker(**inputs)
    with torch.no_grad(), pytest.raises(SettingsError, match="leave out labels"), attach(thinker, SEATS):
        thinker(**inputs, labels=inputs["input_ids"])


@both_families
def test_training_of_a_few_layers(family):
    """As adapters do: the embeddings need no gradient."""
    thinker, inputs = tiny_thinker(family).requires_grad_(False), tiny_inputs(family)
    with torch.enable_grad(), attach(thinker, SEATS):
        thinker(**inputs)
        compat.text_model(thinker).layers[6].self_attn.q_proj.weight.requires_grad_(True)
        with pytest.raises(SettingsError, match=r"run it under torch.no_grad\(\)"):
            thinker(**inputs)


def went_on(thinker, out, **settings) -> torch.Tensor:
    """What `generate` makes of its own answer and three more tokens, with the cache that it returned."""
    ids = torch.cat([out.sequences, torch.tensor([[20, 21, 22]])], 1)
    return thinker.generate(ids, attention_mask=torch.ones_like(ids), **{compat.CACHE: out[compat.CACHE]}, **settings)


@both_families
class TestCacheOfAnEarlierAnswer:
    settings: ClassVar[dict] = {"max_new_tokens": 3, "do_sample": False}

    def test_that_lacks_tokens(self, thinkers, family):
        thinker, inputs = thinkers[family], tiny_inputs(family)
        with attach(thinker, SEATS):
            out = thinker.generate(**inputs, **self.settings, return_dict_in_generate=True)
            with pytest.raises(SettingsError, match=f"leave out {compat.CACHE}"):
                went_on(thinker, out, **self.settings)

    def test_that_lacks_no_more_than_the_text_behind_the_clip(self, thinkers, family):
        """What generate() then gives once more are words alone."""
        thinker, inputs = thinkers[family], tiny_inputs(family)
        with attach(thinker, Random(0.97, 0.97)):
            out = thinker.generate(**inputs, **self.settings, return_dict_in_generate=True)
            with pytest.raises(SettingsError, match=f"cannot go on from this cache: .*leave out {compat.CACHE}"):
                went_on(thinker, out, **self.settings)

    def test_of_guidance_by_a_prompt_without_the_clip(self, thinkers, family):
        thinker, inputs = thinkers[family], tiny_inputs(family)
        with pytest.raises(SettingsError, match=r"leave out .* guidance_scale"), attach(thinker, SEATS):
            thinker.generate(**inputs, **self.settings, guidance_scale=2.0)

    def test_that_was_made_outside(self, thinkers, family):
        thinker, inputs = thinkers[family], tiny_inputs(family)
        out = thinker.generate(**inputs, **self.settings, return_dict_in_generate=True)
        with pytest.raises(SettingsError, match=f"leave out {compat.CACHE}"), attach(thinker, SEATS):
            went_on(thinker, out, **self.settings)

    def test_that_is_whole(self, thinkers, family):
        thinker, inputs = thinkers[family], tiny_inputs(family)
        out = thinker.generate(**inputs, **self.settings, return_dict_in_generate=True)
        stock = went_on(thinker, out, **self.settings)
        with attach(thinker, Full()):
            out = thinker.generate(**inputs, **self.settings, return_dict_in_generate=True)
            assert torch.equal(went_on(thinker, out, **self.settings), stock)


@both_families
@pytest.mark.parametrize("name", sorted({compat.CACHE, "past_key_values"}))
def test_a_prompt_in_chunks(thinkers, family, name):
    """As prefill_chunk_size makes them. The name of the cache is the former one, too: stock forwards still take it."""
    thinker, inputs = thinkers[family], tiny_inputs(family, mel_frames=0)
    ids = inputs.pop("input_ids")
    positions = torch.arange(ids.shape[1]).expand(3, 1, -1)
    said = f"the whole prompt at once: leave out {compat.CACHE} and prefill_chunk_size"
    with torch.no_grad(), attach(thinker, SEATS):
        cache = thinker(ids[:, :3], position_ids=positions[..., :3], use_cache=True)[compat.CACHE]
        with pytest.raises(SettingsError, match=said):
            thinker(input_ids=ids[:, 3:], position_ids=positions[..., 3:], **{name: cache}, **inputs)


@both_families
def test_sound_in_a_later_chunk(thinkers, family):
    thinker, inputs = thinkers[family], tiny_inputs(family, grid=None)
    ids = inputs.pop("input_ids")
    positions = torch.arange(ids.shape[1]).expand(3, 1, -1)
    with torch.no_grad(), attach(thinker, SEATS):
        cache = thinker(ids[:, :3], position_ids=positions[..., :3], use_cache=True)[compat.CACHE]
        with pytest.raises(SettingsError, match="the whole prompt at once"):
            thinker(input_ids=ids[:, 3:], position_ids=positions[..., 3:], **{compat.CACHE: cache}, **inputs)


def test_threads_take_turns(thinkers):
    """Else one thread's method would run for the other's prompt, and the model would keep the one that left last."""
    thinker = thinkers["qwen2.5-omni"]
    before = fingerprint(thinker)

    def other():
        with attach(thinker, Full()):
            return "attached"

    with ThreadPoolExecutor(1) as pool:
        with attach(thinker, SEATS):
            with pytest.raises(SettingsError, match="another thread or task has a method attached"):
                pool.submit(other).result()
            # generate() itself may run elsewhere, as streamers make it
            inputs = tiny_inputs("qwen2.5-omni")
            assert pool.submit(thinker.generate, **inputs, max_new_tokens=2).result().shape[1] == 131
        assert pool.submit(other).result() == "attached"
    assert fingerprint(thinker) == before


def test_tasks_take_turns(thinkers):
    thinker = thinkers["qwen2.5-omni"]
    before = fingerprint(thinker)

    async def one():
        with attach(thinker, SEATS):
            await asyncio.sleep(0)

    async def both():
        return await asyncio.gather(one(), one(), return_exceptions=True)

    first, second = asyncio.run(both())
    assert first is None
    assert isinstance(second, SettingsError)
    assert fingerprint(thinker) == before
    asyncio.run(one())


@both_families
def test_attention_that_needs_a_mask(family):
    thinker = tiny_thinker(family)
    thinker.set_attn_implementation("eager")
    with pytest.raises(SettingsError, match="not eager"), attach(thinker, Full()):
        pass


@both_families
@pytest.mark.parametrize("away", ["a layer", "the embeddings"])
def test_a_decoder_on_several_devices(family, away):
    thinker = tiny_thinker(family, layers=2)
    text = compat.text_model(thinker)
    (text.layers[1] if away == "a layer" else text.embed_tokens).to("meta")
    said = "on one device, not cpu and meta: load without device_map"
    with pytest.raises(SettingsError, match=said), attach(thinker, Full()):
        pass


def test_attention_in_a_sliding_window():
    thinker = tiny_thinker("qwen2.5-omni")
    config = compat.text_model(thinker).config
    config.layer_types = [*config.layer_types[:-1], "sliding_attention"]
    with pytest.raises(SettingsError, match="a sliding window"), attach(thinker, Full()):
        pass


@pytest.mark.parametrize("attention", ["sdpa", "flash_attention_2"])
def test_attention_that_needs_none(attention):
    thinker = tiny_thinker("qwen2.5-omni")
    compat.text_model(thinker).config._attn_implementation_internal = attention
    with attach(thinker, Full()) as attached:
        assert attached.trace is None  # before the first prompt


def test_a_copy_would_stay_attached(thinkers):
    thinker = thinkers["qwen2.5-omni"]
    with pytest.raises(SettingsError, match="cannot be copied: leave the context first"), attach(thinker, Full()):
        copy.deepcopy(thinker)
    copy.deepcopy(thinker)


@both_families
@pytest.mark.parametrize("where", ["pictures", "sound", "layers"])
@pytest.mark.parametrize("name", ["full", "seats", "seats+", "random", "fastv"])
@pytest.mark.parametrize(("sees", "new_tokens"), [(True, 1), (False, 2)])
def test_numbers_that_overflowed_are_said(family, where, name, sees, new_tokens, monkeypatch):
    """As in float16. A GPU is asked when the first token is there, and is given no index out of range before."""
    thinker, inputs = tiny_thinker(family), tiny_inputs(family)
    if where == "pictures":
        inputs["pixel_values_videos"][0] = float("nan")
    elif where == "sound":
        inputs["input_features"][0, 0, 0] = float("nan")
    else:
        with torch.no_grad():
            compat.text_model(thinker).layers[2].self_attn.o_proj.weight[0, 0] = float("inf")
    method = method_class(name).for_model(ModelShape(family, 8, {}), Retention(0.5, 0.7), 0)
    if not sees:
        hide_values(monkeypatch)
    with pytest.raises(ModelError, match="not finite: load the model in bfloat16"), attach(thinker, method):
        thinker.generate(**inputs, max_new_tokens=new_tokens)


def test_a_prompt_that_prepared_is_not_of(thinkers):
    thinker = thinkers["qwen2.5-omni"]
    with attach(thinker, SEATS) as attached:
        thinker.generate(**tiny_inputs("qwen2.5-omni"), max_new_tokens=1)
    prepared = Prepared(attached.trace.layout, attached.trace.saliency)
    with (
        pytest.raises(ValueError, match="prepared is of 129 tokens, the prompt has 141"),
        attach(thinker, SEATS, prepared=prepared),
    ):
        thinker.generate(**tiny_inputs("qwen2.5-omni", grid=(4, 6, 8)), max_new_tokens=1)


@both_families
def test_embeddings_beside_the_ids(thinkers, family):
    """Of the two, generate() hands on the embeddings alone."""
    inputs = tiny_inputs(family, grid=None)
    embeds = compat.text_model(thinkers[family]).embed_tokens(inputs["input_ids"])
    refuses(thinkers[family], {**inputs, "inputs_embeds": embeds}, "without inputs_embeds")


def test_prompts_without_ids(thinkers):
    thinker = thinkers["qwen2.5-omni"]
    with torch.no_grad(), pytest.raises(SettingsError, match="input_ids"), attach(thinker, SEATS):
        thinker(
            inputs_embeds=torch.zeros(1, 4, 48),
            attention_mask=torch.ones(1, 4, dtype=torch.long),
            position_ids=torch.arange(4).expand(3, 1, 4),
        )


def test_unknown_cache_policy(thinkers):
    with (
        pytest.raises(SettingsError, match="choose keep or drop"),
        attach(thinkers[FAMILIES[0]], SEATS, kv="half"),
    ):
        pass
