"""Every figure of a plan at its place in the JSON document."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from seats.plan.clip import clip_facts
from seats.plan.document import Room, plan_json
from seats.plan.model import planned_model
from seats.plan.plan import Ask, make_plan
from seats.plan.search import Suggestion

CLIP = Path(__file__).parents[2] / "samples" / "crossing.mp4"
ASKED = Ask(
    question="where ?", keep=25.0, keep_audio=0.3, kv="drop", start_s=1.0, end_s=4.0, max_pixels=80 * 150,
    answer_tokens=7, device="cuda", dtype_bytes=2, quantize="8bit",
)  # fmt: skip


@pytest.fixture(scope="module")
def clip():
    made = clip_facts(CLIP)
    return replace(made, pictures=replace(made.pictures, width=300, height=160))


def test_every_figure_is_at_its_place(clip):
    plan = make_plan(planned_model("seats-nano"), clip, ASKED)
    told = plan_json(plan, clip, Room(10**9, "told"), (True, False), [])
    assert told["clip"] == {
        "path": str(CLIP), "duration_s": 6.0, "start_s": 1.0, "end_s": 4.0, "audio": {"seconds": 3.0},
        "video": {"frames": 6, "fps": pytest.approx(2, rel=0.05), "width": 140, "height": 56}, "exact": True,
    }  # fmt: skip
    assert told["question"] == "where ?"
    assert told["model"] == {
        "name": "seats-nano", "family": "qwen2.5-omni", "layers": 10, "parameters": plan.weights.parameters,
        "dtype_bytes": 2, "quantize": "8bit", "device": "cuda", "from": "config.json",
    }  # fmt: skip
    assert told["method"] == {"name": "seats", "keep_percent": 25.0, "video": 0.2, "audio": 0.3, "kv": "drop"}
    tokens, flops, memory = told["tokens"], told["flops"], told["memory_bytes"]
    assert (tokens["text"], tokens["text_counted"], tokens["pre_llm_exact"]) == (11, True, True)
    assert tokens["later_within"] == plan.run.tokens.slack > 0
    assert (tokens["video"]["full"], tokens["audio"]["full"]) == (3 * 2 * 5, 75)
    assert flops["reduction"] == pytest.approx(flops["full"] / flops["run"])
    assert flops["llm_reduction"] == plan.llm_reduction > flops["reduction"] > 1
    assert (flops["parts"], flops["parts_full"]) == (asdict(plan.run.flops), asdict(plan.full.flops))
    assert flops["answer_tokens"] == 7
    for name, run in (("run", plan.run), ("full", plan.full)):
        made = memory[name]
        assert made["steps"][made["peak_step"]] == made["activations"] == max(made["steps"].values())
        assert made["total"] == memory["weights"] + made["activations"]  # on a GPU the decoded clip lies elsewhere
        assert made["clip"] == 6 * 3 * 56 * 140 + 4 * 3 * 16_000
        assert (made["kv_cache"], made["kv_cache_end"]) == (run.memory.cache, run.memory.cache_end)
    fit = told["fit"]
    assert (fit["limit_bytes"], fit["from"], fit["reserve_bytes"]) == (10**9, "told", 2**29)
    assert (fit["run"], fit["full"], fit["suggestions"]) == (True, False, [])


@pytest.mark.parametrize("gone", ["pictures", "sound"])
def test_what_a_clip_lacks_and_a_model_that_is_not_there(clip, gone):
    lacking = replace(clip, **{gone: None})
    told = plan_json(
        make_plan(planned_model("qwen2.5-omni-3b"), lacking, Ask()), lacking, Room(1, ""), (False, True), []
    )
    assert (told["clip"]["video"] is None, told["clip"]["audio"] is None) == (gone == "pictures", gone == "sound")
    assert told["model"]["from"] == "published dimensions"
    assert told["tokens"]["text_counted"] is False
    assert (told["fit"]["run"], told["fit"]["full"]) == (False, True)


def test_on_a_cpu_the_decoded_clip_counts_in_the_total(clip):
    plan = make_plan(planned_model("seats-nano"), clip, Ask())
    made = plan_json(plan, clip, Room(1, ""), (False, False), [])["memory_bytes"]
    assert made["run"]["total"] == made["weights"] + made["run"]["activations"] + made["run"]["clip"]


def test_what_the_content_decides_is_not_said_to_be_exact(clip):
    plan = make_plan(planned_model("seats-nano"), clip, Ask(method="omnizip", keep=35.0))
    assert plan_json(plan, clip, Room(1, ""), (True, True), [])["tokens"]["pre_llm_exact"] is False


def test_suggestions_have_the_memory_that_they_take(clip):
    model, named = planned_model("seats-nano"), replace(clip, path=Path("clip\udcff.mp4"))
    plan = make_plan(model, clip, Ask())
    changed = Suggestion("--max-frames 2", make_plan(model, clip, Ask(max_frames=2)), ("--keep-video",))
    told = plan_json(plan, named, Room(1, ""), (False, False), [changed])
    assert told["clip"]["path"] == "clip\\xff.mp4"
    (suggested,) = told["fit"]["suggestions"]
    assert suggested == {
        "flags": "--max-frames 2", "without": ["--keep-video"], "total_bytes": changed.plan.needed_bytes,
    }  # fmt: skip
    assert suggested["total_bytes"] < plan.needed_bytes
