"""Letters of films: each its own, and what there is no pattern for is seen as such."""

import numpy as np

from seats.methods.registry import BUILT_IN
from seats.view.letters import _ROWS, ADVANCE, HEIGHT, written


def test_letters_differ_and_keep_apart() -> None:
    drawn = {letter: written(letter, 1) for letter in _ROWS}
    assert len({ink.tobytes() for ink in drawn.values()}) == len(drawn)
    for ink in drawn.values():
        assert ink.shape == (HEIGHT, ADVANCE)
        assert not ink[:, -1].any()


def test_a_line_is_its_letters_at_any_size() -> None:
    assert np.array_equal(written("ab", 1), np.concatenate([written("a", 1), written("b", 1)], axis=1))
    assert np.array_equal(written("ab", 3)[::3, ::3], written("ab", 1))
    assert np.array_equal(written("ß"), written("?"))
    assert written("").shape[1] == 0


def test_a_t_looks_like_a_t() -> None:
    assert written("T", 1).sum(axis=1).tolist() == [5, 1, 1, 1, 1, 1, 1]


def test_methods_and_stages_can_be_written() -> None:
    for text in (*(method.name for method in BUILT_IN), "Stage III, after layer 27", "seats 12.5%"):
        assert set(text) <= _ROWS.keys()
