"""Pictures as players show them: transparent parts on white, pixels that are not square."""

import av
import numpy as np
import pytest
from PIL import Image

from seats.errors import MediaError
from seats.media import FrameSampling, load_clip, probe
from seats.plan.clip import read_clip, take
from tests.media.make import tone, write_clip

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
    assert any("taken as opaque" in note for note in load_clip(tmp_path / "alpha.webm").notes)


@pytest.mark.parametrize(
    ("aspect", "size"),
    [("2/1", (112, 448)), ("1/2", (112, 112)), ("100/1", (112, 224)), ("9/10", (112, 196)), ("404/405", (112, 224))],
)
def test_pixels_become_square(tmp_path, aspect, size):
    path = write_clip(tmp_path / "wide.mp4", frames=30, size=(224, 112), options={"x264-params": f"sar={aspect}"})
    clip = load_clip(path, sampling=SAMPLING)
    assert tuple(clip.video.pixels.shape[2:]) == size
    assert (clip.video.source_width, clip.video.source_height) == (224, 112)
    part = take(read_clip(path), SAMPLING)
    assert (part.height, part.width) == size
    said = [note for note in clip.notes if "times as wide as high" in note]
    assert list(part.notes) == said
    assert len(said) == (size != (112, 224))


def test_pixels_of_a_turned_picture_become_square(tmp_path):
    path = tmp_path / "turned.mp4"
    write_clip(path, frames=30, size=(224, 112), options={"x264-params": "sar=2/1"}, rotation=90)
    clip = load_clip(path, sampling=SAMPLING)
    assert tuple(clip.video.pixels.shape[2:]) == (448, 112)
    part = take(read_clip(path), SAMPLING)
    assert (part.height, part.width) == (448, 112)


def test_the_paper_s_pixels_of_a_still_picture_are_not_shown(tmp_path):
    Image.fromarray(rgba()[..., :3]).save(tmp_path / "paper.jpg", dpi=(300, 150))
    assert load_clip(tmp_path / "paper.jpg", sampling=SAMPLING).video.pixels.shape[2:] == (56, 112)
    assert probe(tmp_path / "paper.jpg").video.pixel_aspect == 1


def test_pictures_that_cannot_be_resized_leave_the_sound(tmp_path):
    long = write_clip(tmp_path / "long.mkv", frames=20, size=(4040, 20), codec="ffv1", sound=tone(1.0))
    clip, part = load_clip(long, sampling=SAMPLING), take(read_clip(long), SAMPLING)
    assert clip.video is None
    assert (part.frames, part.samples > 0) == (0, True)
    assert "the picture is 4040x20, longer than 200:1; crop it first" in clip.notes
    assert list(part.notes) == ["the picture is 4040x20, longer than 200:1; crop it first"]
    alone = write_clip(tmp_path / "alone.mkv", frames=20, size=(4040, 20), codec="ffv1")
    for read in (lambda: load_clip(alone), lambda: take(read_clip(alone), SAMPLING)):
        with pytest.raises(MediaError, match=r"alone\.mkv: the picture is 4040x20, longer than 200:1; crop it first"):
            read()


def test_one_picture_is_told_as_such(tmp_path):
    Image.fromarray(rgba()[..., :3]).save(tmp_path / "still.jpg")
    film = write_clip(tmp_path / "film.mp4", frames=30, size=(112, 56))
    assert load_clip(tmp_path / "still.jpg").video.still
    assert take(read_clip(tmp_path / "still.jpg"), SAMPLING).still
    assert not load_clip(film).video.still
    assert not take(read_clip(film), SAMPLING).still


def test_animated_webp_is_named(tmp_path):
    path = tmp_path / "moves.webp"
    Image.fromarray(rgba()).save(path, save_all=True, append_images=[Image.fromarray(rgba()[::-1, ::-1])])
    for read in (lambda: load_clip(path), lambda: take(read_clip(path), SAMPLING)):
        with pytest.raises(MediaError, match=r"moves\.webp: no picture can be decoded; animated WebP is not read"):
            read()
