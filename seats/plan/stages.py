"""How many tokens SEATS and `seats+` leave at each decoder layer, without a model."""

from __future__ import annotations

import math
from itertools import pairwise

from seats.keep import check_reach
from seats.models.signals import EncoderWants
from seats.plan.scene import Scene, Scored, Selected, Tokens, rounded, share_of_windows

# (drop layers, late layer) of the published models, as in `seats.methods.seats`.
_BORDERS = {"qwen2.5-omni": (28, (16, 18, 20), 24), "qwen3-omni": (48, (27, 31, 35), 40)}
_SCALE = 1.4
# As in `seats.methods.seats_plus`.
_FREE_AFTER, _REMOVED, _AMONG = "removal_free_after", 0.3, 128
AUDIO_WINDOW = 50


def stage_borders(scene: Scene) -> tuple[tuple[int, ...], int]:
    """Drop layers and late layer (1-based) of SEATS in a model."""
    own = scene.settings
    if own:
        return tuple(own["drop_layers"]), own["late_layer"]
    depth, drops, late = _BORDERS[scene.family]
    if scene.num_layers == depth:
        return drops, late
    scaled = [round(layer * scene.num_layers / depth) for layer in drops]
    late = max(3, round(late * scene.num_layers / depth))
    return tuple(dict.fromkeys(layer for layer in scaled if 0 < layer < late - 1)), late


def seats(scene: Scene, video: float, audio: float) -> Selected:
    """What `seats` leaves at a retention of video and audio, each in (0, 1]. Raises SettingsError."""
    drops, late = stage_borders(scene)
    wished = min(scene.settings.get("pre_llm_scale", _SCALE), 1 / max(video, audio))
    return _in_stages(scene, video, audio, drops, late, wished)


def seats_plus(scene: Scene, video: float, audio: float) -> Selected:
    """The same of `seats+`."""
    drops, late = stage_borders(scene)
    free = scene.settings.get(_FREE_AFTER)
    needed = math.ceil(scene.num_layers * max(video, audio) - 1e-9)
    scale = scene.settings.get("pre_llm_scale", _SCALE)
    if free is not None and max(free, needed) < late - 1:
        late = max(free, needed) + 1
        drops = tuple(layer for layer in drops if layer < late - 1)
        low, high = (_schedule(scene.num_layers, drops, late, extreme)[0] for extreme in (0.0, math.inf))
        scale = 1 / ((1 - _REMOVED) / low + _REMOVED / high)
    return _in_stages(scene, video, audio, drops, late, min(scale, 1 / max(video, audio)), plus=True)


def _in_stages(
    scene: Scene,
    video: float,
    audio: float,
    drops: tuple[int, ...],
    late: int,
    scale: float,
    plus: bool = False,
) -> Selected:
    """plus: as `seats+` chooses."""
    scale, ratios = _schedule(scene.num_layers, drops, late, scale)
    check_reach("seats+" if plus else "seats", scene.family, video, audio, 1 / scale)
    full, macs, kept = scene.full, 0, []
    for what, n, window, share in (
        ("video", full.video, 2 * scene.per_grid, video * scale),
        ("audio", full.audio, AUDIO_WINDOW, audio * scale),
    ):
        size, share = min(window, n), min(1.0, share)
        kept.append(share_of_windows(n, size, share))
        if not (plus and what == "audio"):
            macs += _distances(scene, n, size, share)
    alive = Tokens(full.text, *kept)
    layers, scored, slack = [], [], 0
    before_removal = dict(zip([d for d in drops if d < late - 1], ratios, strict=False))
    for layer in range(1, scene.num_layers + 1):
        layers.append(alive)
        if layer in before_removal:
            ratio = before_removal[layer]
            scored.append(Scored(layer, alive.total, scene.question if plus else 1))
            if plus:
                macs += sum(_distances(scene, n, _AMONG, ratio) for n in (alive.video, alive.audio))
                alive = Tokens(
                    full.text, *(share_of_windows(n, min(_AMONG, n), ratio) for n in (alive.video, alive.audio))
                )
            else:
                alive, more = _dropped(alive, ratio, scene.windows)
                slack += more
        if layer == late - 1:
            alive = Tokens(full.text, 0, 0)
    wants = EncoderWants(video_grids=2, audio="blocks")
    return Selected(tuple(layers), tuple(scored), macs, wants, slack=slack)


def _distances(scene: Scene, n: int, window: int, share: float) -> int:
    """Multiply-adds of choosing a share of every window of `n` tokens by diversity."""
    size = min(window, n)
    return -(-n // size) * size**2 * scene.hidden if n and rounded(size, share) < size else 0


def _dropped(alive: Tokens, ratio: float, windows: int) -> tuple[Tokens, int]:
    """What a drop layer of SEATS leaves, and by how much the total may differ from it.

    The split between the modalities follows the relevance; here both keep their share. Rounding the two budgets apart
    can move a token, and every modality of a window keeps at least one.
    """
    video, audio = (max(1, round(ratio * n)) if n else 0 for n in (alive.video, alive.audio))
    if not (video and audio) or windows <= 1:
        return Tokens(alive.text, video, audio), int(bool(video and audio))
    floors = min(windows, alive.video) + min(windows, alive.audio)
    short = max(0, min(floors, alive.video + alive.audio) - (video + audio))
    return Tokens(alive.text, video, audio + min(short, alive.audio - audio)), 1 + short


def _schedule(layers: int, drops: tuple[int, ...], late: int, scale: float) -> tuple[float, tuple[float, ...]]:
    """Pre-LLM scale, brought into the range that meets the target, and the keep ratio of each drop layer."""
    last = late - 1
    inner = [layer for layer in drops if layer < last]
    steps = [math.exp(i) for i in range(len(inner))]
    weights = [sum(steps[: i + 1]) / sum(steps) for i in range(len(inner))]
    covered = [end - start for start, end in zip(inner, [*inner[1:], last], strict=False)]
    saved = sum(c * w for c, w in zip(covered, weights, strict=True))
    scale = min(max(scale, layers / last), layers / (last - saved))
    if not weights:
        return scale, ()
    fraction = min(max((last - layers / scale) / saved, 0.0), 1.0)
    levels = [1.0, *(1 - fraction * weight for weight in weights)]
    return scale, tuple(round(b / a, 4) for a, b in pairwise(levels))
