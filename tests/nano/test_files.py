"""Clips written as files hold what was rendered."""

import json

import av
import numpy as np
import pytest
import soxr

from seats.nano.files import FILE_SAMPLE_RATE, write_clip
from seats.nano.render_audio import SAMPLE_RATE, render_waveform
from seats.nano.render_video import render_frames
from seats.nano.samples import SAMPLES, describe_sample
from seats.nano.testset import held_out_clips, question_lines, write_test_set
from seats.nano.world import describe_clip


def _decode(path):
    with av.open(str(path)) as container:
        frames = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        wave = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    return frames, soxr.resample(wave, FILE_SAMPLE_RATE, SAMPLE_RATE)


@pytest.mark.parametrize("index", [0, 1])
def test_round_trip_keeps_frames_and_sound(tmp_path, index):
    clip = describe_clip("validation", index, 4)
    path = tmp_path / "clip.mp4"
    write_clip(clip, path)
    frames, wave = _decode(path)
    assert len(frames) == round(4 * clip.source_fps)
    times = [time for time, _ in frames]
    assert np.allclose(times, np.arange(len(frames)) / clip.source_fps, atol=1e-3)
    reference, _ = render_frames(clip, np.arange(len(frames)) / clip.source_fps)
    decoded = np.stack([image for _, image in frames]).astype(float)
    assert np.abs(decoded - reference).mean() < 8
    expected = render_waveform(clip)
    length = min(len(wave), len(expected))
    assert abs(len(wave) - len(expected)) < 0.1 * SAMPLE_RATE
    assert np.corrcoef(wave[:length], expected[:length])[0, 1] > 0.9


def test_files_without_sound_or_picture(tmp_path):
    write_clip(describe_clip("validation", 3, 4, has_audio=False), tmp_path / "silent.mp4")
    write_clip(describe_clip("validation", 3, 4, has_video=False), tmp_path / "sound.m4a")
    with av.open(str(tmp_path / "silent.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]
    with av.open(str(tmp_path / "sound.m4a")) as container:
        assert [stream.type for stream in container.streams] == ["audio"]


def test_the_same_description_gives_the_same_bytes(tmp_path):
    clip = describe_clip("validation", 5, 4)
    write_clip(clip, tmp_path / "a.mp4")
    write_clip(clip, tmp_path / "b.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_the_test_set_is_made_again_identically(tmp_path):
    first = write_test_set(tmp_path / "a", "validation", 3, 4)
    assert write_test_set(tmp_path / "b", "validation", 3, 4) == first
    lines = (tmp_path / "a" / "questions.jsonl").read_text().splitlines()
    assert len(lines) == 12
    for line in lines:
        record = json.loads(line)
        assert (tmp_path / "a" / record["clip"]).exists()
        assert record["answer"]


def test_two_may_write_the_test_set_at_once(tmp_path, monkeypatch):
    written = []

    def write(clip, path, *rest):
        path.write_bytes(b"clip")
        written.append(path)
        if len(written) == 1:  # meanwhile another run does all of it
            write_test_set(tmp_path, "validation", 2, 4)

    monkeypatch.setattr("seats.nano.testset.write_clip", write)
    write_test_set(tmp_path, "validation", 2, 4)
    assert len(written) == 3
    clips = {"validation-000000.mp4", "validation-000001.mp4"}
    assert {path.name for path in tmp_path.iterdir()} == {*clips, "questions.jsonl", "version"}


def test_a_clip_that_fails_leaves_no_part_behind(tmp_path, monkeypatch):
    def write(clip, path, *rest):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("seats.nano.testset.write_clip", write)
    with pytest.raises(KeyboardInterrupt):
        write_test_set(tmp_path, "validation", 2, 4)
    assert [path.name for path in tmp_path.iterdir()] == ["version"]


def test_clips_of_another_version_are_made_anew(tmp_path, monkeypatch):
    monkeypatch.setattr("seats.nano.testset.write_clip", lambda clip, path, *rest: path.write_bytes(b"new"))
    old, mine = tmp_path / "validation-000001.mp4", tmp_path / "holiday-2.mp4"
    for path in (old, mine, tmp_path / "validation-000009.m4a"):
        path.write_bytes(b"old")

    write_test_set(tmp_path, "validation", 2, 4)
    assert old.read_bytes() == b"old"  # from before versions were written down: of the first

    monkeypatch.setattr("seats.nano.testset.VERSION", 2)
    write_test_set(tmp_path, "validation", 1, 4)
    assert mine.read_bytes() == b"old"
    clips = {path.name for path in tmp_path.glob("validation*")}
    assert clips == {"validation-000000.mp4"}  # none of the old ones stays, also where few are wanted

    (tmp_path / "validation-000000.mp4").write_bytes(b"kept")
    write_test_set(tmp_path, "validation", 2, 4)
    assert (tmp_path / "validation-000000.mp4").read_bytes() == b"kept"
    assert old.read_bytes() == b"new"


def test_the_full_test_set_is_large_enough_and_unchanged():
    tests = list(held_out_clips())
    assert len(tests) >= 300
    assert sum(len(test.questions) for test in tests) >= 2000
    assert sum(not test.clip.has_audio for test in tests) == 16
    assert sum(not test.clip.has_video for test in tests) == 16
    assert question_lines(tests[0]) == question_lines(next(iter(held_out_clips())))


def test_samples_have_what_they_are_named_for():
    names = [sample.file for sample in SAMPLES]
    assert 8 <= len(set(names)) == len(names) <= 12
    for sample in SAMPLES:
        _, clip = describe_sample(sample)
        assert sample.wanted(clip)
        assert clip.name.startswith("sample-")
