"""Answers for asyncio: the same pieces and answer as without, and a loop that stays free."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import seats
from seats.errors import SettingsError
from seats.inference import stream as stream_module
from seats.inference.turns import turn_of

CLIP = Path(__file__).parents[2] / "samples" / "crossing.mp4"
ASKED = seats.Question("Describe the clip.")


@pytest.fixture(scope="module")
def model():
    return seats.load_model(seats.find_checkpoint("seats-nano"))


@pytest.fixture(scope="module")
def clip(model):
    return seats.load_clip(CLIP, sampling=model.sampling)


async def taken(stream):
    return [piece async for piece in stream]


def test_pieces_and_answer_are_those_of_a_plain_call(model, clip):
    pieces = []
    plain = seats.answer(model, clip, ASKED, on_text=pieces.append)
    stream = seats.stream(model, clip, ASKED)
    assert asyncio.run(taken(stream)) == pieces
    assert len(pieces) > 1
    assert stream.answer.text == plain.text == "".join(pieces)
    assert stream.answer.trace.layers == plain.trace.layers


def test_the_loop_runs_on_meanwhile(model, clip):
    async def both():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        ticking = asyncio.create_task(tick())
        await taken(seats.stream(model, clip, ASKED))
        ticking.cancel()
        return ticks

    assert asyncio.run(both()) > 3


def test_streams_of_one_model_take_turns(model, clip):
    others = [
        seats.Question("Which shape appears as the hum is heard?"),
        ASKED,
        seats.Question("List the sounds in order."),
    ]

    async def together():
        streams = [seats.stream(model, clip, question) for question in others]
        await asyncio.gather(*map(taken, streams))
        return [stream.answer.text for stream in streams]

    assert asyncio.run(together()) == [seats.answer(model, clip, question).text for question in others]


def test_streams_that_wait_leave_the_threads_of_the_application_alone(model, clip):
    async def together():
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        streams = [seats.stream(model, clip, ASKED) for _ in range(4)]
        answering = asyncio.gather(*map(taken, streams))
        await asyncio.sleep(0.01)
        await asyncio.to_thread(lambda: None)
        waiting = [stream for stream in streams if stream.answer is None]
        await answering
        return waiting

    assert asyncio.run(together())


def test_leaving_early_stops_the_answer_and_leaves_the_model_as_it_was(model, clip):
    stream = seats.stream(model, clip, ASKED)

    async def first_piece():
        pieces = stream.__aiter__()
        piece = await anext(pieces)
        await pieces.aclose()
        return piece

    assert seats.answer(model, clip, ASKED).text.startswith(asyncio.run(first_piece()))
    assert stream.answer is None
    assert "forward" not in model.thinker.text.__dict__


def test_a_cancelled_task_ends(model, clip):
    async def cancelled():
        task = asyncio.create_task(taken(seats.stream(model, clip, ASKED)))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    before = time.monotonic()
    asyncio.run(cancelled())
    assert time.monotonic() - before < 60
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("asyncio")]


@pytest.fixture
def complaints(monkeypatch, caplog):
    """What Python and its libraries say of errors that nobody catches."""
    said = []
    monkeypatch.setattr(sys, "unraisablehook", lambda given: said.append(given.exc_value))
    monkeypatch.setattr(threading, "excepthook", lambda given: said.append(given.exc_value))

    def all_of_them():
        gc.collect()
        return [*said, *(record.getMessage() for record in caplog.records if "Task was destroyed" not in record.msg)]

    return all_of_them


def begun(iterator):
    """The loop in which the first piece was taken."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(anext(iterator))
    return loop


def waited(model):
    """Wait for the model's thread to come to an end."""
    stream_module._threads[model.thinker.module].submit(lambda: None).result(60)


@pytest.fixture
def steps(model, monkeypatch):
    """One entry for each token, and a while between them, so that the loop is gone before the answer is."""
    seen = []
    stock = model.thinker.module.lm_head.forward

    def slow(hidden):
        seen.append(time.sleep(0.05))
        return stock(hidden)

    monkeypatch.setattr(model.thinker.module.lm_head, "forward", slow)
    return seen


def test_a_stream_ends_with_its_loop(model, clip, complaints, steps):
    whole = seats.answer(model, clip, ASKED)
    pieces = aiter(seats.stream(model, clip, ASKED))
    steps.clear()
    begun(pieces).close()
    waited(model)
    assert len(steps) < len(whole.text.split())
    assert "forward" not in model.thinker.text.__dict__
    with pytest.raises(SettingsError, match="event loop of this stream has ended"):
        asyncio.run(taken(pieces))
    assert asyncio.run(taken(seats.stream(model, clip, ASKED)))
    del pieces
    assert not complaints()


def test_a_stream_thrown_away_after_its_loop_is_quiet(model, clip, complaints, steps):
    pieces = aiter(seats.stream(model, clip, ASKED))
    begun(pieces).close()
    del pieces
    waited(model)
    assert not complaints()


def test_a_stream_thrown_away_while_its_loop_stands_still_ends(model, clip, complaints, steps):
    whole = seats.answer(model, clip, ASKED)
    pieces = aiter(seats.stream(model, clip, ASKED))
    steps.clear()
    loop = begun(pieces)
    del pieces
    gc.collect()
    waited(model)
    loop.close()
    assert len(steps) < len(whole.text.split())
    assert not complaints()


def test_a_stream_may_be_closed_in_another_loop(model, clip, complaints, steps):
    pieces = aiter(seats.stream(model, clip, ASKED))
    begun(pieces).close()
    asyncio.run(pieces.aclose())
    waited(model)
    assert not complaints()


def test_a_task_that_is_left_in_a_closed_loop_is_quiet(model, clip, complaints, steps):
    loop = asyncio.new_event_loop()
    task = loop.create_task(taken(seats.stream(model, clip, ASKED)))
    loop.run_until_complete(asyncio.sleep(0.02))
    loop.close()
    waited(model)
    del task
    assert not complaints()


@pytest.mark.parametrize("sooner", [True, False])
def test_run_may_end_before_the_stream_does(model, clip, complaints, steps, sooner):
    kept = []

    async def left():
        kept.append(aiter(seats.stream(model, clip, ASKED)))
        first = asyncio.ensure_future(anext(kept[0]))
        await (asyncio.sleep(0.01) if sooner else first)

    asyncio.run(left())
    assert "forward" not in model.thinker.text.__dict__
    kept.clear()
    assert not complaints()


@pytest.fixture
def asked(monkeypatch):
    """Texts of the questions that began to be answered."""
    begun = []

    def noted(model, clip, question, **settings):
        begun.append(question.text)
        return seats.answer(model, clip, question, **settings)

    monkeypatch.setattr(stream_module, "answer", noted)
    return begun


@pytest.mark.parametrize("holder", ["a stream", "a plain call"])
def test_a_stream_left_before_its_turn_never_answers_and_lets_others_go_on(model, clip, asked, holder):
    free, held = threading.Event(), threading.Event()

    def hold(*_):
        with turn_of(model):
            held.set()
            free.wait(60)

    async def leave():
        if holder == "a stream":  # which has the stream's thread, too
            holding = asyncio.create_task(taken(stream_module.AnswerStream(hold, model)))
        else:
            holding = asyncio.create_task(asyncio.to_thread(hold))
        await asyncio.to_thread(held.wait, 60)
        left = asyncio.create_task(taken(seats.stream(model, clip, seats.Question("Left?"))))
        last = asyncio.create_task(taken(seats.stream(model, clip, ASKED)))
        await asyncio.sleep(0.1)
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
        assert not free.is_set()  # nobody waited for the one who has the model
        free.set()
        await holding
        return "".join(await last)

    assert asyncio.run(asyncio.wait_for(leave(), 60)) == seats.answer(model, clip, ASKED).text
    assert asked == [ASKED.text]


def test_a_turn_that_comes_when_nobody_listens_is_given_back(model):
    with pytest.raises(SettingsError, match="has ended"), stream_module._turn(model, lambda: True):
        pytest.fail("answered")

    def is_free():
        turn = turn_of(model)
        taken = turn.acquire(blocking=False)
        if taken:
            turn.release()
        return taken

    with ThreadPoolExecutor(1) as another:
        assert another.submit(is_free).result()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of asyncio, about such a loop
def test_streams_of_a_loop_that_was_closed_are_not_answered(model, clip, asked):
    loop = asyncio.new_event_loop()
    free = threading.Event()

    async def begin():
        tasks = [asyncio.ensure_future(taken(stream_module.AnswerStream(lambda _: free.wait(60), model)))]
        tasks.append(asyncio.ensure_future(taken(seats.stream(model, clip, ASKED))))
        await asyncio.sleep(0.1)
        return tasks

    begun = loop.run_until_complete(begin())
    loop.close()
    free.set()
    asyncio.run(taken(stream_module.AnswerStream(lambda give: give("next"), model)))  # after their turns
    assert asked == []
    del begun
    gc.collect()


def test_an_error_is_raised_where_the_pieces_are_awaited(model, clip):
    with pytest.raises(SettingsError, match="unknown method"):
        asyncio.run(taken(seats.stream(model, clip, seats.Question("What?", method="nonsense"))))


def test_pieces_come_once(model, clip):
    stream = seats.stream(model, clip, ASKED)
    asyncio.run(taken(stream))
    answer = stream.answer
    with pytest.raises(SettingsError, match="gives its pieces once"):
        asyncio.run(taken(stream))
    assert stream.answer is answer


def test_a_conversation_streams_too(model, clip):
    talk = seats.Conversation(model, clip)
    stream = talk.stream("Which shape appears as the hum is heard?")
    assert "".join(asyncio.run(taken(stream))) == stream.answer.text == talk.last.text


FORKED = """
import asyncio, os, sys
import seats
model = seats.load_model(seats.find_checkpoint("seats-nano"))
clip = seats.load_clip(sys.argv[1], sampling=model.sampling)
async def ask():
    return "".join([piece async for piece in seats.stream(model, clip, "Which shape appears as the hum is heard?")])
print(asyncio.run(ask()), flush=True)
if not (child := os.fork()):
    print(asyncio.run(asyncio.wait_for(ask(), 60)), flush=True)
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_stream_in_a_forked_process_answers():
    """The thread of an earlier stream is not in it."""
    command = [sys.executable, "-W", "ignore", "-c", FORKED, str(CLIP)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (ran.returncode, ran.stdout.split()) == (0, ["circle", "circle"]), ran.stderr
