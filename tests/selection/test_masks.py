"""The draws, ranks and strides that methods share."""

import torch

from seats.selection.counts import keep_count
from seats.selection.masks import random_mask, strided_mask, top_mask

CPU = torch.device("cpu")


def test_draws_are_seeded_and_of_the_right_size():
    for n, ratio in ((1, 0.1), (7, 0.5), (40, 0.33), (9, 1.0)):
        drawn = random_mask(n, ratio, 3, CPU)
        assert drawn.dtype == torch.bool
        assert int(drawn.sum()) == keep_count(n, ratio)
        assert torch.equal(drawn, random_mask(n, ratio, 3, CPU))
    assert len({tuple(random_mask(40, 0.3, seed, CPU).tolist()) for seed in range(5)}) == 5
    assert random_mask(0, 0.5, 0, CPU).shape == (0,)


def test_top_takes_the_lower_index_where_equal():
    scores = torch.tensor([[1.0, 3, 3, 2, 3], [0, 0, 0, 0, 0]])
    assert top_mask(scores, 2).int().tolist() == [[0, 1, 1, 0, 0], [1, 1, 0, 0, 0]]
    assert top_mask(scores, torch.tensor([4, 0])).int().tolist() == [[0, 1, 1, 1, 1], [0, 0, 0, 0, 0]]
    assert top_mask(scores[0], 9).all()


def test_strides_are_equal_and_begin_with_the_first():
    for n, count, chosen in ((7, 3, [0, 2, 4]), (6, 3, [0, 2, 4]), (5, 5, [0, 1, 2, 3, 4]), (5, 4, [0, 1, 2, 3])):
        assert strided_mask(n, count, torch.device("cpu")).nonzero()[:, 0].tolist() == chosen
