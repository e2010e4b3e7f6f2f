"""Pictures as players show them: their colours, the right way up, transparent parts on white, square pixels."""

import subprocess
import sys
from dataclasses import replace

import av
import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from seats.errors import MediaError
from seats.media import FrameSampling, load_clip, probe
from seats.plan.clip import clip_facts, take
from tests.media.make import numbered_picture, tone, write_clip

SAMPLING = FrameSampling(min_pixels=28 * 28, max_pixels=10**6, factor=28)
WHITE = "transparent parts of the pictures are read as white"


def rgba():
    """[56, 112, 4]: red, half red, nothing that is red, black."""
    fields = np.zeros((56, 112, 4), np.uint8)
    fields[..., 0] = 250
    for number, alpha in enumerate((255, 128, 0, 255)):
        fields[:, 28 * number : 28 * (number + 1), 3] = alpha
    fields[:, 84:, 0] = 0
    return fields


def colours(clip):
    """The middle of each field of the first picture."""
    return clip.video.pixels[0][:, 28, 14::28].T.tolist()


_READ_BY_ANOTHER_PROCESS = """
import gc, sys
from seats.media import load_clip, probe
print(probe(sys.argv[1]).video.width, load_clip(sys.argv[1]).video.source_width)
gc.collect()
"""


def test_a_picture_with_a_colour_profile_does_not_end_the_process(tmp_path):
    path = tmp_path / "screen.png"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(rgba()[..., :3]).save(path, icc_profile=profile)
    command = [sys.executable, "-c", _READ_BY_ANOTHER_PROCESS, path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "112 112\n"), done.stderr


@pytest.mark.parametrize(("ending", "several"), [("png", False), ("webp", False), ("apng", True)])
def test_transparent_parts_are_white(tmp_path, ending, several):
    path = tmp_path / f"fields.{ending}"
    more = {"save_all": True, "append_images": [Image.fromarray(rgba()[::-1, ::-1])]} if several else {}
    Image.fromarray(rgba()).save(path, "png" if several else ending, lossless=True, exact=True, **more)
    clip = load_clip(path, sampling=SAMPLING)
    for found, expected in zip(colours(clip), [(250, 0, 0), (252, 127, 127), (255, 255, 255), (0, 0, 0)], strict=True):
        assert np.abs(np.subtract(found, expected)).max() <= 3
    assert WHITE in clip.notes


def test_a_palette_may_be_transparent(tmp_path):
    picture = Image.fromarray(np.repeat(np.arange(4, dtype=np.uint8), 28)[None].repeat(56, 0))
    picture.putpalette([250, 0, 0, 0, 250, 0, 250, 0, 0, 0, 0, 0])
    picture.save(tmp_path / "some.png", transparency=2)
    picture.save(tmp_path / "none.png")
    clip = load_clip(tmp_path / "some.png", sampling=SAMPLING)
    assert colours(clip) == [[250, 0, 0], [0, 250, 0], [255, 255, 255], [0, 0, 0]]
    assert WHITE in clip.notes
    clip = load_clip(tmp_path / "none.png", sampling=SAMPLING)
    assert colours(clip) == [[250, 0, 0], [0, 250, 0], [250, 0, 0], [0, 0, 0]]
    assert WHITE not in clip.notes


def test_transparency_that_no_decoder_tells_is_said(tmp_path):
    with av.open(str(tmp_path / "alpha.webm"), "w") as output:
        stream = output.add_stream("libvpx-vp9", rate=10)
        stream.width, stream.height, stream.pix_fmt = 112, 56, "yuva420p"
        for picture in [av.VideoFrame.from_ndarray(rgba(), "rgba")] * 5:
            output.mux(stream.encode(picture.reformat(format="yuva420p")))
        output.mux(stream.encode(None))
    path = tmp_path / "alpha.webm"
    for notes in (load_clip(path).notes, take(clip_facts(path), SAMPLING).notes):
        assert any("taken as opaque" in note for note in notes)


@pytest.mark.parametrize(
    ("aspect", "size"),
    [("2/1", (112, 448)), ("1/2", (112, 112)), ("100/1", (112, 224)), ("9/10", (112, 196)), ("404/405", (112, 224))],
)
def test_pixels_become_square(tmp_path, aspect, size):
    path = write_clip(tmp_path / "wide.mp4", frames=30, size=(224, 112), options={"x264-params": f"sar={aspect}"})
    clip = load_clip(path, sampling=SAMPLING)
    assert tuple(clip.video.pixels.shape[2:]) == size
    assert (clip.video.source_width, clip.video.source_height) == (224, 112)
    part = take(clip_facts(path), SAMPLING)
    assert (part.height, part.width) == size
    said = [note for note in clip.notes if "times as wide as high" in note]
    assert list(part.notes) == said
    assert len(said) == (size != (112, 224))


def test_pixels_of_a_turned_picture_become_square(tmp_path):
    path = tmp_path / "turned.mp4"
    write_clip(path, frames=30, size=(224, 112), options={"x264-params": "sar=2/1"}, rotation=90)
    clip = load_clip(path, sampling=SAMPLING)
    assert tuple(clip.video.pixels.shape[2:]) == (448, 112)
    part = take(clip_facts(path), SAMPLING)
    assert (part.height, part.width) == (448, 112)


def test_the_paper_s_pixels_of_a_still_picture_are_not_shown(tmp_path):
    Image.fromarray(rgba()[..., :3]).save(tmp_path / "paper.jpg", dpi=(300, 150))
    assert load_clip(tmp_path / "paper.jpg", sampling=SAMPLING).video.pixels.shape[2:] == (56, 112)
    assert probe(tmp_path / "paper.jpg").video.pixel_aspect == 1


def test_pictures_that_cannot_be_resized_leave_the_sound(tmp_path):
    long = write_clip(tmp_path / "long.mkv", frames=20, size=(4040, 20), codec="ffv1", sound=tone(1.0))
    clip, part = load_clip(long, sampling=SAMPLING), take(clip_facts(long), SAMPLING)
    assert clip.video is None
    assert (part.frames, part.samples > 0) == (0, True)
    assert "the picture is 4040x20, longer than 200:1; crop it first" in clip.notes
    assert list(part.notes) == ["the picture is 4040x20, longer than 200:1; crop it first"]
    alone = write_clip(tmp_path / "alone.mkv", frames=20, size=(4040, 20), codec="ffv1")
    for read in (lambda: load_clip(alone), lambda: take(clip_facts(alone), SAMPLING)):
        with pytest.raises(MediaError, match=r"alone\.mkv: the picture is 4040x20, longer than 200:1; crop it first"):
            read()


def test_one_picture_is_told_as_such(tmp_path):
    Image.fromarray(rgba()[..., :3]).save(tmp_path / "still.jpg")
    film = write_clip(tmp_path / "film.mp4", frames=30, size=(112, 56))
    assert load_clip(tmp_path / "still.jpg").video.still
    assert take(clip_facts(tmp_path / "still.jpg"), SAMPLING).still
    moving = load_clip(film).video
    assert not moving.still
    assert not replace(moving, times=(0.0, 0.0, 0.5, 0.5)).still
    assert not replace(moving, times=(0.0, 0.5, 0.5, 0.5)).still
    assert not take(clip_facts(film), SAMPLING).still


def animated_webp(path):
    """Two pictures, each shown for half a second."""
    second = Image.fromarray(rgba()[::-1, ::-1])
    options = {"lossless": True, "exact": True, "duration": 500}
    Image.fromarray(rgba()).save(path, save_all=True, append_images=[second], **options)
    return path


@pytest.mark.skipif("webp_anim" in av.formats_available, reason="this FFmpeg reads it")
def test_animated_webp_is_named(tmp_path):
    path = animated_webp(tmp_path / "moves.webp")
    for read in (lambda: load_clip(path), lambda: take(clip_facts(path), SAMPLING)):
        with pytest.raises(MediaError, match=r"moves\.webp: no picture can be decoded; animated WebP is not read"):
            read()


@pytest.mark.skipif("webp_anim" not in av.formats_available, reason="needs FFmpeg 9, in PyAV 19")
def test_animated_webp_is_read(tmp_path):
    path = animated_webp(tmp_path / "moves.webp")
    clip = load_clip(path, sampling=SAMPLING)
    assert (clip.video.times, clip.end_s) == ((0.0, 0.5), 1.0)
    assert colours(clip)[::3] == [[250, 0, 0], [0, 0, 0]]
    assert clip.video.pixels[1][:, 28, 14::84].T.tolist() == [[0, 0, 0], [250, 0, 0]]
    assert take(clip_facts(path), SAMPLING).frames == 2


@pytest.mark.parametrize(
    ("rotation", "hflip", "turn"),
    [
        (90, False, lambda p: np.rot90(p, 1)),
        (180, False, lambda p: np.rot90(p, 2)),
        (270, False, lambda p: np.rot90(p, 3)),
        (0, True, lambda p: p[:, ::-1]),
        (30, False, lambda p: p),  # a player would show corners; the nearest quarter turn is read
        (120, False, lambda p: np.rot90(p, 1)),
        (200, False, lambda p: np.rot90(p, 2)),
    ],
)
def test_rotation_is_applied(clips, rotation, hflip, turn):
    expected = turn(numbered_picture(39))
    path = write_clip(
        clips / f"turned{rotation}.mp4",
        frames=8,
        rotation=rotation,
        hflip=hflip,
        picture=lambda _, w, h: numbered_picture(39, w, h),
    )
    video = load_clip(path).video
    height, width = video.pixels.shape[2:]
    assert (video.source_height, video.source_width) == expected.shape[:2]
    rows = (np.arange(height) + 0.5) * expected.shape[0] / height
    columns = (np.arange(width) + 0.5) * expected.shape[1] / width
    shown = expected[rows.astype(int)][:, columns.astype(int), 1]
    difference = np.abs(video.pixels[0, 1].numpy().astype(int) - shown)
    assert (difference > 100).mean() < 0.05  # only at the edges of the blocks


def _colours(path, codec, pix_fmt, colorspace, color_range, options):
    """Write four flat colours as tagged YUV and return them as they were meant, and as they are read."""
    colours = [(200, 30, 40), (20, 180, 60), (30, 60, 220), (235, 235, 235)]
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=2)
        stream.width, stream.height, stream.pix_fmt, stream.options = 96, 64, pix_fmt, options
        stream.colorspace, stream.color_range = colorspace, color_range
        for number, colour in enumerate(colours):
            picture = np.broadcast_to(np.array(colour, np.uint8), (64, 96, 3)).copy()
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame = _yuv(frame, pix_fmt, colorspace, color_range)
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    video = load_clip(path).video
    read = [tuple(frame[:, 100, 100].tolist()) for frame in video.pixels]
    return np.array(colours), np.array(read)


def _yuv(frame, pix_fmt, colorspace, color_range):
    """Convert by the textbook's formula, not by the library under test."""
    kr, kb = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}[colorspace]
    bits = 10 if "10" in pix_fmt else 8
    red, green, blue = (frame.to_ndarray()[0, 0] / 255).tolist()
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    cb, cr = (blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr))
    unit = 2 ** (bits - 8)
    if color_range == 2:
        values = [luma * (2**bits - 1), *(128 * unit + c * (2**bits - 1) for c in (cb, cr))]
    else:
        values = [(16 + 219 * luma) * unit, *((128 + 224 * c) * unit for c in (cb, cr))]
    result = av.VideoFrame(frame.width, frame.height, pix_fmt)
    for plane, value in zip(result.planes, values, strict=True):
        dtype = np.uint16 if bits > 8 else np.uint8
        plane.update(np.full(plane.buffer_size // dtype().nbytes, round(value), dtype).view(np.uint8))
    result.colorspace, result.color_range = colorspace, color_range
    return result


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize(("colorspace", "color_range"), [(1, 1), (6, 1), (1, 2), (9, 1)])
def test_colours_follow_matrix_range_and_depth(clips, pix_fmt, colorspace, color_range):
    path = clips / f"colour-{pix_fmt}-{colorspace}-{color_range}.mp4"
    options = {"preset": "ultrafast", "crf": "1" if "10" in pix_fmt else "0"}
    meant, read = _colours(path, "libx264", pix_fmt, colorspace, color_range, options)
    assert np.abs(meant - read).max() <= 4


@pytest.mark.parametrize("sampling", [FrameSampling(), FrameSampling(min_pixels=28 * 28, max_pixels=80 * 60)])
def test_resizing_equals_torch_on_the_decoded_picture(clips, sampling):
    """To a larger size, and to a smaller one."""
    edges = {"picture": lambda _, width, height: numbered_picture(39, width, height)}
    path = write_clip(clips / "size.mp4", frames=4, size=(320, 180), **edges)
    with av.open(str(path)) as source:
        first = next(source.decode(video=0)).to_ndarray(format="rgb24")
    video = load_clip(path, sampling=sampling).video
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(first).permute(2, 0, 1)[None],
        size=tuple(video.pixels.shape[2:]),
        mode="bicubic",
        antialias=True,
    )[0]
    assert torch.equal(video.pixels[0], expected)
    # the float path of the reference's torchvision call: rounded and clamped at the end
    floats = torch.nn.functional.interpolate(
        torch.from_numpy(first).permute(2, 0, 1)[None].float(),
        size=tuple(video.pixels.shape[2:]),
        mode="bicubic",
        antialias=True,
    )[0]
    assert (video.pixels[0] - floats.clamp(0, 255).round()).abs().mean() < 0.6


_CONVERTED_BY_ANOTHER_PROCESS = """
import av
from seats.errors import MediaError
from seats.media.pictures import to_rgb
print(to_rgb(av.VideoFrame(8, 5, "bayer_rggb8"), "raw.dng")[0].shape)
try:
    to_rgb(av.VideoFrame(8, 6, "yaf32le"), "grey.exr")
except MediaError as error:
    print(error)
"""


def test_pictures_that_swscale_ends_the_process_at():
    command = [sys.executable, "-c", _CONVERTED_BY_ANOTHER_PROCESS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    says = ["(5, 8, 3)", "grey.exr: pixel format yaf32le cannot be made RGB; convert it to mp4"]
    assert (done.returncode, done.stdout.splitlines()) == (0, says), done.stderr


@pytest.mark.parametrize("matrix", [8, 10, 14])
def test_a_film_by_another_colour_matrix_is_read_and_says_so(clips, matrix):
    path = clips / f"matrix-{matrix}.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 56, 56, "yuv420p"
        stream.colorspace = matrix
        for number in range(4):
            frame = av.VideoFrame.from_ndarray(np.full((84, 56), 126, np.uint8), "yuv420p")
            frame.pts, frame.colorspace = number, matrix
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    clip = load_clip(path, sampling=SAMPLING)
    assert clip.video.pixels.float().std(dim=(1, 2, 3)).max() < 8
    assert f"the video's colours are stored in an unusual way (matrix {matrix}) and may be read wrong" in clip.notes
