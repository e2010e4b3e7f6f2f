"""Finding clips, whatever the files are called."""

from __future__ import annotations

import io
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from seats.batch.clips import Shard, find_clips
from seats.errors import MediaError, SettingsError

ODD = [os.fsdecode(b"\xff.mp4"), "line\nfeed.MKV", "[a].webm", "é" * 120 + ".wav"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in [*ODD, "b.mp4", "notes.txt", "._b.mp4", "in/c.mov", "in/deep/d.mp3"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_folder(folder: Path) -> None:
    found = find_clips(str(folder))
    assert sorted(found.names) == sorted([*ODD, "b.mp4"])
    assert found.names == sorted(found.names, key=os.fsencode)
    assert found.remarks[:2] == [
        "1 file is skipped, not video or sound by extension (1 .txt); a list takes any file",
        "1 hidden file is skipped; a list takes any file",
    ]
    assert "1 folder in it is not entered; --recursive" in found.remarks[2]
    assert found.path("b.mp4") == str(folder / "b.mp4")


def test_recursive_folder_with_loops_and_special_files(folder: Path) -> None:
    (folder / "in" / "loop").symlink_to(folder)
    (folder / "self.mp4").symlink_to("self.mp4")
    os.mkfifo(folder / "pipe.mp4")
    found = find_clips(str(folder), recursive=True)
    assert set(found.names) == {*ODD, "b.mp4", "in/c.mov", "in/deep/d.mp3", "self.mp4", "pipe.mp4"}
    assert "1 linked folder is not entered" in found.remarks[-1]


def test_hidden_folders_are_not_entered(folder: Path) -> None:
    for name in (".cache/x.mp4", ".cache/in/y.mp4", "in/.trash/z.mp4"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    found = find_clips(str(folder), recursive=True)
    assert set(found.names) == {*ODD, "b.mp4", "in/c.mov", "in/deep/d.mp3"}
    assert "2 hidden folders are not entered" in found.remarks[-1]
    assert find_clips(str(folder / ".cache"), recursive=True).names == ["in/y.mp4", "x.mp4"]  # named, so meant
    assert "1 folder in it is not entered" in find_clips(str(folder)).remarks[-1]


def test_a_folder_that_cannot_be_looked_into_is_told(folder: Path) -> None:
    """Since its path is longer than the system allows."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(17):
        os.mkdir("d" * 250, dir_fd=here)
        above, here = here, os.open("d" * 250, os.O_RDONLY, dir_fd=here)
        os.close(above)
    os.close(here)
    found = find_clips(str(folder), recursive=True)
    matched = find_clips(str(folder / "**" / "*.mp3"))
    assert "in/deep/d.mp3" in found.names
    assert str(folder / "in" / "deep" / "d.mp3") in matched.names
    for remarks in (found.remarks, matched.remarks):
        assert remarks[0].endswith("d: cannot be looked into (File name too long)")


def test_a_folder_that_is_only_a_place_need_hold_no_clips(folder: Path) -> None:
    (folder / "in" / "c.mov").unlink()
    found = find_clips(str(folder / "in"), needed=False)
    assert (found.base, found.names, found.remarks) == (str(folder / "in"), [], [])
    with pytest.raises(MediaError):
        find_clips(str(folder / "nowhere"), needed=False)


def test_pattern(folder: Path) -> None:
    found = find_clips(str(folder / "*.mp4"))
    assert {os.path.basename(name) for name in found.names} == {ODD[0], "b.mp4"}
    assert len(find_clips(str(folder / "**" / "*.m*")).names) == 4
    assert find_clips(str(folder / "[a].webm")).names == [str(folder / "[a].webm")]  # a file of that name comes first
    with pytest.raises(MediaError, match="no file matches"):
        find_clips(str(folder / "*.xyz"))


def test_a_pattern_does_not_go_round_in_links(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "in" / "up").symlink_to("..")
    (folder / "in" / "here").symlink_to(".")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "b.mp4").touch()
    found = find_clips(str(folder / "**" / "*.m[op]*"))
    below = {os.path.relpath(name, folder) for name in found.names}
    assert below == {ODD[0], "b.mp4", "in/c.mov", "in/deep/d.mp3"}
    assert found.remarks == ["2 linked folders are not entered"]
    assert find_clips(str(folder / "in" / "up" / "in" / "deep" / "**")).names  # named, so meant
    with pytest.raises(MediaError, match=r"no file matches.*; 2 linked folders are not entered"):
        find_clips(str(folder / "**" / "**" / "*.xyz"))
    monkeypatch.chdir(folder)
    assert find_clips("**/deep/*").names == find_clips("i*/**/d*/**").names == ["in/deep/d.mp3"]


def test_a_folder_whose_name_reads_like_a_pattern(folder: Path) -> None:
    (folder / "in [b]").mkdir()
    (folder / "in [b]" / "c.mov").touch()
    found = find_clips(str(folder / "**" / "*.mov"))
    assert found.names == [str(folder / "in [b]" / "c.mov"), str(folder / "in" / "c.mov")]


def test_comments_of_a_playlist_are_no_clips(folder: Path) -> None:
    for name in ("list.m3u", "LIST.M3U"):
        (folder / name).write_text("#EXTM3U\n#EXTINF:6,A clip\nb.mp4\n")
        assert find_clips(str(folder / name)).names == ["b.mp4"]
    (folder / "list.txt").write_bytes(b"#1.mp4\nb.mp4\n")
    assert find_clips(str(folder / "list.txt")).names == ["#1.mp4", "b.mp4"]
    (folder / "list.txt").write_bytes(b"b.mp4\r\0")  # all but NUL may be part of a name there
    assert find_clips(str(folder / "list.txt")).names == ["b.mp4\r"]


def test_list(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = folder / "list.txt"
    listed.write_bytes(b"b.mp4\r\n\n\xff.mp4\nin/c.mov\nb.mp4\n" + os.fsencode(folder / "x.mp4"))
    found = find_clips(str(listed))
    assert found.names == ["b.mp4", ODD[0], "in/c.mov", str(folder / "x.mp4")]
    assert found.path("b.mp4") == str(folder / "b.mp4")
    assert found.path(found.names[-1]) == str(folder / "x.mp4")
    assert "1 of its lines" in found.remarks[0]
    listed.write_bytes(b"\xef\xbb\xbfb.mp4\n")  # as some editors begin a file
    assert find_clips(str(listed)).names == ["b.mp4"]
    listed.write_bytes("b.mp4\r\n".encode("utf-16"))
    with pytest.raises(MediaError, match=r"list\.txt: is UTF-16 text; save it as UTF-8"):
        find_clips(str(listed))
    listed.write_bytes(b"line\nfeed.MKV\0b.mp4\0")
    assert find_clips(str(listed)).names == ["line\nfeed.MKV", "b.mp4"]
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"in/c.mov\n")))
    assert find_clips("-").path("in/c.mov") == "in/c.mov"


def test_one_clip(folder: Path) -> None:
    (folder / "linked.mp4").symlink_to("gone.mp4")  # what is wrong with it is told in its row
    for name in ("b.mp4", "linked.mp4"):
        assert find_clips(str(folder / name)).names == [str(folder / name)]


@pytest.mark.parametrize("where", ["nowhere", "a" * 5000, "nul\0", "in"])
def test_nothing_there(folder: Path, where: str) -> None:
    (folder / "in" / "c.mov").unlink()
    with pytest.raises(MediaError):
        find_clips(str(folder / where))


def test_a_name_with_a_dot_is_as_ask_has_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert find_clips(".").path("b.mp4") == str(Path("./b.mp4"))


def test_shards_part_all_clips_by_name_alone() -> None:
    names = [f"clip-{n}.mp4" for n in range(1000)]
    shards = [Shard.parse(f"{n}/4") for n in range(1, 5)]
    parts = [[name for name in names if shard.has(name)] for shard in shards]
    assert sorted(name for part in parts for name in part) == sorted(names)
    assert all(200 < len(part) < 300 for part in parts)
    # what is in a shard may never change: results of others rely on it
    assert [n for n in range(20) if Shard(1, 4).has(f"clip-{n}.mp4")] == [4, 5, 6, 9, 12, 13, 15, 18, 19]
    assert Shard(1, 2).has(os.fsdecode(b"\xff")) is not Shard(2, 2).has(os.fsdecode(b"\xff"))


@pytest.mark.parametrize("text", ["", "1", "0/4", "5/4", "1/0", "-1/4", "1/4/2", "a/b", f"1/{'9' * 5000}"])
def test_no_shards(text: str) -> None:
    with pytest.raises(SettingsError):
        Shard.parse(text)
