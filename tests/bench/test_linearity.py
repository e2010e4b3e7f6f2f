"""Clips and lines of `benchmarks/linearity.py`."""

import pytest

from benchmarks.linearity import ask, line, make_clip
from seats.media import load_clip, probe


def test_clips_are_as_long_as_asked(tmp_path):
    path = make_clip(tmp_path / "clip.mp4", 19.0, 320, 240)
    assert probe(path).duration_s == pytest.approx(19.0, abs=0.05)
    clip = load_clip(path)
    assert clip.notes == ()
    assert clip.video.pixels.shape[0] == 38
    assert clip.video.source_fps == 30
    assert clip.audio.seconds == pytest.approx(19.0, abs=0.05)
    assert len({bytes(frame.numpy().tobytes()) for frame in clip.video.pixels[:16]}) == 16  # pictures move


def test_a_line_and_what_lies_off_it():
    exact = line([10.0, 100.0, 1000.0], [1.5, 6.0, 51.0])
    assert exact["start"] == pytest.approx(1.0)
    assert exact["per_second_of_clip"] == pytest.approx(0.05)
    assert exact["largest_relative_deviation"] == pytest.approx(0.0, abs=1e-9)
    curved = line([10.0, 100.0, 1000.0], [1.0, 100.0, 10_000.0])
    assert curved["largest_relative_deviation"] > 0.5
    assert curved["last_exponent"] == pytest.approx(2.0)


def test_an_answer_that_fails_is_told_by_its_exit_code(tmp_path):
    with pytest.raises(SystemExit, match="ended with 1"):
        ask(tmp_path / "none.mp4", "seats-nano")
