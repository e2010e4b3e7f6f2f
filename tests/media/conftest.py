"""Clips that several tests read, made once."""

import pytest

from tests.media.make import tone, write_clip


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """A folder for clips that are made once."""
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="session")
def plain_clip(clips):
    """12 s of H.264 with B-frames and several keyframes, and stereo AAC."""
    return write_clip(
        clips / "plain.mp4",
        frames=360,
        options={"preset": "fast", "crf": "18"},
        gop=48,
        sound=tone(12, channels=2),
    )
