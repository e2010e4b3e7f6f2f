"""What the header says."""

import time

import pytest

from seats.media import probe
from tests.media.make import tone, write_clip, write_cover_mp3


def test_a_clip(plain_clip):
    info = probe(plain_clip)
    assert "mp4" in info.format.split(",")
    assert info.duration_s == pytest.approx(12.0, abs=0.05)
    assert (info.video.codec, info.video.width, info.video.height) == ("h264", 160, 120)
    assert (info.video.fps, info.video.frames, info.video.turned) == (30.0, 360, False)
    assert (info.audio.codec, info.audio.sample_rate, info.audio.channels) == ("aac", 48_000, 2)
    assert (info.video_streams, info.audio_streams) == (1, 1)


def test_rotation_depth_and_several_streams(clips):
    turned = probe(write_clip(clips / "probe-turned.mp4", frames=4, rotation=90)).video
    assert (turned.width, turned.height, turned.turned) == (120, 160, True)
    upside = probe(write_clip(clips / "probe-upside.mp4", frames=4, rotation=180)).video
    assert (upside.width, upside.height, upside.turned) == (160, 120, False)
    deep = probe(write_clip(clips / "probe-deep.mkv", frames=4, pix_fmt="yuv420p10le", video_streams=2))
    assert deep.video_streams == 2
    assert deep.video.width == 160


def test_sound_alone_and_cover_art(clips):
    info = probe(write_clip(clips / "probe.wav", sound=tone(1.5), sound_codec="pcm_s16le"))
    assert info.video is None
    assert info.duration_s == pytest.approx(1.5)
    cover = probe(write_cover_mp3(clips / "probe-cover.mp3"))
    assert cover.video is None
    assert cover.video_streams == 0


def test_frames_are_estimated_where_the_header_counts_none(clips):
    info = probe(write_clip(clips / "probe.mkv", frames=91))
    assert info.duration_s * info.video.fps < 91  # Matroska counts milliseconds
    assert info.video.frames == 91


def test_the_rate_of_pictures_that_come_unevenly_is_their_average(clips):
    path = write_clip(clips / "probe-uneven.mp4", frames=40, pts_ms=[5 * number**2 for number in range(40)])
    assert probe(path).video.fps == pytest.approx(40 / 7.64, rel=0.01)


@pytest.mark.parametrize(
    ("name", "codec"), [("m1v", "mpeg1video"), ("m4v", "mpeg4"), ("h264", "libx264"), ("hevc", "libx265")]
)
def test_the_rate_of_raw_pictures_is_what_they_say(clips, name, codec):
    formats = {"m1v": "mpeg1video"}
    path = write_clip(
        clips / f"raw-60.{name}", frames=60, rate=60, codec=codec, container_format=formats.get(name, name)
    )
    assert probe(path).video.fps == 60


def test_it_is_fast(plain_clip):
    begin = time.perf_counter()
    probe(plain_clip)
    assert time.perf_counter() - begin < 1.0
