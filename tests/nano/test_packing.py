"""The packed training forward against the stock model, question by question."""

import random

import pytest
import torch

from seats.models import compat
from seats.models.window_attention import use_window_attention
from seats.nano.config import build_thinker
from seats.nano.examples import make_batch
from seats.nano.packing import (
    CHOICE_LAYER,
    PackedForward,
    encode_audio,
    encode_video,
)
from seats.nano.sequence import ANSWER_START
from seats.nano.vocabulary import encode_words
from seats.nano.world import describe_clip
from seats.tokens.patches import PatchSpec, patchify


@pytest.fixture(scope="module")
def thinker():
    torch.manual_seed(0)
    return build_thinker().eval()


@pytest.mark.parametrize(
    ("has_video", "has_audio", "extra", "system"),
    [(True, True, 0, False), (True, True, 6, True), (True, False, 0, False), (False, True, 3, True)],
)
@torch.no_grad()
def test_packed_forward_equals_the_stock_model_on_each_question(thinker, has_video, has_audio, extra, system):
    clips = [describe_clip("train", index, 4, 1.0, has_video, has_audio) for index in range(2)]
    batch = make_batch(clips, 4, random.Random(1), None, extra, system)
    video = encode_video(thinker, batch.frames) if has_video else None
    audio = encode_audio(thinker, batch.mel) if has_audio else None
    packed = PackedForward(thinker)(batch, video, audio)
    scores = thinker.lm_head(packed.final)
    for row, asked in enumerate(batch.questions):
        for number, question in enumerate(asked):
            words = encode_words([*question.words, *ANSWER_START, *question.answer])
            ids = torch.tensor([[*batch.shape.prefix, *words]])
            inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            if has_video:
                inputs["pixel_values_videos"] = patchify(
                    batch.frames[row].permute(0, 3, 1, 2).contiguous(), PatchSpec()
                )[0]
                inputs["video_grid_thw"] = torch.tensor([[4, 12, 12]])
                inputs["video_second_per_grid"] = torch.tensor([1.0])
            if has_audio:
                inputs["input_features"] = batch.mel[row : row + 1]
                inputs["feature_attention_mask"] = torch.ones(1, batch.shape.mel_frames, dtype=torch.long)
                inputs["use_audio_in_video"] = has_video
            compat.multimodal_model(thinker).rope_deltas = None
            stock = thinker(**inputs).logits[0, len(batch.shape.prefix) :]
            mine = scores[row][batch.block[row] == number]
            assert mine.shape[0] == len(words)
            assert (stock - mine).abs().max() < 1e-5


@torch.no_grad()
def test_windows_at_once_change_nothing(thinker):
    clips = [describe_clip("train", index, 5) for index in range(2)]
    batch = make_batch(clips, 1, random.Random(2), extra_frames=3)
    video, audio = encode_video(thinker, batch.frames), encode_audio(thinker, batch.mel)
    torch.manual_seed(0)
    fast = build_thinker().eval()
    use_window_attention(compat.vision_encoder(fast), compat.audio_encoder(fast))
    assert (encode_video(fast, batch.frames) - video).abs().max() < 1e-5
    assert (encode_audio(fast, batch.mel) - audio).abs().max() < 1e-5


@torch.no_grad()
def test_dropped_tokens_leave_the_positions_of_the_others(thinker):
    """Reading all positions by name is the same as reading all; leaving some out changes the result."""
    clip = describe_clip("train", 5, 4)
    batch = make_batch([clip], 3, random.Random(3))
    video, audio = encode_video(thinker, batch.frames), encode_audio(thinker, batch.mel)
    forward = PackedForward(thinker)
    everything = torch.arange(len(batch.shape.prefix))[None]
    full = forward(batch, video, audio).final
    assert torch.equal(forward(batch, video, audio, everything).final, full)
    fewer = everything[:, ::2]
    assert (forward(batch, video, audio, fewer).final - full).abs().max() > 1e-3


@torch.no_grad()
def test_choice_scores_are_those_of_the_stock_attention():
    """Before the softmax, so compared by their differences within a question."""
    torch.manual_seed(0)
    thinker = build_thinker().eval()
    compat.text_model(thinker).config._attn_implementation = "eager"
    batch = make_batch([describe_clip("train", 3, 4, has_video=False)], 3, random.Random(1), choice_rate=1.0)
    packed = PackedForward(thinker)(batch, None, encode_audio(thinker, batch.mel))
    weights = []
    attention = compat.text_model(thinker).layers[CHOICE_LAYER - 1].self_attn
    attention.register_forward_hook(lambda _module, _inputs, output: weights.append(output[1][0, 0]))
    for number, question in enumerate(batch.questions[0]):
        words = encode_words([*question.words, *ANSWER_START])
        ids = torch.tensor([[*batch.shape.prefix, *words]])
        compat.multimodal_model(thinker).rope_deltas = None
        thinker(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            input_features=batch.mel,
            feature_attention_mask=torch.ones(1, batch.shape.mel_frames, dtype=torch.long),
        )
        last = len(words) - 1
        stock = weights.pop()[-1, len(batch.shape.prefix) :].log()
        mine = packed.choice_scores[0][batch.block[0] == number][last, : last + 1]
        assert ((mine - mine[0]) - (stock - stock[0])).abs().max() < 1e-4
    assert packed.choice_scores[0, 0, 1:].isneginf().all()
