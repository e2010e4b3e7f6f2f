"""Children end with their parent, whatever they are doing, and are waited for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seats.batch.children import Child

PARENT = """
import sys, threading
from seats.batch import decoding
from seats.batch.children import Child
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
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
@pytest.mark.parametrize("name", ["hang.mp4", "grip.mp4"])
def test_none_outlives_a_parent_that_was_killed(tmp_path: Path, name: str) -> None:
    clip = tmp_path / name
    clip.write_bytes(b"something")
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", PARENT, str(clip)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert parent.stdout.readline() == "busy\n"
        assert not ended_within(pid, 0.3)
        parent.send_signal(signal.SIGKILL)
        assert ended_within(pid, 5)


def test_a_child_that_is_let_go_ends_by_itself() -> None:
    child = Child.start("tests.batch.idle_child", quiet=True)
    assert child.connection.recv() == "here"
    child.close()
    assert child.process.returncode == 0


def test_a_child_that_does_not_go_is_ended() -> None:
    child = Child.start("tests.batch.idle_child", quiet=True)
    assert child.connection.recv() == "here"
    os.kill(child.process.pid, signal.SIGSTOP)
    child.close()
    assert child.process.returncode == -signal.SIGKILL
