"""Ids, positions and layout against the stock processors and `get_rope_index`, on random clips of both families."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from seats.errors import SettingsError
from seats.models import compat
from seats.tokens.layout import Modality
from seats.tokens.sequence import Sequence, build_sequence
from tests.stock import adapter_of, stock_ids, stock_positions
from tests.tiny import FAMILIES, IDS, tiny_thinker

FAR = 10**6  # positions enough for any clip here
RATES = [2.0, 1.0, 1.998, 2.002, 0.4, 23.976 / 12, 29.97 / 15, 0.05]
both_families = pytest.mark.parametrize("family", FAMILIES)


@dataclass(frozen=True)
class ClipShape:
    """grid: merged (T, H, W) or None; mel_frames: 0 without sound; text before and after, in tokens."""

    grid: tuple[int, int, int] | None
    fps: float
    mel_frames: int
    before: int
    after: int

    @property
    def seconds_per_grid(self) -> float:
        return 2 / self.fps


@st.composite
def clip_shapes(draw) -> ClipShape:
    """Clips whose sound is absent, as long as the pictures, shorter, longer, or alone; true rates of all kinds."""
    grid = draw(st.none() | st.tuples(st.integers(1, 12), st.integers(1, 4), st.integers(1, 4)))
    fps = draw(st.sampled_from(RATES) | st.floats(0.05, 8))
    sound = draw(st.sampled_from(["none", "same", "any"]))
    if grid is None or sound == "any":
        mel_frames = draw(st.integers(10, 2000))
    else:
        mel_frames = min(2000, round(100 * grid[0] * 2 / fps)) if sound == "same" else 0
    return ClipShape(grid, fps, mel_frames, draw(st.integers(1, 6)), draw(st.integers(1, 6)))


@cache
def thinker_of(family):
    return tiny_thinker(family)


def rule_of(family, max_position=FAR):
    rule = adapter_of(family).sequence_rule(thinker_of(family).config)
    return replace(rule, max_position=max_position)


def audio_tokens_of(family, mel_frames):
    return adapter_of(family).audio_tokens(mel_frames, thinker_of(family).config)


def build(family, shape: ClipShape, max_position=FAR, reserve=0) -> Sequence:
    middle = [IDS["audio_start"], IDS["audio"], IDS["audio_end"]]
    if shape.grid is not None:
        middle = [IDS["vision_start"], IDS["video"], IDS["vision_end"]]
    prompt = [*range(1, 1 + shape.before), *middle, *range(20, 20 + shape.after)]
    return build_sequence(
        prompt,
        rule_of(family, max_position),
        shape.grid,
        shape.seconds_per_grid,
        audio_tokens_of(family, shape.mel_frames),
        reserve,
    )


def stock(family, shape: ClipShape) -> tuple[list[int], torch.Tensor]:
    before, after = list(range(1, 1 + shape.before)), list(range(20, 20 + shape.after))
    tokens = audio_tokens_of(family, shape.mel_frames)
    ids = stock_ids(family, before, after, shape.grid, shape.seconds_per_grid, tokens)
    mel_frames = shape.mel_frames if tokens else 0
    return ids, stock_positions(thinker_of(family), ids, shape.grid, shape.seconds_per_grid, mel_frames)


def has_ties(family, shape: ClipShape) -> bool:
    """Whether a grid starts on the border of a chunk (Qwen2.5-Omni) or at an audio token's time (Qwen3-Omni) but for
    rounding: the stock code then orders tokens one way in the ids (float64) and perhaps another in the positions
    (float32)."""
    if shape.grid is None or not shape.mel_frames:
        return False
    rate, step = (25, 50) if family == "qwen2.5-omni" else (13, 1)
    for k in range(shape.grid[0]):
        exact = k * shape.seconds_per_grid * rate
        rounded = float(np.float32(k) * np.float32(shape.seconds_per_grid) * np.float32(rate))
        border = step * round(exact / step)
        if abs(exact - border) < 1e-3 and not exact == rounded == border:
            return True
    return False


@both_families
def test_audio_token_count_equals_the_encoder(family):
    """Also for sound too short for a token, which the encoder would be asked to make none of."""
    frames = torch.arange(1, 1300)
    if family == "qwen2.5-omni":
        _, theirs = compat.audio_encoder(thinker_of(family))._get_feat_extract_output_lengths(frames)
    else:
        from transformers.models.qwen3_omni_moe import modeling_qwen3_omni_moe as stock_code

        theirs = stock_code._get_feat_extract_output_lengths(frames, 50)
    assert [audio_tokens_of(family, n) for n in frames.tolist()] == theirs.clamp(min=0).tolist()
    assert audio_tokens_of(family, 0) == 0


@both_families
@settings(max_examples=300, deadline=None, derandomize=True)
@given(shape=clip_shapes())
def test_ids_and_positions_equal_the_stock_ones(family, shape):
    assume(not has_ties(family, shape))
    ours = build(family, shape)
    ids, positions = stock(family, shape)
    assert ours.ids.tolist() == ids
    assert ours.time_scale == 1.0
    assert ours.positions.dtype == (torch.int64 if family == "qwen2.5-omni" else torch.float32)
    assert torch.equal(ours.positions, positions.to(ours.positions.dtype))


@pytest.mark.parametrize(
    ("family", "fps"),
    [("qwen2.5-omni", 25 / 14), *(("qwen3-omni", fps) for fps in (26 / 12, 13 / 7, 10 / 3, 26 / 10))],
)
def test_at_equal_times_the_stock_positions_are_kept_but_for_their_order(family, fps):
    """Ids still equal the processor's; the positions are the stock ones, each with the token it belongs to."""
    shape = ClipShape((40, 2, 2), fps, 3300, 3, 4)
    assert has_ties(family, shape)
    ours = build(family, shape)
    ids, positions = stock(family, shape)
    assert ours.ids.tolist() == ids
    first = ours.positions[0][shape.before + 2]
    if family == "qwen2.5-omni":  # those of grids are truncated, and may be one below
        is_audio = ours.layout.is_modality(Modality.AUDIO)
        assert torch.equal(ours.positions[0][is_audio], ours.layout.row[is_audio] + first)
    else:
        is_media = ours.layout.modality != int(Modality.TEXT)
        own = ours.layout.time_s * 13 + first
        torch.testing.assert_close(ours.positions[0][is_media], own[is_media], rtol=0, atol=1e-3)

    def sorted_columns(columns: torch.Tensor) -> list[tuple[float, ...]]:
        return sorted(tuple(column) for column in columns.T.tolist())

    assert sorted_columns(ours.positions) == sorted_columns(positions)


@both_families
def test_pictures_beyond_the_sound_still_equal_the_stock_positions(family):
    """Grids far apart: windows of single tokens, and text that goes on below the largest position."""
    for grid, mel_frames in (((30, 1, 1), 2000), ((9, 1, 2), 150), ((25, 2, 1), 800)):
        shape = ClipShape(grid, 0.2, mel_frames, 3, 3)
        ids, positions = stock(family, shape)
        ours = build(family, shape)
        assert ours.ids.tolist() == ids
        assert torch.equal(ours.positions, positions.to(ours.positions.dtype))


@both_families
def test_sound_that_ends_with_the_last_picture(family):
    """The last token of the sound has the time of the last grid."""
    rate = 25 if family == "qwen2.5-omni" else 13
    mel_frames = next(n for n in range(1000) if audio_tokens_of(family, n) == 2 * rate + 1)
    for grid in ((3, 1, 1), (3, 2, 40)):
        shape = ClipShape(grid, 2.0, mel_frames, 3, 3)
        ids, positions = stock(family, shape)
        ours = build(family, shape)
        assert ours.ids.tolist() == ids
        assert torch.equal(ours.positions, positions.to(ours.positions.dtype))


@both_families
def test_a_prompt_may_begin_with_the_clip(family):
    rule = rule_of(family)
    made = build_sequence([rule.video, 5, 6], rule, (3, 1, 1), 1.0, 0)
    rate = 25 if family == "qwen2.5-omni" else 13
    assert made.positions[0].tolist() == [0, rate, 2 * rate, 2 * rate + 1, 2 * rate + 2]


@both_families
@settings(max_examples=80, deadline=None, derandomize=True)
@given(shape=clip_shapes())
def test_layout_says_what_each_token_is(family, shape):
    sequence = build(family, shape)
    layout, ids = sequence.layout, sequence.ids
    rule = rule_of(family)
    is_video, is_audio = layout.is_modality(Modality.VIDEO), layout.is_modality(Modality.AUDIO)
    assert torch.equal(is_video, ids == rule.video)
    assert torch.equal(is_audio, ids == rule.audio)
    assert len(layout) == len(ids) == sequence.positions.shape[1]
    assert layout.origin.tolist() == list(range(len(ids)))
    counts = layout.counts()
    T, H, W = shape.grid or (0, 0, 0)
    assert (counts.video, counts.audio) == (T * H * W, audio_tokens_of(family, shape.mel_frames))
    assert counts.total == len(ids)

    text = layout.is_modality(Modality.TEXT)
    for values in (layout.window, layout.row, layout.time_s, layout.grid[:, 0]):
        assert (values[text] == -1).all()
    assert layout.row[is_video].tolist() == list(range(counts.video))
    assert layout.row[is_audio].tolist() == list(range(counts.audio))
    assert (layout.grid[is_audio] == -1).all()
    places = layout.grid[is_video]
    assert torch.equal((places[:, 0] * H + places[:, 1]) * W + places[:, 2], layout.row[is_video])
    assert places.shape[0] == 0 or (places.amax(0) == torch.tensor([T - 1, H - 1, W - 1])).all()

    expected = places[:, 0] * shape.seconds_per_grid
    torch.testing.assert_close(layout.time_s[is_video].double(), expected.double(), rtol=1e-6, atol=1e-5)
    rate = 25 if family == "qwen2.5-omni" else 13
    torch.testing.assert_close(layout.time_s[is_audio], torch.arange(counts.audio) / rate, rtol=1e-6, atol=1e-5)

    # Windows come one after the other, and hold the tokens of the same seconds.
    window = layout.window[~text]
    assert window.min() == 0
    assert (window.diff() >= 0).all()
    assert (window.diff() <= 1).all() or family == "qwen3-omni"
    if family == "qwen3-omni":
        assert torch.equal(layout.window[is_video], places[:, 0])
        if shape.grid is not None:  # sound belongs to the last grid before it
            assert torch.equal(window, layout.grid[~text][:, 0].cummax(0).values)
    elif shape.seconds_per_grid <= 2:
        assert torch.equal(layout.window[~text], (layout.time_s[~text].double() / 2 + 1e-6).long())


@both_families
@settings(max_examples=40, deadline=None, derandomize=True)
@given(shape=clip_shapes(), seed=st.integers(0, 1000))
def test_selecting_from_the_layout(family, shape, seed):
    layout = build(family, shape).layout
    keep = torch.rand(len(layout), generator=torch.Generator().manual_seed(seed)) < 0.5
    kept = layout.select(keep)
    assert kept.origin.tolist() == keep.nonzero()[:, 0].tolist()
    for name in ("modality", "window", "row", "grid", "time_s"):
        assert torch.equal(getattr(kept, name), getattr(layout, name)[kept.origin])
    by_index = layout.select(keep.nonzero()[:, 0])
    assert torch.equal(by_index.origin, kept.origin)
    again = torch.rand(len(kept), generator=torch.Generator().manual_seed(seed + 1)) < 0.5
    assert torch.equal(kept.select(again).origin, layout.origin[keep][again])


@both_families
@settings(max_examples=150, deadline=None, derandomize=True)
@given(shape=clip_shapes(), share=st.floats(0.02, 1.5), reserve=st.integers(0, 40))
def test_long_clips_are_compressed_in_time_alone(family, shape, share, reserve):
    whole = build(family, shape)
    room = 60 + reserve + int(share * float(whole.positions.max()))
    pressed = build(family, shape, room, reserve)
    needed = float(whole.positions.max()) + 1 + reserve
    media = whole.layout.modality != int(Modality.TEXT)

    assert torch.equal(pressed.ids, whole.ids)  # nothing is cut and the order is the same
    for name in ("modality", "window", "row", "grid", "time_s"):
        assert torch.equal(getattr(pressed.layout, name), getattr(whole.layout, name))
    assert float(pressed.positions.max()) + 1 + reserve <= max(room, needed if pressed.time_scale == 1 else 0)
    assert 0 < pressed.time_scale <= 1
    if needed <= room:
        assert pressed.time_scale == 1.0
    if pressed.time_scale == 1.0:
        assert needed <= room
        assert torch.equal(pressed.positions, whole.positions)
        return
    start = whole.positions[0][media].min()
    full, scaled = ((s.positions[0][media] - start).double() for s in (whole, pressed))
    slack = 1.0 if family == "qwen2.5-omni" else 1e-2
    # Whole positions are truncated before and after; the factor is one for pictures and sound.
    assert ((scaled - full * pressed.time_scale) <= slack).all()
    assert ((scaled - full * pressed.time_scale) >= -slack).all()


def test_the_latest_position_counts_even_where_another_piece_comes_last():
    shape = ClipShape((100, 1, 1), 0.2, 30_000, 3, 3)
    whole = build("qwen2.5-omni", shape)
    assert whole.positions[0, -1] < 8_000 < whole.positions.max()
    pressed = build("qwen2.5-omni", shape, max_position=10_000)
    assert pressed.time_scale < 1
    assert pressed.positions.max() < 10_000


@both_families
def test_a_single_grid_has_no_times_to_compress(family):
    """As where a very long question leaves fewer positions than the picture is wide."""
    rule = rule_of(family, max_position=25)
    made = build_sequence([*range(1, 21), rule.video], rule, (1, 8, 8), 1.0, 0)
    assert made.time_scale == 1.0
    assert made.positions[:, 20:].min() == 20


@both_families
def test_an_hour_of_sound_is_kept_whole(family):
    shape = ClipShape((384, 2, 2), 2 * 384 / 3600, 360_000, 5, 9)
    sequence = build(family, shape, max_position=32_768, reserve=256)
    counts = sequence.layout.counts()
    assert counts.audio == (90_000 if family == "qwen2.5-omni" else 46_800)
    assert counts.video == 384 * 4
    assert sequence.positions.max() < 32_768 - 256
    assert sequence.positions.max() > 32_000  # the range is used, not merely respected
    assert sequence.time_scale < 1
    video = sequence.layout.is_modality(Modality.VIDEO)
    audio = sequence.layout.is_modality(Modality.AUDIO)
    # Pictures and sound of the same second keep the same position.
    for second in (600, 1800, 3000):
        near = [
            sequence.positions[0][where][(sequence.layout.time_s[where] - second).abs().argmin()].item()
            for where in (video, audio)
        ]
        rate = 25 if family == "qwen2.5-omni" else 13
        assert abs(near[0] - near[1]) <= 10 * rate * sequence.time_scale


@both_families
def test_prompts_that_cannot_be(family):
    rule = rule_of(family)
    with pytest.raises(SettingsError, match="0 media placeholders"):
        build_sequence([1, 2, 3], rule, (2, 2, 2), 1.0, 0)
    with pytest.raises(SettingsError, match="2 media placeholders"):
        build_sequence([rule.video, 1, rule.video], rule, (2, 2, 2), 1.0, 0)
    with pytest.raises(SettingsError, match="0 media placeholders"):
        build_sequence([1, rule.video], rule, None, 1.0, 20)
    with pytest.raises(ValueError, match="needs video or audio tokens"):
        build_sequence([1, rule.audio], rule, None, 1.0, 0)
    with pytest.raises(SettingsError, match="shorter question"):
        build_sequence([1] * 60 + [rule.video], replace(rule, max_position=50), (2, 2, 2), 1.0, 0)
