"""Damaged files: a clear error or an honest partial read, whatever was done to them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.batch_corpus import CODECS
from benchmarks.batch_mutated import MEMORY, measure


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at memory in /proc")
def test_damaged_files(tmp_path: Path) -> None:
    figures = measure(tmp_path, 60, seed=1)
    assert figures.faults == []
    assert figures.files == 60
    assert set(figures.by_container) == set(CODECS)
    # of everything something: the files are neither all unreadable nor all as good as new
    assert figures.outcomes["error"] >= 5
    assert figures.outcomes["whole"] >= 5
    assert figures.outcomes["partial, with a note"] >= 5
    assert figures.peak_bytes < MEMORY
