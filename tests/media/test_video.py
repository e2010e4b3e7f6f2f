"""The frames taken are the right ones."""

import struct
import subprocess
import sys
import threading
from collections import Counter
from time import sleep
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch

from seats.errors import MediaError
from seats.media import FrameSampling, load_clip
from seats.media import container as media
from seats.media import video as video_module
from tests.media.make import numbered_picture, numbers, read_number, tone, write_clip, write_damaged

_FAST = {"preset": "ultrafast", "crf": "18"}
_SLOW = {"preset": "fast", "crf": "18"}
_QUIET = {**_FAST, "x265-params": "log-level=none"}
_VP9 = {"deadline": "realtime", "cpu-used": "8"}


def _video(path, **kwargs):
    return load_clip(path, use_audio=False, timeout_s=60, **kwargs).video


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("h264.mp4", {"options": _SLOW}),
        ("h264.mov", {"options": _SLOW, "gop": 12}),
        ("h264.mkv", {"options": _SLOW}),
        ("h264.ts", {"options": _SLOW}),
        ("open.mp4", {"options": {**_SLOW, "x264-params": "open-gop=1"}, "gop": 20}),
        ("hevc.mp4", {"codec": "libx265", "options": {**_QUIET, "preset": "fast"}, "gop": 25}),
        ("hevc10.mkv", {"codec": "libx265", "pix_fmt": "yuv420p10le", "options": _QUIET}),
        ("h26410.mp4", {"pix_fmt": "yuv420p10le", "options": _FAST}),
        ("vp9.webm", {"codec": "libvpx-vp9", "options": _VP9}),
        ("vp8.webm", {"codec": "libvpx", "options": _VP9}),
        ("mpeg4.avi", {"codec": "mpeg4"}),
        ("mjpeg.mov", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
        ("raw.h264", {"options": _SLOW, "container_format": "h264"}),
        ("odd.mp4", {"pix_fmt": "yuv444p", "size": (161, 121), "options": _FAST}),
        ("alpha.mov", {"codec": "png", "pix_fmt": "rgba"}),
    ],
)
def test_every_codec_gives_the_frames_of_the_reference(clips, name, settings):
    path = write_clip(clips / name, frames=90, **settings)
    video = _video(path)
    taken = numbers(video)
    if name.endswith(".avi"):  # this muxer shows the first picture for two frame times
        assert taken[0] == 0
        assert taken[-1] == 89
        return
    assert taken == [0, 18, 36, 53, 71, 89]
    start = video.times[0]
    assert video.times == pytest.approx([start + number / 30 for number in taken], abs=0.0011)
    assert video.fps == pytest.approx(2.0, rel=1e-6)
    assert video.source_fps == pytest.approx(30)
    assert video.pixels.dtype == torch.uint8
    assert video.pixels.shape[2] % 28 == 0
    assert video.pixels.shape[3] % 28 == 0


def test_leaving_packets_out_changes_no_pixel(plain_clip, monkeypatch):
    sparse = FrameSampling(fps=0.4)
    for sampling, kwargs in ((FrameSampling(), {}), (sparse, {}), (sparse, {"start_s": 6.3, "end_s": 11.0})):
        monkeypatch.setattr(video_module, "_all_frames", _fail)
        quick = _video(plain_clip, sampling=sampling, **kwargs)
        monkeypatch.undo()
        monkeypatch.setattr(video_module, "_needed_frames", _fail)
        plain = _video(plain_clip, sampling=sampling, **kwargs)
        monkeypatch.undo()
        assert quick.times == plain.times
        assert torch.equal(quick.pixels, plain.pixels)


def _fail(*_args):
    raise video_module._NotExactError
    yield


def test_frames_keep_their_places_whichever_is_resized_first(plain_clip, monkeypatch):
    expected = _video(plain_clip).pixels
    resize, turns = video_module.resize, iter(range(100))

    def late_every_other_time(*args):
        sleep(0.05 * (1 - next(turns) % 2))
        return resize(*args)

    monkeypatch.setattr(video_module, "_RESIZING_THREADS", 4)
    monkeypatch.setattr(video_module, "usable_cpus", lambda: 4)
    monkeypatch.setattr(video_module, "resize", late_every_other_time)
    assert torch.equal(_video(plain_clip).pixels, expected)


def test_a_frame_that_cannot_be_resized_ends_the_reading(plain_clip, monkeypatch):
    def refuse(_frame, path):
        raise MediaError(f"{path}: pixel format odd cannot be made RGB")

    monkeypatch.setattr(video_module, "to_rgb", refuse)
    with pytest.raises(MediaError, match="pixel format odd"):
        _video(plain_clip)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("seats-resize")]


def test_a_frame_that_stands_in_for_lost_ones_is_resized_once(clips, monkeypatch):
    # PyAV hangs or crashes where two threads convert one frame
    data = bytearray(write_clip(clips / "lost.mp4", frames=120, codec="libvpx-vp9", options=_VP9, gop=30).read_bytes())
    data[len(data) // 3 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 3)
    path = clips / "lost-in-the-middle.mp4"
    path.write_bytes(data)
    to_rgb, converted = video_module.to_rgb, []

    def noted(frame, path):
        converted.append(frame)
        return to_rgb(frame, path)

    monkeypatch.setattr(video_module, "to_rgb", noted)
    monkeypatch.setattr(video_module, "_needed_frames", _fail)
    video = _video(path, sampling=FrameSampling(fps=15))
    assert len({id(frame) for frame in converted}) == len(converted) < len(video.pixels)
    assert max(Counter(numbers(video)).values()) > 3


def test_far_apart_frames_skip_most_of_the_file(plain_clip):
    timeline = video_module.read_timeline(plain_clip, 0, float("inf"), video_module.media.Deadline(None, plain_clip))
    needed = video_module.needed_packets(timeline, [int(timeline.ticks[0]), int(timeline.ticks[-1])])
    assert needed.sum() < 0.4 * len(needed)
    assert needed[0]
    assert timeline.packet_ticks[needed].max() == timeline.ticks[-1]


@pytest.mark.parametrize(("wanted", "needed"), [(100, range(43)), (130, range(41, 45))])
def test_pictures_before_a_keyframe_on_the_screen_need_the_keyframe_before_it(wanted, needed):
    """An open group: the keyframe shown at 120 is followed in the file by pictures shown at 100 and 110."""
    ticks = np.array([0, *range(40, 80), 120, 100, 110, *range(130, 170)])
    timeline = SimpleNamespace(packet_ticks=ticks, packet_keys=np.isin(ticks, (0, 120)))
    assert np.flatnonzero(video_module.needed_packets(timeline, [wanted])).tolist() == list(needed)


def test_a_lost_picture_is_stood_in_for_by_the_one_before_it(clips):
    whole = write_clip(clips / "whole-png.mov", frames=60, codec="png", pix_fmt="rgb24", size=(64, 48))
    assert numbers(load_clip(whole).video) == [0, 20, 39, 59]
    clip = load_clip(write_damaged(clips / "lost-png.mov", whole, slice(20, 21)))
    assert numbers(clip.video) == [0, 19, 39, 59]
    assert "1 damaged picture skipped or repaired" in clip.notes


def test_pictures_before_the_first_that_can_be_decoded_are_said(clips):
    """A recording of a broadcast begins anywhere."""
    only_regular_keyframes = {"sc_threshold": "1000000000"}
    whole = write_clip(clips / "broadcast.ts", frames=120, gop=60, codec="mpeg2video", options=only_regular_keyframes)
    with av.open(str(whole)) as source:
        begin = [packet.pos for packet in source.demux(video=0) if packet.size][15]
    (clips / "recorded.ts").write_bytes(whole.read_bytes()[begin:])
    clip = load_clip(clips / "recorded.ts")
    assert numbers(clip.video) == [60, 60, 60, 77, 98, 119]
    assert "the pictures before 1.5 s cannot be decoded; the first behind them stands in" in clip.notes


@pytest.mark.parametrize(("whole", "kept", "after"), [(1, [0, 0], "0.0"), (75, [0, 18, 36, 53], "1.8")])
def test_pictures_behind_the_last_that_can_be_decoded_are_left_out(clips, whole, kept, after):
    path = write_clip(clips / "behind.mov", frames=90, codec="png", pix_fmt="rgb24", size=(64, 48))
    clip = load_clip(write_damaged(path, path, slice(whole, None)))
    assert numbers(clip.video) == kept
    assert clip.video.times == pytest.approx([number / 30 for number in kept])
    assert f"the pictures after {after} s cannot be decoded and are left out" in clip.notes


def test_pictures_that_begin_a_little_late_are_said(clips):
    clip = load_clip(write_clip(clips / "little-late.mp4", frames=60, video_start_s=0.2, sound=tone(2.2)))
    assert any("the pictures begin 0.2 s late" in note for note in clip.notes)


def test_varying_rate_is_sampled_by_time(clips):
    # 20 pictures in the first second, then one that stays for four
    pts = [*range(0, 1000, 50), 5000]
    video = _video(write_clip(clips / "vfr.mkv", frames=21, pts_ms=pts))
    assert video.fps == pytest.approx(2.0, rel=0.03)
    taken = numbers(video)
    assert 19 in taken
    assert taken[-1] == 20
    for number, time, target in zip(taken, video.times, np.linspace(0, 5.0, len(taken)), strict=True):
        assert number == pts.index(round(time * 1000))
        # targets lie on steps of 50 ms
        shown = {max(ms for ms in pts if ms <= max(1000 * target + slack, 0)) for slack in (-25, 0, 26)}
        assert pts[number] in shown


@pytest.mark.parametrize("suffix", ["ts", "mkv"])
@pytest.mark.parametrize("apart_s", [120, 9_000])
def test_pictures_minutes_or_hours_apart_have_one_clock(clips, suffix, apart_s):
    times = [1000 * apart_s * number for number in range(6)]
    path = write_clip(clips / f"slides{apart_s}.{suffix}", frames=6, pts_ms=times)
    clip = load_clip(path, sampling=FrameSampling(max_frames=6))
    assert numbers(clip.video) == [0, 1, 2, 3, 4, 5]
    assert not any("restarts" in note for note in clip.notes)


def test_short_clips(clips):
    assert [numbers(_video(write_clip(clips / f"short{n}.mp4", frames=n))) for n in (1, 2, 3, 4)] == [
        [0, 0],
        [0, 1],
        [0, 2],
        [0, 1, 2, 3],
    ]


def test_a_still_image(clips):
    path = clips / "still.png"
    av.VideoFrame.from_ndarray(numbered_picture(77), "rgb24").save(str(path))
    assert numbers(_video(path)) == [77, 77]


def test_the_largest_of_several_streams_is_used(clips):
    path = write_clip(clips / "three.mkv", frames=8, video_streams=3, largest=1)
    clip = load_clip(path)
    assert read_number(clip.video.pixels[0]) == 0
    assert any("3 video streams" in note for note in clip.notes)


@pytest.mark.parametrize(("transfer", "name"), [("smpte2084", "PQ"), ("arib-std-b67", "HLG")])
def test_hdr_is_said(clips, transfer, name):
    options = {**_QUIET, "x265-params": f"log-level=none:transfer={transfer}:colorprim=bt2020"}
    path = write_clip(clips / f"{name}.mp4", frames=4, codec="libx265", pix_fmt="yuv420p10le", options=options)
    assert f"the video is HDR ({name}); its colours are read without tone mapping" in load_clip(path).notes


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("mpeg2.ts", {"codec": "mpeg2video", "options": {"bf": "2"}}),
        ("h264.ts", {"options": _SLOW, "gop": 250}),
        ("refresh.mkv", {"options": {**_SLOW, "x264-params": "intra-refresh=1:keyint=60"}}),
        ("open265.mp4", {"codec": "libx265", "options": {**_QUIET, "x265-params": "log-level=none:open-gop=1"}}),
        ("fragments.mp4", {"options": _SLOW, "container_options": {"movflags": "frag_keyframe+empty_moov"}}),
        ("refreshed.mp4", {"options": {**_FAST, "intra-refresh": "1"}, "gop": 90}),
    ],
)
def test_a_cut_far_into_the_file_is_exact_in_every_format(clips, name, settings):
    """Also where a seek lands between keyframes, as in transport streams, or pictures are refreshed in parts."""
    path = write_clip(clips / f"far-{name}", frames=400, **{"gop": 30, **settings})
    for start, first in ((6.4, 192), (12.03, 361)):
        video = _video(path, start_s=start, end_s=start + 1.2)
        taken = numbers(video)
        assert taken[0] == first
        assert video.times == pytest.approx([number / 30 - start for number in taken], abs=0.0011)


def test_a_film_that_was_trimmed_begins_at_its_cut(clips):
    """As phones trim: an edit list leaves out what lies between the keyframe before and the cut."""
    path = write_clip(
        clips / "trimmed.mp4",
        frames=300,
        gop=60,
        options=_SLOW,
        video_start_s=-1.5,
        sound=tone(10.0),
        sound_start_s=-1.5,
        container_options={"avoid_negative_ts": "disabled"},
    )
    clip = load_clip(path)
    assert clip.notes == ()
    assert clip.duration_s == pytest.approx(8.5, abs=0.05)
    assert clip.audio.seconds == pytest.approx(8.5, abs=0.05)
    for video in (clip.video, _video(path, start_s=6.0, end_s=7.0)):
        start = 0.0 if video is clip.video else 6.0
        assert numbers(video)[0] == 45 + 30 * start
        assert video.times == pytest.approx([(number - 45) / 30 - start for number in numbers(video)], abs=0.0011)


def test_a_film_that_was_put_together_by_an_edit_list_is_whole(clips):
    """Packets that lead up to a later part are left out, and decoded long after the pictures that follow are shown."""
    path = write_clip(clips / "edited.mp4", frames=300, rate=30, gop=300)
    data = bytearray(path.read_bytes())
    parts = [(0, 1_000), (6, 1_000), (3, 2_000)]  # from which second, for how many milliseconds
    entries = b"".join(struct.pack(">IiI", lasts, second * 15_360, 65_536) for second, lasts in parts)
    for name in (b"moov", b"trak", b"edts", b"elst"):  # each is in the one before, at the file's end
        at = data.rindex(name) - 4
        data[at : at + 4] = (int.from_bytes(data[at : at + 4]) + 24).to_bytes(4)
    list_at = data.rindex(b"elst") + 8
    data[list_at : list_at + 16] = struct.pack(">I", 3) + entries
    path.write_bytes(data)
    for end, stored in ((None, [0, 0.56, 6.12, 6.7, 3.26, 3.83, 4.4, 4.97]), (2.5, [0, 0.83, 6.67, 3.5])):
        clip = load_clip(path, end_s=end, use_audio=False)
        assert clip.notes == ()
        assert numbers(clip.video) == pytest.approx([30 * at for at in stored], abs=1)


def _with_wild_timestamps(path, places, ticks=2**48):
    """100 pictures in a file that says the timestamp of each once, and nothing to check it against."""
    write_clip(path, frames=100, rate=25, codec="libvpx", size=(64, 48))
    data, place = bytearray(path.read_bytes()), 32
    for number in range(
        100
    ):  # 32 bytes of header, then of each picture: its size, 4 bytes, its timestamp, 8, and itself
        if number in places:
            data[place + 4 : place + 12] = (ticks + number).to_bytes(8, "little", signed=True)
        place += 12 + int.from_bytes(data[place : place + 4], "little")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("at", [40, 99])
@pytest.mark.parametrize("end", [None, 3.0])
def test_a_single_wild_timestamp_takes_no_other_picture_along(clips, at, end):
    clip = load_clip(_with_wild_timestamps(clips / "wild.ivf", [at]), end_s=end)
    seen = numbers(clip.video)
    assert (seen[0], len(seen)) == (0, 8 if (at, end) == (40, None) else 6)
    assert seen[-1] == pytest.approx(98 if end is None else 75, abs=1)
    assert clip.duration_s == pytest.approx(4.0, abs=0.05)
    assert "1 picture with a wrong timestamp left out" in clip.notes


def test_wild_timestamps_here_and_there_do_not_end_the_part(clips):
    clip = load_clip(_with_wild_timestamps(clips / "wilder.ivf", [20, 40, 60]), end_s=3.0)
    assert numbers(clip.video)[-1] == pytest.approx(75, abs=1)
    assert "3 pictures with a wrong timestamp left out" in clip.notes


def test_a_wild_timestamp_before_all_others_leaves_the_others(clips):
    clip = load_clip(_with_wild_timestamps(clips / "long-before.ivf", [60], ticks=-(2**24)))
    assert (len(clip.video.pixels), numbers(clip.video)[-1]) == (8, 99)
    assert "1 picture with a wrong timestamp left out" in clip.notes


def test_settings_reach_the_frames(plain_clip):
    sampling = FrameSampling(fps=1, max_frames=6, factor=32, min_pixels=4 * 32 * 32, max_pixels=16 * 32 * 32)
    video = _video(plain_clip, sampling=sampling)
    assert len(video.pixels) == 6
    assert video.fps == pytest.approx(0.5)
    height, width = video.pixels.shape[2:]
    assert height % 32 == width % 32 == 0
    assert height * width <= 16 * 32 * 32


def test_vp9_behind_a_gap_whose_keyframe_is_damaged(clips):
    """In a process of its own: FFmpeg's decoder ends it where it has been emptied before."""
    whole = write_clip(clips / "gap.mp4", frames=240, codec="libvpx-vp9", options=_VP9, gop=19)
    damaged = write_damaged(clips / "gap-damaged.mp4", whole, slice(19, 20))
    code = (
        "import sys; from seats.media import FrameSampling, load_clip; "
        "clip = load_clip(sys.argv[1], sampling=FrameSampling(max_frames=8)); print(len(clip.video.pixels), clip.notes)"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(damaged)], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("8 ")
    assert "damaged" in ran.stdout


def test_timestamps_that_no_clip_has_are_left_out_however_many_they_are(clips, monkeypatch):
    """As of Ogg Theora that was cut without its keyframe."""
    real = media.packets

    def cut(container, stream, deadline):
        for number, packet in enumerate(real(container, stream, deadline)):
            if number < 30:
                packet.pts = packet.dts = 2**58 + number
            yield packet

    monkeypatch.setattr(media, "packets", cut)
    path = write_clip(clips / "wrong.mkv", frames=50, rate=25, codec="mpeg4", gop=10)
    for read in (load_clip(path), load_clip(path, sampling=FrameSampling(fps=25))):
        assert "30 pictures with a wrong timestamp left out" in read.notes
        assert min(numbers(read.video)) == 30
        assert max(numbers(read.video)) == 49


def test_a_picture_with_a_time_behind_all_that_were_listed(clips, monkeypatch):
    """As a damaged AV1 gave: all that are wanted are before the first that comes."""
    path = write_clip(clips / "late.mp4", frames=40, rate=20, codec="mpeg4", gop=40)
    real = video_module._all_frames

    def late(*args):
        for number, frame in enumerate(real(*args)):
            if number >= 30:
                frame.pts += 10**9
                yield frame

    monkeypatch.setattr(video_module, "_all_frames", late)
    monkeypatch.setattr(video_module, "_needed_frames", lambda *_: iter(()))
    clip = load_clip(path)
    assert any("cannot be decoded; the first behind them stands in" in note for note in clip.notes)


@pytest.mark.parametrize("start", [0.0, 8.0])  # the second one is sought
def test_pictures_on_the_screen_at_some_times(tmp_path, start):
    shown = [0, 400, 500, 4000, 9000, 9040, 15000]
    path = write_clip(tmp_path / "a.mp4", frames=7, rate=10, gop=1, pts_ms=[2000 + at for at in shown], sound=tone(3))
    at = start + np.array([0.0, 1.0, 2.399, 2.3995, 6.0, 6.0, 13.0, 40.0])
    pixels = video_module.load_shown(path, at, FrameSampling(), media.Deadline(None, path))
    expected = [max(np.searchsorted(np.array(shown) / 1000 + 2, time + 0.001, side="right") - 1, 0) for time in at]
    assert [read_number(picture) for picture in pixels] == expected
