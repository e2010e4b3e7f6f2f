"""A file on disk → `Clip`: sampled frames and a 16 kHz waveform on one clock, read with PyAV alone."""

from seats.media.clip import SAMPLE_RATE, Audio, Clip, Video
from seats.media.load import load_clip, read_clip
from seats.media.probe import MediaInfo, probe
from seats.media.reading import ReadingClip
from seats.media.sampling import FrameSampling, frame_size

__all__ = [
    "SAMPLE_RATE",
    "Audio",
    "Clip",
    "FrameSampling",
    "MediaInfo",
    "ReadingClip",
    "Video",
    "frame_size",
    "load_clip",
    "probe",
    "read_clip",
]
