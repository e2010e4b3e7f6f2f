"""Where a clip ends: lengths that headers state, clocks that do not start at 0 or start anew, and cut files."""

import re
import struct
from pathlib import Path

import av
import numpy as np
import pytest

from seats.errors import MediaError
from seats.media import FrameSampling, load_clip, probe
from seats.media.endings import allowance
from seats.plan.clip import clip_facts, take
from tests.media.make import busy, numbers, tone, write_bare, write_clip


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_a_truncated_file_gives_what_it_has_and_says_so(clips, plain_clip, suffix, capfd):
    options = {"movflags": "+faststart"} if suffix == "mp4" else {}
    whole = write_clip(clips / f"whole.{suffix}", frames=300, sound=tone(10.0), container_options=options, picture=busy)
    data = whole.read_bytes()
    cut = clips / f"cut-off.{suffix}"
    cut.write_bytes(data[: int(0.4 * len(data))])
    clip = load_clip(cut)
    assert 1.4 < clip.video.fps < 2.1
    assert 4 <= len(clip.video.pixels) <= 10
    assert 2.0 < clip.end_s < 6.0
    if suffix != "ts":  # a transport stream has no header that would announce more
        assert any("ends early" in note for note in clip.notes)
        assert clip.duration_s == pytest.approx(10.0, abs=0.1)
    assert capfd.readouterr() == ("", "")


_HEALTHY = {
    "aac.mp4": {"container_options": {"movflags": "+faststart"}},
    "b-frames.mp4": {"container_options": {"movflags": "+faststart"}, "options": {"preset": "fast"}},
    "phone.mov": {"container_options": {"movflags": "+faststart"}, "sound_rate": 8_000},
    "aac.mkv": {},
    "opus.mkv": {"sound_codec": "libopus"},
    "mp3.mkv": {"sound_codec": "libmp3lame", "sound_rate": 8_000},
    "flac.mkv": {"sound_codec": "flac"},
    "opus.webm": {"codec": "libvpx", "sound_codec": "libopus", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "aac.flv": {"sound_rate": 44_100},
    "mp3.avi": {"codec": "mpeg4", "sound_codec": "libmp3lame"},
    "one-a-second.mkv": {"frames": 8, "rate": 1},
    "varying.mp4": {
        "frames": 40,
        "pts_ms": [n * n * 5 for n in range(40)],
        "container_options": {"movflags": "faststart"},
    },
    "alone.mka": {"frames": 0, "sound_codec": "libmp3lame", "sound_rate": 8_000},
    "alone.m4a": {"frames": 0, "container_options": {"movflags": "+faststart"}},
    "alone.mp3": {"frames": 0, "sound_codec": "libmp3lame", "sound_rate": 44_100},
    "alone.flac": {"frames": 0, "sound_codec": "flac"},
    "alone.wav": {"frames": 0, "sound_codec": "pcm_s16le"},
    "packed.wav": {"frames": 0, "sound_codec": "adpcm_ima_wav"},
}


@pytest.mark.parametrize("name", _HEALTHY)
def test_the_end_is_missed_where_it_was_cut_off_and_only_there(tmp_path, name):
    settings = {"frames": 240, "picture": busy, "size": (80, 64), **_HEALTHY[name]}
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 8 * settings.get("sound_rate", 48_000)))
    whole = write_clip(tmp_path / name, sound=sound.astype(np.float32), **settings)
    expected = () if settings["frames"] else ("no pictures in the file; only the sound is used",)
    assert load_clip(whole).notes == expected
    assert load_clip(whole, start_s=2.0, end_s=7.5).notes == expected
    cut = tmp_path / f"cut-{name}"
    data = whole.read_bytes()
    cut.write_bytes(data[: int(0.9 * len(data))])
    clip = load_clip(cut)
    assert any(re.match(r"the file ends early: [67]\.\d of 8\.\d s", note) for note in clip.notes)
    assert 6.5 < clip.end_s < 7.6
    assert not any("early" in note for note in load_clip(cut, end_s=6.0).notes)
    # a plan, which decodes nothing, says the same
    assert take(clip_facts(whole), FrameSampling()).notes == ()
    assert take(clip_facts(whole), FrameSampling(), 2.0, 7.5).notes == ()
    part = take(clip_facts(cut), FrameSampling())
    assert [note[:19] for note in part.notes] == ["the file ends early"]
    assert part.end_s == pytest.approx(clip.end_s, abs=0.1)
    assert take(clip_facts(cut), FrameSampling(), 0.0, 6.0).notes == ()


def test_the_samples_are_read_without_a_word():
    samples = sorted((Path(__file__).resolve().parents[2] / "samples").glob("*.m*4*"))
    assert len(samples) > 5
    for path in samples:
        assert not [note for note in load_clip(path).notes if "only the" not in note]


def test_what_may_be_missing_does_not_grow_with_the_length(tmp_path):
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 100 * 8_000)).astype(np.float32)
    path = write_clip(tmp_path / "long.mka", sound=sound, sound_rate=8_000, sound_codec="flac")
    path.write_bytes(path.read_bytes()[: -2 * 2 * 8_000])
    clip = load_clip(path)
    assert any(note.startswith("the file ends early: 9") for note in clip.notes)
    assert clip.end_s == pytest.approx(98, abs=1)
    path = write_clip(tmp_path / "quiet-end.mp4", frames=60, rate=1, sound=tone(58.0, 8_000), sound_rate=8_000)
    (note,) = load_clip(path).notes  # FFmpeg 9 leaves out what the last block of AAC is filled up with
    assert note in {f"the sound ends at {end} s, the clip at 60.0 s" for end in (58.0, 58.1)}


@pytest.mark.parametrize("pts_ms", [range(0, 4000, 700), range(0, 4000, 200)])
def test_a_length_may_count_a_last_picture_of_which_nothing_else_says_it(tmp_path, pts_ms):
    path = write_clip(tmp_path / "slides.mkv", frames=len(pts_ms), pts_ms=pts_ms)
    data = bytearray(path.read_bytes())
    default, length = data.index(b"\x23\xe3\x83\x84"), data.index(b"\x44\x89\x88") + 3
    data[default : default + 8] = b"\xec\x86" + bytes(6)  # the usual length of a picture is left out
    data[length : length + 8] = struct.pack(">d", pts_ms[-1] + pts_ms.step)
    path.write_bytes(data)
    for start in (None, 1.5):
        assert load_clip(path, start_s=start).notes == ("no sound track in the file; only the pictures are used",)
    assert take(clip_facts(path), FrameSampling()).notes == ()


def test_of_a_picture_that_is_shown_for_long_a_second_may_be_missing():
    assert allowance(None, 0.5) == pytest.approx(0.6)
    assert allowance(None, 20.0) == pytest.approx(1.1)
    assert allowance(8_192, 20.0) == pytest.approx(1.6)


@pytest.mark.parametrize(("end", "said"), [(4.04, False), (4.3, True)])
def test_an_end_behind_that_of_the_file_is_said_but_for_rounding(tmp_path, end, said):
    path = write_clip(tmp_path / "short.mp4", frames=40, rate=10, size=(64, 48))
    notes = load_clip(path, end_s=end, use_audio=False).notes
    assert (f"asked up to {end:g} s; the file ends at 4.00 s" in notes) == said


def test_at_the_very_end_of_a_file_nothing_begins(tmp_path):
    path = write_clip(tmp_path / "short.mp4", frames=40, rate=10, size=(64, 48))
    with pytest.raises(MediaError, match=r"lasts 4\.00 s, so nothing begins at 4 s; choose an earlier start"):
        load_clip(path, start_s=4.0)


@pytest.mark.parametrize(("start", "said"), [(0.1, False), (0.3, True)])
def test_pictures_are_late_where_one_is_missing(tmp_path, start, said):
    path = write_clip(tmp_path / "late.mp4", frames=40, rate=10, size=(64, 48), video_start_s=start, sound=tone(4.0))
    clip = load_clip(path)
    assert clip.video.times[0] == pytest.approx(start, abs=0.03)
    assert clip.video.times[0] > 0
    assert any("the pictures begin" in note for note in clip.notes) == said


def test_a_cut_is_said_where_a_stream_is_not_used(tmp_path):
    whole = write_clip(tmp_path / "whole.mkv", frames=120, picture=busy, sound=[tone(4.0), tone(4.0)])
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: int(0.8 * whole.stat().st_size)])
    for settings in ({"use_audio": False}, {"use_video": False}, {}):
        assert not [note for note in load_clip(whole, **settings).notes if "early" in note]
        assert [note for note in load_clip(cut, **settings).notes if note.startswith("the file ends early")]
        assert take(clip_facts(whole, **settings), FrameSampling()).notes == ()
        assert [note[:19] for note in take(clip_facts(cut, **settings), FrameSampling()).notes] == [
            "the file ends early"
        ]


def test_a_cut_through_the_sound_behind_the_pictures_is_said(tmp_path):
    """One fragment: all its pictures, then all its sound."""
    options = {"movflags": "+frag_keyframe+empty_moov"}
    whole = write_clip(tmp_path / "whole.mp4", frames=120, gop=120, sound=tone(4.0), container_options=options)
    assert load_clip(whole).notes == ()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: int(0.9 * whole.stat().st_size)])
    clip = load_clip(cut)
    assert 3.0 < clip.audio.seconds < 3.6
    assert any(note.startswith("the sound ends at 3.") for note in clip.notes)


def test_a_cut_through_sound_that_begins_late_is_said(tmp_path):
    """Its header has the length of the sound and, apart, when it begins."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 4 * 48_000)).astype(np.float32)
    late = {"sound": noise, "sound_start_s": 2.0, "container_options": {"movflags": "+faststart"}}
    whole = write_clip(tmp_path / "whole.mp4", frames=60, rate=10, size=(64, 48), **late)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: int(0.85 * whole.stat().st_size)])
    assert not [note for note in load_clip(whole, use_video=False).notes if "early" in note]
    assert re.search(r"ends early: 5\.\d of 6\.0 s", load_clip(cut, use_video=False).notes[-1])


def _lasts(path, seconds):
    """It lasts as long for those who read it, whole or in part, for those who look at its header and for `plan`."""
    clip = load_clip(path)
    assert [note for note in clip.notes if "only the" not in note] == []
    assert clip.duration_s == clip.end_s == pytest.approx(seconds, abs=0.1)
    assert clip.audio is None or clip.audio.seconds == pytest.approx(seconds, abs=0.1)
    assert probe(path).duration_s == pytest.approx(seconds, abs=0.1)
    part = take(clip_facts(path), FrameSampling())
    assert part.end_s == pytest.approx(seconds, abs=0.1)
    if clip.audio is not None:
        assert part.samples == pytest.approx(len(clip.audio.waveform), abs=1600)
        assert load_clip(path, end_s=1.0).audio.seconds == pytest.approx(1.0)
    with pytest.raises(MediaError, match="lasts"):
        load_clip(path, start_s=seconds + 1)
    return clip


@pytest.mark.parametrize("codec", ["aac", "mp2", "libopus"])
def test_sound_that_begins_before_time_0_of_a_transport_stream(tmp_path, codec):
    """Its first timestamp lies just below the end of the 33-bit clock, 26.5 hours."""
    path = tmp_path / "wrapped.ts"
    write_clip(
        path, frames=390, size=(64, 48), sound=tone(13.0), sound_codec=codec
    )  # after 10 s nothing is put in order
    with av.open(str(path)) as source:
        assert next(packet.pts for packet in source.demux(audio=0)) > 2**32
    _lasts(path, 13.0)


def test_a_transport_stream_that_ends_before_its_clock_does(tmp_path):
    start = 2**33 / 90_000 - 70
    _lasts(write_clip(tmp_path / "before.ts", frames=136, rate=2, size=(64, 48), video_start_s=start), 68.0)


def test_a_transport_stream_that_passes_the_end_of_its_clock(tmp_path):
    start = 2**33 / 90_000 - 70
    times = {"video_start_s": start, "sound_start_s": start}
    _lasts(write_clip(tmp_path / "passes.ts", frames=750, rate=10, sound=tone(75.0), size=(64, 48), **times), 75.0)


@pytest.mark.parametrize("name", ["late.mkv", "late.webm", "late.mp4", "late.ts", "late.flv", "late.opus", "late.mka"])
def test_timestamps_that_do_not_start_at_0(tmp_path, name):
    pictures = {} if name in ("late.opus", "late.mka") else {"frames": 120, "video_start_s": 100.0}
    if name == "late.webm":
        pictures["codec"] = "libvpx"
    codec, rate = ("aac", 44_100) if name == "late.flv" else ("libopus", 48_000)
    sound = {"sound": tone(4.0, rate), "sound_rate": rate, "sound_codec": codec, "sound_start_s": 100.0}
    path = write_clip(tmp_path / name, **pictures, **sound)
    clip = _lasts(path, 4.0)
    assert clip.video is None or numbers(clip.video)[-1] == 119
    if name in ("late.mkv", "late.webm", "late.mka"):
        path.write_bytes(path.read_bytes()[: int(0.8 * path.stat().st_size)])
        assert any("the file ends early: 3." in note or "ends early: 2." in note for note in load_clip(path).notes)


@pytest.mark.parametrize("name", ["soon.mkv", "soon.mp4", "soon.ts", "soon.nut"])
def test_timestamps_that_start_before_the_clip_s_length(tmp_path, name):
    times = {"video_start_s": 1.5, "sound_start_s": 1.5}
    _lasts(write_clip(tmp_path / name, frames=120, sound=tone(4.0), **times), 4.0)


@pytest.mark.parametrize(("frames", "rate"), [(2, 30), (5, 30), (9, 1), (30, 1)])
def test_few_pictures_that_do_not_start_at_0(tmp_path, frames, rate):
    """Too few for FFmpeg to say when they start."""
    clip = _lasts(write_clip(tmp_path / "few.mkv", frames=frames, rate=rate, video_start_s=100.0), frames / rate)
    assert clip.video.times[0] == 0
    path = write_clip(tmp_path / "few-and-sound.mkv", frames=frames, rate=rate, sound=tone(frames / rate + 0.6))
    assert load_clip(path).notes == load_clip(path, use_audio=False).notes == ()


def test_no_length_in_the_header(clips):
    path = clips / "live.mkv"
    write_clip(path, frames=90, sound=tone(3.0), container_options={"live": "1"}, container_format="matroska")
    with av.open(str(path)) as source:
        assert source.duration is None
    clip = load_clip(path)
    assert len(clip.video.pixels) == 6
    assert clip.duration_s == pytest.approx(3.0, abs=0.05)
    assert not any("early" in note for note in clip.notes)
    info = probe(path)
    assert info.duration_s == pytest.approx(3.0, abs=0.05)
    assert info.video.frames == pytest.approx(90, abs=1)


@pytest.mark.parametrize("loud_s", [(0, 4), (16, 20)])
@pytest.mark.parametrize("name", ["bare.aac", "bare.mp3"])
def test_a_length_guessed_from_the_bit_rate_is_not_taken_as_true(tmp_path, name, loud_s):
    path = write_bare(tmp_path / name, loud_s)
    with av.open(str(path)) as source:
        assert abs(source.duration / av.time_base - 20) > 3  # the guess that is not to be believed
    info, whole = probe(path), load_clip(path)
    assert info.duration_s == whole.duration_s == whole.end_s == pytest.approx(20, abs=0.1)
    assert whole.notes == ("no pictures in the file; only the sound is used",)
    part = load_clip(path, start_s=18.0, end_s=19.0)
    assert part.duration_s == pytest.approx(20, abs=0.1)
    assert part.notes == whole.notes
    assert (np.abs(part.audio.waveform).max() > 0.2) == (loud_s[0] == 16)
    with pytest.raises(MediaError, match=r"lasts 20\.\d+ s"):
        load_clip(path, start_s=20.5)


def test_the_bit_rate_of_raw_mpeg_pictures_says_no_length(tmp_path):
    """It is the highest one, so that FFmpeg takes 4 s for a few milliseconds."""
    path = write_clip(tmp_path / "raw.m1v", frames=100, rate=25, codec="mpeg1video", size=(64, 48))
    _lasts(path, 4.0)
    assert numbers(load_clip(path, start_s=2.0).video)[0] == pytest.approx(50, abs=1)


def test_a_part_behind_the_end_that_the_header_names_is_read(tmp_path):
    path = write_clip(tmp_path / "says-less.mkv", frames=300, rate=25, size=(64, 48), gop=25)
    data = path.read_bytes()
    place = data.index(b"\x44\x89\x88") + 3  # the element of the length, eight bytes
    assert struct.unpack(">d", data[place : place + 8]) == (12_000.0,)
    path.write_bytes(data[:place] + struct.pack(">d", 3_000.0) + data[place + 8 :])
    assert probe(path).duration_s == pytest.approx(3.0)
    assert numbers(load_clip(path, start_s=8.0).video)[0] == 200
    assert take(clip_facts(path), FrameSampling(), start_s=8.0).frames == 8
    for reading in (load_clip, lambda path, start_s: take(clip_facts(path), FrameSampling(), start_s=start_s)):
        with pytest.raises(MediaError, match=r"lasts 12\.00 s"):
            reading(path, start_s=13.0)


def test_the_number_of_pictures_in_an_ivf_is_no_length(tmp_path):
    """FFmpeg takes it for a number of ticks, which are milliseconds or less where the rate varies."""
    path = write_clip(tmp_path / "call.ivf", pts_ms=list(range(0, 4000, 40)), frames=100, codec="libvpx", size=(64, 48))
    _lasts(path, 4.0)
    assert numbers(load_clip(path, start_s=2.0).video)[0] == pytest.approx(50, abs=1)
    whole = write_clip(tmp_path / "whole.ivf", frames=100, rate=25, codec="libvpx", size=(64, 48))
    _lasts(whole, 4.0)
    cut = tmp_path / "cut.ivf"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert any("of 4.0 s could be read" in note for note in load_clip(cut).notes)


@pytest.mark.parametrize(("pictures_s", "sound_s", "lasts_s"), [(0.0, 0.8, 4.8), (5.0, 5.0, 4.0), (5.0, 5.5, 4.5)])
def test_a_windows_media_file_whose_clock_or_sound_begins_late(tmp_path, pictures_s, sound_s, lasts_s):
    """Its header says when it ends, which FFmpeg takes for a length and counts from each stream's first timestamp."""
    late = {"video_start_s": pictures_s, "sound_start_s": sound_s, "sound_codec": "libmp3lame", "sound_rate": 44_100}
    path = tmp_path / "late.wmv"
    _lasts(write_clip(path, frames=100, rate=25, size=(64, 48), codec="wmv2", sound=tone(4.0, 44_100), **late), lasts_s)


@pytest.mark.parametrize("cover_bytes", [0, 20_000])
def test_an_mp3_that_says_its_length_is_believed(tmp_path, cover_bytes):
    path = write_clip(tmp_path / "tagged.mp3", sound=tone(20.0, 44_100), sound_rate=44_100, sound_codec="libmp3lame")
    size = bytes(cover_bytes >> shift & 0x7F for shift in (21, 14, 7, 0))
    tag = b"ID3\x04\0\0" + size + bytes(cover_bytes)
    path.write_bytes(tag * bool(cover_bytes) + path.read_bytes()[:80_000])
    clip = load_clip(path)
    assert clip.duration_s == pytest.approx(20, abs=0.1)
    assert any("ends early" in note for note in clip.notes)


@pytest.fixture(scope="module")
def joined(clips):
    """Make one file of several whose clocks begin at given times, as `cat` does; kept by these times."""

    def join(*parts):
        whole = clips / f"joined{'-'.join(f'{start:g}+{seconds:g}' for start, seconds in parts)}.ts"
        with whole.open("wb") as out:
            for start, seconds in parts:
                piece = clips / f"part{start:g}+{seconds:g}.ts"
                if not piece.exists():
                    times = {"video_start_s": start, "sound_start_s": start}
                    write_clip(piece, frames=round(30 * seconds), sound=tone(seconds), **times)
                out.write(piece.read_bytes())
        return whole

    return join


@pytest.mark.parametrize("second", [5.0, 8.0])
def test_a_clock_that_restarts_ends_the_clip_and_is_said(joined, second):
    clip = load_clip(joined((0.0, 5.0), (0.0, second)))
    assert len(clip.video.pixels) == 10
    assert numbers(clip.video)[-1] == 149
    assert clip.video.fps == pytest.approx(2.0)
    assert clip.audio.seconds == pytest.approx(5.0, abs=0.1)
    assert clip.end_s == pytest.approx(5.0, abs=0.1)
    for kind in ("pictures", "sound"):
        assert f"the clock of the {kind} restarts at 5.0 s; only the part before it is used" in clip.notes


def test_a_clock_of_few_pictures_restarts_when_the_last_one_has_been_shown(tmp_path):
    path = tmp_path / "slow.ts"
    piece = write_clip(tmp_path / "piece.ts", frames=10, rate=2)
    path.write_bytes(2 * piece.read_bytes())
    assert load_clip(path, use_audio=False).notes[-1].startswith("the clock of the pictures restarts at 5.0 s;")


def test_a_restart_past_the_end_is_not_said(joined):
    clip = load_clip(joined((0.0, 5.0), (0.0, 8.0)), end_s=3.0)
    assert clip.notes == ()
    assert clip.audio.seconds == 3.0


def test_a_clock_set_back_before_the_first_time_is_said(joined):
    """FFmpeg adds 26.5 hours to what lies before the first timestamp."""
    clip = load_clip(joined((100.0, 5.0), (0.0, 5.0)))
    assert numbers(clip.video)[-1] == 149
    assert clip.video.fps == pytest.approx(2.0)
    assert clip.audio.seconds == pytest.approx(10.0, abs=0.2)
    assert clip.end_s < 11
    assert "the clock of the pictures restarts at 5.0 s; only the part before it is used" in clip.notes
    assert "the clock of the sound restarts at 5.0 s; what follows is joined to it" in clip.notes
    assert not any("wrong timestamp" in note for note in clip.notes)


@pytest.mark.parametrize("end", [8.0, 9.5])
def test_a_clock_set_back_loses_no_sound_before_an_end(joined, end):
    path = joined((100.0, 5.0), (0.0, 5.0))
    whole, part = (load_clip(path, use_video=False, end_s=e) for e in (None, end))
    assert part.audio.seconds == pytest.approx(end, abs=0.1)
    assert np.array_equal(part.audio.waveform[: 7 * 16000], whole.audio.waveform[: 7 * 16000])
    assert np.abs(part.audio.waveform[6 * 16000 : 7 * 16000]).max() > 0.1
    assert any("what follows is joined to it" in note for note in part.notes)


def test_a_long_pause_of_the_sound_is_said(joined):
    clip = load_clip(joined((0.0, 5.0), (60.0, 5.0)))
    assert clip.audio.seconds == pytest.approx(65.0, abs=0.2)
    assert clip.notes == ("no sound in the file between 5.0 s and 60.0 s; silence stands in",)
    part = load_clip(joined((0.0, 5.0), (60.0, 5.0)), start_s=2.0, end_s=30.0)
    assert part.audio.seconds == 28.0
    assert "no sound in the file between 5.0 s and 30.0 s; silence stands in" in part.notes


def test_sound_that_begins_late_is_said(tmp_path):
    path = write_clip(tmp_path / "late.mp4", frames=140, rate=10, sound=tone(2.0), sound_start_s=12.0)
    clip = load_clip(path)
    assert clip.audio.seconds == pytest.approx(14.0, abs=0.2)
    assert clip.notes == ("no sound in the file between 0.0 s and 12.0 s; silence stands in",)
    part = load_clip(path, start_s=4.0)
    begins = [np.argmax(np.abs(each.audio.waveform) > 0.1) / 16_000 for each in (clip, part)]
    assert begins == [pytest.approx(12.0, abs=0.03), pytest.approx(8.0, abs=0.03)]
    assert part.notes == ("no sound in the file between 4.0 s and 12.0 s; silence stands in",)


@pytest.mark.parametrize("rate", [2, 5, 25])
def test_flv_whose_length_is_its_last_timestamp(clips, rate):
    """With B-frames the first one is not 0."""
    settings = {"options": {"preset": "medium"}, "sound_rate": 44_100, "sound": tone(6.0, 44_100)}
    path = write_clip(clips / f"b-frames-{rate}.flv", frames=6 * rate, rate=rate, **settings)
    clip, part = load_clip(path), take(clip_facts(path), FrameSampling())
    assert not any("ends early" in note for note in (*clip.notes, *part.notes))
    for said in (clip.end_s, clip.duration_s, part.end_s, part.duration_s):
        assert said == pytest.approx(6.0, abs=0.15)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_stream_that_is_not_used_and_goes_on(clips, suffix):
    path = write_clip(clips / f"longer.{suffix}", frames=60, rate=10, sound=[tone(6.0), tone(20.0)])
    clip, part = load_clip(path), take(clip_facts(path), FrameSampling())
    for said in (clip, part):
        assert not any("early" in note for note in said.notes)
        assert said.end_s == pytest.approx(6.0, abs=0.1)
        assert said.duration_s == pytest.approx(20.0, abs=0.1)
    assert load_clip(path, end_s=3.0).end_s == 3.0
    beyond = load_clip(path, end_s=30.0)
    assert beyond.end_s == clip.end_s
    assert any("asked up to 30 s; the file ends at 20" in note for note in beyond.notes)
