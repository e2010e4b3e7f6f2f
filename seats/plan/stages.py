"""How many tokens SEATS and `seats+` leave at each decoder layer, without a model."""

from __future__ import annotations

from seats.keep import check_reach
from seats.models.signals import EncoderWants
from seats.plan.scene import Scene, Scored, Selected
from seats.selection.counts import AUDIO_WINDOW, diverse_macs, keep_count, windowed_count
from seats.selection.schedule import keep_ratios
from seats.selection.stages import WINDOW, StageBorders, early_removal, pre_llm_scale, stage_borders
from seats.tokens.counts import Counts


def seats(scene: Scene, video: float, audio: float) -> Selected:
    """What `seats` leaves at a retention of video and audio, each in (0, 1]. Raises SettingsError."""
    return _in_stages(scene, video, audio, *_usual(scene, max(video, audio)))


def seats_plus(scene: Scene, video: float, audio: float) -> Selected:
    """The same of `seats+`."""
    borders, scale = _usual(scene, max(video, audio))
    early = early_removal(scene.num_layers, borders, scene.settings, max(video, audio))
    return _in_stages(scene, video, audio, *(early or (borders, scale)), plus=True)


def _usual(scene: Scene, most: float) -> tuple[StageBorders, float]:
    """Borders and pre-LLM scale of `seats`. most: the larger target share, in (0, 1]."""
    borders = stage_borders(scene.family, scene.num_layers, scene.settings)
    return borders, pre_llm_scale(scene.num_layers, borders, scene.settings, most)


def _in_stages(
    scene: Scene,
    video: float,
    audio: float,
    borders: StageBorders,
    scale: float,
    plus: bool = False,
) -> Selected:
    """plus: as `seats+` chooses."""
    drops, late = borders.drop_layers, borders.late_layer
    ratios = keep_ratios(scene.num_layers, drops, late, scale)
    check_reach("seats+" if plus else "seats", scene.family, video, audio, 1 / scale)
    full, macs, kept, diverse = scene.full, 0, [], []
    for what, n, window, share in (
        ("video", full.video, 2 * scene.per_grid, video * scale),
        ("audio", full.audio, AUDIO_WINDOW, audio * scale),
    ):
        share = min(1.0, share)
        kept.append(windowed_count(n, window, share))
        if not (plus and what == "audio") and (work := diverse_macs(n, scene.hidden, window, share)):
            macs += work
            diverse.append((n, min(window, n)))
    alive = Counts(full.text, *kept)
    layers, scored, slack = [], [], 0
    before_removal = dict(zip([d for d in drops if d < late - 1], ratios, strict=False))
    for layer in range(1, scene.num_layers + 1):
        layers.append(alive)
        if layer in before_removal:
            ratio = before_removal[layer]
            scored.append(Scored(layer, alive.total, scene.question if plus else 1))
            if plus:
                macs += sum(diverse_macs(n, scene.hidden, WINDOW, ratio) for n in (alive.video, alive.audio))
                alive = Counts(full.text, *(windowed_count(n, WINDOW, ratio) for n in (alive.video, alive.audio)))
            else:
                alive, more = _dropped(alive, ratio, scene.windows)
                slack += more
        if layer == late - 1:
            alive = Counts(full.text, 0, 0)
    wants = EncoderWants(video_grids=2, audio="blocks")
    return Selected(tuple(layers), tuple(scored), macs, wants, slack=slack, diverse=tuple(diverse))


def _dropped(alive: Counts, ratio: float, windows: int) -> tuple[Counts, int]:
    """What a drop layer of SEATS leaves, and by how much the total may differ from it.

    The split between the modalities follows the relevance; here both keep their share. Rounding the two budgets apart
    can move a token, and every modality of a window keeps at least one.
    """
    video, audio = (keep_count(n, ratio) for n in (alive.video, alive.audio))
    if not (video and audio) or windows <= 1:
        return Counts(alive.text, video, audio), int(bool(video and audio))
    floors = min(windows, alive.video) + min(windows, alive.audio)
    short = max(0, min(floors, alive.video + alive.audio) - (video + audio))
    return Counts(alive.text, video, audio + min(short, alive.audio - audio)), 1 + short
