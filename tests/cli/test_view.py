"""`seats view`, from the file to the page, with a tiny random model."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Ran

Run = Callable[..., Ran]


@pytest.fixture
def view(run: Run, clips: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)

    def call(clip: str, *flags: object) -> Ran:
        return run("view", clips / clip, "what is it ?", "--model", tiny, "--max-new-tokens", "3", *flags)

    return call


def test_page_is_written_and_named(view: Run) -> None:
    ran = view("both.mp4")
    assert ran.code == 0, ran.err
    assert ran.out == "map.html\n"
    assert "seats: " in ran.err
    html = Path("map.html").read_text(encoding="utf-8")
    assert html.startswith("<!doctype html>")
    assert "what is it ?" in html
    assert "both.mp4" in html


def test_two_methods_in_all_forms(view: Run) -> None:
    pytest.importorskip("matplotlib")
    flags = ("--method", "seats", "--method", "full", "--keep", "25%")
    ran = view("both.mp4", *flags, "--out", "a.html", "--png", "a.png", "--mp4", "a.mp4", "--json", "--quiet")
    assert ran.code == 0, ran.err
    said = json.loads(ran.out)
    assert said["schema"] == "seats.view/1"
    assert said["files"] == {"html": "a.html", "png": "a.png", "mp4": "a.mp4"}
    assert [answer["method"]["name"] for answer in said["answers"]] == ["seats", "full"]
    assert all(Path(name).stat().st_size > 5000 for name in said["files"].values())
    assert "seats 25%" in Path("a.html").read_text(encoding="utf-8")


def test_film_alone_writes_no_page(view: Run) -> None:
    ran = view("mute.mp4", "--mp4", "mask.mp4", "--quiet")
    assert ran == Ran(0, "mask.mp4\n", "")
    assert not Path("map.html").exists()


def test_sound_alone(view: Run) -> None:
    assert view("sound.m4a").code == 0
    assert "no pictures" in Path("map.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("flags", "code", "says"),
    [
        (["--out", "nowhere/map.html"], 2, "folder does not exist"),
        (["--png", "nowhere/map.png"], 2, "folder does not exist"),
        (["--out", "."], 2, "is a folder"),
        (["--mp4", "mask.webm"], 2, "end in .mp4"),
        (["--png", "map.gif"], 2, "end in .png or .pdf or .svg"),
        (["--out", "map.pdf"], 2, "map.pdf: a page's name must end in .html or .htm"),
        (["--out", "map"], 2, "must end in .html or .htm"),
        (["--out", "a.mp4", "--mp4", "a.mp4"], 2, "overwrite what --out writes"),
        (["--method", "magic"], 2, "choose one of"),
        (["--method", "seats", "--method", "fastv", "--keep", "3%"], 2, "fastv"),
    ],
)
def test_what_cannot_be_written_or_chosen_is_said_first(view: Run, flags: list[str], code: int, says: str) -> None:
    ran = view("mute.mp4", *flags)
    assert ran.code == code
    assert says in ran.line
    assert not ran.out


@pytest.mark.parametrize(
    "flags", [["--out", "closed/map.html"], ["--png", "closed/map.png"], ["--mp4", "closed/m.mp4"]]
)
def test_files_that_cannot_be_written_are_said_before_the_clip_is_opened(
    view: Run, flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Path) -> None:  # root may write into folders that are closed to others
        raise PermissionError(13, "Permission denied")

    Path("closed").mkdir()
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    ran = view("no-such-clip.mp4", *flags)
    assert ran.code == 2
    assert f"{flags[1]}: its folder cannot be written to (Permission denied)" in ran.line


@pytest.mark.parametrize(
    ("flag", "name", "endings"),
    [("--png", "map.gif", ".png or .pdf or .svg"), ("--mp4", "map.mkv", ".mp4"), ("--out", "map.pdf", ".html or .htm")],
)
def test_a_file_of_no_known_format_is_said_before_the_clip_is_opened(
    view: Run, flag: str, name: str, endings: str
) -> None:
    ran = view("no-such-clip.mp4", flag, name)
    assert ran.code == 2
    assert f"must end in {endings}" in ran.line


def test_a_page_to_standard_output(view: Run) -> None:
    assert "no such file" in view("no-such-clip.mp4", "--out", "/dev/stdout").line


def test_the_clip_is_never_overwritten(view: Run, clips: Path) -> None:
    ran = view("mute.mp4", "--mp4", clips / "mute.mp4")
    assert ran.code == 2
    assert "overwrite the clip" in ran.line


def test_only_a_page_of_ours_is_replaced(view: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, target = Path("theirs.html"), Path("map.html")
    theirs.write_text("<!DOCTYPE html>\n<p>hours of work")
    ran = view("mute.mp4", "--out", theirs)
    assert ran.code == 2
    assert "is there already and does not say that seats wrote it" in ran.line
    monkeypatch.setenv("SEATS_OUT", str(theirs))  # meant for batch
    assert view("mute.mp4").code == 2
    assert theirs.read_text() == "<!DOCTYPE html>\n<p>hours of work"
    monkeypatch.delenv("SEATS_OUT")
    target.touch()
    for clip, said in (("mute.mp4", "no sound"), ("sound.m4a", "no pictures")):
        assert view(clip, "--quiet").code == 0
        assert said in target.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["map.png", "map.svg", "map.pdf", "film.mp4"])
def test_only_an_older_picture_or_film_is_replaced(view: Run, clips: Path, name: str) -> None:
    if name != "film.mp4":
        pytest.importorskip("matplotlib")
    flag, path = "--mp4" if name == "film.mp4" else "--png", Path(name)
    content = (clips / "mute.mp4").read_bytes()
    path.write_bytes(content)
    ran = view("sound.m4a", flag, path)
    assert ran.code == 2
    assert f"{name} is there already and does not say that seats wrote it; give another name" in ran.line
    assert path.read_bytes() == content
    path.unlink()
    for _ in range(2):
        assert view("mute.mp4", flag, path).code == 0


def test_a_name_that_is_not_utf8(view: Run, clips: Path) -> None:
    name = os.fsdecode(b"caf\xe9.m4a")
    shutil.copyfile(clips / "sound.m4a", clips / name)
    try:
        ran = view(name, "--json")
    finally:
        (clips / name).unlink()
    assert ran.code == 0, ran.err
    assert "caf\\xe9.m4a" in Path("map.html").read_text(encoding="utf-8")
    assert json.loads(ran.out)["answers"][0]["clip"]["path"].endswith("caf\\xe9.m4a")


def test_a_page_that_cannot_be_made_leaves_the_old_one(view: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("map.html").write_text('<!doctype html><meta content="written by seats">old')
    monkeypatch.setattr("seats.view.page.page", lambda maps: "<!doctype html>\udcff")
    assert view("sound.m4a").code == 1
    assert Path("map.html").read_text() == '<!doctype html><meta content="written by seats">old'
    assert [path.name for path in Path().iterdir() if path.is_file()] == ["map.html"]


def test_figure_without_matplotlib(view: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    ran = view("mute.mp4", "--png", "map.png")
    assert ran.code == 2
    assert "pip install matplotlib" in ran.line


def test_empty_question(run: Run, clips: Path) -> None:
    ran = run("view", clips / "mute.mp4", "  ")
    assert ran.code == 2
    assert "question is empty" in ran.line
