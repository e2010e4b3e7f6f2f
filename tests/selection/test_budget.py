import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from reference_cases import CASES, array, repair
from reference_cases import keep_counts as counts_one_by_one
from reference_cases import select_relevant as one_by_one
from torch.utils._python_dispatch import TorchDispatchMode

from seats.errors import ModelError, SettingsError
from seats.selection import budget
from seats.selection.budget import choose_relevant, keep_counts, paired_runs, run_windows
from tests.waits import hide_values


def mask_of(*arguments):
    """Bool [S]: the tokens that stay."""
    return choose_relevant(*arguments).keep


@pytest.mark.parametrize("i", range(len(CASES["inner"])))
def test_masks_are_the_published_ones(i):
    case, modality = CASES["inner"][i], array(f"inner_{i}_modality")
    settings = case["video_keep"], case["audio_keep"], case["temperature"]
    keep = mask_of(array(f"inner_{i}_scores"), modality, run_windows(modality), *settings)
    assert torch.equal(keep, array(f"inner_{i}_keep"))


@st.composite
def layouts(draw, modalities=(1, 2)):
    """Scores, modality and window of a sequence: text, then windows of video and audio runs, then text."""
    modality, window = [0] * draw(st.integers(0, 3)), []
    window = [-1] * len(modality)
    number = 0
    for _ in range(draw(st.integers(0, 8))):
        number += draw(st.integers(1, 3))  # windows whose tokens are all gone leave gaps
        for kind in modalities:
            run = draw(st.integers(0, 12) | st.just(1))
            modality += [kind] * run
            window += [number] * run
    text = draw(st.integers(1, 4))
    modality += [0] * text
    window += [-1] * text
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    scores = torch.rand(len(modality), generator=generator) ** 4
    ties = draw(st.sampled_from([None, 1, 4]))
    if ties:
        scores = (scores * ties).round() / 8
    scores = scores.mul(draw(st.sampled_from([1, 1e-3]))).to(draw(st.sampled_from([torch.float32, torch.bfloat16])))
    return scores, torch.tensor(modality, dtype=torch.int8), torch.tensor(window)


KEEP = st.floats(0, 1) | st.sampled_from([0.0, 0.5, 1.0])
TEMPERATURE = st.sampled_from([0.01, 0.1, 0.3, 10.0])


@given(layouts() | layouts((1,)) | layouts((2,)), KEEP, KEEP, TEMPERATURE)
@settings(max_examples=300, deadline=None)
def test_equals_the_selection_of_one_token_at_a_time(layout, video_keep, audio_keep, temperature):
    keep = mask_of(*layout, video_keep, audio_keep, temperature)
    assert torch.equal(keep, one_by_one(*layout, video_keep, audio_keep, temperature))


@given(layouts(), KEEP, KEEP, TEMPERATURE)
@settings(max_examples=200, deadline=None)
def test_invariants(layout, video_keep, audio_keep, temperature):
    scores, modality, window = layout
    assume(len(modality[modality > 0].unique()) == 2)  # one modality alone has no floor in every window
    keep = mask_of(*layout, video_keep, audio_keep, temperature)
    assert keep[modality == 0].all()

    pairs = [(int(w), kind) for w in window.unique() if w >= 0 for kind in (1, 2)]
    floors = 0
    for w, kind in pairs:
        group = (window == w) & (modality == kind)
        if not group.any():
            continue
        assert keep[group].any()
        floors += int(keep[group].sum()) == 1
        if not keep[group].all():
            assert scores[group & keep].min() >= scores[group & ~keep].max()

    total = 0
    for kind, ratio in ((1, video_keep), (2, audio_keep)):
        n = int((modality == kind).sum())
        total += max(1, round(ratio * n)) if n else 0
    kept = int(keep[modality != 0].sum())
    assert total <= kept <= total + floors


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 9)).filter(any), min_size=1, max_size=12),
    st.data(),
)
@settings(max_examples=200, deadline=None)
def test_counts_of_many_windows(sizes, data):
    video, audio = np.array(sizes).T
    if not (video.any() and audio.any()):
        return
    relevance = st.lists(st.floats(0, 1, width=32), min_size=len(sizes), max_size=len(sizes))
    means = [np.where(n > 0, data.draw(relevance), 0).astype(np.float32) for n in (video, audio)]
    budgets = [data.draw(st.integers(1, int(n.sum()))) for n in (video, audio)]
    temperature = data.draw(TEMPERATURE)
    counts = keep_counts(np.stack([video, audio]), np.stack(means), tuple(budgets), temperature)
    expected = counts_one_by_one(
        {1: video.tolist(), 2: audio.tolist()},
        {1: means[0], 2: means[1]},
        {1: budgets[0], 2: budgets[1]},
        temperature,
    )
    assert [c.tolist() for c in counts] == list(expected)
    for count, n in zip(counts, (video, audio), strict=True):
        assert (count <= n).all()
        assert (count[n > 0] >= 1).all()


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 30)), min_size=1, max_size=15), st.integers(1, 800))
@settings(max_examples=300, deadline=None)
def test_repair_equals_moving_one_token_at_a_time(windows, total):
    share = np.array([b for b, _ in windows])
    capacity = np.array([b + room for b, room in windows])
    expected = share.tolist()
    repair(expected, capacity.tolist(), total)
    assert budget._repair(share, capacity, total).tolist() == expected


def test_a_surplus_leaves_the_first_of_equal_windows_and_a_deficit_goes_to_the_first():
    ten = np.array([10, 10, 10])
    assert budget._repair(np.array([5, 5, 5]), ten, 13).tolist() == [4, 4, 5]
    assert budget._repair(np.array([5, 5, 5]), ten, 17).tolist() == [6, 6, 5]
    assert budget._repair(np.array([5, 5, 5]), np.array([5, 9, 9]), 17).tolist() == [5, 6, 6]


def test_one_window_or_one_modality_is_plain_top_k():
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(40, generator=generator)
    video = torch.ones(40, dtype=torch.int8)
    keep = mask_of(scores, video, torch.arange(40) // 10, 0.25, 0.9, 0.1)
    assert set(keep.nonzero().flatten().tolist()) == set(scores.topk(10).indices.tolist())

    both = video.clone()
    both[30:] = 2
    keep = mask_of(scores, both, torch.full((40,), 7), 0.2, 0.5, 0.1)
    top = scores[:30].topk(6).indices.tolist() + (scores[30:].topk(5).indices + 30).tolist()
    assert set(keep.nonzero().flatten().tolist()) == set(top)


def test_tied_scores_keep_the_earlier_tokens():
    modality = torch.tensor([1] * 6 + [2] * 4 + [1] * 6 + [2] * 4 + [0], dtype=torch.int8)
    keep = mask_of(torch.full((21,), 0.5).bfloat16(), modality, run_windows(modality), 0.5, 0.5, 0.1)
    assert keep.tolist() == ([True] * 3 + [False] * 3 + [True] * 2 + [False] * 2) * 2 + [True]


def test_relevant_windows_get_more_when_the_temperature_is_low():
    modality = torch.tensor(([1] * 20 + [2] * 10) * 4, dtype=torch.int8)
    window = run_windows(modality)
    scores = torch.full((120,), 0.01)
    scores[window == 2] = 0.2
    kept = [
        [int((mask_of(scores, modality, window, 0.3, 0.3, t) & (window == w)).sum()) for w in range(4)]
        for t in (0.1, 100.0)
    ]
    assert kept[0][2] > 2 * kept[0][0]
    assert kept[1] == [9, 9, 9, 9]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("limit", "alike"), [(1e-46, 1e-6), (1e-39, 1e-6), (1e300, 1e6)])
def test_a_temperature_beyond_float32_is_as_cold_or_as_hot_as_can_be(limit, alike):
    modality = torch.tensor(([1] * 20 + [2] * 10) * 4, dtype=torch.int8)
    window = run_windows(modality)
    scores = torch.rand(120, generator=torch.Generator().manual_seed(0))
    settings = scores, modality, window, 0.3, 0.3
    assert torch.equal(mask_of(*settings, limit), mask_of(*settings, alike))


def test_windows_of_equal_mean_relevance_get_the_same_however_many_tokens_they_have():
    modality = torch.tensor([1] + [2] * 10 + [1] * 10 + [2] * 10, dtype=torch.int8)
    window = run_windows(modality)
    keep = mask_of(torch.full((31,), 0.3), modality, window, 0.5, 0.5, 0.1)
    assert window[keep].bincount().tolist() == [8, 8]


def test_the_numbering_of_windows_does_not_matter():
    modality = torch.tensor(([1] * 7 + [2] * 5) * 3, dtype=torch.int8)
    window = run_windows(modality)
    scores = torch.rand(36, generator=torch.Generator().manual_seed(0))
    keep = mask_of(scores, modality, window, 0.5, 0.4, 0.1)
    assert torch.equal(keep, mask_of(scores, modality, window * 1000 + 5, 0.5, 0.4, 0.1))


def test_windows_need_not_lie_together():
    # The same tokens in another order keep the same tokens, as long as no scores tie.
    modality = torch.tensor(([1] * 7 + [2] * 5) * 3 + [0] * 4, dtype=torch.int8)
    generator = torch.Generator().manual_seed(0)
    window, scores = run_windows(modality), torch.rand(40, generator=generator)
    order = torch.randperm(40, generator=generator)
    keep = mask_of(scores, modality, window, 0.5, 0.4, 0.1)
    shuffled = mask_of(scores[order], modality[order], window[order], 0.5, 0.4, 0.1)
    assert torch.equal(shuffled, keep[order])


def test_text_alone_and_nothing_at_all():
    modality = torch.zeros(3, dtype=torch.int8)
    chosen = choose_relevant(torch.rand(3), modality, torch.full((3,), -1), 0.1, 0.1, 0.1)
    assert chosen.keep.all()
    assert chosen.video == chosen.audio == 0
    empty = torch.zeros(0, dtype=torch.int8)
    assert mask_of(torch.rand(0), empty, empty.long(), 0.1, 0.1, 0.1).shape == (0,)


def test_values_are_read_from_the_device_once():
    class Reads(TorchDispatchMode):
        """Operations whose result or shape depends on values, which make the host wait for a GPU."""

        waiting = ("_local_scalar_dense", "nonzero", "unique", "masked_select", "equal", "bincount")

        def __init__(self):
            super().__init__()
            self.seen = []

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            name = func.name()
            if any(word in name.split("::")[1].split(".")[0] for word in self.waiting):
                self.seen.append(name)
            return func(*args, **(kwargs or {}))

    modality = torch.tensor(([1] * 7 + [2] * 5) * 3 + [0] * 4, dtype=torch.int8)
    with Reads() as reads:
        mask_of(torch.rand(40), modality, run_windows(modality), 0.5, 0.4, 0.1)
        assert reads.seen == []
        torch.rand(3).max().item()
    assert len(reads.seen) == 1  # the watch itself works


@pytest.mark.parametrize("arguments", [(1.1, 0.5, 0.1), (0.5, -0.1, 0.1), (0.5, 0.5, 0.0), (float("nan"), 0.5, 0.1)])
def test_settings_out_of_range_are_refused(arguments):
    modality = torch.tensor([1, 2, 0], dtype=torch.int8)
    with pytest.raises(SettingsError):
        mask_of(torch.rand(3), modality, torch.tensor([0, 0, -1]), *arguments)


def test_scores_that_are_not_finite_are_refused():
    modality = torch.tensor([1, 2, 0], dtype=torch.int8)
    with pytest.raises(ModelError, match="bfloat16"):
        mask_of(torch.full((3,), torch.nan), modality, torch.tensor([0, 0, -1]), 0.5, 0.5, 0.1)


def test_layouts_that_make_no_sense_are_refused():
    modality = torch.tensor([1, 2, 0], dtype=torch.int8)
    with pytest.raises(ValueError, match="at least 0"):
        mask_of(torch.rand(3), modality, torch.tensor([0, -1, -1]), 0.5, 0.5, 0.1)
    with pytest.raises(ValueError, match=r"\[S\]"):
        mask_of(torch.rand(4), modality, torch.tensor([0, 0, -1]), 0.5, 0.5, 0.1)


def test_runs_pair_up_by_order():
    modality = torch.tensor([0, 1, 1, 2, 1, 2, 2, 0, 2, 1, 0], dtype=torch.int8)
    #                            window 0 | 1 | 1   | | 2 | 2
    assert run_windows(modality).tolist() == [-1, 0, 0, 0, 1, 1, 1, -1, 2, 2, -1]
    assert run_windows(torch.tensor([2, 2, 0, 2], dtype=torch.int8)).tolist() == [0, 0, -1, 1]
    assert run_windows(torch.zeros(0, dtype=torch.int8)).shape == (0,)


def same_partition(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.equal(one[:, None] == one, other[:, None] == other)


@pytest.mark.parametrize("seed", range(60))
def test_paired_runs_are_the_published_ones_of_what_begins_with_video(seed):
    generator = torch.Generator().manual_seed(seed)
    runs = torch.randint(1, 5, (12,), generator=generator)
    clip = torch.cat([torch.full((int(n),), 1 + i % 2) for i, n in enumerate(runs)])
    clip = clip[torch.rand(len(clip), generator=generator) < 0.4]  # whole runs are gone
    clip = clip[int((clip == 2).to(torch.int8).argmin()) :] if (clip == 1).any() else clip
    modality = torch.cat([torch.zeros(2), clip, torch.zeros(3)]).to(torch.int8)
    ours, published = paired_runs(modality), run_windows(modality)
    for kind in (1, 2):
        assert same_partition(ours[modality == kind], published[modality == kind])
    assert torch.equal(ours, published)


@pytest.mark.parametrize("seed", range(60))
def test_paired_runs_are_the_same_where_the_host_does_not_see_them(seed, monkeypatch):
    generator = torch.Generator().manual_seed(seed)
    modality = torch.randint(0 if seed % 2 else 1, 3, (seed,), generator=generator).to(torch.int8)
    seen = paired_runs(modality)
    hide_values(monkeypatch)
    assert torch.equal(paired_runs(modality), seen)
    if not seed % 2:  # no text
        assert torch.equal(paired_runs(modality, parted=False), seen)


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_sound_beside_the_pictures_is_one_window_with_them(order):
    """As published, by ordinal: not interleaved, as a prompt without use_audio_in_video has them."""
    modality = torch.tensor([0, *[order[0]] * 5, 0, 0, *[order[1]] * 4, 0], dtype=torch.int8)
    assert paired_runs(modality).tolist() == run_windows(modality).tolist() == [-1, *[0] * 5, -1, -1, *[0] * 4, -1]


def test_paired_runs_where_the_first_video_is_gone():
    """The published pairs shift: video of the second window would share a budget with audio of the first."""
    modality = torch.tensor([0, 2, 2, 1, 2, 0], dtype=torch.int8)
    assert paired_runs(modality).tolist() == [-1, 0, 0, 1, 1, -1]
    assert run_windows(modality).tolist() == [-1, 0, 0, 0, 1, -1]
