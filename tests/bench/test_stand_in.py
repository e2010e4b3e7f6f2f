"""Prompts of the stand-in for a tokenizer."""

import pytest
import torch

from seats.bench.stand_in import _Words, random_model, sampling_of
from seats.media import FrameSampling
from seats.models.omni import Turn
from seats.models.presets import PRESETS
from tests.bench.small import small_preset
from tests.tiny import FAMILIES


@pytest.mark.parametrize("family", FAMILIES)
def test_prompts_have_one_placeholder_between_its_marks(family):
    model = random_model(small_preset(family, 2), torch.device("cpu"), torch.float32)
    rule = model.thinker.rule
    config = model.thinker.config
    with_video = model.prompt_ids("what is red ?", "be brief", True, [Turn("who ?", "a cat")])
    at = with_video.index(rule.video)
    assert (with_video.count(rule.video), with_video.count(rule.audio)) == (1, 0)
    assert with_video[at - 1] == config.vision_start_token_id
    assert with_video[at + 1] == config.vision_end_token_id
    assert len(with_video) == 1 + 2 + 1 + 3 + 2 + 1 + 2 + 1 + 4 + 1  # roles and words, and the video's three
    sound = model.prompt_ids("what ?", None, False)
    assert sound[1:4] == [config.audio_start_token_id, rule.audio, config.audio_end_token_id]


@pytest.mark.parametrize("name", ["qwen2.5-omni-7b", "qwen3-omni-30b-a3b"])
def test_words_are_no_marks_of_a_real_vocabulary(name):
    config = PRESETS[name].config()
    words = _Words(config)
    ids = words(" ".join(f"word{i}" for i in range(2000)))["input_ids"]
    assert len(ids) == 2000
    assert 10 <= min(ids) <= max(ids) < min(config.audio_token_id, config.video_token_id, config.audio_start_token_id)
    assert words("word1 word2 word1")["input_ids"][0] == words("word1")["input_ids"][0]


def test_frames_are_those_of_the_family():
    assert sampling_of(PRESETS["qwen2.5-omni-7b"]) == FrameSampling()
    assert sampling_of(PRESETS["qwen3-omni-30b-a3b"]) == FrameSampling.for_factor(32)
