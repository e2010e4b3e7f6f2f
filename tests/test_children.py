"""Children end with their parent, whatever they are doing, and are waited for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from multiprocessing.connection import Pipe
from pathlib import Path

import pytest

from seats.children import Child

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc, or signals as Linux counts them")
PARENT = """
import sys, threading
from seats.batch import decoding
from seats.children import Child
from seats.batch.settings import ClipSettings
from seats.media import FrameSampling

if __name__ == "__main__":
    start = Child.start
    decoding.Child.start = lambda _, quiet: start("tests.batch.broken_decoder", quiet=quiet)
    decoder = decoding.Decoder(2**30)
    print(decoder._child.process.pid, flush=True)
    decoder._await_ready(decoder._child)
    settings = ClipSettings(FrameSampling(), timeout_s=900)
    thread = threading.Thread(target=decoder.decode, args=(sys.argv[1], settings))
    thread.start()
    import time; time.sleep(0.5)
    print("busy", flush=True)
    thread.join()
"""


FORKED = """
import os, signal
from seats.children import Child

if __name__ == "__main__":
    Child.start("tests.idle_child", quiet=True).kill()
    if os.fork() == 0:
        signal.alarm(20)
        Child.start("tests.idle_child", quiet=True).kill()
        os._exit(7)
    print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def ended_within(pid: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.slow
@linux
@pytest.mark.parametrize("name", ["hang.mp4", "grip.mp4"])
def test_none_outlives_a_parent_that_was_killed(tmp_path: Path, name: str) -> None:
    clip = tmp_path / name
    clip.write_bytes(b"something")
    root = Path(__file__).parents[1]
    command = [sys.executable, "-c", PARENT, str(clip)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert parent.stdout.readline() == "busy\n"
        assert not ended_within(pid, 0.3)
        parent.send_signal(signal.SIGKILL)
        assert ended_within(pid, 5)


@linux
def test_a_child_ends_with_its_parent_also_where_the_kernel_does_not_see_to_it() -> None:
    command = [sys.executable, "-c", "from tests.test_children import start_and_wait; start_and_wait()"]
    root = Path(__file__).parents[1]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not ended_within(pid, 0.3)
        parent.send_signal(signal.SIGKILL)
        assert ended_within(pid, 5)


def start_and_wait() -> None:
    child = Child.start("tests.unwatched_child", quiet=True)
    child.connection.recv()
    print(child.process.pid, flush=True)
    sys.stdin.read()


def test_a_fork_of_this_process_starts_children_of_its_own() -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
    )
    assert ran.stdout == "7\n"


@pytest.mark.parametrize("quiet", [True, False])
def test_what_a_child_says_as_it_fails_is_shown_unless_it_is_quiet(
    quiet: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    child = Child.start("tests.batch.no_such_module", quiet=quiet)
    assert child.ending() == "exit code 1"
    child.close()
    said = capfd.readouterr().err
    assert not said if quiet else "ModuleNotFoundError" in said


@pytest.mark.parametrize(
    ("command", "ending"),
    [
        ("exit 0", "exit code 0"),
        ("exit 3", "exit code 3"),
        ("kill -SEGV $$", "SIGSEGV"),
        pytest.param("kill -40 $$", "signal 40", marks=linux),
    ],
)
def test_how_a_child_ended(command: str, ending: str) -> None:
    assert Child(subprocess.Popen(["sh", "-c", command]), Pipe()[0]).ending() == ending


def test_a_child_that_is_let_go_ends_by_itself_and_not_of_what_stops_its_parent() -> None:
    child = Child.start("tests.idle_child", quiet=True)
    assert child.connection.recv() == "here"
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(child.process.pid, number)
    child.close()
    assert child.process.returncode == 0


def test_a_child_that_does_not_go_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seats.children._ORDERLY_S", 1.0)
    child = Child.start("tests.idle_child", quiet=True)
    assert child.connection.recv() == "here"
    os.kill(child.process.pid, signal.SIGSTOP)
    child.close()
    assert child.process.returncode == -signal.SIGKILL
