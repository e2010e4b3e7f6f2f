"""Where a run's rows can't go is said before its model is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from seats.errors import SettingsError
from seats.integrations.results_file import check_results, own_file


def test_each_process_has_a_file_of_its_own(tmp_path: Path) -> None:
    assert own_file(tmp_path / "x.jsonl", 0, 1) == tmp_path / "x.jsonl"
    assert own_file(tmp_path / "x.jsonl", 1, 2) == tmp_path / "x.1.jsonl"


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no folder"):
        check_results(tmp_path / "no" / "x.jsonl")
    check_results(tmp_path / "x.jsonl")


def test_what_is_there_already(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.1.jsonl").touch()
    check_results(tmp_path / "x.jsonl")  # another run's; one process writes x.jsonl
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    check_results(tmp_path / "x.jsonl")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SettingsError, match=r"x\.1\.jsonl is there already"):
        check_results(tmp_path / "x.jsonl")
    (tmp_path / "y.jsonl").touch()
    with pytest.raises(SettingsError, match=r"y\.jsonl is there already"):
        check_results(tmp_path / "y.jsonl")
