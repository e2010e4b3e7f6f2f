import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_cases import ARRAYS, CASES, array
from reference_cases import select_diverse as one_by_one

from seats.errors import SettingsError
from seats.selection import counts
from seats.selection.counts import windowed_count
from seats.selection.diversity import select_diverse, select_even


@pytest.mark.parametrize("i", range(len(CASES["pre_llm"])))
def test_masks_are_the_published_ones(i):
    case = CASES["pre_llm"][i]
    saliency = array(f"pre_llm_{i}_saliency") if case["has_saliency"] else None
    assert case["has_saliency"] == (f"pre_llm_{i}_saliency" in ARRAYS)
    keep = select_diverse(array(f"pre_llm_{i}_features"), saliency, case["window"], case["ratio"])
    assert torch.equal(keep, array(f"pre_llm_{i}_keep"))


@st.composite
def inputs(draw):
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    tokens, dim = draw(st.integers(1, 60)), draw(st.integers(2, 12))
    features = torch.randn(tokens, dim, generator=generator)
    if draw(st.booleans()):  # exact duplicates of a few tokens
        features = features[torch.randint(0, max(1, tokens // 3), (tokens,), generator=generator)]
    if draw(st.booleans()):  # axes: distances are exactly 0 or 1, so that nearly everything ties
        features = torch.eye(dim)[torch.randint(0, dim, (tokens,), generator=generator)]
    features = features.to(draw(st.sampled_from([torch.float32, torch.bfloat16])))
    saliency = None
    if draw(st.booleans()):
        saliency = torch.randint(0, 4, (tokens,), generator=generator) / 4
    return features, saliency, draw(st.integers(1, 70)), draw(st.floats(0.01, 1))


@given(inputs())
@settings(max_examples=150, deadline=None)
def test_every_window_keeps_its_share(case):
    features, _, window, ratio = case
    keep = select_diverse(*case)
    for chunk in keep.split(window):
        n = len(chunk)
        assert chunk.sum() == max(1, min(n, round(ratio * n)))
    assert windowed_count(len(features), window, ratio) == keep.sum()


@st.composite
def well_separated(draw):
    """Inputs whose result does not hang on the last bit of a product: random, or exact with many ties."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    tokens, dim = draw(st.integers(1, 50)), draw(st.sampled_from([4, 8, 16]))
    if draw(st.booleans()):
        features = torch.eye(dim)[torch.randint(0, dim, (tokens,), generator=generator)]
        saliency = torch.randint(1, 5, (tokens,), generator=generator) / 4
    else:
        features = torch.randn(tokens, dim, generator=generator)
        saliency = torch.rand(tokens, generator=generator) + 0.01
    if draw(st.booleans()):
        saliency = None
    else:
        saliency = saliency * draw(st.sampled_from([2.0**-16, 1.0, 2.0**8]))
    return features, saliency, draw(st.integers(1, 60)), draw(st.floats(0.01, 1))


@given(well_separated(), st.sampled_from([1, 2000, 2**30]))
@settings(max_examples=200, deadline=None)
def test_equals_the_selection_of_one_token_at_a_time(case, chunk_bytes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counts, "AT_ONCE_BYTES", chunk_bytes)
        assert torch.equal(select_diverse(*case), one_by_one(*case))


@pytest.mark.parametrize("scale", [2.0**-20, 2.0**10])
def test_the_unit_of_saliency_does_not_matter(scale):
    generator = torch.Generator().manual_seed(1)
    features, saliency = torch.randn(100, 16, generator=generator), torch.rand(100, generator=generator)
    base = select_diverse(features, saliency, 30, 0.3)
    assert torch.equal(base, select_diverse(features, saliency * scale, 30, 0.3))
    assert not torch.equal(base, select_diverse(features, None, 30, 0.3))


def test_permuting_a_window_permutes_the_picks():
    generator = torch.Generator().manual_seed(2)
    features, saliency = torch.randn(64, 16, generator=generator), torch.rand(64, generator=generator)
    order = torch.randperm(64, generator=generator)
    keep = select_diverse(features, saliency, 64, 0.25)
    assert torch.equal(select_diverse(features[order], saliency[order], 64, 0.25), keep[order])


def test_first_pick_is_the_salient_token_far_from_its_neighbour():
    generator = torch.Generator().manual_seed(3)
    features, saliency = torch.randn(40, 8, generator=generator), torch.rand(40, generator=generator)
    unit = torch.nn.functional.normalize(features, dim=1)
    distance = (1 - unit @ unit.T).fill_diagonal_(9)
    expected = int((distance.min(1).values * saliency).argmax())
    assert select_diverse(features, saliency, 40, 1 / 40).nonzero().flatten().tolist() == [expected]


def test_different_tokens_come_before_copies():
    features = torch.eye(4)[torch.tensor([0, 0, 0, 1, 0, 2, 0, 0])]
    assert select_diverse(features, None, 8, 3 / 8).nonzero().flatten().tolist() == [0, 3, 5]
    assert select_diverse(features, None, 8, 5 / 8).nonzero().flatten().tolist() == [0, 1, 2, 3, 5]


def test_windows_do_not_see_each_other():
    generator = torch.Generator().manual_seed(4)
    features, saliency = torch.randn(50, 8, generator=generator), torch.rand(50, generator=generator)
    whole = select_diverse(features, saliency, 20, 0.4)
    parts = [select_diverse(f, a, 20, 0.4) for f, a in zip(features.split(20), saliency.split(20), strict=True)]
    assert torch.equal(whole, torch.cat(parts))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_inputs_are_left_alone_and_types_do_not_matter(dtype):
    generator = torch.Generator().manual_seed(5)
    features = torch.randn(30, 8, generator=generator).to(dtype)
    saliency = torch.rand(30, generator=generator).to(dtype)
    before = features.clone(), saliency.clone()
    keep = select_diverse(features, saliency, 12, 0.3)
    assert torch.equal(features, before[0])
    assert torch.equal(saliency, before[1])
    assert torch.equal(keep, select_diverse(features.float(), saliency.float(), 12, 0.3))


def test_never_waits_for_the_device():
    # Meta tensors hold no values: any look at one raises.
    features, saliency = torch.empty(70, 8, device="meta"), torch.empty(70, device="meta")
    keep = select_diverse(features, saliency, 32, 0.3)
    assert keep.shape == (70,)
    assert keep.dtype == torch.bool


def test_padding_of_a_short_window_is_nobodys_neighbour():
    # Three tokens more than 90 degrees apart: the third has the farthest neighbour, 120 degrees away.
    angle = torch.tensor([0.0, 0.1, 0.2, 0.3, 0.4, 0, 100, 220]).deg2rad()
    features = torch.stack([angle.cos(), angle.sin()], 1)
    assert select_diverse(features, None, 5, 0.2).tolist()[5:] == [False, False, True]


def test_no_tokens_give_no_mask():
    assert select_diverse(torch.zeros(0, 4), torch.zeros(0), 8, 0.5).shape == (0,)


@pytest.mark.parametrize(("window", "ratio"), [(8, -0.1), (8, 1.01), (8, float("nan")), (0, 0.5)])
def test_settings_out_of_range_are_refused(window, ratio):
    with pytest.raises(SettingsError):
        select_diverse(torch.zeros(4, 4), None, window, ratio)


def test_shapes_that_disagree_are_refused():
    with pytest.raises(ValueError, match="saliency"):
        select_diverse(torch.zeros(4, 4), torch.zeros(5), 2, 0.5)


@pytest.mark.parametrize(("T", "count"), [(1, 1), (10, 1), (10, 3), (50, 49), (50, 50), (997, 348)])
def test_even_tokens_lie_in_the_middle_of_equal_stretches(T, count):
    at = select_even(T, count).nonzero()[:, 0]
    assert len(at) == count
    assert ((at + 0.5) * count / T).floor().tolist() == list(range(count))


def test_nothing_asked_leaves_one_token_a_window():
    """As the last drop's ratio can be 0 where Stage I has to keep all that the layers may hold."""
    assert select_diverse(torch.randn(10, 4), None, 4, 0.0).tolist().count(True) == windowed_count(10, 4, 0.0) == 3
