"""`lmms-eval --model seats` with the real package, its command line among it, on a task made of the samples.

lmms-eval brings opencv, datasets and an old PyAV with it, too much for every test run. In an environment of its own:
`pip install lmms-eval==0.7.3 "filelock<4"`, then `pip install -e .`, which brings PyAV back to a version that seats
takes, then `pip install pytest pytest-timeout` and `pytest tests/integrations`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import seats
from seats.errors import MediaError, SettingsError
from seats.evaluation.qa import load_qa
from seats.report.results import Results

pytest.importorskip("lmms_eval", reason="lmms-eval is not installed; this file says how to run these tests with it")
pytestmark = pytest.mark.slow
SAMPLES = Path(__file__).parents[2] / "samples"
ALL = load_qa(SAMPLES / "questions.jsonl")
ITEMS = [*(i for i in ALL if i.clip.name == "simple.mp4"), *(i for i in ALL if i.clip.name == "silent.mp4")][1:6]
TASK = """
dataset_path: json
dataset_kwargs:
  data_files: {{test: {questions}}}
task: seats_samples
test_split: test
output_type: generate_until
doc_to_visual: !function utils.doc_to_visual
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{max_new_tokens: 8, temperature: 0, do_sample: false, num_beams: 1, top_p: 1.0}}
process_results: !function utils.process_results
metric_list:
  - {{metric: right, aggregation: mean, higher_is_better: true}}
"""
UTILS = """
def doc_to_visual(doc):
    return [doc["clip"]]


def process_results(doc, results):
    return {"right": float(results[0].strip() == doc["answer"])}
"""


@pytest.fixture(scope="module")
def expected() -> list[str]:
    """Answers to ITEMS without lmms-eval."""
    model = seats.load_model(seats.find_checkpoint("seats-nano"))
    asked = [(seats.load_clip(item.clip, sampling=model.sampling), seats.Question(item.prompt)) for item in ITEMS]
    return [seats.answer(model, clip, question).text for clip, question in asked]


def lm(**arguments: Any) -> Any:
    from lmms_eval.models import get_model

    return get_model("seats").create_from_arg_string(
        ",".join(f"{name}={value}" for name, value in arguments.items()), {"batch_size": 1, "device": None}
    )


def requests(model: Any, clips: list[Any], questions: list[str], **generation: Any) -> list[Any]:
    from lmms_eval.api.instance import Instance

    model.task_dict = {"task": {"test": clips}}
    settings = {"max_new_tokens": 8, "temperature": 0, **generation}
    return [
        Instance(
            "generate_until",
            (question, dict(settings), lambda clip: [clip] if clip else [], number, "task", "test"),
            idx=0,
            metadata={"task": "task", "doc_id": number, "repeats": 1, "split": "test"},
        )
        for number, question in enumerate(questions)
    ]


def ask(model: Any, clips: list[Any], questions: list[str], **generation: Any) -> list[str]:
    return model.generate_until(requests(model, clips, questions, **generation))


def ids(rows: Path) -> list[str]:
    return [json.loads(line)["id"] for line in rows.read_text().splitlines()]


def test_its_command_line_on_a_task_of_samples(tmp_path: Path, expected: list[str]) -> None:
    lines = [{"clip": str(item.clip), "question": item.prompt, "answer": item.answers[0]} for item in ITEMS]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    task = tmp_path / "task"
    task.mkdir()
    (task / "seats_samples.yaml").write_text(TASK.format(questions=tmp_path / "questions.jsonl"))
    (task / "utils.py").write_text(UTILS)
    rows = tmp_path / "rows.jsonl"
    command = [str(Path(sys.executable).with_name("lmms-eval")), "--model", "seats", "--tasks", "seats_samples"]
    command += ["--model_args", f"pretrained=seats-nano,method=seats,keep=10,results={rows}"]
    command += ["--include_path", str(task), "--output_path", str(tmp_path / "out"), "--batch_size", "1"]
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    found = json.loads(next((tmp_path / "out").rglob("*results.json")).read_text())
    right = [answer == item.answers[0] for answer, item in zip(expected, ITEMS, strict=True)]
    assert found["results"]["seats_samples"]["right,none"] == pytest.approx(sum(right) / len(right))
    results = Results(rows)
    assert len(list(results)) == len(ITEMS)
    assert not results.faults.foreign + results.faults.broken
    written = {row["id"]: row for row in map(json.loads, rows.read_text().splitlines())}
    assert [written[f"seats_samples/{number}"]["answer"] for number in range(len(ITEMS))] == expected
    assert all(row["retention"]["overall"] < 0.3 for row in written.values())


def test_a_clip_is_decoded_once_and_answers_keep_their_order(expected: list[str], monkeypatch: Any) -> None:
    from seats.integrations import lmms_eval

    decoded: list[Path] = []
    load = lmms_eval.load_clip
    monkeypatch.setattr(lmms_eval, "load_clip", lambda path, **how: (decoded.append(path), load(path, **how))[1])
    order = [0, 3, 1, 4, 2]
    items = [ITEMS[number] for number in order]
    assert len({item.clip for item in items[:2]}) == 2
    said = ask(lm(), [str(item.clip) for item in items], [item.prompt for item in items])
    assert said == [expected[number] for number in order]
    assert sorted(decoded) == sorted({item.clip for item in items})


def test_arguments_reach_the_pipeline(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    model = lm(
        method="random", keep="35%", keep_audio=50, fps=1, max_frames=4, max_pixels=3136, no_audio=True, seed=7,
        kv="drop", dtype="float32", device="cpu", results=rows,
    )  # fmt: skip
    ask(model, [str(SAMPLES / "simple.mp4")], ["Which shape is orange?"], max_new_tokens=1)
    row = json.loads(rows.read_text())
    assert row["clip"]["audio"] is None
    assert row["clip"]["video"]["frames"] == 4
    assert row["clip"]["video"]["width"] * row["clip"]["video"]["height"] <= 3136
    assert row["method"]["name"] == "random"
    assert row["method"]["kv"] == "drop"
    assert row["method"]["audio"] == 0.5
    assert row["seed"] == 7


def test_a_clip_that_fails_is_told_and_the_others_are_answered(tmp_path: Path, expected: list[str]) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"nothing")
    rows = tmp_path / "rows.jsonl"
    model = lm(results=rows)
    assert ask(model, [str(bad), str(ITEMS[0].clip)], ["What?", ITEMS[0].prompt]) == ["", expected[0]]
    status = {row["id"]: row["status"] for row in map(json.loads, rows.read_text().splitlines())}
    assert status == {"task/0": "error", "task/1": "ok"}
    with pytest.raises(MediaError, match=r"bad\.mp4"):
        ask(lm(), [str(bad)], ["What?"])


def test_a_request_that_only_fills_up_a_process_is_not_answered(tmp_path: Path, expected: list[str]) -> None:
    from lmms_eval.evaluator import _clone_padding_request

    rows = tmp_path / "rows.jsonl"
    model = lm(results=rows)
    asked = requests(model, [str(item.clip) for item in ITEMS[:2]], [item.prompt for item in ITEMS[:2]])
    padding = _clone_padding_request(asked[-1])
    assert model.generate_until([*asked, padding]) == [*expected[:2], ""]
    assert ids(rows) == ["task/0", "task/1"]
    assert model.generate_until([padding]) == [""]


def test_rows_of_a_second_call_follow_those_of_the_first(tmp_path: Path, expected: list[str]) -> None:
    rows = tmp_path / "rows.jsonl"
    model = lm(results=rows)
    for _ in range(2):
        assert ask(model, [str(ITEMS[0].clip)], [ITEMS[0].prompt]) == expected[:1]
    assert ids(rows) == ["task/0", "task/0"]


def test_what_it_cannot_do_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="has no argument frames: choose among pretrained, method, keep"):
        lm(frames=8)
    with pytest.raises(SettingsError, match="--batch_size 1"):
        lm().__class__(batch_size="4")
    with pytest.raises(SettingsError, match="unknown method 'sheats'"):
        lm(method="sheats")
    with pytest.raises(SettingsError, match="keep=0 is out of range"):
        lm(keep=0)
    with pytest.raises(SettingsError, match="no_audio=yes is unknown"):
        lm(no_audio="yes")
    (tmp_path / "rows.jsonl").touch()
    with pytest.raises(SettingsError, match="is there already"):
        lm(results=tmp_path / "rows.jsonl")
    with pytest.raises(SettingsError, match="there is no folder"):
        lm(results=tmp_path / "none" / "rows.jsonl", pretrained="no-such-model")
    model = lm()
    with pytest.raises(NotImplementedError, match="no loglikelihood"):
        model.loglikelihood([])
    with pytest.raises(MediaError, match="task 0 has no clip"):
        ask(model, [None], ["What?"])
    with pytest.raises(MediaError, match=r"media \(dict\)"):
        ask(model, [{"array": [0.0], "sampling_rate": 16_000}], ["What?"])
    with pytest.raises(SettingsError, match="num_beams=5"):
        ask(model, [str(SAMPLES / "simple.mp4")], ["What?"], num_beams=5)


@pytest.mark.parametrize(
    ("until", "answer"), [(None, "a b\n\nc"), ("\nc", "a b\n"), (["c", " "], "a"), (["\n\n", "b"], "a ")]
)
def test_an_answer_ends_where_the_task_says(until: Any, answer: str) -> None:
    from seats.integrations.lmms_eval import _until

    assert _until("a b\n\nc", until) == answer


def test_an_answer_does_not_end_at_a_blank_line_where_the_task_says_nothing() -> None:
    from lmms_eval.api.task import TaskConfig

    from seats.integrations.lmms_eval import _until

    task = TaskConfig(task="t", output_type="generate_until", generation_kwargs={"max_new_tokens": 1024})
    assert _until("The answer is:\n\nB", task.generation_kwargs["until"]) == "The answer is:\n\nB"
