"""A clip's identity: all of its content, and when the file system's word is enough."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import pytest

from seats.errors import MediaError
from seats.media.content import content_of, stat_of


def test_hash_is_sha256_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    file.write_bytes(os.urandom(3 * 2**20 + 17))
    content = content_of(str(file))
    assert content.hash == f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    assert content.bytes == file.stat().st_size


def test_every_byte_counts(tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    data = bytearray(os.urandom(2**20))
    seen = set()
    for place in (0, 2**19 + 12345, 2**20 - 1):
        data[place] ^= 1
        file.write_bytes(data)
        seen.add(content_of(str(file)).hash)
    assert len(seen) == 3


def test_a_file_just_written_is_not_taken_at_its_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.mp4"
    file.write_bytes(b"x")
    assert content_of(str(file)).stat is None
    later = time.time() + 10
    monkeypatch.setattr("seats.media.content.time.time", lambda: later)
    assert content_of(str(file)).stat == stat_of(str(file))


def test_a_copy_that_keeps_an_old_time_is_not_taken_at_its_word(tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    file.write_bytes(b"x")
    os.utime(file, (0, 0))  # as `cp -p` does; when the copy was made only ctime tells
    assert content_of(str(file)).stat is None


def test_a_file_that_grows_while_it_is_read_is_not_a_clip_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.mp4"
    file.write_bytes(b"x" * 100)
    sha256 = hashlib.sha256

    def growing() -> Any:
        with file.open("ab") as more:
            more.write(b"y")
        return sha256()

    monkeypatch.setattr("seats.media.content.hashlib.sha256", growing)
    with pytest.raises(MediaError, match="changed while it was read"):
        content_of(str(file))


def test_stat_notices_what_keeps_size_and_time_of_change(tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    file.write_bytes(b"x")
    before, times = stat_of(str(file)), file.stat()
    file.write_bytes(b"y")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert stat_of(str(file)) != before


@pytest.mark.timeout(10)
def test_files_that_are_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    (tmp_path / "folder.mp4").mkdir()
    for name in ("pipe.mp4", "loop.mp4", "folder.mp4", "gone.mp4", "a" * 5000, "nul\0.mp4"):
        with pytest.raises(MediaError):
            content_of(str(tmp_path / name))
    with pytest.raises(MediaError):
        content_of("/dev/zero")
