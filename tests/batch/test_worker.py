"""The worker: rows as `answer` gives them, one encoding for all questions, and what happens when memory is short."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from seats.batch import worker as module
from seats.batch.decoding import Decoded, Decoder, DecoderError
from seats.batch.jobs import Asked, Event, Finished, Job, Made, Started
from seats.batch.rows import Row
from seats.batch.settings import AnswerSettings, Setup, question_of
from seats.batch.worker import DeviceError, Worker
from seats.errors import MediaError, OutOfMemoryError, SettingsError
from seats.inference.answer import answer
from seats.inference.report import answer_json
from seats.media import load_clip
from seats.media.content import content_of
from tests.media.make import tone, write_clip

QUESTIONS = tuple(Asked(str(n), f"what is {n} ?") for n in range(3))


@pytest.fixture(scope="module")
def worker(setup: Setup) -> Iterator[Worker]:
    made = Worker(setup)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_clip(tmp_path_factory.mktemp("clips") / "both.mp4", frames=40, rate=10, sound=tone(4)))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_clip(tmp_path_factory.mktemp("clips") / "s.m4a", sound=tone(4), container_format="mp4"))


def run(worker: Worker, clip: str, *asked: Asked) -> list[Event]:
    events: list[Event] = []
    worker.run(Job(clip, asked or QUESTIONS), events.append)
    return events


def rows_of(events: list[Event]) -> list[Row]:
    return [event.row for event in events if isinstance(event, Made)]


def test_freed_memory_is_kept(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(module, "keep_freed_memory", lambda: asked.append(True))
    Worker(setup).stop()
    assert asked == [True]


def test_the_model_has_as_many_threads_as_it_was_given(setup: Setup) -> None:
    here = torch.get_num_threads()
    made = Worker(replace(setup, model=replace(setup.model, threads=here + 1)))
    try:
        assert made._model_thread.submit(torch.get_num_threads).result() == here + 1
    finally:
        made.stop()
        torch.set_num_threads(here)


def test_rows_are_what_ask_says(worker: Worker, setup: Setup, clip: str) -> None:
    events = run(worker, clip)
    assert [type(event) for event in events] == [Started, Made, Made, Made, Finished]
    assert events[-1] == Finished(Job(clip, QUESTIONS), complete=True)
    decoded = load_clip(clip, sampling=setup.clip.sampling)
    for row, asked in zip(rows_of(events), QUESTIONS, strict=True):
        said = answer_json(answer(worker._model, decoded, question_of(setup.answer, asked.question)))
        for measured in ("latency_ms", "memory_bytes", "speedup"):
            del said[measured]
        assert row.items() >= said.items()
        assert row["id"] == asked.id
        assert row["status"] == "ok"
        assert row["content"]["hash"] == content_of(clip).hash
        assert row["settings"] == setup.digest


def test_a_clip_is_decoded_and_encoded_once(worker: Worker, clip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded, encode = [], module.encode_clip
    monkeypatch.setattr(module, "encode_clip", lambda *a: encoded.append(a) or encode(*a))
    latency = [row["latency_ms"] for row in rows_of(run(worker, clip))]
    assert len(encoded) == 1
    for step in ("decode_clip", "encode_video", "encode_audio"):
        assert latency[0][step] > 0
        assert [times[step] for times in latency[1:]] == [None, None]
    assert latency[0]["total"] > latency[0]["decode_clip"]
    assert latency[1]["total"] == pytest.approx(
        latency[1]["first_token"] + 2 * latency[1]["per_output_token"]  # three tokens
    )


def test_expected_answers(worker: Worker, clip: str) -> None:
    (row,) = rows_of(run(worker, clip, Asked("x", "what ?", "nonsense")))
    assert (row["expected"], row["right"]) == ("nonsense", False)


def test_a_bad_clip_gives_a_row_per_question(worker: Worker, tmp_path: Path) -> None:
    events = run(worker, str(tmp_path / "gone.mp4"))
    assert [row["error"]["type"] for row in rows_of(events)] == ["MediaError"] * 3
    assert events[-1] == Finished(Job(str(tmp_path / "gone.mp4"), QUESTIONS), complete=True)


def short_of_memory(monkeypatch: pytest.MonkeyPatch, name: str, above_frames: int, error: type[Exception]) -> None:
    """Let a step run out of memory for clips of more frames."""
    step = getattr(module, name)

    def limited(model: Any, clip: Any, *rest: Any, **more: Any) -> Any:
        video = getattr(clip, "clip", clip).video
        if video is None or len(video.pixels) > above_frames:
            raise error("CUDA out of memory. Tried to allocate 2 GiB")
        return step(model, clip, *rest, **more)

    monkeypatch.setattr(module, name, limited)


@pytest.mark.parametrize(
    ("step", "error"), [("encode_clip", torch.OutOfMemoryError), ("answer_encoded", OutOfMemoryError)]
)
def test_a_clip_too_large_is_retried_smaller(
    worker: Worker, clip: str, monkeypatch: pytest.MonkeyPatch, step: str, error: type[Exception]
) -> None:
    short_of_memory(monkeypatch, step, 4, error)
    events = run(worker, clip)
    rows = rows_of(events)
    assert [row["status"] for row in rows] == ["ok"] * 3
    for row in rows:
        assert row["clip"]["video"]["frames"] == row["retry"]["max_frames"] == 4
        assert row["clip"]["video"]["height"] * row["clip"]["video"]["width"] <= row["retry"]["max_pixels"]
        assert row["retry"]["max_pixels"] <= worker._setup.clip.sampling.max_pixels // 2
        assert "emory" in row["retry"]["reason"] or "fit" in row["retry"]["reason"]
    assert events[-1] == Finished(Job(clip, QUESTIONS), complete=True)


def test_a_clip_still_too_large_has_failed(worker: Worker, clip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    short_of_memory(monkeypatch, "encode_clip", 2, torch.OutOfMemoryError)
    rows = rows_of(run(worker, clip))
    assert [row["error"]["type"] for row in rows] == ["OutOfMemoryError"] * 3
    assert all(row["retry"]["max_frames"] == 4 and "--max-frames" in row["error"]["message"] for row in rows)


def test_only_the_questions_that_lacked_memory_are_retried(
    worker: Worker, clip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = module.answer_encoded

    def limited(model: Any, encoded: Any, question: Any, *rest: Any, **more: Any) -> Any:
        if question.text == QUESTIONS[1].question and len(encoded.clip.video.pixels) > 4:
            raise OutOfMemoryError("full")
        return ask(model, encoded, question, *rest, **more)

    monkeypatch.setattr(module, "answer_encoded", limited)
    rows = rows_of(run(worker, clip))
    assert [(row["id"], "retry" in row) for row in rows] == [("0", False), ("2", False), ("1", True)]
    assert rows[2]["retry"]["reason"] == "full"


def test_sound_has_no_smaller_budget(worker: Worker, sound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    short_of_memory(monkeypatch, "encode_clip", 0, torch.OutOfMemoryError)
    (row,) = rows_of(run(worker, sound, QUESTIONS[0]))
    assert row["error"]["type"] == "OutOfMemoryError"
    assert "retry" not in row


def test_memory_of_the_machine_counts_too(worker: Worker, clip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def starved(*_: Any) -> Any:
        return torch.empty(2**62, dtype=torch.uint8)

    monkeypatch.setattr(module, "encode_clip", starved)
    (row,) = rows_of(run(worker, clip, QUESTIONS[0]))
    assert row["error"]["type"] == "OutOfMemoryError"
    assert "retry" in row


def test_what_nobody_foresaw_costs_a_row(worker: Worker, clip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = module.answer_encoded

    def sometimes(model: Any, encoded: Any, question: Any, *rest: Any, **more: Any) -> Any:
        if question.text == QUESTIONS[0].question:
            raise ZeroDivisionError("division by zero")
        return ask(model, encoded, question, *rest, **more)

    monkeypatch.setattr(module, "answer_encoded", sometimes)
    rows = rows_of(run(worker, clip))
    assert [row["status"] for row in rows] == ["error", "ok", "ok"]
    assert rows[0]["error"] == {
        "type": "ZeroDivisionError",
        "message": "unexpected ZeroDivisionError: division by zero",
    }
    assert rows[1]["latency_ms"]["decode_clip"] > 0


@pytest.mark.skipif(not hasattr(torch, "AcceleratorError"), reason="this torch has no such error")
def test_a_broken_device_needs_a_new_process(worker: Worker, clip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise torch.AcceleratorError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(module, "encode_clip", broken)
    with pytest.raises(DeviceError, match="device-side assert"):
        run(worker, clip)


@pytest.mark.parametrize("stopped_at", [Started, Made])  # while the clip is encoded, or after its first row
def test_stopping_finishes_the_row_in_hand(setup: Setup, clip: str, stopped_at: type[Event]) -> None:
    worker = Worker(setup)
    events: list[Event] = []

    def tell(event: Event) -> None:
        events.append(event)
        if isinstance(event, stopped_at):
            worker.stop()

    worker.run(Job(clip, QUESTIONS), tell)
    assert [type(event) for event in events] == [Started, Made, Finished]
    assert events[-1] == Finished(Job(clip, QUESTIONS), complete=False)
    worker.run(Job(clip, QUESTIONS), tell)
    assert events[3:] == [Finished(Job(clip, QUESTIONS), complete=False)]


def test_a_clip_whose_last_row_was_in_hand_is_complete(setup: Setup, sound: str) -> None:
    worker = Worker(setup)
    events: list[Event] = []

    def tell(event: Event) -> None:
        events.append(event)
        worker.stop()

    worker.run(Job(sound, QUESTIONS[:1]), tell)
    assert [type(event) for event in events] == [Started, Made, Finished]
    assert events[-1] == Finished(Job(sound, QUESTIONS[:1]), complete=True)


def test_a_clip_that_waits_for_the_model_is_not_begun_after_stopping(setup: Setup, sound: str) -> None:
    worker = Worker(setup)
    busy, free = threading.Event(), threading.Event()
    worker._model_thread.submit(lambda: busy.set() or free.wait())
    busy.wait()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run, worker, sound)
        while not (waits := worker._model_thread._work_queue.qsize()) and not running.done():
            time.sleep(0.01)
        worker.stop()
        free.set()
        assert (waits, running.result()) == (1, [Finished(Job(sound, QUESTIONS), complete=False)])


def test_settings_that_do_not_fit_the_model_leave_no_decoder_behind(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Decoder] = []
    monkeypatch.setattr(module, "Decoder", lambda memory: made.append(Decoder(memory)) or made[-1])
    with pytest.raises(SettingsError):
        Worker(Setup.of(setup.model, setup.clip, AnswerSettings(method="magic"), decoders=2))
    assert [decoder._child.process.poll() for decoder in made] == [-signal.SIGKILL] * 2


def test_a_decoder_that_cannot_be_started_leaves_no_other_behind(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Decoder] = []

    def one(memory: int) -> Decoder:
        if made:
            raise DecoderError("no process left")
        made.append(Decoder(memory))
        return made[0]

    monkeypatch.setattr(module, "Decoder", one)
    with pytest.raises(DecoderError):
        Worker(Setup.of(setup.model, setup.clip, setup.answer, decoders=2))
    assert made[0]._child.process.poll() == -signal.SIGKILL


@pytest.mark.parametrize(
    ("error", "message", "debug", "shown"),
    [
        (IndexError("of a list"), "unexpected IndexError: of a list", True, True),
        (IndexError("of a list"), "unexpected IndexError: of a list", False, False),
        (SettingsError("it cannot serve the clip"), "it cannot serve the clip", True, False),
    ],
)
def test_debug_shows_where_what_nobody_foresaw_happened(
    worker: Worker,
    sound: str,
    error: Exception,
    message: str,
    debug: bool,
    shown: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(module, "answer_encoded", broken)
    monkeypatch.setattr(worker, "_setup", replace(worker._setup, debug=debug))
    (row,) = rows_of(run(worker, sound, QUESTIONS[0]))
    assert row["error"] == {"type": type(error).__name__, "message": message}
    said = capsys.readouterr().err
    assert ("in broken" in said and "Traceback" in said) == shown
    assert shown or said == ""


@pytest.mark.parametrize("debug", [True, False])
def test_debug_shows_where_the_decoder_failed(
    setup: Setup, sound: str, debug: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = MediaError(f"{sound}: cannot be read")
    monkeypatch.setattr(Decoder, "decode", lambda *_: Decoded(None, None, failed, trace="Traceback of the decoder"))
    worker = Worker(replace(setup, debug=debug))
    (row,) = rows_of(run(worker, sound, QUESTIONS[0]))
    worker.stop()
    assert row["error"] == {"type": "MediaError", "message": f"{sound}: cannot be read"}
    assert capsys.readouterr().err == ("Traceback of the decoder" if debug else "")
