"""What becomes of jobs whose worker was lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from seats.batch.jobs import Asked, Finished, Job, Made
from seats.batch.ledger import Ledger
from seats.errors import ModelError
from seats.media.content import content_of

ASKED = tuple(Asked(str(n), f"{n} ?") for n in range(3))


def test_jobs_come_once_and_those_that_came_back_first() -> None:
    ledger = Ledger([Job(name, ASKED) for name in "abc"], "s")
    first, second = ledger.next(), ledger.next()
    ledger.put_back(second)
    assert [ticket.job.clip for ticket in iter(ledger.next, None)] == ["b", "c"]
    assert ledger.empty
    ledger.put_back(first)
    assert not ledger.empty


def test_a_worker_s_share_is_of_what_is_left_and_what_is_in_hand() -> None:
    ledger = Ledger([Job(name, ASKED) for name in "abcde"], "s")
    assert [ledger.share(0, workers) for workers in (1, 2, 5, 9)] == [5, 3, 1, 1]
    ticket = ledger.next()
    assert (ledger.share(1, 2), ledger.share(2, 2)) == (3, 3)
    ledger.put_back(ticket)
    assert ledger.share(2, 2) == 4
    while ledger.next():
        pass
    assert ledger.share(0, 2) == 0


def test_only_what_has_no_row_is_asked_again() -> None:
    ledger = Ledger([Job("a", ASKED)], "s")
    assert not ledger.next_is_suspect
    ticket = ledger.next()
    ledger.made(ticket, ASKED[1])
    assert not list(ledger.blame(ticket, "SIGKILL"))
    assert ledger.next_is_suspect
    again = ledger.next()
    assert again.job == Job("a", (ASKED[0], ASKED[2]))


def test_a_job_that_ends_two_workers_is_given_up(tmp_path: Path) -> None:
    clip = tmp_path / "a.mp4"
    clip.write_text("deadly")
    ledger = Ledger([Job(str(clip), ASKED)], "s")
    assert not list(ledger.blame(ledger.next(), "SIGSEGV"))
    ticket = ledger.next()
    ledger.made(ticket, ASKED[0])
    *rows, end = ledger.blame(ticket, "SIGSEGV")
    assert ledger.empty
    assert end == Finished(ticket.job, complete=True)
    assert [made.asked for made in rows if isinstance(made, Made)] == list(ASKED[1:])
    row = rows[0].row
    assert row["error"]["type"] == "ModelError"
    assert "lost over it 2 times (SIGSEGV)" in row["error"]["message"]
    assert row["content"]["hash"] == content_of(str(clip)).hash  # so that resuming knows it


def test_a_job_whose_clip_is_gone_is_given_up_without_its_content(tmp_path: Path) -> None:
    ledger = Ledger([Job(str(tmp_path / "gone.mp4"), ASKED)], "s")
    *rows, _ = ledger.blame(ledger.next(), "SIGSEGV", tries=1)
    assert [made.row["content"] for made in rows if isinstance(made, Made)] == [None] * 3


def test_losing_workers_without_end_ends_the_batch() -> None:
    ledger = Ledger([Job("a", ASKED)], "s")
    ticket = ledger.next()
    for _ in range(4):
        ledger.lost("SIGKILL")
    ledger.made(ticket, ASKED[0])
    for _ in range(4):
        ledger.lost("SIGKILL")
    with pytest.raises(ModelError, match="5 times in a row"):
        ledger.lost("SIGKILL")
