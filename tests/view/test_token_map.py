"""The map against the trace it was read from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seats.inference.trace import Drop, Trace
from seats.tokens.counts import Counts
from seats.tokens.layout import Modality, TokenLayout
from seats.view.token_map import TokenMap, _moments, _window_starts
from tests.view.conftest import METHODS, Look


@pytest.mark.parametrize("method", METHODS)
def test_tokens_alive_are_those_that_entered_each_layer(maps: dict[str, TokenMap], method: str) -> None:
    seen = maps[method]
    for layer, counts in enumerate(seen.answer.trace.layers, start=1):
        happened = sum(moment.after_layer < layer for moment in seen.moments)
        for name in ("video", "audio"):
            assert (seen.modalities()[name].left >= happened).sum() == getattr(counts, name), (layer, name)


def test_tokens_left_are_those_the_trace_no_longer_holds(maps: dict[str, TokenMap]) -> None:
    seen = maps["seats"]
    trace = seen.answer.trace
    layout = trace.layout
    assert seen.video is not None
    kept = set(trace.drops[0].kept.tolist())
    where = layout.is_modality(Modality.VIDEO).nonzero()[:, 0].tolist()
    for origin in where:
        t, h, w = layout.grid[origin].tolist()
        _, rows, columns = seen.grid or (0, 0, 0)
        token = (t * rows + h) * columns + w
        assert (seen.video.left[token] > 0) == (origin in kept)
        assert seen.video.window[token] == layout.window[origin]


def test_moments(maps: dict[str, TokenMap]) -> None:
    assert maps["seats"].moments[0].stage == "before"
    assert maps["seats"].moments[-1].stage == "late"
    assert maps["seats"].moments[-1].label.startswith("Stage III, after layer ")
    assert [(m.after_layer, m.stage) for m in maps["fastv-om"].moments] == [(2, "inside")]
    assert maps["full"].moments == ()
    full = maps["seats"].answer.trace.full
    assert sum(m.video for m in maps["seats"].moments) == full.video
    assert sum(m.audio for m in maps["seats"].moments) == full.audio


def test_the_stage_is_late_only_where_nothing_of_the_clip_is_left(maps: dict[str, TokenMap]) -> None:
    trace = maps["seats"].answer.trace
    text, nothing = trace.full.text, torch.zeros(0, dtype=torch.int64)
    drops = [Drop(layer, nothing, Counts(text, 0, audio)) for layer, audio in ((2, 5), (4, 0))]
    assert [moment.stage for moment in _moments(drops, trace)] == ["inside", "late"]


def test_saliency_and_relevance_are_the_trace_s(maps: dict[str, TokenMap]) -> None:
    seen = maps["seats"]
    trace = seen.answer.trace
    assert trace.saliency is not None
    scored = [drop for drop in trace.drops if drop.relevance is not None]
    before = [torch.arange(len(trace.layout)), *(drop.kept for drop in trace.drops)]
    assert seen.scored_layers == tuple(drop.after_layer for drop in scored)
    for name, tokens in seen.modalities().items():
        where = trace.layout.is_modality(Modality[name.upper()])
        order = trace.layout.row[where].argsort()
        np.testing.assert_array_equal(tokens.saliency, trace.saliency[where][order].numpy())
        for row, drop in zip(tokens.relevance, scored, strict=True):
            full = torch.full((len(trace.layout),), torch.nan)
            full[before[trace.drops.index(drop)]] = drop.relevance
            np.testing.assert_array_equal(row, full[where][order].numpy())
            assert np.isnan(row).any()
            assert not np.isnan(row).all()


def test_names(look_at: Look, maps: dict[str, TokenMap]) -> None:
    assert [maps[method].name for method in METHODS] == ["seats 35%", "fastv-om 35%", "visionzip 35%", "full"]


@pytest.mark.parametrize(("clip", "has"), [({"seconds": 0.0}, "video"), ({"frames": 0}, "audio")])
def test_one_modality(look_at: Look, clip: dict, has: str) -> None:
    (seen,) = look_at(**clip)
    assert list(seen.modalities()) == [has]
    assert (seen.grid is None) == (has == "audio")
    assert seen.seconds == pytest.approx(3.3 if has == "audio" else 3.0)


def test_one_frame(look_at: Look) -> None:
    (seen,) = look_at(frames=2, fps=25.0)
    assert seen.grid == (1, 2, 3)
    assert seen.seconds_per_grid == pytest.approx(0.08)


def test_windows_that_begin_together_share_the_time() -> None:
    window = torch.tensor([0, 1, 3, 4, -1])  # without a token in one of them
    time = torch.tensor([0.0, 3.0, 3.0, 9.0, -1.0])
    nothing = torch.zeros(5, dtype=torch.int64)
    layout = TokenLayout(nothing.to(torch.int8), window, nothing, nothing[:, None].expand(5, 3), time, nothing)
    starts = _window_starts(Trace(Counts(1, 4, 0), layout), 12.0)
    np.testing.assert_allclose(starts, [0, 3, 5, 7, 9, 12])
