"""A decoded picture becomes RGB of the asked size, and what users should know of how that was done."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av.error
import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import Type as SideDataType

from seats.errors import MediaError

# Colour matrices of ITU-T H.273 that FFmpeg's swscale undoes; with another one it refuses the picture. Left are a
# reserved one (3), YCgCo (8), constant luminance (10), ICtCp (14) and the like.
_MATRICES = {0, 1, 2, 4, 5, 6, 7, 9}
_UNSPECIFIED = 2


def _unknown_side_data(cls: Any, value: object) -> Any:
    """A member for a kind of side data that FFmpeg has and this PyAV does not know, such as EXIF: without one, a frame
    that carries it could not be asked for any."""
    member = object.__new__(cls)
    member._name_, member._value_ = f"UNKNOWN_{value}", value
    return cls._value2member_map_.setdefault(value, member)


SideDataType._missing_ = classmethod(_unknown_side_data)  # type: ignore[assignment, method-assign]


def orientation(frame: Any) -> tuple[bool, bool, bool]:
    """Return how a frame is to be turned for display: swap rows and columns, then mirror x, then mirror y.

    Read off the display matrix (ISO 14496-12, 8.3.2), which phones write instead of turning the picture;
    angles other than quarter turns are rounded to one.
    """
    data = _without_colour_profile(frame).side_data.get(SideDataType.DISPLAYMATRIX)
    if data is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(data), dtype=np.int32)[:5].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, a < 0, d < 0
    return True, c < 0, b < 0


def _without_colour_profile(frame: Any) -> Any:
    """The same picture without its ICC profile, as most PNG files have one: FFmpeg's decoder keeps the profile's name
    beside it, and of a frame that was asked for side data, PyAV and FFmpeg both free that name, which ends the process.
    """
    graph = Graph()
    graph.threads = 1
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1))
    graph.link_nodes(source, graph.add("sidedata", "mode=delete:type=ICC_PROFILE"), graph.add("buffersink")).configure()
    graph.vpush(frame)
    return graph.vpull()


def no_picture(codec: str) -> str:
    """Say that nothing of a video stream can be decoded, and what to do."""
    remedy = "animated WebP is not read, convert it to mp4 or GIF" if codec == "webp" else "get another copy"
    return f"no picture can be decoded; {remedy}"


def header_notes(stream: Any, aspect: float) -> list[str]:
    """Say what a stream's header tells of how its pictures are read. aspect: width of a pixel by its height."""
    notes = []
    if aspect != 1:
        notes.append(
            f"the pixels are {aspect:.3g} times as wide as high; pictures are read in the shape that players show"
        )
    if stream.metadata.get("alpha_mode") == "1":  # WebM; FFmpeg's own decoders leave the second picture out
        notes.append("the video says what of it is transparent, which is not read: it is taken as opaque")
    return notes


def other_matrix(frame: Any) -> int | None:
    """By which colour matrix a frame is stored (a number of ITU-T H.273), where FFmpeg cannot undo it; else None."""
    return None if frame.format.is_rgb or frame.colorspace in _MATRICES else int(frame.colorspace)


def to_rgb(frame: Any, path: Path) -> tuple[np.ndarray, bool]:
    """Return a frame as uint8 `[H, W, 3]`, full range, by its own colour matrix where FFmpeg can, on white (as
    qwen-omni-utils puts pictures on it), and whether any of that shows through."""
    if other_matrix(frame) is not None:
        frame.colorspace = _UNSPECIFIED
    if frame.format.name.startswith("yaf32"):  # grey with alpha in 32-bit floats: swscale ends the process
        raise MediaError(f"{path}: pixel format {frame.format.name} cannot be made RGB; convert it to mp4")
    # with several threads swscale ends the process where one gets a single line of a camera's raw picture
    try:
        if not (frame.format.has_palette or any(component.is_alpha for component in frame.format.components)):
            return frame.to_ndarray(format="rgb24", threads=1), False
        rgba = frame.to_ndarray(format="rgba", threads=1)
        rgb, alpha = rgba[..., :3], rgba[..., 3:].astype(np.uint16)
        if alpha.min() == 255:
            return np.ascontiguousarray(rgb), False
        return ((rgb * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8), True
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise MediaError(
            f"{path}: pixel format {frame.format.name} cannot be made RGB ({error}); convert it to mp4"
        ) from None


def resize(rgb: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize uint8 `[h, w, 3]` to uint8 `[3, height, width]`, bicubic with antialiasing.

    The same as torchvision's transforms v2 on uint8 tensors, which the models' own processors use. The older
    torchvision function in qwen-omni-utils goes through float32; at sharp edges values differ by a few levels.
    """
    if rgb.shape[:2] == (height, width):
        return rgb.transpose(2, 0, 1)
    import torch  # slow to import; decoding has begun by now
    import torch.nn.functional as F

    picture = torch.from_numpy(rgb).permute(2, 0, 1)
    return F.interpolate(picture[None], size=(height, width), mode="bicubic", antialias=True)[0].numpy()
