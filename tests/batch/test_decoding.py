"""Decoding in a child: clips arrive as they were read, and no file takes anything else down."""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
import time
import weakref
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from multiprocessing import Pipe
from pathlib import Path
from threading import Timer
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from seats.batch import decoding, decoding_child
from seats.batch.decoding import Decoder, DecoderError
from seats.batch.decoding_child import Request
from seats.batch.settings import ClipSettings
from seats.batch.shared import pack, receive_clip
from seats.children import Child
from seats.media import Clip, FrameSampling, load_clip
from seats.media.content import Content, content_of
from tests.media.make import tone, write_clip

START = Child.start
SETTINGS = ClipSettings(FrameSampling(min_pixels=28 * 28, max_pixels=56 * 56), timeout_s=60)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_clip(tmp_path_factory.mktemp("clips") / "both.mp4", frames=40, rate=10, sound=tone(4)))


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    made = Decoder(2**30)
    yield made
    made.close()


@pytest.fixture(scope="module")
def breaking() -> Iterator[Decoder]:
    """A decoder that breaks on some names, with 200 MB for a clip."""
    patch = pytest.MonkeyPatch()
    patch.setattr(decoding.Child, "start", lambda _, quiet: START("tests.batch.broken_decoder", quiet=quiet))
    made = Decoder(200 * 2**20)
    yield made
    made.close()
    patch.undo()


def test_a_clip_arrives_as_it_was_read(decoder: Decoder, clip: str) -> None:
    got = decoder.decode(clip, SETTINGS)
    want = load_clip(clip, sampling=SETTINGS.sampling)
    assert got.error is None
    assert got.clip is not None
    assert got.clip.video is not None
    assert got.clip.audio is not None
    assert torch.equal(got.clip.video.pixels, want.video.pixels)
    assert np.array_equal(got.clip.audio.waveform, want.audio.waveform)
    assert (str(got.clip.path), got.clip.duration_s, got.clip.notes) == (clip, want.duration_s, want.notes)
    assert got.content is not None
    assert got.content.hash == content_of(clip).hash
    got.clip.video.pixels[0] = 0  # it may be written to, and others don't see it
    began = time.perf_counter()
    again = decoder.decode(clip, SETTINGS)
    assert 0 < again.ms < 1e3 * (time.perf_counter() - began)
    assert torch.equal(again.clip.video.pixels, want.video.pixels)


def test_sound_alone_and_pictures_alone(decoder: Decoder, clip: str) -> None:
    assert decoder.decode(clip, replace(SETTINGS, use_video=False)).clip.video is None
    assert decoder.decode(clip, replace(SETTINGS, use_audio=False)).clip.audio is None


def test_a_part_arrives_as_it_was_read(decoder: Decoder, clip: str) -> None:
    got = decoder.decode(clip, replace(SETTINGS, start_s=1.0, end_s=2.0)).clip
    want = load_clip(clip, sampling=SETTINGS.sampling, start_s=1.0, end_s=2.0)
    assert torch.equal(got.video.pixels, want.video.pixels)
    assert np.array_equal(got.audio.waveform, want.audio.waveform)


def test_decoding_gives_way_to_the_model(decoder: Decoder, clip: str) -> None:
    decoder.decode(clip, SETTINGS)
    here, there = (os.getpriority(os.PRIO_PROCESS, pid) for pid in (0, decoder._child.process.pid))
    assert there == min(19, here + 10)


def test_a_clip_arrives_whole_where_it_is_not_written_at_once(clip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As 2 GiB are the most that Linux writes at a time."""
    write = os.write
    sent = load_clip(clip, sampling=SETTINGS.sampling)
    ours, theirs = Pipe()
    with monkeypatch.context() as patch, ours, theirs:
        patch.setattr(os, "write", lambda handle, data: write(handle, data[:10_000]))
        with pack(sent) as packed:
            packed.send(ours)
        got = receive_clip(theirs)
    assert torch.equal(got.video.pixels, sent.video.pixels)
    assert np.array_equal(got.audio.waveform, sent.audio.waveform)


def test_nothing_is_left_open(decoder: Decoder, clip: str) -> None:
    def open_files() -> tuple[int, int]:
        time.sleep(0.5)  # the child closes its hold of the clip when it has been sent
        return len(os.listdir("/proc/self/fd")), len(os.listdir(f"/proc/{decoder._child.process.pid}/fd"))

    decoder.decode(clip, SETTINGS)
    before = open_files()
    for _ in range(5):
        decoder.decode(clip, SETTINGS)
    assert before == open_files()


def test_errors_are_those_of_load_clip(decoder: Decoder, clip: str, tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("a letter " * 99)
    failed = decoder.decode(str(text), SETTINGS)
    assert "not a video or sound file" in str(failed.error)
    assert failed.content.hash == content_of(str(text)).hash
    os.mkfifo(tmp_path / "pipe.mp4")
    for name in ("pipe.mp4", "gone.mp4"):
        failed = decoder.decode(str(tmp_path / name), SETTINGS)
        assert failed.content is None
        assert name in str(failed.error)
    assert "lasts 4" in str(decoder.decode(clip, replace(SETTINGS, start_s=60)).error)


def _last_reply(path: Path) -> Any:
    """What the child says last of a file, in this process."""
    sent: list[Any] = []
    connection: Any = SimpleNamespace(send=sent.append)
    decoding_child._serve(connection, Request(str(path), SETTINGS))
    return sent[-1]


def test_a_clip_that_changes_while_it_is_decoded_fails(
    clip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(Path(clip).read_bytes())

    def growing(*args: Any, **settings: Any) -> Clip:
        made = load_clip(*args, **settings)
        with path.open("ab") as file:
            file.write(b"more")
        return made

    monkeypatch.setattr(decoding_child, "load_clip", growing)
    assert "changed while it was read" in str(_last_reply(path).error)


def test_a_clip_replaced_once_its_content_is_known_fails(
    clip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(Path(clip).read_bytes())

    def then_replaced(name: str) -> Content:
        found = content_of(name)
        (tmp_path / "b.mp4").write_bytes(path.read_bytes())
        (tmp_path / "b.mp4").replace(path)
        return found

    monkeypatch.setattr(decoding_child, "content_of", then_replaced)
    assert "changed while it was read" in str(_last_reply(path).error)


def test_a_clip_that_hangs_on_references_in_a_circle_is_given_back() -> None:
    class Held:
        pass

    held = Held()
    held.itself = held
    known = weakref.ref(held)
    gc.disable()
    try:
        del held
        assert known() is not None
        decoding_child._give_back()
        assert known() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("lowered", [True, False])
def test_a_memory_limit_is_asked_about_what_will_be_read(clip: str, lowered: bool) -> None:
    asked: list[Any] = []
    fewer = replace(SETTINGS.sampling, max_frames=4, max_pixels=28 * 28)

    def sampling(*args: Any, **settings: Any) -> FrameSampling:
        asked.append((args, settings))
        return fewer if lowered else SETTINGS.sampling

    limit: Any = SimpleNamespace(sampling=sampling, limit_bytes=10**9)
    settings = replace(SETTINGS, use_audio=False, limit=limit)
    told = {"limit_bytes": 10**9, "max_frames": 4, "max_pixels": 28 * 28}
    expected = (fewer, told) if lowered else (SETTINGS.sampling, None)
    assert decoding_child._within_limit(clip, settings) == expected
    assert asked == [((clip, SETTINGS.sampling), {"video": True, "audio": False, "timeout_s": 60})]


def test_a_time_limit_of_years(decoder: Decoder, clip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert decoder.decode(clip, replace(SETTINGS, timeout_s=1e10)).error is None
    monkeypatch.setattr(decoding, "_LONGEST_WAIT_S", 0.001)  # and a wait that comes to its end is gone on with
    assert decoder.decode(clip, replace(SETTINGS, timeout_s=1e10)).error is None


def test_a_child_that_ended_between_clips_is_replaced(decoder: Decoder, clip: str) -> None:
    decoder.decode(clip, SETTINGS)
    decoder._child.process.send_signal(signal.SIGSEGV)  # which would be a clip's fault
    decoder._child.process.wait()
    assert decoder.decode(clip, SETTINGS).error is None


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_breaking_files_cost_only_themselves(breaking: Decoder, clip: str, tmp_path: Path) -> None:
    for name, says in (
        ("crash.mp4", "decoder crashed on it (SIGSEGV)"),
        ("hang.mp4", "longer than 1 s"),
        ("swell.mp4", "more than 200 MiB of memory; allow more with --decode-memory"),
        ("leap.mp4", "more than 200 MiB of memory"),
        ("stack.mp4", "more than 200 MiB of memory"),
        ("hole.mp4", "unexpected IndexError"),
    ):
        bad = tmp_path / name
        bad.write_bytes(Path(clip).read_bytes())
        child = breaking._ensure_child()
        began = time.monotonic()
        failed = breaking.decode(str(bad), replace(SETTINGS, timeout_s=1 if name == "hang.mp4" else 20))
        assert says in str(failed.error), name
        assert name in str(failed.error)
        assert failed.content.hash == content_of(str(bad)).hash
        assert time.monotonic() - began < 90
        assert os.path.exists(f"/proc/{child.process.pid}") == (name == "hole.mp4"), name
    assert breaking.decode(clip, replace(SETTINGS, timeout_s=60)).error is None


def test_a_decoder_that_was_killed_tries_once_more(breaking: Decoder, clip: str, tmp_path: Path) -> None:
    once, killed = tmp_path / "first-time.mp4", tmp_path / "reaped.mp4"
    for file in (once, killed):
        file.write_bytes(Path(clip).read_bytes())
    got = breaking.decode(str(once), SETTINGS)
    assert got.error is None
    assert got.clip is not None
    assert (tmp_path / "first-time.mp4.seen").exists()
    failed = breaking.decode(str(killed), SETTINGS)
    assert "killed twice" in str(failed.error)
    assert "perhaps for lack of memory" in str(failed.error)


@pytest.mark.parametrize(
    "error", [RuntimeError("received 0 items of ancdata"), OSError(errno.EMFILE, "Too many open files")]
)
def test_too_few_open_files_are_no_fault_of_the_clip(
    clip: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: object) -> None:
        raise error

    monkeypatch.setattr("seats.batch.decoding.receive_clip", fails)
    made = Decoder(SETTINGS.memory_bytes)
    with pytest.raises(DecoderError, match="allow more open files"):
        made.decode(clip, SETTINGS)
    made.close()


def test_memory_that_is_asked_for_and_not_used_counts_half(breaking: Decoder, clip: str, tmp_path: Path) -> None:
    spare = tmp_path / "spare.mp4"
    spare.write_bytes(Path(clip).read_bytes())
    assert breaking.decode(str(spare), SETTINGS).error is None


def test_a_hole_in_the_decoder_shows_where_it_is(breaking: Decoder, clip: str, tmp_path: Path) -> None:
    bad = tmp_path / "hole.mp4"
    bad.write_bytes(Path(clip).read_bytes())
    failed = breaking.decode(str(bad), SETTINGS)
    assert "unexpected IndexError" in str(failed.error)
    assert failed.trace is not None
    assert "load_or_break" in failed.trace


@pytest.mark.slow
def test_no_clip_pays_for_what_others_left_behind(breaking: Decoder, clip: str, tmp_path: Path) -> None:
    leaky = tmp_path / "leak.mp4"
    leaky.write_bytes(Path(clip).read_bytes())
    pids = set()
    for _ in range(3):  # 128 MB each, and 200 MB is the limit
        assert breaking.decode(str(leaky), SETTINGS).error is None
        pids.add(breaking._child.process.pid)
    assert len(pids) == 3


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_memory_stays_flat(decoder: Decoder) -> None:
    sample = str(Path(__file__).parents[2] / "samples" / "crossing.mp4")

    def own() -> int:
        status = Path(f"/proc/{decoder._child.process.pid}/status").read_text()
        return next(1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))

    sizes = []
    for _ in range(4):
        for _ in range(25):
            assert decoder.decode(sample, SETTINGS).error is None
        sizes.append(own())
    growth = [later - earlier for earlier, later in pairwise(sizes)]
    assert min(growth) < 2**20  # a leak grows in each; an arena that another thread begins, once


def test_closing_ends_a_decode_at_once(clip: str) -> None:
    made = Decoder(2**30)
    Timer(0.2, made.close).start()  # imports alone take longer
    assert made.decode(clip, SETTINGS).error is not None
    assert made.decode(clip, SETTINGS).error is not None


def test_a_decoder_that_does_not_start_is_no_fault_of_the_clip(clip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: str, *, quiet: bool) -> Child:
        child = START("seats.batch.no_such_module", quiet=quiet)
        child.process.wait()  # it has ended before it is written to
        return child

    monkeypatch.setattr(decoding.Child, "start", start)
    made = Decoder(2**30)
    with pytest.raises(DecoderError, match="exit code 1"):
        made.decode(clip, SETTINGS)
    made.close()


def test_a_machine_without_room_for_a_decoder_says_so() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Path(os.devnull).open() as first_free:
        resource.setrlimit(resource.RLIMIT_NOFILE, (first_free.fileno(), hard))
        try:
            with pytest.raises(DecoderError, match=r"cannot be started \(Too many open files\): .*--decoders"):
                Decoder(2**30)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_a_clip_that_cannot_be_handed_over_says_why(clip: str) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # nameless memory counts as a file
    try:
        made = Decoder(2**30)
        failed = made.decode(clip, SETTINGS)
        held = os.listdir(f"/proc/{made._child.process.pid}/fd")
        made.decode(clip, SETTINGS)
        assert len(os.listdir(f"/proc/{made._child.process.pid}/fd")) == len(held)  # what was written goes again
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        made.close()
    assert "no room for its frames" in str(failed.error)
    assert failed.content.hash == content_of(clip).hash
