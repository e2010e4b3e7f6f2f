"""Token counts and layouts of benchmark prompts, and the arithmetic of the reference workload."""

import math
from dataclasses import replace

import pytest
import torch

from seats.bench.workload import Load, media_load, sequence_of, token_load
from seats.costs.flops import head_macs, prefill_macs
from seats.errors import SettingsError
from seats.methods import Seats, retention_for
from seats.methods.base import AfterLayer, BeforeLLM
from seats.models.presets import PRESETS, find_preset
from seats.tokens.layout import Modality


@pytest.mark.parametrize("name", ["qwen2.5-omni-7b", "qwen3-omni-30b-a3b"])
def test_the_default_workload_has_its_tokens_in_windows(name):
    preset = PRESETS[name]
    load = token_load(preset)
    sequence = sequence_of(load, preset, preset.config())
    counts = sequence.layout.counts()
    assert (counts.video, counts.audio, counts.text) == (8600, 3000, 150)
    before = int(sequence.layout.modality.ne(0).nonzero()[0])
    assert before == 15  # a tenth of the words, and the mark of the sound: the question is behind the clip
    # Video and sound take turns, as in a real prompt, and sound lasts as long as the pictures.
    windows = sequence.layout.window[sequence.layout.modality != 0]
    video = set(sequence.layout.window[sequence.layout.is_modality(Modality.VIDEO)].tolist())
    audio = set(sequence.layout.window[sequence.layout.is_modality(Modality.AUDIO)].tolist())
    assert len(video & audio) >= 0.9 * len(windows.unique())
    assert len(windows.unique()) > 40
    times = [
        sequence.layout.time_s[sequence.layout.is_modality(kind)].max() for kind in (Modality.VIDEO, Modality.AUDIO)
    ]
    assert float(times[0]) == pytest.approx(float(times[1]), rel=0.05)


@pytest.mark.parametrize(("video", "audio", "text"), [(860, 0, 60), (0, 77, 10), (333, 50, 20), (40_000, 9_000, 150)])
def test_other_counts(video, audio, text):
    preset = PRESETS["small"]
    load = token_load(preset, video, audio, text)
    counts = sequence_of(load, preset, preset.config()).layout.counts()
    assert (load.grid is None, load.mel_frames == 0, load.encoders) == (video == 0, audio == 0, False)
    assert load.grid is None or load.grid[0] >= 6  # small ones of a few tokens
    assert (counts.audio, counts.text) == (audio, text)
    assert counts.video == pytest.approx(video, rel=0.01)


@pytest.mark.parametrize("merge", [1, 4])
def test_as_many_patches_become_a_token_as_the_model_says(merge):
    small = PRESETS["small"]
    vision = {**small.thinker["vision_config"], "spatial_merge_size": merge}
    preset = replace(small, thinker={**small.thinker, "vision_config": vision})
    for load in (token_load(preset, 60, 25, 30), media_load(preset, 4, 224, 224, 2.0)):
        counts = sequence_of(load, preset, preset.config()).layout.counts()
        assert counts.video == math.prod(load.grid) // merge**2


def test_sound_too_short_for_a_token_is_not_encoded():
    for preset in (PRESETS["qwen2.5-omni-7b"], PRESETS["qwen3-omni-30b-a3b"]):
        for seconds, some in ((0.004, False), (2.0, True)):
            load = media_load(preset, 4, 168, 168, seconds)
            counts = sequence_of(load, preset, preset.config()).layout.counts()
            assert bool(load.mel_frames) == bool(counts.audio) == some
    assert media_load(PRESETS["qwen2.5-omni-7b"], 4, 168, 168, 0.01).mel_frames == 0


def test_a_clip_gets_the_size_the_frame_rule_gives_it():
    # 854x480 in steps of 28: 30 x 17 merged tokens a pair of frames.
    load = media_load(PRESETS["qwen2.5-omni-7b"], 128, 854, 480, 64.0)
    assert load == Load((64, 34, 60), 6400, 1.0, 150, True)
    assert media_load(PRESETS["qwen2.5-omni-7b"], 0, 854, 480, 2.0).grid is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: token_load(p, 0, 0), "at least one of either"),
        (lambda p: token_load(p, -1, 5), "at least one of either"),
        (lambda p: token_load(p, 5, 5, 3), "at least 10"),
        (lambda p: media_load(p, 1_000_000, 160, 120, 1.0), "at most 10,000,000 tokens; lower --frames, --size or"),
        (lambda p: media_load(p, 2, 160, 120, 1e8), "2 frames and 100,000,000 seconds are more than can be laid out"),
        (lambda p: media_load(p, 2, 100, 100, 1.0, 31743), "31743 text tokens: small has room for 31742 beside a clip"),
        (lambda p: media_load(p, 3, 100, 100, 1.0), "even"),
        (lambda p: media_load(p, 4, 100, 100, 0.0), "above 0"),
        (lambda p: sequence_of(media_load(p, 0, 100, 100, 0.001), p, p.config()), "raise --frames or --seconds"),
    ],
)
def test_loads_that_make_no_sense_are_refused(make, message):
    with pytest.raises(SettingsError, match=message):
        make(PRESETS["small"])


def test_arithmetic_of_the_reference_workload():
    """90.5 T multiply-adds for full tokens of the 7B, about 11.6 T at 10 %: the limit that speed is compared with."""
    preset = PRESETS["qwen2.5-omni-7b"]
    config = preset.config()
    layout = sequence_of(token_load(preset), preset, config).layout
    lengths = _lengths_of_seats(preset, layout)
    full = prefill_macs(config, [len(layout)] * 28) + head_macs(config)
    run = prefill_macs(config, lengths) + head_macs(config)
    assert full / 1e12 == pytest.approx(90.5, abs=0.1)
    assert run / 1e12 == pytest.approx(11.6, abs=0.2)


def _lengths_of_seats(preset, layout):
    generator = torch.Generator().manual_seed(0)
    method = Seats.for_model(preset.shape, retention_for(preset.family_name, 10), 0)
    embeds = torch.randn(len(layout), 8, generator=generator)
    saliency = torch.rand(len(layout), generator=generator)
    layout = layout.select(method.before_llm(BeforeLLM(embeds, layout, saliency)).keep)
    lengths = []
    for layer in range(1, 29):
        lengths.append(len(layout))
        if layer in method.layers:
            scores = torch.rand(len(layout), generator=generator).softmax(0)
            scored = lambda s=scores: s  # noqa: E731
            keep = method.after_layer(AfterLayer(layer, torch.empty(len(layout), 0), layout, scored, scored)).keep
            layout = layout.select(keep | layout.is_modality(Modality.TEXT))
    return lengths


def test_a_vocabulary_smaller_than_the_prompt_is_gone_through_again():
    """As that of seats-nano, whose marks of pictures and sound are among its first tokens."""
    preset = find_preset("small")
    config = preset.config()
    rule = preset.family.sequence_rule(config)
    config.text_config.vocab_size = max(rule.video, rule.audio, rule.audio_start, rule.audio_end) + 3
    sequence = sequence_of(token_load(preset, 60, 25, config.text_config.vocab_size + 40), preset, config)
    ids = sequence.ids[sequence.layout.is_modality(Modality.TEXT)]
    assert int(ids.max()) < config.text_config.vocab_size
    assert int(((ids == rule.video) | (ids == rule.audio)).sum()) == 0
