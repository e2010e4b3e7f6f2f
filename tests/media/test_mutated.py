"""Damaged files: a clear error or an honest partial read, whatever was done to them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.batch_corpus import CODECS, make_mutants
from benchmarks.batch_mutated import MEMORY, measure
from seats.media import load_clip
from seats.media.riff import promised_seconds
from tests.media.make import tone, write_clip


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


def test_the_same_seed_damages_the_same(tmp_path: Path) -> None:
    parent = tmp_path / "parent.wav"
    parent.write_bytes(np.random.default_rng(0).bytes(20_000))
    first, second = ([m.path.read_bytes() for m in make_mutants(tmp_path / n, [parent], 20)] for n in "ab")
    assert first == second
    assert len(set(first)) > 15


def test_a_wav_that_was_cut_says_so(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.wav", sound=tone(6), sound_codec="pcm_s16le")
    assert promised_seconds(whole) == pytest.approx(6)
    assert not [note for note in load_clip(whole).notes if "early" in note]
    cut = tmp_path / "cut.wav"
    cut.write_bytes(whole.read_bytes()[: 2 * 48_000 * 2])
    clip = load_clip(cut)
    assert "the file ends early: 2.0 of 6.0 s could be read" in clip.notes
    assert clip.end_s == pytest.approx(clip.audio.seconds, abs=1e-3)


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFDB, 0xFFFFFFFF])
def test_a_wav_whose_recorder_knew_no_length(tmp_path: Path, size: int) -> None:
    clip = write_clip(tmp_path / "live.wav", sound=tone(2), sound_codec="pcm_s16le")
    data = bytearray(clip.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = size.to_bytes(4, "little")
    clip.write_bytes(data)
    assert promised_seconds(clip) is None
    if size:
        clip = load_clip(clip)
        assert len(clip.audio.waveform) == 32_000
        assert not [note for note in clip.notes if "early" in note]


def test_a_wav_of_compressed_sound_promises_nothing(tmp_path: Path) -> None:
    """Its bytes per second are an average."""
    clip = write_clip(tmp_path / "packed.wav", sound=tone(2), sound_codec="adpcm_ima_wav")
    data = bytearray(clip.read_bytes())
    data[28:32] = (12_000).to_bytes(4, "little")  # half of what they are
    clip.write_bytes(data)
    assert promised_seconds(clip) is None
    assert not [note for note in load_clip(clip).notes if "early" in note]


def test_promises_of_what_is_no_wav(tmp_path: Path) -> None:
    unformed = b"RIFF\0\0\0\0WAVEdata\x08\0\0\0" + bytes(8)
    for content in (
        b"",
        b"RIFF",
        b"RIFF\0\0\0\0WAVE",
        b"RIFF\0\0\0\0WAVE" + b"junk\0\0\0\0" * 500,
        b"RF64" * 20,
        unformed,
    ):
        path = tmp_path / "x.wav"
        path.write_bytes(content)
        assert promised_seconds(path) is None
    assert promised_seconds(tmp_path / "gone.wav") is None


def test_titles_in_another_character_set(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "titled.wav", sound=tone(1), sound_codec="pcm_s16le")
    data = clip.read_bytes()
    at = data.index(b"data")
    title = b"INAM" + (7).to_bytes(4, "little") + b"caf\xe9 \xff\x80"
    info = b"LIST" + (4 + len(title)).to_bytes(4, "little") + b"INFO" + title + b"\0"
    clip.write_bytes(data[:at] + info + data[at:])
    assert len(load_clip(clip).audio.waveform) == 16_000
    assert promised_seconds(clip) == 1


@pytest.mark.parametrize(
    ("frames", "seconds", "says"), [(60, 1.5, "sound ends at 1.5"), (20, 6.0, "pictures end at 2")]
)
def test_sound_and_pictures_of_different_length(tmp_path: Path, frames: int, seconds: float, says: str) -> None:
    clip = load_clip(write_clip(tmp_path / "x.mkv", frames=frames, rate=10, sound=tone(seconds)))
    assert says in " ".join(clip.notes)
    assert len(clip.notes) == 1
