"""Which of several streams is used, and how long reading may take."""

from itertools import repeat
from types import SimpleNamespace

import av
import av.error
import pytest

from seats.errors import MediaError
from seats.media import container
from seats.media.container import Deadline, open_media

Disposition = av.stream.Disposition
PLAIN = Disposition(0)
MP4 = SimpleNamespace(name="mov,mp4,m4a,3gp,3g2,mj2")


def stream(index, disposition, width):
    return SimpleNamespace(index=index, disposition=disposition, codec_context=SimpleNamespace(width=width, height=90))


@pytest.mark.parametrize(
    ("marks", "used"),
    [
        ((PLAIN, PLAIN), 0),
        ((Disposition.comment, PLAIN), 1),
        ((Disposition.hearing_impaired, PLAIN), 1),
        ((Disposition.visual_impaired, PLAIN), 1),
        ((Disposition.karaoke, PLAIN), 1),
        ((PLAIN, Disposition.default), 1),
        ((Disposition.comment | Disposition.default, PLAIN), 0),
    ],
)
def test_a_commentary_is_not_the_sound_unless_it_is_the_default(marks, used):
    streams = [stream(index, mark, 0) for index, mark in enumerate(marks)]
    opened = SimpleNamespace(format=MP4, streams=SimpleNamespace(audio=streams))
    assert container.audio_streams(opened)[0].index == used


@pytest.mark.parametrize(
    ("pictures", "used"),
    [
        (((PLAIN, 160), (PLAIN, 320)), 1),
        (((PLAIN, 160), (PLAIN, 160)), 0),
        (((Disposition.default, 160), (PLAIN, 320)), 0),
        (((Disposition.attached_pic, 900), (PLAIN, 160)), 1),
    ],
)
def test_the_largest_pictures_are_used_unless_others_are_the_default(pictures, used):
    streams = [stream(index, mark, width) for index, (mark, width) in enumerate(pictures)]
    opened = SimpleNamespace(streams=SimpleNamespace(video=streams))
    assert container.video_streams(opened)[0].index == used


def test_a_stream_without_a_decoder_is_used_last():
    unknown = SimpleNamespace(index=0, disposition=Disposition.default, codec_context=None)
    streams = [unknown, stream(1, PLAIN, 160)]
    opened = SimpleNamespace(format=MP4, streams=SimpleNamespace(audio=streams, video=streams))
    assert container.audio_streams(opened)[0].index == container.video_streams(opened)[0].index == 1


@pytest.mark.parametrize(("timeout_s", "said"), [(0.5, "longer than 0.5 s;"), (None, "longer than allowed;")])
def test_the_time_that_was_allowed_is_named(timeout_s, said):
    assert said in str(container.Deadline(timeout_s, "a.mp4").error())


def test_a_file_whose_opening_was_broken_off_is_not_called_broken(tmp_path):
    path = tmp_path / "some.mp4"
    path.write_text("no clip")
    with pytest.raises(MediaError, match="took longer than 1e-09 s"), open_media(path, Deadline(1e-9, path)):
        pass
    with pytest.raises(MediaError, match="not a video or sound file"), open_media(path, Deadline(60, path)):
        pass


class _Damaged:
    """A file that is read past damage: of these sizes of packets None is a damaged place."""

    format = MP4

    def __init__(self, sizes):
        self.left = iter(sizes)

    def demux(self, _stream):
        for size in self.left:
            if size is None:
                raise av.error.InvalidDataError(1, "damaged")
            yield SimpleNamespace(size=size)


def test_damaged_places_end_a_file_only_where_nothing_good_comes_between():
    deadline = Deadline(60, "some.mp4")
    found = list(container.packets(_Damaged([None, None, 8] * 300), None, deadline))
    assert len(found) == 300
    assert list(container.packets(_Damaged(repeat(None)), None, deadline)) == []
