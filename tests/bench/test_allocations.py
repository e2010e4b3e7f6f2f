import torch

from benchmarks.allocations import allocations


def test_the_peak_and_what_is_left_are_counted_to_the_byte():
    with allocations() as taken:
        large = torch.empty(10_000)
        del large
        left = torch.empty(2_500)
    assert (taken.peak, taken.left) == (40_000, 10_000)
    assert len(left) == 2_500


def test_nothing_taken_is_nothing_counted():
    with allocations() as taken:
        pass
    assert (taken.peak, taken.left) == (0, 0)
