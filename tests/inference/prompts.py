"""Prompts of tiny thinkers: as stock code takes them, and prepared by hand."""

from __future__ import annotations

import torch

from seats.methods import Seats
from seats.models.thinker import Thinker
from seats.tokens.layout import Modality
from seats.tokens.sequence import build_sequence
from tests.stock import adapter_of, stock_positions
from tests.tiny import IDS

CLIPS = {"both": {}, "no sound": {"mel_frames": 0}, "no picture": {"grid": None}}
SEATS = Seats(0.45, 0.5, num_layers=8, drop_layers=(2, 4, 5), late_layer=7, pre_llm_scale=1.7)


def run(thinker, inputs, new_tokens=8, **settings):
    settings = {"do_sample": False, **settings}
    return thinker.generate(
        **inputs, max_new_tokens=new_tokens, output_logits=True, return_dict_in_generate=True, **settings
    )


def new_ids(out, inputs) -> list[int]:
    return out.sequences[0, inputs["input_ids"].shape[1] :].tolist()


def assert_same(ours, theirs) -> None:
    assert torch.equal(ours.sequences, theirs.sequences)
    for mine, other in zip(ours.logits, theirs.logits, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-4)


def prepared_by_hand(thinker, family, inputs, method):
    """Embeddings, positions, layout and saliency of stock inputs, from encoder outputs put in place row by row."""
    wrapped, adapter = Thinker(thinker), adapter_of(family)
    ids = inputs["input_ids"][0]
    has_video, has_sound = "video_grid_thw" in inputs, "input_features" in inputs
    grid = tuple(inputs["video_grid_thw"][0].tolist()) if has_video else None
    mel = inputs["input_features"][0] if has_sound else None
    seconds = float(inputs["video_second_per_grid"][0]) if has_video else 1.0
    merged = grid and (grid[0], grid[1] // 2, grid[2] // 2)
    tokens = adapter.audio_tokens(mel.shape[1], thinker.config) if has_sound else 0
    placeholder = IDS["video"] if has_video else IDS["audio"]
    marks = (IDS["vision_start"], IDS["vision_end"]) if has_video else (IDS["audio_start"], IDS["audio_end"])
    prompt = [1, 2, 3, marks[0], placeholder, marks[1], 10, 11, 12, 13]
    sequence = build_sequence(prompt, wrapped.rule, merged, seconds, tokens)
    assert torch.equal(sequence.ids, ids)
    positions = stock_positions(thinker, ids.tolist(), merged, seconds, mel.shape[1] if has_sound else 0)
    layout, wants = sequence.layout, method.wants
    embeds, saliency, deepstack = wrapped.text.embed_tokens(ids).detach().clone(), torch.zeros(len(ids)), ()
    if has_video:
        video = wrapped.encode_video(inputs["pixel_values_videos"], grid, wants)
        where = layout.is_modality(Modality.VIDEO)
        embeds[where], deepstack = video.embeds.clone(), video.deepstack
        if wants.of_video:
            saliency[where] = video.signals[wants].saliency.clone()
    if has_sound:
        audio = wrapped.encode_audio(mel, wants)
        where = layout.is_modality(Modality.AUDIO)
        embeds[where] = audio.embeds.clone()
        if wants.of_audio:
            saliency[where] = audio.signals[wants].saliency.clone()
    return embeds, positions, layout, saliency if wants.of_video else None, deepstack
