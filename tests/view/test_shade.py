"""Stages can be told apart without colours, and the mask lies where its tokens are."""

from __future__ import annotations

import numpy as np

from seats.view.shade import PATTERN_SIDE, pattern_mask, shade_picture, shades
from seats.view.token_map import Moment

MOMENTS = (
    Moment(0, "before", 9, 9),
    Moment(16, "inside", 9, 9),
    Moment(18, "inside", 9, 9),
    Moment(20, "inside", 9, 9),
    Moment(23, "late", 9, 9),
)


def test_stages_differ_in_pattern_and_veil() -> None:
    kinds = shades(MOMENTS)
    assert len({kind.pattern for kind in kinds}) == len(kinds)
    assert [kind.veil for kind in kinds] == sorted((kind.veil for kind in kinds), reverse=True)


def test_patterns_are_like_no_other_and_repeat() -> None:
    masks = [pattern_mask(pattern, 24, 24) for pattern in ("rise", "fall", "dots", "cross")]
    assert not any(np.array_equal(a, b) for i, a in enumerate(masks) for b in masks[:i])
    for mask in masks:
        assert 0 < mask.mean() < 0.4  # most of the picture is seen between
        assert np.array_equal(mask[PATTERN_SIDE:], mask[:-PATTERN_SIDE])
        assert np.array_equal(mask[:, PATTERN_SIDE:], mask[:, :-PATTERN_SIDE])


def test_stages_rise_in_lightness() -> None:
    luma = [kind.rgb @ (0.3, 0.6, 0.1) for kind in shades(MOMENTS)]
    assert luma == sorted(luma)


def test_stages_inside_span_the_scale_of_colours() -> None:
    first, _, last = shades(MOMENTS)[1:4]
    assert (first.colour, last.colour) == ("#46327e", "#4ac16d")
    assert first.rgb.tolist() == [0x46, 0x32, 0x7E]


def test_mask_lies_on_its_tokens() -> None:
    picture = np.full((40, 60, 3), 200, np.uint8)
    left = np.array([[0, 5, 5], [4, 5, 1]])
    kinds = shades(MOMENTS)
    shaded = shade_picture(picture, left, kinds)
    assert (shaded[:20, 20:] == 200).all()
    assert (shaded[:20, :20] < 90).all()
    assert (shaded[21:39, 1:19] == 200).all()  # a frame around what stayed to the last stage
    for side in (shaded[20, :20], shaded[39, :20], shaded[20:, 0], shaded[20:, 19]):
        assert (side == kinds[4].rgb).all()
    hatched, veiled = np.unique(shaded[20:, 40:].reshape(-1, 3), axis=0)[::-1]
    assert np.abs(veiled - (200 + (kinds[1].rgb - 200) * kinds[1].veil)).max() < 1
    assert (veiled < hatched).all()
    assert (hatched < 200).all()
