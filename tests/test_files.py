"""Files that take another's place only when they are whole."""

import os
from pathlib import Path

import pytest

from seats.files import MARK, exists, is_own, replacing


def test_what_is_there_and_what_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    assert exists(tmp_path)
    assert exists(tmp_path / "file")
    for name in ("gone", "file/in", "loop", "nul\0"):
        assert not exists(tmp_path / name)
    with pytest.raises(OSError, match="name too long"):
        exists(tmp_path / ("a" * 600))


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "map.png"
    path.write_text("old")
    with replacing(path) as beside:
        beside.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["map.png"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("old", ["old", None])
def test_nothing_half_written_is_left(tmp_path, error, old):
    path = tmp_path / "map.png"
    if old is not None:
        path.write_text(old)
    with pytest.raises(type(error)), replacing(path) as beside:  # noqa: PT012
        beside.write_text("ne")
        raise error
    assert [file.read_text() for file in tmp_path.iterdir()] == ([] if old is None else [old])


def test_what_a_link_leads_to_is_replaced_and_what_is_no_file_written_to(tmp_path):
    (tmp_path / "link").symlink_to("real")
    with replacing(tmp_path / "link") as beside:
        beside.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
    with replacing(Path(os.devnull)) as itself:
        assert itself == Path(os.devnull)


@pytest.mark.parametrize(("content", "own"), [(None, True), ("", True), ("a photo", False), ("x" * 9999 + MARK, True)])
def test_only_what_bears_the_mark_is_taken_for_an_older_file(tmp_path, content, own):
    path = tmp_path / "map.png"
    if content is not None:
        path.write_text(content)
    assert is_own(path) == own
    assert is_own(tmp_path)


def test_nothing_of_someone_else_is_written_to_or_taken_for_ours(tmp_path):
    """Two writers of one file do not meet either: the last one counts."""
    path = tmp_path / "page.html"
    (tmp_path / "victim").write_text("theirs")
    (tmp_path / ".page.html.new").symlink_to("victim")
    with replacing(path) as first:
        first.write_text("first")
        with replacing(path) as second:
            second.write_text("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert (tmp_path / "victim").read_text() == "theirs"


def test_who_may_read_a_file_stays(tmp_path):
    path = tmp_path / "page.html"
    path.touch(mode=0o600)
    with replacing(path) as beside:
        beside.write_text("new")
    assert path.stat().st_mode & 0o777 == 0o600
