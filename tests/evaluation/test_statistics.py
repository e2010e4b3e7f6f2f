import math
import tracemalloc

import numpy as np
import pytest

from seats.evaluation.statistics import (
    Accuracy,
    compare,
    design_effect,
    few_clips,
    newcombe,
    paired_interval,
    ratio_interval,
)


def test_wilson_interval_of_a_known_case():
    # 90 of 100: Wilson's interval by hand.
    low, high = Accuracy(90, 100).interval()
    assert low == pytest.approx(0.8256, abs=1e-4)
    assert high == pytest.approx(0.9448, abs=1e-4)


def test_interval_stays_inside_and_holds_the_share():
    for right, total in ((0, 5), (5, 5), (1, 2), (300, 301), (0, 1000), (1000, 1000)):
        for effect in (1.0, 2.7):
            accuracy = Accuracy(right, total, effect)
            low, high = accuracy.interval()
            assert 0 <= low <= accuracy.share <= high <= 1
            assert high > low


def test_no_questions_say_nothing():
    assert math.isnan(Accuracy(0, 0).share)
    assert Accuracy(0, 0).interval() == (0.0, 1.0)


@pytest.mark.parametrize(
    ("table", "low", "high"),
    [
        # Altman, Machin, Bryant & Gardner, Statistics with Confidence (2000), table 6.2.
        ((14, 5, 0, 22), 0.011, 0.226),
        # Fagerland, Lydersen & Laake, Statistics in Medicine 33 (2014): airway hyper-responsiveness (Bentur 2009).
        ((1, 1, 7, 12), -0.507, -0.026),
    ],
)
def test_method_10_gives_published_intervals(table, low, high):
    assert newcombe(*table) == pytest.approx((low, high), abs=6e-4)


def test_method_10_is_antisymmetric_and_sane_at_the_edges():
    low, high = newcombe(40, 9, 3, 20)
    assert newcombe(40, 3, 9, 20) == pytest.approx((-high, -low))
    for table in ((10, 0, 0, 0), (0, 0, 0, 10), (5, 0, 0, 5), (0, 10, 0, 0)):
        low, high = newcombe(*table)
        difference = (table[1] - table[2]) / 10
        assert -1 <= low <= difference <= high <= 1
        assert high > low


def test_design_effect_of_known_cases():
    # Two clips of four questions each, and three of two, all alike: only the clips are independent.
    assert design_effect([1, 1, 1, 1, 0, 0, 0, 0], "aaaabbbb") == pytest.approx(4 * (2 / 1) / (8 / 7))
    assert design_effect([1, 1, 0, 0, 0, 0], "aabbcc") == pytest.approx(2 * (3 / 2) / (6 / 5))
    assert design_effect([1, 0, 1, 0], "abcd") == 1
    assert design_effect([1, 0, 1, 0], "aaaa") == 1
    assert design_effect([1, 1, 1, 1], "aabb") == 1
    assert design_effect([0.1] * 12, "aaaaaaabbbbb") == 1  # their mean is not quite 0.1
    assert design_effect([1, 0, 1, 0, 1, 0], "aabbcc") == 1  # less than independent would be is not believed


def test_comparison_counts_pairs():
    method, full = [True, True, False, False, True], [True, False, True, False, True]
    found = compare(method, full, list("abcde"))
    assert (found.total, found.clips, found.full.right) == (5, 5, 3)
    assert found.difference == 0
    assert found.difference_interval == newcombe(2, 1, 1, 1)
    assert found.share_of_full == 1


def test_what_clips_do_to_a_difference_is_counted_of_the_difference():
    """Both right or wrong by the clip, and alike: their difference says nothing of clips."""
    full = [True] * 9 + [False] * 11
    method = [*[True] * 8, False, True, *[False] * 10]
    found = compare(method, full, "aaaaabbbbbcccccddddd")
    assert found.full.design_effect > 2
    assert found.difference_interval == newcombe(8, 1, 1, 10)


def test_nothing_right_has_no_share_of_full():
    found = compare([True, False], [False, False], "ab")
    assert found.share_of_full is None
    assert found.share_of_full_interval is None
    assert ratio_interval([True, True], [True, True], "aa") is None  # one clip


def test_what_few_clips_cannot_say():
    assert few_clips(400, 20) == few_clips(19, 19) == few_clips(1, 1) == ""
    assert few_clips(20, 19) == "with 19 clips, intervals are too narrow"
    assert few_clips(2, 1).startswith("all questions are about one clip")


def test_ratio_interval_is_seeded_and_of_clips():
    rng = np.random.default_rng(3)
    full = (rng.random(300) < 0.8).tolist()
    method = (np.array(full) & (rng.random(300) < 0.9)).tolist()
    alone, grouped = list(range(300)), [i // 30 for i in range(300)]
    low, high = ratio_interval(method, full, alone)
    assert low < sum(method) / sum(full) < high
    assert (low, high) == ratio_interval(method, full, alone)
    # The standard error of a share kept, sqrt(p q / n), of those that full tokens got right.
    p, n = sum(method) / sum(full), sum(full)
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(p * (1 - p) / n), rel=0.15)
    # Losses that come by the clip make it wider.
    lost = [f and i % 10 > 0 for f, i in zip(full, grouped, strict=True)]
    by_clip, by_question = (ratio_interval(lost, full, clips) for clips in (grouped, alone))
    assert by_clip[1] - by_clip[0] > 2 * (by_question[1] - by_question[0])


def test_resamples_are_those_of_one_draw_and_take_four_bytes_a_clip():
    rng = np.random.default_rng(3)
    method, full = (rng.random(1000) < share for share in (0.7, 0.9))
    drawn = np.random.default_rng(0).multinomial(1000, np.full(1000, 1 / 1000), size=5000)
    expected = np.quantile((drawn @ method) / (drawn @ full), (0.025, 0.975))
    del drawn
    tracemalloc.start()
    try:
        found = ratio_interval(list(method), list(full), range(1000))
        assert tracemalloc.get_traced_memory()[1] < 1.2 * 4 * 5000 * 1000
    finally:
        tracemalloc.stop()
    assert found == pytest.approx(expected, abs=1e-15)


def test_resamples_in_which_full_tokens_get_nothing_right_are_left_out():
    assert ratio_interval([True, False, False], [True, False, False], "abc") == (1.0, 1.0)


def test_intervals_hold_where_clips_decide():
    """Losses come by the clip: intervals for independent questions hold the truth in 79 % of such sets."""
    rng = np.random.default_rng(1)
    clips, each, sets = 60, 7, 150
    hard, lossy = 0.3, 0.15
    full_share = hard * 0.5 + (1 - hard) * 0.95
    loss = lossy * 0.6 + (1 - lossy) * 0.05
    truth = full_share * (1 - loss) + (1 - full_share) * 0.1
    names = np.repeat(np.arange(clips), each).tolist()
    held = np.zeros(4)
    for _ in range(sets):
        full = rng.random(clips * each) < np.repeat(np.where(rng.random(clips) < hard, 0.5, 0.95), each)
        lost = rng.random(clips * each) < np.repeat(np.where(rng.random(clips) < lossy, 0.6, 0.05), each)
        method = np.where(full, ~lost, rng.random(clips * each) < 0.1)
        found = compare(method.tolist(), full.tolist(), names)
        pairs = [int((method & full).sum()), int((method & ~full).sum()), int((~method & full).sum())]
        intervals = [
            (found.difference_interval, truth - full_share),
            (found.share_of_full_interval, truth / full_share),
            (found.full.interval(), full_share),
            (newcombe(*pairs, clips * each - sum(pairs)), truth - full_share),
        ]
        held += [low <= value <= high for (low, high), value in intervals]
    assert min(held[:3] / sets) > 0.9
    assert held[3] / sets < 0.88


def test_paired_interval_of_a_known_case():
    # Newcombe 1998, table III: 36 both, 12 first only, 2 second only, 0 neither gives 0.0569 to 0.3404.
    table = [(True, True)] * 36 + [(True, False)] * 12 + [(False, True)] * 2
    first, second = zip(*table, strict=True)
    clips = [str(i) for i in range(50)]
    assert paired_interval(first, second, clips) == pytest.approx((0.0569, 0.3404), abs=2e-4)
    low, high = paired_interval(first, second, [str(i // 5) for i in range(50)])  # alike within a clip: wider
    assert low < 0.0569
    assert high > 0.3404
