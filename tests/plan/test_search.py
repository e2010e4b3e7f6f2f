"""Settings that fit."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from seats.errors import OutOfMemoryError, SettingsError
from seats.plan.model import planned_model
from seats.plan.plan import Ask, make_plan
from seats.plan.search import check_weights, fit, fits, reserve_for, suggestions
from seats.plan.typical import two_minutes
from seats.plan.weights import count_weights
from seats_cli.options import parse_time

GIB = 2**30


@pytest.fixture(scope="module")
def clip():
    return two_minutes()


@pytest.fixture(scope="module")
def large():
    return planned_model("qwen2.5-omni-7b")


ASK = Ask(method="full", device="cuda", dtype_bytes=2)


def test_what_fits_is_left_alone(clip, large):
    ask, plans = fit(large, clip, [ASK], 100 * GIB)
    assert ask == ASK
    assert fits(plans[0], 100 * GIB)


def test_pixels_go_first_then_frames(clip, large):
    whole = make_plan(large, clip, ASK).needed_bytes + reserve_for("cuda")
    ask, plans = fit(large, clip, [ASK], whole - 20 * 2**20)
    assert ask.max_frames is None
    assert large.sampling.min_pixels <= ask.max_pixels < 480 * 854
    assert plans[0].part.frames == 240
    smallest = make_plan(large, clip, Ask(**{**vars(ASK), "max_pixels": 128 * 28 * 28, "max_frames": 40}))
    limit = smallest.needed_bytes + reserve_for("cuda") + 2**20
    ask, plans = fit(large, clip, [ASK], limit)
    assert 40 <= ask.max_frames < 240
    assert all(fits(plan, limit) for plan in plans)
    assert not fits(make_plan(large, clip, replace(ask, max_frames=ask.max_frames + 2)), limit)


def test_pixels_are_lowered_no_further_than_they_must_be(clip, large):
    limit = make_plan(large, clip, ASK).needed_bytes + reserve_for("cuda") - 300 * 2**20
    ask, _ = fit(large, clip, [ASK], limit)
    more = replace(ask, max_pixels=ask.max_pixels + large.sampling.factor**2)
    assert not fits(make_plan(large, clip, more), limit)
    assert ask.max_pixels > large.sampling.min_pixels + 60 * large.sampling.factor**2


def test_all_questions_and_methods_must_fit(clip, large):
    both = [Ask(device="cuda", dtype_bytes=2), ASK]
    limit = make_plan(large, clip, ASK).needed_bytes + reserve_for("cuda") - 20 * 2**20
    assert fits(make_plan(large, clip, both[0]), limit)
    ask, plans = fit(large, clip, both, limit)
    assert ask.max_pixels is not None
    assert all(fits(plan, limit) for plan in plans)


def test_an_impossible_limit_says_what_to_do(clip, large):
    told = r"7b alone take 16.64 GiB and CUDA 512 MiB, the limit is 10.00 GiB.*--quantize 4bit.*--max-vram"
    with pytest.raises(OutOfMemoryError, match=told):
        fit(large, clip, [ASK], 10 * GIB)
    nano = planned_model("seats-nano")
    with pytest.raises(OutOfMemoryError, match=r"limit of 17.0 MiB .*even with two small frames.*--max-vram to"):
        fit(nano, clip, [Ask()], 17 * 2**20)
    with pytest.raises(OutOfMemoryError, match=r"take 15.7 MiB, the limit is 2.00 KiB"):
        fit(nano, clip, [Ask()], 2048)


def test_what_is_too_large_without_pictures_is_told_so(clip):
    nano, sound = planned_model("seats-nano"), replace(clip, pictures=None)
    limit = make_plan(nano, sound, Ask()).needed_bytes - 2**14
    with pytest.raises(OutOfMemoryError, match="even without pictures it takes"):
        fit(nano, sound, [Ask()], limit)


@pytest.mark.parametrize(
    ("name", "ask", "ways"),
    [
        # The encoders decide, and all tokens pass through these.
        ("small", Ask(keep=35.0), ["--max-pixels", "--end", "--dtype"]),
        ("qwen2.5-omni-7b", replace(ASK, method="seats", keep=5.0, max_pixels=3136, end_s=0.5), ["--quantize"] * 2),
        ("seats-nano", replace(ASK, method="seats", keep=35.0, max_pixels=28 * 28), ["--end", *["--quantize"] * 2]),
    ],
)
def test_an_impossible_limit_names_what_helps_and_nothing_else(clip, name, ask, ways):
    model = planned_model(name)
    small = replace(ask, max_frames=2, max_pixels=ask.max_pixels or model.sampling.min_pixels)
    limit = make_plan(model, clip, small).needed_bytes + reserve_for(ask.device) - 2**14
    with pytest.raises(OutOfMemoryError, match="even with two small frames") as caught:
        fit(model, clip, [ask], limit)
    said = re.findall(r"(--\S+) ([^ ,]+), or", str(caught.value))
    assert [flag for flag, _ in said] == ways
    for flag, value in said:
        changed = {
            "--max-pixels": ("max_pixels", int),
            "--end": ("end_s", parse_time),
            "--dtype": ("dtype_bytes", {"bfloat16": 2}.get),
            "--quantize": ("quantize", str),
        }
        name, read = changed[flag]
        _, plans = fit(model, clip, [replace(ask, **{name: read(value)})], limit)
        assert fits(plans[0], limit)


@pytest.mark.parametrize(
    ("name", "quantize", "helps"),
    [
        ("qwen2.5-omni-7b", None, True),
        ("qwen2.5-omni-7b", "8bit", True),
        ("qwen2.5-omni-7b", "4bit", False),
        ("qwen3-omni-30b-a3b", None, False),
    ],
)
def test_quantizing_is_named_only_where_the_weights_then_fit(name, quantize, helps):
    """Experts stay as they are."""
    model = planned_model(name)
    ask = replace(ASK, quantize=quantize)
    limit = count_weights(model).bytes(2, "4bit") + reserve_for("cuda") + (2**20 if helps else -(2**20))
    with pytest.raises(OutOfMemoryError) as caught:
        check_weights(model, ask, limit)
    assert ("--quantize" in str(caught.value)) == helps


def test_weights_that_no_cpu_can_quantize_are_not_to_be_quantized(large):
    with pytest.raises(OutOfMemoryError) as caught:
        check_weights(large, Ask(device="cpu", dtype_bytes=2), count_weights(large).bytes(2))
    assert "choose a smaller --model, or raise --max-vram" in str(caught.value)


def test_a_target_out_of_reach_before_anything_is_lowered_is_told_as_it_is(clip):
    with pytest.raises(SettingsError, match=r"^\d+ tokens leave none"):
        fit(planned_model("small"), clip, [Ask(method="dycoke", keep=5.0)], 100 * GIB)


def test_the_limit_that_is_named_is_enough_for_all_that_is_asked(clip):
    nano, asks = planned_model("seats-nano"), [Ask(), Ask(method="full")]
    with pytest.raises(OutOfMemoryError) as caught:
        fit(nano, clip, asks, 17 * 2**20)
    fit(nano, clip, asks, int(re.search(r"--max-vram to (\d+)M", str(caught.value))[1]) * 2**20)


@pytest.mark.parametrize("compare", [False, True])
def test_what_helps_one_of_several_questions_is_named_if_it_helps_all(clip, large, compare):
    full = replace(ASK, method="full", max_frames=2, max_pixels=3136)
    needs = [make_plan(large, clip, replace(full, method=method)).needed_bytes for method in ("seats", "full")]
    with pytest.raises(OutOfMemoryError) as caught:
        fit(large, clip, [full, replace(full, compare=compare)], sum(needs) // 2 + reserve_for("cuda"))
    assert ("--method seats" in str(caught.value)) == (not compare)
    assert "--quantize 8bit, or --quantize 4bit, or raise --max-vram" in str(caught.value)


def _shown(clip, width, height):
    return replace(clip, pictures=replace(clip.pictures, width=width, height=height))


@pytest.mark.parametrize("pixels", [102_399, 100_352, 50_000, 1])
@pytest.mark.parametrize("size", [(54, 218), (110, 345), (854, 480)])
def test_pixels_are_never_more_than_was_allowed(clip, size, pixels):
    """A small picture is enlarged to the fewest pixels, by whole tokens, and so to more than it was allowed."""
    model, shown = planned_model("small-moe"), _shown(clip, *size)
    asked = Ask(method="full", max_pixels=pixels)
    most = make_plan(model, shown, asked)
    limit = make_plan(model, shown, replace(asked, max_frames=20)).needed_bytes
    ask, (plan,) = fit(model, shown, [asked], limit)
    assert ask.max_pixels <= pixels
    assert plan.part.height * plan.part.width <= most.part.height * most.part.width
    assert 20 <= plan.part.frames < most.part.frames


def test_a_target_out_of_reach_for_little_video_is_no_limit_to_the_search(clip):
    """DyCoke keeps all of the sound, so that the fewer video tokens there are, the less of them may stay."""
    nano = planned_model("small")
    ask = Ask(method="dycoke", keep_video=0.3, keep_audio=0.65)
    with pytest.raises(SettingsError, match="dycoke cannot keep"):
        make_plan(nano, clip, replace(ask, max_pixels=nano.sampling.min_pixels))
    whole = make_plan(nano, clip, ask)
    limit = whole.needed_bytes - 2**20
    chosen, plans = fit(nano, clip, [ask], limit)
    assert fits(plans[0], limit)
    assert chosen.max_pixels > nano.sampling.min_pixels
    assert {one.flags.split()[0] for one in suggestions(whole, clip, limit)} >= {"--max-frames", "--max-pixels"}
    with pytest.raises(SettingsError, match=r"^with the pictures that fit into [\d.]+ MiB, dycoke cannot keep"):
        fit(nano, clip, [ask], whole.weights_bytes + (whole.needed_bytes - whole.weights_bytes) // 4)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_weights_alone_leave_what_a_device_needs_beside_them(large, device):
    ask = replace(ASK, device=device)
    needed = count_weights(large).bytes(2) + reserve_for(device)
    check_weights(large, ask, needed + 1)
    with pytest.raises(OutOfMemoryError):
        check_weights(large, ask, needed)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_limit_that_is_named_is_enough(clip, device):
    nano, asks = planned_model("seats-nano"), [Ask(device=device)]
    limit = 17 * 2**20 + reserve_for(device)
    with pytest.raises(OutOfMemoryError) as caught:
        fit(nano, clip, asks, limit)
    named = int(re.search(r"--max-vram to (\d+)M", str(caught.value))[1]) * 2**20
    fit(nano, clip, asks, named)
    with pytest.raises(OutOfMemoryError):
        fit(nano, clip, asks, named - 2**20)


@pytest.mark.parametrize("too_much", [2 * GIB, GIB // 64])
def test_suggestions_fit_and_are_as_large_as_can_be(clip, large, too_much):
    plan = make_plan(large, clip, ASK)
    limit = plan.needed_bytes + reserve_for("cuda") - too_much
    found = suggestions(plan, clip, limit, [planned_model("qwen2.5-omni-3b")])
    flags = [one.flags.split()[0] for one in found]
    assert flags[:2] == ["--max-frames", "--max-pixels"]
    assert {"--end", "--method", "--quantize", "--model"} <= set(flags)
    assert all(fits(one.plan, limit) for one in found)
    frames, pixels = (int(one.flags.split()[1]) for one in found[:2])
    assert not fits(make_plan(large, clip, replace(ASK, max_frames=frames + 2)), limit)
    assert not fits(make_plan(large, clip, replace(ASK, max_pixels=pixels + large.sampling.factor**2)), limit)
    (end,) = [one for one in found if one.flags.startswith("--end ")]
    assert parse_time(end.flags.split()[1]) == end.plan.ask.end_s > 60
    assert not fits(make_plan(large, clip, replace(ASK, end_s=end.plan.ask.end_s + 1)), limit)


def test_where_full_tokens_are_compared_they_have_to_fit_too(clip, large):
    asked = replace(ASK, method="seats", keep=10.0)
    plan = make_plan(large, clip, asked)
    both = make_plan(large, clip, replace(asked, compare=True))
    assert both.needed_bytes == make_plan(large, clip, replace(asked, method="full")).needed_bytes > plan.needed_bytes
    limit = (plan.needed_bytes + both.needed_bytes) // 2
    assert fits(plan, limit)
    assert not fits(both, limit)
    alone, *found = suggestions(both, clip, limit)
    assert (alone.text, alone.flags, alone.plan.needed_bytes) == ("without --compare", "", plan.needed_bytes)
    assert {one.flags.split()[0] for one in found} >= {"--max-frames", "--max-pixels", "--end"}
    assert not any(one.flags.startswith("--keep") for one in found)
    for one in found:
        whole = make_plan(large, clip, replace(one.plan.ask, method="full", compare=False))
        assert fits(whole, limit), one.flags


def test_suggestions_end_where_a_second_of_the_part_is_left(clip, large):
    asked = replace(ASK, start_s=30.0, end_s=32.0)
    limit = make_plan(large, clip, replace(asked, end_s=31.0)).needed_bytes + reserve_for("cuda")
    found = [one.flags for one in suggestions(make_plan(large, clip, asked), clip, limit)]
    assert "--end 31" in found


@pytest.mark.parametrize("keep", [15.0, 5.0])
def test_the_nearest_keep_that_fits_is_suggested(clip, large, keep):
    asked = Ask(device="cuda", dtype_bytes=2, keep=35.0)
    limit = make_plan(large, clip, replace(asked, keep=keep)).needed_bytes + reserve_for("cuda")
    found = [one.flags for one in suggestions(make_plan(large, clip, asked), clip, limit)]
    assert [flags for flags in found if flags.startswith("--keep")] == [f"--keep {keep:g}%"]


@pytest.mark.parametrize(
    ("device", "dtype_bytes", "quantize", "said"),
    [
        ("cpu", 4, None, {"--dtype bfloat16"}),
        ("cuda", 2, None, {"--quantize 8bit", "--quantize 4bit"}),
        ("cuda", 2, "8bit", {"--quantize 4bit"}),
        ("cuda", 2, "4bit", set()),
    ],
)
def test_smaller_weights_are_suggested_where_there_are_some(clip, large, device, dtype_bytes, quantize, said):
    plan = make_plan(large, clip, Ask(device=device, dtype_bytes=dtype_bytes, quantize=quantize))
    found = {one.flags for one in suggestions(plan, clip, plan.needed_bytes + reserve_for(device) - 2**20)}
    assert {flags for flags in found if flags.startswith(("--dtype", "--quantize"))} == said


def test_a_lower_keep_names_the_flags_that_must_go(clip, large):
    """It is computed without them: beside them on the command line it would change little or nothing."""
    asked = Ask(device="cuda", dtype_bytes=2, method="fastv", keep=50.0, keep_video=0.9, keep_audio=0.9)
    smaller = replace(asked, keep=25.0, keep_video=None, keep_audio=None)
    limit = make_plan(large, clip, smaller).needed_bytes + reserve_for("cuda")
    plan = make_plan(large, clip, asked)
    (keep,) = [one for one in suggestions(plan, clip, limit) if one.flags.startswith("--keep")]
    assert keep.without == ("--keep-video", "--keep-audio")
    assert keep.text == f"{keep.flags}, without --keep-video and --keep-audio"
    assert (keep.plan.ask.keep_video, keep.plan.ask.keep_audio) == (None, None)

    same = replace(asked, keep=25.0)
    (keep,) = [one for one in suggestions(make_plan(large, clip, same), clip, limit) if one.without]
    assert keep.flags == "--keep 25%"

    plan = make_plan(large, clip, replace(asked, keep_audio=None))
    assert {one.without for one in suggestions(plan, clip, limit)} == {(), ("--keep-video",)}
