"""What one answer will take, before anything is loaded: tokens, FLOPs and memory, for full tokens and for a method."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from seats.costs.flops import FlopsParts, Workload, flops_report
from seats.errors import MediaError, SettingsError
from seats.keep import off_target, shares
from seats.media import FrameSampling
from seats.plan.clip import ClipFacts, Part, take
from seats.plan.memory import MemoryInputs, MemoryPlan, memory_plan
from seats.plan.model import PlannedModel
from seats.plan.prompt import QUESTION, text_tokens
from seats.plan.scene import Scene, Scored, Selected
from seats.plan.selection import select
from seats.plan.weights import Weights, count_weights
from seats.tokens.counts import Counts
from seats.tokens.interleave import TimeRule, interleave


@dataclass(frozen=True)
class Ask:
    """What would be asked, as `ask`'s options say it.

    keep: percent. keep_video, keep_audio: shares in (0, 1]. answer_tokens: the longest answer allowed. device: "cpu",
    "cuda" or "mps"; dtype_bytes: of weights and activations; quantize: "4bit", "8bit" or None. fps, max_frames,
    max_pixels: None for the model's own. start_s, end_s: part of the clip. compare: whether full tokens run too.
    """

    question: str = QUESTION
    system: str | None = None
    method: str = "seats"
    keep: float = 10.0
    keep_video: float | None = None
    keep_audio: float | None = None
    kv: str = "keep"
    answer_tokens: int = 256
    device: str = "cpu"
    dtype_bytes: int = 4
    quantize: str | None = None
    fps: float | None = None
    max_frames: int | None = None
    max_pixels: int | None = None
    start_s: float | None = None
    end_s: float | None = None
    compare: bool = False

    def sampling(self, own: FrameSampling) -> FrameSampling:
        """The model's frame and size rule with what was asked instead."""
        return own.changed(fps=self.fps, max_frames=self.max_frames, max_pixels=self.max_pixels)


@dataclass(frozen=True)
class Run:
    """One way through the model. tokens: per decoder layer; flops; memory."""

    tokens: Selected
    flops: FlopsParts
    memory: MemoryPlan


@dataclass(frozen=True)
class Plan:
    """A clip, a model, and what an answer takes.

    grid: (T, Hp, Wp) in patches, None without video. windows: among which drop layers share their budget, 1 without
    pictures or without sound. text_exact: whether text tokens were counted. full, run: with all tokens, and with the
    method. retention: target shares of video and audio tokens. notes: remarks.
    """

    model: PlannedModel
    ask: Ask
    part: Part
    grid: tuple[int, int, int] | None
    windows: int
    text_exact: bool
    weights: Weights
    full: Run
    run: Run
    retention: tuple[float, float]
    notes: tuple[str, ...] = ()

    @property
    def weights_bytes(self) -> int:
        return self.weights.bytes(self.ask.dtype_bytes, self.ask.quantize)

    @property
    def needed_bytes(self) -> int:
        """Memory at its peak, weights included: of the run, and of that with full tokens where they are compared."""
        peaks = [self.run.memory.peak, *([self.full.memory.peak] if self.ask.compare else [])]
        return self.weights_bytes + max(peaks)

    @property
    def flops_reduction(self) -> float:
        """Times fewer FLOPs in all, encoders and decoding included."""
        return self.full.flops.total / self.run.flops.total

    @property
    def llm_reduction(self) -> float:
        """Times fewer FLOPs between the encoders' output and the first answer token, selection included."""
        return self.full.flops.after_encoders / self.run.flops.after_encoders


@dataclass
class _Trace:
    """As much of a trace as `flops_report` reads."""

    full: Counts
    layers: list[Counts]
    cache_tokens: list[int]
    scored: list[Scored]
    selection_macs: int
    decoded_tokens: int
    drops: tuple[()] = ()  # only the paper's way of counting asks for them, and no plan tells that


def make_plan(model: PlannedModel, clip: ClipFacts, ask: Ask) -> Plan:
    """Plan one answer. Raises SeatsError for what a run would also refuse, in as far as a header can tell."""
    part = take(clip, ask.sampling(model.sampling), ask.start_s, ask.end_s)
    grid = _grid(model, part)
    mel_frames, notes = _mel_frames(model, part)
    audio = model.family.audio_tokens(mel_frames, model.config)
    if grid is None and not audio:
        raise MediaError(f"{clip.path}: nothing to look at or listen to: no picture, and too little sound for a token")
    merge = model.config.vision_config.spatial_merge_size
    per_grid = grid[1] * grid[2] // merge**2 if grid else 0
    video = grid[0] * per_grid if grid else 0
    text = text_tokens(model, ask.question, ask.system, bool(video), bool(audio))
    full = Counts(text.total, video, audio)
    windows, latest = _layout(model, part, grid, audio)
    scene = _scene(model, full, text.behind, per_grid, windows)
    notes += _compressed(model, latest, text.total, ask.answer_tokens)
    pair = shares(model.family.name, ask.keep, ask.keep_video, ask.keep_audio)
    selected = select(ask.method, scene, *pair)
    mean = sum(counts.video + counts.audio for counts in selected.layers) / len(selected.layers)
    notes += off_target(ask.method, mean, video, audio, pair)  # what a method aims at may be off, too: whole tokens
    everything = select("full", scene, 1.0, 1.0)
    weights = count_weights(model)
    workload = Workload(grid, mel_frames)

    def run(kept: Selected) -> Run:
        cache = cache_tokens(kept, ask.kv)
        trace = _Trace(full, list(kept.layers), cache, list(kept.scored), kept.macs, ask.answer_tokens - 1)
        report = flops_report(model.config, trace, workload, kept.wants, model.family)  # type: ignore[arg-type]
        inputs = MemoryInputs(model, part, grid, mel_frames, kept, cache, full, ask)
        return Run(kept, report.run, memory_plan(inputs))

    return Plan(
        model=model,
        ask=ask,
        part=part,
        grid=grid,
        windows=windows,
        text_exact=text.exact,
        weights=weights,
        full=run(everything),
        run=run(selected),
        retention=pair,
        notes=(*clip.notes, *part.notes, *notes),
    )


def _scene(model: PlannedModel, full: Counts, question: int, per_grid: int, windows: int) -> Scene:
    vision, audio = model.config.vision_config, model.config.audio_config
    return Scene(
        family=model.family.name,
        num_layers=model.num_layers,
        settings=model.settings,
        full=full,
        question=question,
        per_grid=per_grid,
        windows=windows,
        hidden=model.hidden,
        keys=(vision.hidden_size // vision.num_heads, audio.d_model // audio.encoder_attention_heads),
    )


def cache_tokens(kept: Selected, kv: str) -> list[int]:
    """Tokens in each layer's cache at the end of the prefill. kv: "keep", or "drop" for dropped tokens to leave."""
    if kv == "drop":
        return [kept.last.total] * len(kept.layers)
    return [tokens.total for tokens in kept.layers]


def _grid(model: PlannedModel, part: Part) -> tuple[int, int, int] | None:
    if not part.frames:
        return None
    vision = model.config.vision_config
    times = -(-part.frames // vision.temporal_patch_size)
    return times, part.height // vision.patch_size, part.width // vision.patch_size


def _mel_frames(model: PlannedModel, part: Part) -> tuple[int, tuple[str, ...]]:
    if not part.samples:
        return 0, ()
    frames = -(-part.samples // model.hop) if model.family.pads_audio else part.samples // model.hop
    if model.family.audio_tokens(frames, model.config) <= 0:
        return 0, (f"sound of {part.sound_s:.3f} s is too short for a single token and is left out",)
    return frames, ()


def _compressed(model: PlannedModel, latest: float, text: int, answer: int) -> tuple[str, ...]:
    """What is said where a clip's times pass the model's range, as `build_sequence` finds it. latest: time position of
    the clip; text, answer: tokens. Raises SettingsError where these two alone leave no room."""
    positions = model.config.text_config.max_position_embeddings
    room = positions - text - answer
    if room < 2:
        raise SettingsError(
            f"the prompt has {text} tokens and the answer may have {answer}, but the model's range is {positions} "
            "positions: ask a shorter question, lower --max-new-tokens or, in a chat, /reset"
        )
    if latest <= room - 1:
        return ()
    told = f"the clip, with room for an answer of {answer:,} tokens, is longer than the model's time range"
    return (f"{told}: times will be compressed to {100 * (room - 1) / latest:.0f} %",)


def _layout(model: PlannedModel, part: Part, grid: tuple[int, int, int] | None, audio: int) -> tuple[int, float]:
    """Windows of the interleaved sequence as `seats.selection.budget.paired_runs` has them before anything is dropped,
    which only joins some; and its latest time position."""
    rule = model.family.time_rule(model.config)
    vision = model.config.vision_config
    per_grid, merged = vision.temporal_patch_size / part.fps, None
    if grid is not None:
        # Times alone decide, so that a grid is laid out with a few of its tokens: one for each chunk up to the next.
        tokens = grid[1] * grid[2] // vision.spatial_merge_size**2
        merged = grid[0], 1, min(tokens, 1 + math.ceil(per_grid / rule.seconds_per_chunk))
    return _laid_out(rule, merged, per_grid, audio)


@lru_cache(maxsize=256)
def _laid_out(rule: TimeRule, merged: tuple[int, int, int] | None, per_grid: float, audio: int) -> tuple[int, float]:
    block = interleave(merged, per_grid, audio, rule)
    begins = ~block.is_audio & np.concatenate([[True], block.is_audio[:-1]])
    return int(begins.sum()) + int(block.is_audio[0]), float(block.positions[0].max())
