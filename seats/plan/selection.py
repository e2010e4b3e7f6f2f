"""How many tokens each method leaves at each decoder layer, without a model.

The same counts and multiply-adds as the methods in `seats.methods` come to, which need torch; the tests run those on
random tokens and compare. Where a method lets the content decide how many tokens stay, the count is what it aims at,
and `Selected.exact` says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from seats.errors import SettingsError
from seats.keep import check_method
from seats.models.signals import EncoderWants
from seats.plan.scene import Scene, Scored, Selected
from seats.plan.stages import seats, seats_plus
from seats.selection.baselines import (
    FASTV_LAYER,
    check_fastv,
    check_omnizip,
    check_visionzip,
    dycoke_compared,
    dycoke_grid,
    fastv_share,
    fastvid_grid,
    omnizip_audio,
    omnizip_grid,
    random_count,
    visionzip_counts,
    visionzip_macs,
)
from seats.selection.counts import AUDIO_WINDOW, audio_intact, farthest_macs, keep_count, windowed_count
from seats.tokens.counts import Counts


def select(method: str, scene: Scene, video: float, audio: float) -> Selected:
    """Tokens that a method keeps at a retention of video and audio, each in (0, 1].

    Raises SettingsError for a method that is unknown, or cannot reach the target.
    """
    if method not in _RULES:
        check_method(method)
        raise SettingsError(
            f"method {method!r} comes from another package, and what it keeps is known only when it runs: plan with "
            f"--method full, or run it, as in seats ask --method {method}, which reports what it kept"
        )
    for what, share in (("video", video), ("audio", audio)):
        if not 0 < share <= 1:
            raise SettingsError(f"cannot keep {100 * share:g} % of the {what} tokens: choose 0 < share <= 100 %")
    return _RULES[method](scene, video, audio)


def _full(scene: Scene, video: float, audio: float) -> Selected:
    return Selected((scene.full,) * scene.num_layers)


def _random(scene: Scene, video: float, audio: float) -> Selected:
    return _before(scene, *(random_count(n, r) for r, n in _both(scene, video, audio)))


def _saliency(scene: Scene, video: float, audio: float) -> Selected:
    v = windowed_count(scene.full.video, 2 * scene.per_grid, video)
    a = windowed_count(scene.full.audio, AUDIO_WINDOW, audio)
    return _before(scene, v, a, wants=EncoderWants(video_grids=2, audio="blocks"))


def _fastv_om(scene: Scene, video: float, audio: float) -> Selected:
    return _after_second(scene, "fastv-om", video, audio, intact=False)


def _fastv(scene: Scene, video: float, audio: float) -> Selected:
    return _after_second(scene, "fastv", video, audio, intact=True)


def _after_second(scene: Scene, name: str, video: float, audio: float, *, intact: bool) -> Selected:
    check_fastv(name, scene.num_layers, video, audio)
    sigma = [fastv_share(ratio, scene.num_layers) for ratio in (video, audio)]
    full = scene.full
    if intact:
        sigma = list(audio_intact(full.video, full.audio, *sigma))
    v, a = (keep_count(n, r) for r, n in _both(scene, *sigma))
    ranked = (full.video and sigma[0] < 1) or (not intact and full.audio and sigma[1] < 1)
    layers = (*(full,) * FASTV_LAYER, *(Counts(full.text, v, a),) * (scene.num_layers - FASTV_LAYER))
    return Selected(layers, (Scored(FASTV_LAYER, full.total),) if ranked else ())


def _visionzip_om(scene: Scene, video: float, audio: float) -> Selected:
    for what, ratio in (("video", video), ("audio", audio)):
        check_visionzip("visionzip-om", what, ratio)
    wants = EncoderWants(video_grids=1, audio="blocks", keys=True)
    v, video_macs = _zipped(scene.full.video, scene.per_grid, video, scene.keys[0] + scene.hidden)
    a, audio_macs = _zipped(scene.full.audio, AUDIO_WINDOW, audio, scene.keys[1] + scene.hidden)
    return _before(scene, v, a, macs=video_macs + audio_macs, wants=wants)


def _visionzip(scene: Scene, video: float, audio: float) -> Selected:
    video, audio = audio_intact(scene.full.video, scene.full.audio, video, audio)
    if scene.full.video:
        check_visionzip("visionzip", "video", video)
    v, macs = _zipped(scene.full.video, scene.per_grid, video, scene.keys[0] + scene.hidden)
    return _before(
        scene, v, keep_count(scene.full.audio, audio), macs=macs, wants=EncoderWants(video_grids=1, keys=True)
    )


def _zipped(n: int, window: int, ratio: float, width: int) -> tuple[int, int]:
    """Tokens kept of `n`, and the multiply-adds."""
    if ratio >= 1 or not n:
        return n, 0
    kept = macs = 0
    full, rest = divmod(n, window)
    for size, times in ((window, full), (rest, 1)):
        if size:
            kept += times * sum(visionzip_counts(size, ratio))
            macs += times * visionzip_macs(size, ratio, width)
    return kept, macs


def _divprune_om(scene: Scene, video: float, audio: float) -> Selected:
    v, a = (keep_count(n, ratio) for ratio, n in _both(scene, video, audio))
    return _farthest(_before(scene, v, a), scene, (scene.full.video, v), (scene.full.audio, a))


def _divprune(scene: Scene, video: float, audio: float) -> Selected:
    video, audio = audio_intact(scene.full.video, scene.full.audio, video, audio)
    v = keep_count(scene.full.video, video)
    return _farthest(_before(scene, v, keep_count(scene.full.audio, audio)), scene, (scene.full.video, v))


def _farthest(selected: Selected, scene: Scene, *chosen: tuple[int, int]) -> Selected:
    """With what `select_farthest` takes. chosen: tokens of a modality, and how many stay."""
    macs = sum(farthest_macs(n, scene.hidden, kept) for n, kept in chosen)
    return replace(selected, macs=macs, farthest=tuple(n for n, kept in chosen if kept < n))


def _dycoke(scene: Scene, video: float, audio: float) -> Selected:
    full, size = scene.full, scene.per_grid
    video, audio = audio_intact(full.video, full.audio, video, audio)
    kept = macs = 0
    if full.video:
        each = dycoke_grid(video, size)
        grids = full.video // size
        compared = len(dycoke_compared(grids))
        kept = (grids - compared) * size + compared * each
        macs = compared * size * scene.hidden
    return _before(scene, kept, keep_count(full.audio, audio), macs=macs)


def _fastvid(scene: Scene, video: float, audio: float) -> Selected:
    full, size, dim = scene.full, scene.per_grid, scene.hidden
    video, audio = audio_intact(full.video, full.audio, video, audio)
    wants = EncoderWants(video_grids=1, mean_query=True)
    if not full.video or video >= 1:
        return _before(scene, full.video, keep_count(full.audio, audio), wants=wants)
    grids, budget = full.video // size, fastvid_grid(video, size)
    # Where the clip is cut decides the rest: here eight segments, and no grid like the one before it.
    segment = max(1.0, grids / 8)
    context = 0.4 * budget * segment
    per_segment = segment / 4 * (size - 0.6 * budget) ** 2 + 2 * (segment * size) * context
    macs = (grids - 1) * dim + round(grids / segment * per_segment * dim)
    found = _before(scene, grids * budget, keep_count(full.audio, audio), macs=macs, wants=wants)
    return replace(found, exact=False)


def _omnizip(scene: Scene, video: float, audio: float) -> Selected:
    check_omnizip(video, audio)
    full, size, dim = scene.full, scene.per_grid, scene.hidden
    salient, anchors = omnizip_audio(full.audio, audio)
    others = full.audio - salient - anchors
    macs = others * (2 * anchors + full.video) * dim if anchors else 0  # as if each anchor took some in
    kept = 0
    if full.video:
        grids = full.video // size
        kept = grids * omnizip_grid(1 - video, size)
        # Sound cuts the video into windows, on Qwen3-Omni of one grid, whose tokens are compared with one another.
        single = full.audio and scene.family == "qwen3-omni"
        pairs = grids * size if single else grids // 2 * (size + 1) + grids % 2 * size
        macs += pairs * size * dim
    found = _before(scene, kept, salient + anchors, macs=macs, wants=EncoderWants(audio="clip"))
    return replace(found, exact=not (full.video and full.audio))


_RULES: dict[str, Callable[[Scene, float, float], Selected]] = {
    "seats": seats,
    "seats+": seats_plus,
    "full": _full,
    "random": _random,
    "saliency": _saliency,
    "fastv": _fastv,
    "fastv-om": _fastv_om,
    "visionzip": _visionzip,
    "visionzip-om": _visionzip_om,
    "divprune": _divprune,
    "divprune-om": _divprune_om,
    "dycoke": _dycoke,
    "fastvid": _fastvid,
    "omnizip": _omnizip,
}


def _both(scene: Scene, video: float, audio: float) -> tuple[tuple[float, int], tuple[float, int]]:
    return (video, scene.full.video), (audio, scene.full.audio)


def _before(scene: Scene, video: int, audio: int, *, macs: int = 0, wants: EncoderWants | None = None) -> Selected:
    """A method that chooses before the LLM and leaves it at that."""
    kept = Counts(scene.full.text, video, audio)
    return Selected((kept,) * scene.num_layers, macs=macs, wants=wants or EncoderWants())
