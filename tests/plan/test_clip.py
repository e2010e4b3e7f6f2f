"""What a header promises against what decoding finds."""

from __future__ import annotations

import struct
import time
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from seats.errors import MediaError, SettingsError
from seats.media import FrameSampling, load_clip, probe
from seats.media import container as media
from seats.plan import clip as clip_module
from seats.plan.clip import ClipFacts, Pictures, Sound, clip_facts, take
from seats.plan.model import planned_model
from seats.plan.plan import Ask, make_plan
from tests.media.make import tone, write_clip

SAMPLES = sorted((Path(__file__).resolve().parents[2] / "samples").glob("*.m*4*"))


def _same(path, sampling, start=None, end=None):
    part = take(clip_facts(path), sampling, start, end)
    real = load_clip(path, sampling=sampling, start_s=start, end_s=end)
    assert part.frames == (0 if real.video is None else real.video.pixels.shape[0])
    if real.video is not None:
        assert (part.height, part.width) == tuple(real.video.pixels.shape[2:])
        assert part.fps == pytest.approx(real.video.fps)
    assert part.samples == (0 if real.audio is None else len(real.audio.waveform))
    times = [(one.start_s, one.end_s, one.duration_s) for one in (part, real)]
    assert times[0] == pytest.approx(times[1], abs=1e-9)
    assert part.exact


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_samples_are_planned_as_they_are_read(path):
    _same(path, FrameSampling())


def test_parts_rates_and_sizes(tmp_path):
    path = write_clip(tmp_path / "both.mp4", frames=100, rate=10, sound=tone(10)) or tmp_path / "both.mp4"
    for start, end in ((None, 3.3), (2.0, None), (6.5, 8.0)):
        _same(path, FrameSampling(fps=1.5, min_pixels=28 * 28, max_pixels=6 * 28 * 28), start, end)
    _same(path, FrameSampling(max_frames=6))


@pytest.mark.parametrize("end", [None, 3.0])
@pytest.mark.parametrize("use_video", [True, False])
def test_sound_whose_clock_falls_back_is_planned_until_then(tmp_path, use_video, end):
    whole = tmp_path / "joined.ts"
    pieces = [write_clip(tmp_path / f"{s}.ts", frames=20 * s, rate=20, sound=tone(float(s))) for s in (5, 3)]
    whole.write_bytes(b"".join(piece.read_bytes() for piece in pieces))
    facts = clip_facts(whole, use_video=use_video)
    part, real = take(facts, FrameSampling(), None, end), load_clip(whole, use_video=use_video, end_s=end)
    assert part.samples == len(real.audio.waveform) == pytest.approx(16_000 * (end or 5.0), rel=0.02)
    said = ["the clock of the sound restarts at 5.0 s; only the part before it is used"]
    for notes in (part.notes, real.notes):
        assert [note for note in notes if "of the sound" in note] == (said if end is None else [])
    assert not any("ends early" in note for note in part.notes)
    assert part.end_s == pytest.approx(real.end_s)


@pytest.mark.parametrize("end", [None, 7.5])
def test_behind_a_clock_that_falls_back_what_follows_is_planned(tmp_path, end):
    whole = tmp_path / "joined.ts"
    pieces = [write_clip(tmp_path / f"{s}.ts", sound=tone(float(s))) for s in (5, 8)]
    whole.write_bytes(b"".join(piece.read_bytes() for piece in pieces))
    part, real = take(clip_facts(whole), FrameSampling(), 6.5, end), load_clip(whole, start_s=6.5, end_s=end)
    assert part.samples == pytest.approx(len(real.audio.waveform), abs=800)
    assert (part.exact, part.notes) == (False, ())
    with pytest.raises(MediaError, match=r"lasts 8\.02 s"):
        take(clip_facts(whole), FrameSampling(), 9.0)


@pytest.mark.parametrize("name", ["sound.mp3", "sound.mp4"])
@pytest.mark.parametrize("rate", [44_100, 16_000])
def test_what_fills_the_last_frame_is_not_counted(tmp_path, name, rate):
    """LAME says how many samples those are; in MP4 nothing does, and they are heard."""
    path = write_clip(tmp_path / name, sound=tone(6.0, rate), sound_rate=rate, sound_codec="libmp3lame")
    _same(path, FrameSampling())
    _same(path, FrameSampling(), 4.0, 5.0)


def test_a_header_alone_is_nearly_as_good(tmp_path, monkeypatch):
    write_clip(tmp_path / "both.mp4", frames=100, rate=10, sound=tone(10))
    exact = take(clip_facts(tmp_path / "both.mp4"), FrameSampling())
    monkeypatch.setattr(clip_module, "PACKETS_S", 1e-9)
    facts = clip_facts(tmp_path / "both.mp4")
    part = take(facts, FrameSampling())
    assert not part.exact
    assert any("header" in note for note in facts.notes)
    assert part.frames == exact.frames
    assert abs(part.samples - exact.samples) < 2000


def test_a_header_that_cannot_be_true_is_not_believed(tmp_path, monkeypatch):
    """Tokens of 30 years would not fit into memory."""
    path = write_clip(tmp_path / "clip.mkv", frames=20, rate=10, sound=tone(2))
    said = path.read_bytes()
    at = said.index(b"\x44\x89\x88") + 3  # the header's duration, a float of 8 bytes, in milliseconds
    path.write_bytes(said[:at] + struct.pack(">d", 1e12) + said[at + 8 :])
    assert probe(path).duration_s == 1e9
    monkeypatch.setattr(clip_module, "PACKETS_S", 1e-9)
    facts = clip_facts(path)
    assert facts.exact
    assert facts.reached_s < 3


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_a_few_pictures_in_a_transport_stream_are_planned(tmp_path, frames):
    path = write_clip(tmp_path / "few.ts", frames=frames, rate=25, sound=tone(8))
    planned = take(clip_facts(path), FrameSampling())
    assert planned.frames == len(load_clip(path).video.times)
    assert not any("no picture" in note for note in planned.notes)


def test_nothing_left_is_an_error(tmp_path):
    write_clip(tmp_path / "mute.mp4", frames=20, rate=10)
    facts = clip_facts(tmp_path / "mute.mp4")
    with pytest.raises(MediaError, match="no sound, and --no-video leaves out its pictures; leave out --no-video"):
        clip_facts(tmp_path / "mute.mp4", use_video=False)
    with pytest.raises(SettingsError, match="neither video nor sound is to be used"):
        clip_facts(tmp_path / "mute.mp4", use_video=False, use_audio=False)
    with pytest.raises(MediaError, match="begins at 5"):
        take(facts, FrameSampling(), 5.0)
    with pytest.raises(SettingsError, match="is not after the start"):
        take(facts, FrameSampling(), 1.0, 0.5)
    (tmp_path / "text.mp4").write_text("a letter\n" * 50)
    with pytest.raises(MediaError):
        clip_facts(tmp_path / "text.mp4")


def test_ten_hours_are_planned_in_a_moment():
    hours = 10 * 3600.0
    pictures = Pictures(1920, 1080, "h264", np.arange(int(hours * 30)) / 30, 1 / 30, (30.0,), exact=False)
    facts = ClipFacts(Path("day.mp4"), hours, pictures, Sound(48_000, hours, exact=False))
    model = planned_model("qwen2.5-omni-7b")
    began = time.process_time()
    plan = make_plan(model, facts, Ask(device="cuda", dtype_bytes=2))
    assert time.process_time() - began < 1.0
    assert plan.part.frames == model.sampling.max_frames
    assert plan.full.tokens.layers[0].audio == 25 * hours


@pytest.mark.parametrize(("start", "end"), [(0.0, 4.0), (0.0, 8.0), (5.0, None), (None, None)])
def test_a_part_without_sound_or_pictures_is_told_as_by_ask(tmp_path, start, end):
    path = write_clip(tmp_path / "apart.mkv", frames=40, rate=10, sound=tone(2.0), sound_start_s=6.0)
    part, clip = take(clip_facts(path), FrameSampling(), start, end), load_clip(path, start_s=start, end_s=end)
    told = [note for note in clip.notes if note.startswith(("no picture is shown", "there is no sound"))]
    assert [note for note in part.notes if note in told] == told
    assert (part.frames > 0, part.samples > 0) == (clip.video is not None, clip.audio is not None)
    assert part.sound_s == pytest.approx(clip.audio.seconds if clip.audio else 0.0, abs=0.05)


@pytest.mark.parametrize(
    ("name", "codec", "seconds", "rate"),
    [
        ("one-block.mka", "alac", 0.4, 8_000),  # a packet that the container says no length of
        ("alac.mkv", "alac", 11.7, 16_000),
        ("tta.mkv", "tta", 3.0, 44_100),  # the last is said to be as long as the others
        ("pcm.mkv", "pcm_s16le", 3.0, 44_100),
        ("opus.webm", "libopus", 3.0, 48_000),  # the last is filled up
        ("opus.mka", "libopus", 2.345, 48_000),
        ("opus.ogg", "libopus", 2.345, 48_000),
    ],
)
def test_sound_whose_packets_have_no_length_or_a_rounded_one(tmp_path, name, codec, seconds, rate):
    path = write_clip(tmp_path / name, sound=tone(seconds, rate), sound_codec=codec, sound_rate=rate)
    samples = len(load_clip(path).audio.waveform)
    assert take(clip_facts(path), FrameSampling()).samples == pytest.approx(samples, abs=32)
    both = write_clip(
        tmp_path / f"both-{Path(name).stem}.mkv", frames=140, rate=10, sound=tone(seconds, rate), sound_codec=codec,
        sound_rate=rate,
    )  # fmt: skip
    part = take(clip_facts(both), FrameSampling())
    assert part.samples > 0
    assert not part.exact or part.samples == pytest.approx(samples, abs=32)


@pytest.mark.parametrize(("name", "codec"), [("opus.ogg", "libopus"), ("pcm.mkv", "pcm_s16le")])
def test_sound_whose_last_packet_has_a_negative_length(tmp_path, monkeypatch, name, codec):
    """As FFmpeg gives it of Ogg Vorbis that lasts less than what it begins with."""
    path = write_clip(tmp_path / name, sound=tone(0.5, 48_000), sound_codec=codec, sound_rate=48_000)
    whole = clip_facts(path).sound.end_s
    read = media.packets

    def packets(*given):
        for packet, last in pairwise([*read(*given), None]):
            if last is None:
                packet.duration = 2**32 - 80
            yield packet

    monkeypatch.setattr(media, "packets", packets)
    assert whole - 0.05 <= clip_facts(path).sound.end_s <= whole + 0.05


def test_sound_whose_last_packet_is_said_to_be_whole(tmp_path):
    """As other releases of FFmpeg write Opus into WebM: the filling is said, the duration is with it."""
    first = write_clip(tmp_path / "first.webm", sound=tone(3.0, 48_000), sound_codec="libopus", sound_rate=48_000)
    path = tmp_path / "second.webm"
    with av.open(str(first)) as source, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.size:
                packet.duration, packet.stream = 20, stream
                out.mux(packet)
    with av.open(str(path)) as made:
        last = [packet for packet in made.demux() if packet.size][-1]
    assert (last.duration, last.has_sidedata("skip_samples")) == (20, True)
    samples = len(load_clip(path).audio.waveform)
    assert take(clip_facts(path), FrameSampling()).samples == pytest.approx(samples, abs=32)


def test_one_packet_of_unknown_length_that_begins_late_is_not_as_long_as_its_wait(tmp_path):
    """Nothing says how long it is: the whole file is taken for it, and that said."""
    settings = {"sound": tone(0.4, 8_000), "sound_codec": "alac", "sound_rate": 8_000, "sound_start_s": 3.0}
    sound = clip_facts(write_clip(tmp_path / "late.mkv", frames=140, rate=10, **settings)).sound
    assert not sound.exact
    assert sound.end_s == pytest.approx(14.0, abs=0.1)


def test_the_whole_length_is_known_where_no_header_says_it(tmp_path):
    path = write_clip(tmp_path / "raw.h264", frames=60, rate=10, container_format="h264")
    assert take(clip_facts(path), FrameSampling(), end_s=1.0).duration_s == load_clip(path, end_s=1.0).duration_s
