"""Pictures that say how they are to be turned in their EXIF data, as those of phones and cameras do."""

from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image, ImageOps

from seats.media import FrameSampling, load_clip, probe
from seats.plan.clip import clip_facts, take

ORIENTATION = 0x0112
SAMPLING = FrameSampling(min_pixels=28 * 28, max_pixels=10**6, factor=28)


def picture(path, orientation, **options):
    """A picture with four fields of different colours; returns it as it is to be seen."""
    fields = np.zeros((56, 112, 3), np.uint8)
    fields[:28, :56], fields[:28, 56:], fields[28:, :56] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    image = Image.fromarray(fields)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image.save(path, exif=exif, **options)
    return np.asarray(ImageOps.exif_transpose(Image.open(path)))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("ending", "options"), [("jpg", {"quality": 95, "subsampling": 0}), ("png", {}), ("tiff", {})])
def test_pictures_are_turned_as_they_say(tmp_path, ending, options, orientation):
    path = tmp_path / f"{orientation}.{ending}"
    seen = picture(path, orientation, **options)
    clip = load_clip(path, sampling=SAMPLING)
    pixels = clip.video.pixels[0].permute(1, 2, 0).numpy().astype(int)
    assert pixels.shape == seen.shape
    assert np.abs(pixels - seen.astype(int)).mean() < 3
    info = probe(path)
    assert (info.video.height, info.video.width) == seen.shape[:2]
    part = take(clip_facts(path), SAMPLING, None, None)
    assert (part.height, part.width) == pixels.shape[:2]


def test_films_of_such_pictures_are_turned(tmp_path):
    seen = picture(tmp_path / "6.jpg", 6, quality=95, subsampling=0)
    film = tmp_path / "6.avi"
    with av.open(str(film), "w") as output:
        stream = output.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 112, 56, "yuvj444p"
        for number in range(10):
            packet = av.Packet((tmp_path / "6.jpg").read_bytes())
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, Fraction(1, 10)
            packet.is_keyframe = True
            output.mux(packet)
    assert load_clip(film, sampling=SAMPLING).video.pixels.shape[2:] == seen.shape[:2]
    part = take(clip_facts(film), SAMPLING, None, None)
    assert (part.height, part.width) == seen.shape[:2]
