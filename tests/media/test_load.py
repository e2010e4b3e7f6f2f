"""What a user meets: ranges, missing streams, and every kind of broken file."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest

from seats.errors import MediaError, SettingsError
from seats.media import Clip, FrameSampling, load_clip, probe
from seats.plan.clip import read_clip, take
from tests.media.make import numbers, tone, write_bare, write_clip


def test_a_clip_has_both_on_one_clock(plain_clip):
    clip = load_clip(plain_clip)
    assert isinstance(clip, Clip)
    assert (clip.start_s, clip.notes) == (0.0, ())
    assert clip.duration_s == clip.end_s == pytest.approx(12.0, abs=0.05)
    assert len(clip.video.pixels) == 24
    assert clip.video.fps == pytest.approx(2.0)
    assert clip.audio.seconds == pytest.approx(12.0, abs=0.05)


def test_a_cut_takes_both_alike(plain_clip):
    clip = load_clip(plain_clip, start_s=6.5, end_s=9.0)
    assert numbers(clip.video)[0] == 195
    assert numbers(clip.video)[-1] == 270
    assert clip.video.times[0] == pytest.approx(0.0, abs=1e-6)
    assert clip.audio.seconds == pytest.approx(2.5, abs=1e-4)
    assert (clip.start_s, clip.end_s) == (6.5, 9.0)


def test_an_end_past_the_file_is_said(plain_clip):
    clip = load_clip(plain_clip, start_s=10, end_s=20)
    assert clip.end_s == clip.duration_s
    assert any("asked up to 20 s" in note for note in clip.notes)


def test_one_of_both_can_be_left_out(plain_clip):
    seen = load_clip(plain_clip, use_audio=False)
    heard = load_clip(plain_clip, use_video=False)
    assert seen.audio is None
    assert heard.video is None
    assert seen.notes == heard.notes == ()
    with pytest.raises(SettingsError, match="neither"):
        load_clip(plain_clip, use_audio=False, use_video=False)


def test_a_silent_clip_is_answered_and_said(clips):
    clip = load_clip(write_clip(clips / "silent.mp4", frames=30))
    assert clip.audio is None
    assert any("no sound track" in note for note in clip.notes)
    with pytest.raises(MediaError, match="allow the video"):
        load_clip(clips / "silent.mp4", use_video=False)


def test_sound_alone_is_answered_and_said(clips):
    path = write_clip(clips / "alone.mp4", sound=tone(1.0))
    clip = load_clip(path)
    assert clip.video is None
    assert any("no pictures" in note for note in clip.notes)
    with pytest.raises(MediaError, match="allow the sound"):
        load_clip(path, use_audio=False)


def test_a_range_without_pictures_keeps_the_sound(clips):
    path = write_clip(clips / "longer-sound.mp4", frames=30, sound=tone(3.0))
    clip = load_clip(path, start_s=2.0)
    assert clip.video is None
    assert clip.audio.seconds == pytest.approx(1.0, abs=0.05)
    assert any("no picture is shown" in note for note in clip.notes)


def test_a_stream_that_was_not_asked_for_is_not_missed(clips):
    path = write_clip(clips / "unequal.mp4", frames=30, sound=tone(4.0))
    assert load_clip(path, use_audio=False).notes == ()
    path = write_clip(clips / "unequal.mkv", frames=150, sound=tone(1.0))
    assert load_clip(path, use_video=False).notes == ()


def test_undecodable_pictures_leave_the_sound(clips):
    whole = write_clip(clips / "both.mov", frames=10, codec="png", pix_fmt="rgb24", sound=tone(1.0))
    with av.open(str(whole)) as source:
        packets = [(p.pos, p.size) for p in source.demux(video=0) if p.size]
    data = bytearray(whole.read_bytes())
    for position, size in packets:
        data[position : position + size] = bytes(size)
    (clips / "sound-left.mov").write_bytes(data)
    clip = load_clip(clips / "sound-left.mov")
    assert clip.video is None
    assert clip.audio.seconds == pytest.approx(1.0, abs=0.05)
    assert clip.notes == ("no picture can be decoded; get another copy",)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"start_s": -1.0}, "0 or later"),
        ({"start_s": float("nan")}, "0 or later"),
        ({"start_s": 5.0, "end_s": 5.0}, "not after the start"),
        ({"end_s": 0.0}, "not after the start"),
        ({"timeout_s": 0.0}, "above 0"),
    ],
)
def test_impossible_settings(plain_clip, settings, says):
    with pytest.raises(SettingsError, match=says):
        load_clip(plain_clip, **settings)


def test_a_start_past_the_end(plain_clip):
    with pytest.raises(MediaError, match=r"lasts 12\.\d+ s"):
        load_clip(plain_clip, start_s=60.0)


def _broken(folder):
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("this is not a video\n" * 200)
    (folder / "text.txt").write_text("this is not a video\n" * 200)
    (folder / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(200_000))
    (folder / "list.m3u8").write_text("#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n")
    (folder / "folder.mp4").mkdir(exist_ok=True)
    (folder / "subtitles.srt").write_text("1\n00:00:00,000 --> 00:00:02,000\nHello\n")
    if not (folder / "pipe.mp4").exists():
        os.mkfifo(folder / "pipe.mp4")
    with socket.socket(socket.AF_UNIX) as listener:
        if not (folder / "s.mp4").exists():
            listener.bind(str(folder / "s.mp4"))
    (folder / "loop.mp4").unlink(missing_ok=True)
    (folder / "loop.mp4").symlink_to(folder / "loop.mp4")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("missing.mp4", "no such file"),
        ("empty.mp4", "empty"),
        ("text.mp4", "not a video or sound file"),
        ("text.txt", "not video or sound"),
        ("noise.mp4", "not a video or sound file"),
        ("list.m3u8", "not"),
        ("folder.mp4", "folder"),
        ("subtitles.srt", "neither video nor sound"),
        ("pipe.mp4", "not a regular file"),
        ("s.mp4", "not a regular file"),
        ("loop.mp4", "not a usable path"),
        ("nul\0.mp4", "not a usable path"),
        ("/dev/zero", "not a regular file"),
    ],
)
@pytest.mark.timeout(20)
def test_what_is_not_a_clip_is_refused_in_one_line(tmp_path, name, says, capfd):
    _broken(tmp_path)
    for reader in (load_clip, probe):
        with pytest.raises(MediaError, match=says) as caught:
            reader(tmp_path / name)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 400
    assert capfd.readouterr() == ("", "")


def test_a_file_that_may_not_be_read(tmp_path, plain_clip, monkeypatch):
    path = tmp_path / "locked.mp4"
    path.write_bytes(plain_clip.read_bytes())
    path.chmod(0)
    if os.access(path, os.R_OK):  # root reads everything: refuse in its place
        monkeypatch.setattr("pathlib.Path.open", _refuse)
    with pytest.raises(MediaError, match="may not be read"):
        load_clip(path)


def _refuse(*_args, **_kwargs):
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_a_truncated_file_gives_what_it_has_and_says_so(clips, plain_clip, suffix, capfd):
    options = {"movflags": "+faststart"} if suffix == "mp4" else {}
    whole = write_clip(
        clips / f"whole.{suffix}", frames=300, sound=tone(10.0), container_options=options, picture=_busy
    )
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


def _busy(number, width, height):
    return np.random.default_rng(number).integers(0, 255, (height, width, 3), dtype=np.uint8)


_HEALTHY = {
    "aac.mp4": {"container_options": {"movflags": "+faststart"}},
    "b-frames.mp4": {"container_options": {"movflags": "+faststart"}, "options": {"preset": "fast"}},
    "phone.mov": {"container_options": {"movflags": "+faststart"}, "sound_rate": 8_000},
    "aac.mkv": {},
    "opus.mkv": {"sound_codec": "libopus"},
    "mp3.mkv": {"sound_codec": "libmp3lame", "sound_rate": 8_000},
    "flac.mkv": {"sound_codec": "flac"},
    "opus.webm": {"codec": "libvpx", "sound_codec": "libopus"},
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
    settings = {"frames": 240, "picture": _busy, "size": (80, 64), **_HEALTHY[name]}
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 8 * settings.get("sound_rate", 48_000)))
    whole = write_clip(tmp_path / name, sound=sound.astype(np.float32), **settings)
    expected = () if settings["frames"] else ("no pictures in the file; only the sound is used",)
    assert load_clip(whole).notes == expected
    assert load_clip(whole, start_s=2.0, end_s=7.5).notes == expected
    cut = tmp_path / f"cut-{name}"
    data = whole.read_bytes()
    cut.write_bytes(data[: int(0.9 * len(data))])
    clip = load_clip(cut)
    assert any(note.startswith("the file ends early") for note in clip.notes)
    assert 6.5 < clip.end_s < 7.6
    assert not any("early" in note for note in load_clip(cut, end_s=6.0).notes)


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
    assert load_clip(path).notes == ("the sound ends at 58.1 s, the clip at 60.0 s",)


def test_a_cut_is_said_where_a_stream_is_not_used(tmp_path):
    whole = write_clip(tmp_path / "whole.mkv", frames=120, picture=_busy, sound=[tone(4.0), tone(4.0)])
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: int(0.8 * whole.stat().st_size)])
    for settings in ({"use_audio": False}, {"use_video": False}, {}):
        assert not [note for note in load_clip(whole, **settings).notes if "early" in note]
        assert [note for note in load_clip(cut, **settings).notes if note.startswith("the file ends early")]


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


def _lasts(path, seconds):
    """It lasts as long for those who read it, whole or in part, for those who look at its header and for `plan`."""
    clip = load_clip(path)
    assert [note for note in clip.notes if "only the" not in note] == []
    assert clip.duration_s == clip.end_s == pytest.approx(seconds, abs=0.1)
    assert clip.audio is None or clip.audio.seconds == pytest.approx(seconds, abs=0.1)
    assert probe(path).duration_s == pytest.approx(seconds, abs=0.1)
    part = take(read_clip(path), FrameSampling())
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


@pytest.mark.parametrize(("frames", "rate"), [(2, 30), (5, 30), (9, 1), (30, 1)])
def test_few_pictures_that_do_not_start_at_0(tmp_path, frames, rate):
    """Too few for FFmpeg to say when they start."""
    clip = _lasts(write_clip(tmp_path / "few.mkv", frames=frames, rate=rate, video_start_s=100.0), frames / rate)
    assert clip.video.times[0] == 0
    path = write_clip(tmp_path / "few-and-sound.mkv", frames=frames, rate=rate, sound=tone(frames / rate + 0.6))
    assert load_clip(path).notes == load_clip(path, use_audio=False).notes == ()


def test_an_mp4_without_its_index_is_refused(clips, plain_clip):
    cut = clips / "no-index.mp4"
    cut.write_bytes(plain_clip.read_bytes()[:-20_000])
    with pytest.raises(MediaError, match="cut off"):
        load_clip(cut)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.timeout(60)
def test_random_damage_never_crashes_or_hangs(clips, plain_clip, seed, capfd):
    rng = np.random.default_rng(seed)
    data = bytearray(plain_clip.read_bytes())
    for _ in range(60):
        at = int(rng.integers(2_000, len(data) - 2_000))
        data[at : at + 40] = rng.bytes(40)
    path = clips / f"damaged{seed}.mp4"
    path.write_bytes(data)
    with contextlib.suppress(MediaError):
        clip = load_clip(path, timeout_s=30)
        assert clip.video is None or len(clip.video.pixels) % 2 == 0
        assert clip.video is None or len(clip.video.times) == len(clip.video.pixels)
        assert clip.audio is None or clip.audio.seconds < 13
    assert capfd.readouterr() == ("", "")


def test_damaged_pictures_are_counted(clips):
    whole = write_clip(clips / "intact.mov", frames=60, codec="png", pix_fmt="rgb24", picture=_busy, size=(64, 48))
    with av.open(str(whole)) as source:
        packets = [(packet.pos, packet.size) for packet in source.demux() if packet.size]
    data = bytearray(whole.read_bytes())
    position, size = packets[20]  # 20 is among the frames taken: 0, 20, 39, 59
    data[position + 12 : position + 12 + size // 2] = bytes(size // 2)
    damaged = clips / "damaged.mov"
    damaged.write_bytes(data)
    clip = load_clip(damaged)
    assert len(clip.video.pixels) == 4
    assert any("damaged picture" in note for note in clip.notes)


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
    assert info.duration_counted
    assert info.duration_s == pytest.approx(3.0, abs=0.05)


@pytest.mark.parametrize("loud_s", [(0, 4), (16, 20)])
@pytest.mark.parametrize("name", ["bare.aac", "bare.mp3"])
def test_a_length_guessed_from_the_bit_rate_is_not_taken_as_true(tmp_path, name, loud_s):
    path = write_bare(tmp_path / name, loud_s)
    with av.open(str(path)) as source:
        assert abs(source.duration / av.time_base - 20) > 3  # the guess that is not to be believed
    info, whole = probe(path), load_clip(path)
    assert info.duration_counted
    assert info.duration_s == whole.duration_s == whole.end_s == pytest.approx(20, abs=0.1)
    assert whole.notes == ("no pictures in the file; only the sound is used",)
    part = load_clip(path, start_s=18.0, end_s=19.0)
    assert part.duration_s == pytest.approx(20, abs=0.1)
    assert part.notes == whole.notes
    assert (np.abs(part.audio.waveform).max() > 0.2) == (loud_s[0] == 16)
    with pytest.raises(MediaError, match=r"lasts 20\.\d+ s"):
        load_clip(path, start_s=20.5)


def test_an_mp3_that_says_its_length_is_believed(tmp_path):
    path = write_clip(tmp_path / "tagged.mp3", sound=tone(20.0, 44_100), sound_rate=44_100, sound_codec="libmp3lame")
    assert not probe(path).duration_counted
    path.write_bytes(path.read_bytes()[:80_000])
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


def test_a_long_pause_of_the_sound_is_said(joined):
    clip = load_clip(joined((0.0, 5.0), (60.0, 5.0)))
    assert clip.audio.seconds == pytest.approx(65.0, abs=0.2)
    assert clip.notes == ("no sound in the file between 5.0 s and 60.0 s; silence stands in",)
    part = load_clip(joined((0.0, 5.0), (60.0, 5.0)), start_s=2.0, end_s=30.0)
    assert part.audio.seconds == 28.0
    assert "no sound in the file between 5.0 s and 30.0 s; silence stands in" in part.notes


def test_reading_is_bounded_in_time(plain_clip):
    with pytest.raises(MediaError, match="took longer than"):
        load_clip(plain_clip, timeout_s=1e-6)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="sends an interrupt to itself")
def test_an_interrupt_does_not_wait_for_the_sound(plain_clip, monkeypatch):
    """The sound stands in for hours of it: it goes on for 20 s unless the deadline is cancelled."""

    def listen(path, start_s, end_s, deadline):
        until = time.monotonic() + 20
        interrupt.start()
        while time.monotonic() < until:
            deadline.check()
            time.sleep(0.01)
        return None, [], 0.0

    main = threading.get_ident()
    interrupt = threading.Timer(0.5, lambda: signal.pthread_kill(main, signal.SIGINT))
    monkeypatch.setattr("seats.media.load.load_audio", listen)
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        load_clip(plain_clip, use_video=False)
    assert time.monotonic() - begin < 10


def test_names_are_taken_literally(tmp_path, plain_clip):
    for name in ("50% done: part #1?.mp4", "frame%03d.mp4", "http:x.mp4", "日本語.mp4", "-i.mp4"):
        path = tmp_path / name
        path.write_bytes(plain_clip.read_bytes())
        assert load_clip(path, end_s=1.0, use_audio=False).video is not None


def test_paths_may_be_relative_strings(plain_clip, monkeypatch):
    monkeypatch.chdir(plain_clip.parent)
    assert load_clip(plain_clip.name, end_s=1.0).video is not None


def test_torch_is_not_imported_before_frames_are_resized(plain_clip):
    code = (
        "import sys, seats.media as m\n"
        f"m.probe({str(plain_clip)!r})\n"
        f"m.load_clip({str(plain_clip)!r}, use_video=False)\n"
        "sys.exit('torch' in sys.modules or 'librosa' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak memory from /proc")
def test_memory_holds_the_sampled_frames_only(clips):
    """720 frames of 1280x720 are 2 GB as RGB; the 24 sampled ones are 8 MB."""
    path = write_clip(clips / "large.mp4", frames=360, size=(1280, 720), sound=tone(12.0), picture=_blank, gop=60)
    code = (
        "import torch, torch.nn.functional as F, re\n"
        "from seats.media import FrameSampling, load_clip\n"
        "torch.set_num_threads(1)\n"
        "F.interpolate(torch.zeros(1, 3, 720, 1280, dtype=torch.uint8), size=(56, 84), mode='bicubic',"
        " antialias=True)\n"
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) // 1024\n"
        "before = peak()\n"
        f"clip = load_clip({str(path)!r}, sampling=FrameSampling(fps=10))\n"
        "assert len(clip.video.pixels) == 120\n"
        "print(peak() - before, clip.video.pixels.numel() // 2**20)"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    grown, kept = (int(part) for part in run.stdout.split())
    assert grown < kept + 120


def _blank(number, width, height):
    return np.full((height, width, 3), number % 250, np.uint8)


def test_the_default_sampling_is_the_published_one(plain_clip):
    given = load_clip(plain_clip, sampling=FrameSampling(), use_audio=False)
    default = load_clip(plain_clip, use_audio=False)
    assert given.video.times == default.video.times
