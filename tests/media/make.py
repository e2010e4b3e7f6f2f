"""Makes the clips that the tests read: every picture carries its number, every sound is known."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

_COLUMNS, _ROWS = 4, 3  # twelve bits, as black and white blocks


def numbered_picture(number: int, width: int = 160, height: int = 120) -> np.ndarray:
    """Return uint8 `[H, W, 3]`, blocks that spell `number` (below 4096) in binary."""
    bits = [(number >> bit) & 1 for bit in range(_COLUMNS * _ROWS)]
    grid = np.array(bits, dtype=np.uint8).reshape(_ROWS, _COLUMNS) * 255
    rows = np.arange(height) * _ROWS // height
    columns = np.arange(width) * _COLUMNS // width
    return np.repeat(grid[rows][:, columns, None], 3, axis=2)


def read_number(picture) -> int:
    """Return the number in a picture `[3, H, W]`, whatever its size."""
    picture = np.asarray(picture)
    _, height, width = picture.shape
    rows = ((np.arange(_ROWS) + 0.5) * height / _ROWS).astype(int)
    columns = ((np.arange(_COLUMNS) + 0.5) * width / _COLUMNS).astype(int)
    bits = (picture[1][rows][:, columns] > 127).reshape(-1)
    return int(sum(1 << bit for bit, on in enumerate(bits) if on))


def numbers(video) -> list[int]:
    """Return the numbers in all frames of a `Video`."""
    return [read_number(frame) for frame in video.pixels]


def tone(seconds: float, rate: int = 48_000, hertz: float = 440.0, channels: int = 1) -> np.ndarray:
    """Return a sine, float32 `[channels, N]`; further channels are quieter."""
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return np.stack([wave / (1 + channel) for channel in range(channels)]).astype(np.float32)


def write_clip(
    path: Path,
    *,
    frames: int = 0,
    rate: float | Fraction = 30,
    pts_ms: Sequence[int] | None = None,
    size: tuple[int, int] = (160, 120),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    gop: int = 30,
    picture: Callable[[int, int, int], np.ndarray] = numbered_picture,
    rotation: float = 0,
    hflip: bool = False,
    video_start_s: float = 0.0,
    sound: np.ndarray | Sequence[np.ndarray] | None = None,
    sound_rate: int = 48_000,
    sound_codec: str = "aac",
    sound_bit_rate: int | None = None,
    sound_start_s: float = 0.0,
    container_format: str | None = None,
    container_options: dict[str, str] | None = None,
    video_streams: int = 1,
    largest: int = 0,
) -> Path:
    """Write a clip and return its path.

    Frames are numbered from 0; `pts_ms` gives each its time in milliseconds (then `rate` is only a hint).
    `sound` is float32 `[channels, N]`, or several such for several streams. Video streams other than number `largest`
    are smaller and show 4095.
    """
    sounds = [] if sound is None else [sound] if isinstance(sound, np.ndarray) else list(sound)
    with av.open(str(path), "w", format=container_format, options=container_options or {}) as out:
        videos = []
        for number in range(video_streams if frames else 0):
            stream = out.add_stream(codec, rate=Fraction(rate).limit_denominator(1001))
            scale = 1 if number == largest else 2
            stream.width, stream.height = size[0] // scale, size[1] // scale
            stream.pix_fmt = pix_fmt
            stream.options = options or ({"preset": "ultrafast", "crf": "18"} if codec == "libx264" else {})
            stream.gop_size = gop
            if pts_ms is not None:
                stream.codec_context.time_base = Fraction(1, 1000)
            if rotation or hflip:
                stream.set_display_rotation(rotation, hflip=hflip)
            videos.append(stream)
        audios = []
        for each in sounds:
            layout = {1: "mono", 2: "stereo", 3: "2.1", 6: "5.1"}[len(each)]
            audios.append(out.add_stream(sound_codec, rate=sound_rate, layout=layout))
            if sound_bit_rate is not None:
                audios[-1].bit_rate = sound_bit_rate
        for number, stream in enumerate(videos):
            base = Fraction(1, 1000) if pts_ms is not None else 1 / Fraction(rate).limit_denominator(1001)
            for index in range(frames):
                shown = picture(index if number == largest else 4095, stream.width, stream.height)
                frame = av.VideoFrame.from_ndarray(shown, "rgb24").reformat(format=pix_fmt)
                tick = pts_ms[index] if pts_ms is not None else index
                frame.pts, frame.time_base = tick + round(video_start_s / base), base
                out.mux(stream.encode(frame))
            out.mux(stream.encode())
        for stream, samples in zip(audios, sounds, strict=True):
            _write_sound(out, stream, samples, sound_rate, sound_start_s)
    return path


def _write_sound(out, stream, samples: np.ndarray, rate: int, start_s: float) -> None:
    if not stream.codec_context.is_open:
        stream.codec_context.open()
    fmt, layout = stream.codec_context.format.name, stream.codec_context.layout.name
    resampler = av.AudioResampler(format=fmt, layout=layout, rate=rate)
    step = stream.codec_context.frame_size or 1024
    for begin in range(0, samples.shape[1], step):
        piece = np.ascontiguousarray(samples[:, begin : begin + step])
        frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=layout)
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        frame.pts = begin + round(start_s * rate)
        for converted in resampler.resample(frame):
            out.mux(stream.encode(converted))
    out.mux(stream.encode())


def write_damaged(
    path: Path, whole: Path, packets: slice = slice(None), *, kind: str = "video", begin: int = 0
) -> Path:
    """Write a copy of a clip in which some packets of its first stream of a kind are zeros from byte `begin` on."""
    with av.open(str(whole)) as source:
        places = [(packet.pos, packet.size) for packet in source.demux(**{kind: 0}) if packet.size][packets]
    data = bytearray(whole.read_bytes())
    for position, size in places:
        data[position + begin : position + size] = bytes(size - begin)
    path.write_bytes(data)
    return path


def write_programs(path: Path, *programs: dict) -> Path:
    """Write a transport stream of several programs, each as `write_clip` makes it, and return its path."""
    packets, table = [], bytearray()
    for number, program in enumerate(programs, 1):
        tables, first = 256 * number, 256 * number + 1
        ids = {"mpegts_pmt_start_pid": f"{tables}", "mpegts_start_pid": f"{first}", "mpegts_service_id": f"{number}"}
        one = write_clip(path.with_stem(f"{path.stem}{number}"), container_options=ids, **program).read_bytes()
        parts = [one[at : at + 188] for at in range(0, len(one), 188)]
        # without this program's own list of programs (0) and their names (17)
        packets.append([part for part in parts if ((part[1] & 31) << 8 | part[2]) not in (0, 17)])
        table += number.to_bytes(2) + (0xE000 | tables).to_bytes(2)
    section = bytes([0, 0xB0, 9 + len(table), 0, 1, 0xC1, 0, 0]) + table
    start = bytes([0x47, 0x40, 0, 0x10, 0]) + section + _crc_of_mpeg(section)
    turns = max(map(len, packets))
    with path.open("wb") as out:
        out.write(start.ljust(188, b"\xff"))
        for turn in range(turns):
            for parts in packets:
                out.write(b"".join(parts[turn * len(parts) // turns : (turn + 1) * len(parts) // turns]))
    return path


def _crc_of_mpeg(section: bytes) -> bytes:
    rest = 0xFFFFFFFF
    for byte in section:
        rest ^= byte << 24
        for _ in range(8):
            rest = (rest << 1 ^ 0x04C11DB7 * (rest >> 31)) & 0xFFFFFFFF
    return rest.to_bytes(4)


def write_bare(path: Path, loud_s: tuple[float, float]) -> Path:
    """Write 20 s of sound without a header that covers the file: few bits of silence, and noise between two times."""
    rate = 44_100
    sound = np.zeros((1, 20 * rate), np.float32)
    begin, end = (round(at * rate) for at in loud_s)
    sound[0, begin:end] = np.random.default_rng(0).uniform(-0.5, 0.5, end - begin)
    bare = {"aac": ("aac", "adts", {}), "mp3": ("libmp3lame", "mp3", {"write_xing": "0", "id3v2_version": "0"})}
    codec, container, options = bare[path.suffix[1:]]
    with av.open(str(path), "w", format=container, options=options) as out:
        stream = out.add_stream(codec, rate=rate, layout="mono")
        if codec == "libmp3lame":
            stream.options = {"flags": "+qscale", "global_quality": "236"}  # a varying bit rate
        _write_sound(out, stream, sound, rate, 0.0)
    return path


def write_pieces(path: Path, pieces: dict[float, np.ndarray], *, rate: int = 48_000, frames: int = 0) -> Path:
    """Write pieces of 16-bit mono sound, float32 `[N]`, each at its time in seconds, beside pictures at 30 Hz."""
    with av.open(str(path), "w") as out:
        sound = out.add_stream("pcm_s16le", rate=rate, layout="mono")
        if frames:
            video = out.add_stream("libx264", rate=30, options={"preset": "ultrafast"})
            video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
            for index in range(frames):
                frame = av.VideoFrame.from_ndarray(numbered_picture(index), "rgb24")
                frame.pts, frame.time_base = index, Fraction(1, 30)
                out.mux(video.encode(frame))
            out.mux(video.encode())
        for at_s, samples in pieces.items():
            for begin in range(0, len(samples), 1024):
                piece = np.round(samples[begin : begin + 1024] * 32767).astype(np.int16)[None]
                frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), format="s16", layout="mono")
                frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
                frame.pts = round(at_s * rate) + begin
                out.mux(sound.encode(frame))
        out.mux(sound.encode())
    return path


def write_cover_mp3(path: Path, seconds: float = 1.0) -> Path:
    """Write an mp3 whose only picture is cover art."""
    with av.open(str(path), "w", options={"id3v2_version": "3"}) as out:
        stream = out.add_stream("libmp3lame", rate=44_100, layout="mono")
        cover = out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 200, np.uint8), "rgb24")
        picture.pts = 0
        packets = [*cover.encode(picture.reformat(format="yuvj420p")), *cover.encode()]
        for packet in packets:
            packet.stream = cover
            out.mux(packet)
        _write_sound(out, stream, tone(seconds, 44_100), 44_100, 0.0)
    return path


def busy(number, width, height):
    """Noise, which no codec makes small."""
    return np.random.default_rng(number).integers(0, 255, (height, width, 3), dtype=np.uint8)
