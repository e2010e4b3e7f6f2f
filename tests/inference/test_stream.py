"""Answers for asyncio: the same pieces and answer as without, and a loop that stays free."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import seats
from seats.errors import SettingsError

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
