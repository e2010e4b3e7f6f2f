"""A figure for a paper: what the stages left of some frames and of the sound, and the budget of the windows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seats.errors import SettingsError
from seats.files import marked, replacing
from seats.view.pictures import spectrogram
from seats.view.shade import Shade, shades
from seats.view.token_map import TokenMap
from seats.view.words import in_file, percent, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".png", ".pdf", ".svg")
DPI = 170
"""Of a .png: about what the sampled frames have where they are drawn. For print there is .pdf."""
_COLUMNS = 8
"""Frames in the figure, all methods together."""
_STEP = 8
"""Levels of a frame's colours that are made one: not seen at this size, and noise takes most of a file."""
_HATCHES = {"rise": "/////", "fall": "\\\\\\\\\\", "dots": "....", "cross": "+++++"}
_TIMES = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
"""Seconds between the times along an axis."""
_STAYED, _GREY = "#2367a8", "#5a616c"


def check_figure(path: Path) -> None:
    """Raise SettingsError if a figure can't be drawn to this file: no matplotlib, or no format of that name."""
    if path.suffix.lower() not in FORMATS:
        raise SettingsError(f"{path}: a figure's name must end in .png, .pdf or .svg")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise SettingsError("a figure needs matplotlib: pip install matplotlib") from None


def write_figure(maps: Sequence[TokenMap], path: Path) -> None:
    """Draw one or several methods beside each other. path: .png, .pdf or .svg. Raises SettingsError, or OSError."""
    check_figure(path)
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = max(2, _COLUMNS // len(maps))
    settings: Any = {"font.size": 7, "hatch.linewidth": 0.4, "axes.linewidth": 0.5, "pdf.fonttype": 42}
    settings |= {"text.parse_math": False, "svg.hashsalt": "seats"}
    with rc_context(settings):
        heights = _heights(maps, columns)
        height = sum(size for _, size in heights) + 0.75
        figure = Figure(figsize=(7.1, height), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        first = maps[0]
        answers = "; ".join(
            (f"{seen.name}: " if len(maps) > 1 else "") + shortened(seen.answer.text, 120 // len(maps)) for seen in maps
        )
        figure.suptitle(f"{shortened(first.answer.question.text, 110)}\n{answers}", fontsize=8)
        ratios = {"height_ratios": [size for _, size in heights]}
        axes = figure.subplots(len(heights), len(maps), squeeze=False, gridspec_kw=ratios)
        for seen, column in zip(maps, axes.T, strict=True):
            column[0].set_title(_heading(seen, columns), fontsize=7, color=_GREY)
            for (kind, _), axis in zip(heights, column, strict=True):
                _DRAW[kind](axis, seen, columns)
        if first.grid is not None:
            _unstretch(figure, axes[0])
        with replacing(path) as beside:
            if (kind := path.suffix[1:].lower()) == "png":
                _save_png(figure, beside)
            else:
                figure.savefig(beside, format=kind, metadata=marked(kind))


def _save_png(figure: Figure, path: Path) -> None:
    """Without the opacity that matplotlib would write for each pixel, which makes a file a quarter larger."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for name, said in marked("png").items():
        info.add_text(name, said)
    canvas: Any = figure.canvas
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[:, :, :3]
    Image.fromarray(np.ascontiguousarray(pixels)).save(path, "PNG", optimize=True, dpi=(DPI, DPI), pnginfo=info)


def _unstretch(figure: Figure, axes: Sequence[Axes]) -> None:
    """Make the figure as tall as the largest of its pictures need: how wide they are is known when labels have their
    place."""
    height, width = max(axis.images[0].get_size() for axis in axes)
    grid: Any = axes[0].get_gridspec()
    for _ in range(2):  # the gaps between the rows grow with the figure
        figure.draw_without_rendering()
        box = axes[0].get_window_extent()
        wanted = box.width * height / width
        first, *others = grid.get_height_ratios()
        grid.set_height_ratios([first * wanted / box.height, *others])
        figure.set_figheight(figure.get_figheight() + (wanted - box.height) / figure.dpi)
    for axis in axes:
        axis.set(aspect="equal", anchor="N")


def _heading(seen: TokenMap, columns: int) -> str:
    trace = seen.answer.trace
    kept = ", ".join(f"{name} {percent(trace.retention(name))}" for name in seen.modalities())
    if columns == 2:  # so narrow that it would run into the next one
        return f"{seen.name}\n{kept}\nalive on average"
    return f"{seen.name} ({kept} alive on average)"


def _heights(maps: Sequence[TokenMap], columns: int) -> list[tuple[str, float]]:
    """The figure's parts from top to bottom with their heights, inches. columns: of pictures."""
    first, heights = maps[0], []
    if first.grid is not None:
        _, frames = _frames(first, columns)
        tall = frames[0].shape[0] / sum(frame.shape[1] for frame in frames)
        rows = max(1 + sum(moment.stage != "late" for moment in seen.moments) for seen in maps)
        # Beside their labels about 6.3 inches are left for pictures.
        heights.append(("pictures", rows * max(tall * 6.3 / len(maps), 0.25)))
    if first.audio is not None:
        heights.append(("sound", 0.75))
    return [*heights, ("budget", 0.85)]


def _frames(seen: TokenMap, columns: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Which temporal grids are shown, evenly spread, and a frame of each, uint8 `[h, w, 3]`."""
    assert seen.grid is not None
    assert seen.clip.video is not None
    grids = np.unique(np.linspace(0, seen.grid[0] - 1, min(columns, seen.grid[0])).round().astype(int))
    pixels = seen.clip.video.pixels
    per_grid = len(pixels) // seen.grid[0]
    return grids, [pixels[grid * per_grid].cpu().numpy().transpose(1, 2, 0) // _STEP * _STEP for grid in grids]


def _pictures(axis: Axes, seen: TokenMap, columns: int) -> None:
    """A row of frames as they are, then one for each stage with what it left; what has gone is faint."""
    assert seen.grid is not None
    assert seen.video is not None
    grids, frames = _frames(seen, columns)
    left = seen.video.left.reshape(seen.grid)
    shown = [moment for moment in seen.moments if moment.stage != "late"]
    height, width = frames[0].shape[:2]
    gap = max(2, width // 40)
    labels = ["in the clip", *(moment.label.replace(", ", ",\n") for moment in shown)]
    sheet = np.full((len(labels) * (height + gap), len(frames) * (width + gap), 3), 255, dtype=np.uint8)
    for row in range(len(labels)):
        for column, (grid, frame) in enumerate(zip(grids, frames, strict=True)):
            gone = np.repeat(np.repeat(left[grid] < row, height // seen.grid[1], 0), width // seen.grid[2], 1)
            picture = np.where(gone[:, :, None], _ghost(frame), frame)
            y, x = row * (height + gap), column * (width + gap)
            sheet[y : y + height, x : x + width] = picture
    axis.imshow(sheet, interpolation="nearest", aspect="auto")
    axis.set_yticks([(row + 0.5) * (height + gap) for row in range(len(labels))], labels)
    axis.set_xticks(
        [(column + 0.5) * (width + gap) for column in range(len(grids))],
        [in_file(seen.start + grid * seen.seconds_per_grid, seen.seconds_per_grid) for grid in grids],
    )
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def _ghost(frame: np.ndarray) -> np.ndarray:
    """A frame made faint and coarse: enough to see what has gone, and small as a file. Sides in multiples of 4."""
    height, width, _ = frame.shape
    mean = frame.reshape(height // 4, 4, width // 4, 4, 3).mean((1, 3)).astype(np.uint8)
    return np.repeat(np.repeat(255 - (255 - mean) // 48 * 8, 4, 0), 4, 1)


def _sound(axis: Axes, seen: TokenMap, columns: int) -> None:
    """The spectrogram, shaded by the stage at which each token left."""
    audio = seen.clip.audio
    assert audio is not None
    assert seen.audio is not None
    grey = spectrogram(audio.waveform, seen.answer.model.mel, 1000) // 32 * 36
    how: Any = {"cmap": "gray", "vmin": 0, "vmax": 255, "interpolation": "nearest", "aspect": "auto"}
    axis.imshow(255 - grey, extent=(seen.start, seen.start + audio.seconds, 0, 1), **how)
    step = audio.seconds / len(seen.audio)
    for number, shade in enumerate(shades(seen.moments)):
        spans = _spans(seen.audio.left == number)
        pieces = [(seen.start + start * step, (end - start) * step) for start, end in spans]
        if pieces and shade.pattern == "frame":
            axis.broken_barh(pieces, (0, 0.08), facecolor=shade.colour)
        elif pieces:
            axis.broken_barh(pieces, (0, 1), **_fill(shade))
    axis.set(yticks=[], ylabel="sound")
    _times(axis, seen, columns)


def _budget(axis: Axes, seen: TokenMap, columns: int) -> None:
    """Tokens per window, video up and audio down, by the stage at which they left, on a square-root scale."""
    starts, widths = seen.start + seen.window_starts[:-1], np.diff(seen.window_starts)
    for name, tokens in seen.modalities().items():
        sign = -1 if name == "audio" and seen.video is not None else 1
        counts = [
            np.bincount(tokens.window[tokens.left >= moment], minlength=len(starts))
            for moment in range(len(seen.moments) + 1)
        ]
        top = max(int(counts[0].max()), 1)
        levels = [sign * np.sqrt(count / top) for count in counts]
        for number, shade in enumerate(shades(seen.moments)):
            low, high = levels[number + 1], levels[number]
            axis.bar(starts, high - low, widths * 0.92, bottom=low, align="edge", **_fill(shade))
        axis.bar(starts, levels[-1], widths * 0.92, align="edge", color=_STAYED)
        axis.text(1.005, 0.75 if sign > 0 else 0.25, f"{name}\nof {top:,}", transform=axis.transAxes, va="center")
    axis.axhline(0, color="black", linewidth=0.6)
    axis.set(yticks=[], ylabel="tokens per\nwindow (√)")
    _times(axis, seen, columns)
    axis.spines[["top", "right", "left"]].set_visible(False)
    handles = _legend(seen)
    wide = min(len(handles), columns // 2)
    rowwise = [handle for column in range(wide) for handle in handles[column::wide]]  # legends fill columns first
    box: Any = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.25), "frameon": False}
    axis.legend(handles=rowwise, title="tokens that left", ncols=max(wide, 1), **box)


def _times(axis: Axes, seen: TokenMap, columns: int) -> None:
    """An axis of the times in the file that the tokens cover, about as many as there are frames above."""
    from matplotlib.ticker import MultipleLocator

    step = next((step for step in _TIMES if seen.seconds / step <= columns), _TIMES[-1])
    axis.set(xlim=(seen.start, seen.start + seen.seconds))
    axis.xaxis.set_major_locator(MultipleLocator(step))
    axis.xaxis.set_major_formatter(lambda time, _: in_file(time, step))


def _legend(seen: TokenMap) -> list[Any]:
    from matplotlib.patches import Patch

    handles = [
        Patch(label=moment.label, **_fill(shade))
        for moment, shade in zip(seen.moments, shades(seen.moments), strict=True)
    ]
    if any((tokens.left >= len(seen.moments)).any() for tokens in seen.modalities().values()):
        handles.append(Patch(label="never", color=_STAYED))
    return handles


def _fill(shade: Shade) -> dict[str, Any]:
    """A shade as matplotlib's patches take it."""
    alpha = max(shade.veil, 0.45) if shade.pattern != "frame" else 1.0
    return {
        "facecolor": (*(shade.rgb / 255), alpha),
        "hatch": _HATCHES.get(shade.pattern),
        "edgecolor": (1, 1, 1, 0.55) if shade.pattern in _HATCHES else "none",
        "linewidth": 0,
    }


def _spans(marked: np.ndarray) -> list[tuple[int, int]]:
    """First and last + 1 of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], marked.astype(np.int8), [0]])))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]


_DRAW = {"pictures": _pictures, "sound": _sound, "budget": _budget}
