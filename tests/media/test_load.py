"""What a user meets: ranges, missing streams, and every kind of broken file."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import av
import numpy as np
import pytest

from seats.errors import MediaError, SettingsError
from seats.media import Clip, FrameSampling, load_clip, probe
from tests.media.make import busy, numbers, tone, write_clip, write_damaged, write_programs


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
    path = write_clip(clips / "two.mp4", frames=30, sound=[tone(1.0), tone(4.0)])
    assert load_clip(path).notes == ("2 audio streams in the file; the default or first one is used",)
    assert load_clip(path, use_audio=False).notes == ()
    path = write_clip(clips / "two-pictures.mkv", frames=30, sound=tone(1.0), video_streams=2)
    assert load_clip(path).notes == ("2 video streams in the file; the default or largest one is used",)
    assert load_clip(path, use_video=False).notes == ()
    path = write_clip(clips / "unequal.avi", frames=150, codec="mpeg4", sound=tone(1.0), sound_codec="mp2")
    assert load_clip(path, use_video=False).notes == ()


@pytest.mark.parametrize("large", [0, 1])
@pytest.mark.parametrize("apart_s", [0.0, 5000.0])
def test_pictures_and_sound_are_of_one_program_on_its_clock(clips, large, apart_s):
    programs = [
        {
            "frames": 120,
            "size": (320, 240) if number == large else (160, 120),
            "sound": tone(4.0, hertz=1000.0 if number == large else 440.0),
            "video_start_s": 10 + number * apart_s,
            "sound_start_s": 10 + number * apart_s,
        }
        for number in (0, 1)
    ]
    clip = load_clip(write_programs(clips / f"programs-{large}-{apart_s:g}.ts", *programs))
    assert clip.video.source_width == 320
    assert numbers(clip.video)[0] == 0
    assert (len(clip.video.pixels), clip.duration_s) == (8, pytest.approx(4.0, abs=0.1))
    assert np.abs(np.fft.rfft(clip.audio.waveform[16_000:32_000])).argmax() == 1000


@pytest.mark.parametrize("apart_s", [0.0, 5000.0])
@pytest.mark.parametrize("number", [0, 1])
def test_a_radio_program_beside_the_pictures_is_not_their_sound(clips, number, apart_s):
    radio = {"sound": tone(4.0, hertz=440.0), "sound_start_s": 10 + apart_s, "sound_codec": "mp2"}
    radio["sound_bit_rate"] = 384_000
    pictures = {"frames": 120, "sound": tone(4.0, hertz=1000.0), "video_start_s": 10.0, "sound_start_s": 10.0}
    programs = [radio, pictures] if number else [pictures, radio]
    clip = load_clip(write_programs(clips / f"radio-{number}-{apart_s:g}.ts", *programs))
    assert clip.duration_s == pytest.approx(4.0, abs=0.1)
    assert np.abs(np.fft.rfft(clip.audio.waveform[16_000:32_000])).argmax() == 1000


def test_of_radio_programs_the_first_is_heard_on_its_clock(clips):
    programs = [
        {"sound": tone(4.0, hertz=hertz), "sound_start_s": start, "sound_codec": "mp2"}
        for hertz, start in ((440.0, 5010.0), (1000.0, 10.0))
    ]
    clip = load_clip(write_programs(clips / "radio-twice.ts", *programs))
    assert clip.duration_s == pytest.approx(4.0, abs=0.1)
    assert np.abs(np.fft.rfft(clip.audio.waveform[16_000:32_000])).argmax() == 440


@pytest.mark.parametrize(("pictures_s", "sound_s"), [(0.0, 0.5), (0.5, 0.0)])
def test_a_program_begins_with_the_first_of_its_own_pictures_and_sound(clips, pictures_s, sound_s):
    programs = [
        {
            "frames": 90,
            "size": size,
            "sound": tone(3.0),
            "video_start_s": clock_s + pictures_s,
            "sound_start_s": clock_s + sound_s,
        }
        for clock_s, size in ((10.0, (160, 120)), (5010.0, (320, 240)))
    ]
    clip = load_clip(write_programs(clips / f"begins-{pictures_s:g}.ts", *programs))
    loud = np.abs(clip.audio.waveform) > 0.1
    assert clip.duration_s == pytest.approx(3.5, abs=0.1)
    assert clip.video.times[0] == pytest.approx(pictures_s, abs=0.03)
    assert np.argmax(loud) / 16_000 == pytest.approx(sound_s, abs=0.03)


def test_undecodable_pictures_leave_the_sound(clips):
    whole = write_clip(clips / "both.mov", frames=10, codec="png", pix_fmt="rgb24", sound=tone(1.0))
    clip = load_clip(write_damaged(clips / "sound-left.mov", whole))
    assert clip.video is None
    assert clip.audio.seconds == pytest.approx(1.0, abs=0.05)
    assert clip.notes == ("no picture can be decoded; get another copy",)


@pytest.mark.parametrize(("code", "kind"), [(b"V_MPEG4", "video"), (b"A_AAC", "sound")])
def test_a_stream_without_a_decoder_leaves_the_other(clips, code, kind):
    path = write_clip(clips / f"unknown-{kind}.mkv", frames=30, codec="mpeg4", sound=tone(1.0))
    path.write_bytes(path.read_bytes().replace(code, code[:2] + b"Z" * len(code[2:])))
    clip = load_clip(path)
    assert (clip.video is None, clip.audio is None) == (kind == "video", kind == "sound")
    assert clip.notes == (f"no decoder for its {kind}; convert it to mp4 (H.264 and AAC)",)
    with pytest.raises(MediaError, match=f"no decoder for its {kind}"):
        load_clip(path, **{"use_audio" if kind == "video" else "use_video": False})
    assert probe(path).duration_s == pytest.approx(1.0, abs=0.1)


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


def test_times_that_no_file_has(clips, plain_clip):
    assert load_clip(plain_clip, start_s=2.0, end_s=1e308).audio.seconds == pytest.approx(10.0, abs=0.1)
    silent = clips / "nothing.wav"  # of which no length is known
    silent.write_bytes(b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x80\x3e\0\0\0\x7d\0\0\2\0\x10\0data\0\0\0\0")
    with pytest.raises(MediaError, match="nothing can be read"):
        load_clip(silent, start_s=1e300)


def _broken(folder):
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("this is not a video\n" * 200)
    (folder / "text.txt").write_text("this is not a video\n" * 200)
    (folder / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(200_000))
    write_clip(folder / "cut.mp4", frames=20, rate=10)
    (folder / "cut.mp4").write_bytes((folder / "cut.mp4").read_bytes()[:-2000])
    (folder / "list.m3u8").write_text("#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n")
    (folder / "folder.mp4").mkdir(exist_ok=True)
    (folder / "subtitles.srt").write_text("1\n00:00:00,000 --> 00:00:02,000\nHello\n")
    if not (folder / "pipe.mp4").exists():
        os.mkfifo(folder / "pipe.mp4")
    with socket.socket(socket.AF_UNIX) as listener:
        if not (folder / "s.mp4").exists():
            listener.bind(str(folder / "s.mp4"))
    (folder / "dangling.mp4").unlink(missing_ok=True)
    (folder / "dangling.mp4").symlink_to("unplugged.mp4")
    (folder / "loop.mp4").unlink(missing_ok=True)
    (folder / "loop.mp4").symlink_to(folder / "loop.mp4")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("missing.mp4", "no such file"),
        ("dangling.mp4", "is a link to .*/unplugged.mp4, which does not exist"),
        ("empty.mp4", "empty"),
        ("text.mp4", "not a video or sound file"),
        ("text.txt", "not video or sound"),
        ("noise.mp4", "not a video or sound file"),
        ("cut.mp4", "or only a part of one .*copy it again"),
        ("list.m3u8", "not"),
        ("folder.mp4", "folder"),
        ("subtitles.srt", "neither video nor sound"),
        ("pipe.mp4", "not a regular file"),
        ("s.mp4", "not a regular file"),
        ("loop.mp4", "is a link that leads back to itself; make it anew"),
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


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("https://example.org/a.mp4", "https://example.org/a.mp4: https addresses are not read; download the clip"),
        ("file:///a.mp4", "file addresses are not read; take file:// away"),
    ],
)
def test_an_address_is_no_path(address, says):
    with pytest.raises(MediaError, match=says):
        load_clip(address)


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


def test_an_mp4_without_its_index_is_refused(clips, plain_clip):
    cut = clips / "no-index.mp4"
    cut.write_bytes(plain_clip.read_bytes()[:-20_000])
    with pytest.raises(MediaError, match="only a part of one"):
        load_clip(cut)


def test_streams_that_the_beginning_does_not_tell_of(clips):
    """A recording goes on with more streams: PyAV looks for them at the end of the file where it does not list them."""
    first = {"frames": 60, "rate": 25, "size": (64, 48)}
    second = first | {
        "video_start_s": 2.4,
        "video_streams": 3,
        "sound": [tone(2.4)] * 4,
        "sound_start_s": 2.4,
        "container_options": {"mpegts_start_pid": "600", "mpegts_pmt_start_pid": "700"},
    }
    path = clips / "goes-on.ts"
    parts = [write_clip(clips / f"part{at}.ts", **how).read_bytes() for at, how in enumerate((first, second))]
    path.write_bytes(b"".join(parts))
    assert numbers(load_clip(path).video)[0] == 0
    assert probe(path).video_streams == 1


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
    clip = load_clip(path, timeout_s=30)  # of these seeds none makes it unreadable
    assert len(clip.video.pixels) % 2 == 0
    assert len(clip.video.times) == len(clip.video.pixels)
    assert clip.audio is None or clip.audio.seconds < 13
    assert capfd.readouterr() == ("", "")


def test_damaged_pictures_are_counted(clips):
    whole = write_clip(clips / "intact.mov", frames=60, codec="png", pix_fmt="rgb24", picture=busy, size=(64, 48))
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


def test_a_picture_that_the_decoder_repaired_is_counted(clips):
    whole = write_clip(clips / "unrepaired.mp4", frames=60, codec="mpeg4", picture=busy)
    clip = load_clip(write_damaged(clips / "repaired.mp4", whole, slice(20, 21), begin=200))
    assert len(clip.video.pixels) == 4
    assert "1 damaged picture skipped or repaired" in clip.notes


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
    # A shell starts background jobs with SIGINT ignored, and the tests may be one.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    begin = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            load_clip(plain_clip, use_video=False)
    finally:
        signal.signal(signal.SIGINT, before)
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
