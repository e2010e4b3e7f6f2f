"""Frames of a clip that is still being read: the right ones, in order, and an end in every case."""

import gc
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest
import torch

from seats.errors import MediaError
from seats.media import FrameSampling, load_clip, read_clip
from seats.media import video as video_module
from seats.media.reading import Arriving
from tests.media.make import numbers, tone, write_clip, write_damaged


def _two(_height, _width):
    return 2


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=90, sound=tone(3.0))


def test_parts_are_the_clip_s_frames(path):
    began = time.perf_counter()
    reading = read_clip(path, sampling=FrameSampling(fps=5), timeout_s=60)
    heard = []
    parts = list(reading.arriving.parts(lambda _h, _w: 4, heard.append))
    clip = reading.result()
    assert reading.done
    assert 0 < reading.seconds <= time.perf_counter() - began
    alone = load_clip(path, sampling=FrameSampling(fps=5))
    assert torch.equal(clip.video.pixels, alone.video.pixels)
    assert [len(part) for _, part in parts] == [4] * (len(alone.video.pixels) // 4)
    assert {attempt for attempt, _ in parts} == {1}
    whole = torch.cat([part for _, part in parts])
    assert torch.equal(whole, alone.video.pixels[: len(whole)])
    assert len(heard) == 1
    assert heard[0] is clip.audio


def test_a_part_comes_before_the_last_frame_is_read(path, monkeypatch):
    keep, go_on = video_module._Frames._keep, threading.Event()
    done = []

    def slow(self, frame, place):
        keep(self, frame, place)
        done.append(frame)
        if len(done) == 5:
            assert go_on.wait(30)

    monkeypatch.setattr(video_module, "_RESIZING_THREADS", 1)
    monkeypatch.setattr(video_module._Frames, "_keep", slow)
    reading = read_clip(path, sampling=FrameSampling(fps=5), use_audio=False, timeout_s=60)
    parts = reading.arriving.parts(_two)
    assert len(next(parts)[1]) == 2
    assert not reading.done
    go_on.set()
    assert sum(len(part) for _, part in parts) + 2 == len(reading.result().video.pixels)


def test_a_frame_that_stands_in_for_a_lost_one_comes_behind_all_before_it(tmp_path, monkeypatch):
    whole = write_clip(tmp_path / "whole.mov", frames=16, codec="png", pix_fmt="rgb24", size=(64, 48))
    path = write_damaged(tmp_path / "lost.mov", whole, slice(10, 11))
    resize, told = video_module.resize, []

    def late(*args):
        time.sleep(0.05)
        return resize(*args)

    def not_exact(*_args):
        raise video_module._NotExactError

    monkeypatch.setattr(video_module, "resize", late)
    monkeypatch.setattr(video_module, "_needed_frames", not_exact)  # all are decoded at the first go
    monkeypatch.setattr(Arriving, "reach", lambda _, count: told.append(count))
    clip = load_clip(path, sampling=FrameSampling(fps=30), arriving=Arriving())
    assert told == list(range(1, 17))
    assert numbers(clip.video) == [*range(10), 9, *range(11, 16)]


def test_what_begins_anew_makes_the_parts_before_void():
    arriving = Arriving()
    pixels = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 2, 2), np.uint8)
    arriving.begin(pixels)
    arriving.reach(2)
    parts = arriving.parts(_two)
    attempt, part = next(parts)
    assert (attempt, part[:, 0, 0, 0].tolist()) == (1, [0, 1])
    arriving.begin(pixels + 10)
    arriving.reach(4)
    arriving.end()
    assert [(attempt, part[:, 0, 0, 0].tolist()) for attempt, part in parts] == [(2, [10, 11]), (2, [12, 13])]


def test_no_frame_comes_before_it_is_filled():
    arriving = Arriving()
    arriving.begin(np.zeros((4, 3, 2, 2), np.uint8))
    arriving.end()
    assert list(arriving.parts(lambda _h, _w: 1)) == []
    again = Arriving()
    again.begin(np.zeros((4, 3, 2, 2), np.uint8))
    again.reach(4)
    again.begin(np.zeros((4, 3, 2, 2), np.uint8))  # what was filled before does not count
    again.end()
    assert list(again.parts(_two)) == []


def test_the_sound_comes_while_no_part_is_waiting():
    arriving, heard, parts = Arriving(), threading.Event(), []
    arriving.begin(np.zeros((4, 3, 2, 2), np.uint8))
    user = threading.Thread(target=lambda: parts.extend(arriving.parts(_two, lambda _: heard.set())), daemon=True)
    user.start()
    time.sleep(0.05)  # so that it waits
    arriving.hear(object())
    assert heard.wait(10)
    assert not parts
    arriving.reach(4)
    arriving.end()
    user.join(10)
    assert len(parts) == 2


def test_a_file_that_cannot_be_read_ends_the_parts_too(tmp_path):
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"no video at all" * 100)
    reading = read_clip(path)
    assert list(reading.arriving.parts(_two)) == []
    with pytest.raises(MediaError, match=r"broken\.mp4"):
        reading.result()


def test_without_pictures_there_are_no_parts(tmp_path):
    reading = read_clip(write_clip(tmp_path / "sound.m4a", sound=tone(2.0)))
    assert list(reading.arriving.parts(_two)) == []
    assert reading.result().audio.seconds == pytest.approx(2.0, abs=0.1)


def test_the_user_may_come_late(path):
    reading = read_clip(path, timeout_s=60)
    while not reading.done:
        time.sleep(0.01)
    assert sum(len(part) for _, part in reading.arriving.parts(_two)) == len(reading.result().video.pixels)


def test_an_error_keeps_nothing_of_those_who_asked(tmp_path):
    class Held:
        pass

    def ask():
        held = Held()
        held_by_a_model.append(weakref.ref(held))
        reading.result()

    reading, held_by_a_model, seen = read_clip(tmp_path / "no.mp4"), [], []
    for _ in range(2):
        with pytest.raises(MediaError, match="no such file") as caught:
            ask()
        seen.append([entry.name for entry in caught.traceback])
        del caught
    gc.collect()
    assert [held() for held in held_by_a_model] == [None, None]
    assert seen[0] == seen[1]
    assert "load_clip" in seen[0]  # where it went wrong


def test_reading_ends_with_the_process(path):
    code = (
        "import sys, time; from seats.media import load, read_clip\n"
        "load.load_audio = lambda *_, **__: time.sleep(60)\n"
        "reading = read_clip(sys.argv[1]); time.sleep(0.5); print(reading.done)"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True, timeout=30)
    assert ran.stdout == "False\n"
