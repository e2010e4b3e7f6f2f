"""Questions: one for all clips, or a file of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from seats.batch.clips import Found, Shard
from seats.batch.jobs import Asked, Job
from seats.batch.questions import Line, jobs_of, read_questions
from seats.errors import SettingsError

LINES = [
    Line("a.mp4", "What, then?", "1", "A ring"),
    Line("in/b.mp4", "Who?"),
    Line("a.mp4", 'He said "so"\nand left?'),
]
CSV = """clip,question,id,answer,note
a.mp4,"What, then?",1,A ring,x
in/b.mp4,Who?,,,
a.mp4,"He said ""so""
and left?",,,
"""
JSONL = """{"clip": "a.mp4", "question": "What, then?", "id": 1, "answer": "A ring", "type": "t"}

{"question": "Who?", "clip": "in/b.mp4"}
{"clip": "a.mp4", "question": "He said \\"so\\"\\nand left?", "id": null}
"""


def test_what_may_never_end_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("read"))
    with pytest.raises(SettingsError, match="give questions as"):
        read_questions(Path("/dev/zero"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("q.csv", CSV),
        ("q.csv", "\ufeff" + CSV),
        ("q.jsonl", JSONL),
        ("q.jsonl", "\ufeff" + JSONL),
        ("q.ndjson", JSONL),
        ("q.tsv", CSV.replace(",", "\t")),
    ],
)
def test_reading(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text.replace("What\t then", "What, then"))
    assert read_questions(tmp_path / name) == LINES


def test_a_number_is_as_good_an_answer_as_a_text(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text('{"clip": "a.mp4", "question": "How long?", "id": 7, "answer": 2.5}')
    assert read_questions(tmp_path / "q.jsonl") == [Line("a.mp4", "How long?", "7", "2.5")]


def test_names_of_any_bytes(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_bytes(b"clip,question\n\xff.mp4,What?\n")
    assert read_questions(tmp_path / "q.csv") == [Line(os.fsdecode(b"\xff.mp4"), "What?")]
    (tmp_path / "q.jsonl").write_text('{"clip": "\\udcff.mp4", "question": "What?"}')
    assert read_questions(tmp_path / "q.jsonl") == [Line(os.fsdecode(b"\xff.mp4"), "What?")]


def test_names_are_bytes_of_utf8_also_where_the_locale_has_no_such_letters(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text("clip,question\n\u89c6.mp4,\u54ea?\n")
    code = (
        "import os, sys; from pathlib import Path; from seats.batch.questions import read_questions as read\n"
        "line, = read(Path(sys.argv[1])); print(os.fsencode(line.clip), ascii(line.question))"
    )
    plain = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ran = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "q.csv"], env=plain, capture_output=True, text=True, check=False
    )
    assert ran.stdout.split() == [repr("\u89c6.mp4".encode()), ascii("\u54ea?")], ran.stderr


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("q.csv", b"clip,ask\na,b\n", "clip, question"),
        ("q.csv", b"clip,question\na.mp4,\n", "line 2"),
        ("q.csv", b"clip,question\na.mp4,caf\xe9?\n", "not UTF-8"),
        ("q.csv", b"clip,question,answer\na.mp4,what?,caf\xe9\n", "not UTF-8"),
        ("q.csv", CSV.encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
        ("q.jsonl", JSONL.encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
        ("q.csv", b'clip,question\na.mp4,"never ends\n', "not CSV"),
        ("q.csv", b"clip,question\n", "no questions"),
        ("q.jsonl", b'{"clip": "a.mp4", "question": "x"}\n{"clip": "a.mp4"', "line 2"),
        ("q.jsonl", b'["a.mp4", "x"]', "line 1"),
        ("q.jsonl", b'{"clip": 3, "question": "x"}', "line 1"),
        ("q.jsonl", b'{"clip": "\\ud800.mp4", "question": "x"}', "not UTF-8"),
        ("q.txt", b"x", "jsonl"),
        ("q.csv", b"clip,question\nb.mp4,who?\na.mp4,what, and why?\n", "line 3: has 3 cells, the header 2.* comma "),
        ("q.tsv", b"clip\tquestion\na.mp4\twhat,\t and why?\n", "line 2: has 3 cells, the header 2.* tab "),
        ("q.csv", b"clip,question,id\na.mp4,what, and why?\n", "line 2: .*quotes"),
        ("q.csv", b"clip,question,id\na.mp4,what?\nb.mp4\n", "line 3: has no question"),
        ("q.csv", b"clip,question\n,what?\n", "line 2: has no clip"),
        ("q.csv", b"clip;question\na.mp4;what?\n", "first line is 'clip;question'"),
        ("q.csv", b"Clip,question\na.mp4,what?\n", "first line is 'Clip,question'"),
        ("q.csv", b"clip, question\na.mp4,what?\n", "first line is 'clip, question'"),
        ("q.csv", b"clip,question,id\na.mp4,what?,x\nb.mp4,who?,x\n", "line 3: id 'x' is already that of line 2"),
        ("q.csv", b"", "holds no questions"),
        ("q.jsonl", b'{"clip": "a.mp4", "question": " "}', "has no question"),
        ("q.jsonl", b'{"clip": "a.mp4", "question": 7}', "its question is a number, not a text"),
        ("q.jsonl", b'{"clip": "a.mp4", "question": "x", "answer": ["y"]}', "its answer is a list, not a text"),
        ("q.jsonl", b'{"clip": "a.mp4", "question": "x", "id": {}}', "its id is an object, not a text"),
    ],
)
def test_what_is_no_file_of_questions(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SettingsError, match=says):
        read_questions(tmp_path / name)


def test_columns_that_are_not_used_are_named(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text(CSV)
    (tmp_path / "q.jsonl").write_text(JSONL)
    for name, unused in (("q.csv", "note"), ("q.jsonl", "type")):
        said: list[str] = []
        read_questions(tmp_path / name, remark=said.append)
        assert len(said) == 1
        assert f"{name}: not used: {unused}" in said[0]
    (tmp_path / "q.csv").write_text("clip,question,\na.mp4,What?,\n")  # nor is a column without a name
    read_questions(tmp_path / "q.csv", remark=lambda line: pytest.fail(line))


def test_spaces_after_every_comma_are_no_lost_comma(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text("clip,question,answer\na.mp4, What?, A ring\n")
    assert read_questions(tmp_path / "q.csv") == [Line("a.mp4", " What?", answer=" A ring")]
    (tmp_path / "q.csv").write_text("clip,question,answer\na.mp4,What?, \n")
    assert read_questions(tmp_path / "q.csv") == [Line("a.mp4", "What?", answer=" ")]


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"gone.csv: cannot be read .*\(No such file or directory\)"):
        read_questions(tmp_path / "gone.csv")


def test_one_question_for_all() -> None:
    jobs, remarks = jobs_of(Found("clips", ["a.mp4", "in/b.mp4"]), "What?")
    assert jobs == [
        Job("clips/a.mp4", (Asked("a.mp4", "What?"),)),
        Job("clips/in/b.mp4", (Asked("in/b.mp4", "What?"),)),
    ]
    assert not remarks


def test_several_questions_per_clip() -> None:
    lines = [*LINES, Line("./a.mp4", "What, then?", "1", "A ring"), Line("/other/c.mp4", "Why?")]
    jobs, remarks = jobs_of(Found("clips", ["a.mp4", "z.mp4"]), lines)
    assert jobs == [
        Job("clips/a.mp4", (Asked("1", "What, then?", "A ring"), Asked("a.mp4#2", 'He said "so"\nand left?'))),
        Job("clips/in/b.mp4", (Asked("in/b.mp4", "Who?"),)),
        Job("/other/c.mp4", (Asked("/other/c.mp4", "Why?"),)),
    ]
    assert remarks == [
        "1 clip has no question in the file and is left out",
        "1 question repeated under the same id, asked once",
    ]


def test_an_id_made_of_a_clip_s_name_is_none_of_another_question_whatever_the_shard() -> None:
    lines = [Line("a.mp4", "What?", "b.mp4"), Line("b.mp4", "Who?"), Line("b.mp4", "Why?"), Line("b.mp4#3", "How?")]
    lines += [Line("b.mp4", "Where?")]
    found = Found("", ["a.mp4", "b.mp4", "b.mp4#3"])
    whole = {(job.clip, asked) for job in jobs_of(found, lines)[0] for asked in job.asked}
    assert sorted(asked.id for _, asked in whole) == ["b.mp4", "b.mp4#2", "b.mp4#3", "b.mp4#3#2", "b.mp4#4"]
    shards = [jobs_of(found, lines, Shard(n, 3))[0] for n in (1, 2, 3)]
    assert {(job.clip, asked) for jobs in shards for job in jobs for asked in job.asked} == whole


def test_shards_keep_a_clips_questions_together() -> None:
    lines = [Line(f"{n % 50}.mp4", f"Question {n}?") for n in range(200)]
    parts = [jobs_of(Found("", []), lines, Shard(n, 3))[0] for n in (1, 2, 3)]
    assert sorted(job.clip for part in parts for job in part) == sorted(f"{n}.mp4" for n in range(50))
    assert all(len(job.asked) == 4 for part in parts for job in part)


def test_clips_of_other_shards_are_not_called_silent() -> None:
    names = [f"{n}.mp4" for n in range(9)]
    lines = [Line(name, "What?") for name in names]
    for index in (1, 2, 3):
        assert jobs_of(Found("", names), lines, Shard(index, 3))[1] == []
