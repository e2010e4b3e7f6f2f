"""Memory of one answer beside the weights, step by step: what each step holds at its worst moment.

Counted tensor by tensor from the code that runs (the stock encoders and decoder layers of transformers 5.24 and this
package's prefill): how many tensors of which size are alive together where that is most. Not counted are workspaces
inside kernels and libraries, and what an allocator rounds up. `benchmarks/plan_check.py` compares it with the
allocator's own count.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from seats.costs.encoders import audio_windows, cut, halved
from seats.costs.flops import head_dim, is_sparse
from seats.costs.memory import kv_cache_bytes
from seats.selection.counts import farthest_rows, windows_at_once

if TYPE_CHECKING:
    from seats.plan.clip import Part
    from seats.plan.model import PlannedModel
    from seats.plan.plan import Ask
    from seats.plan.scene import Selected
    from seats.tokens.counts import Counts

_GRIDS_A_BLOCK = 4  # of `seats.tokens.patches.patchify`
_FRAMES_A_BLOCK = 30_000  # of `seats.tokens.mel.log_mel`
_BYTES_A_FRAME = 4030  # samples, windowed frame and spectrum of one mel frame; measured
_CHUNK = 2 * 2**20  # of `seats.selection.saliency`, on the host
_PATCHES_AT_ONCE = 32_768  # of `seats.models.thinker`
_ROWS_AT_ONCE = 16_384  # of `seats.models.fused`
_ROOM = 256  # of `seats.inference.growing_cache`
_PLACES, _NEIGHBOURS = 18, 48  # bytes a patch: its place, and of Qwen3-Omni four others with their weights
_LAYOUT = 53  # bytes a token of a `TokenLayout`
_POSITIONS = 40  # bytes a token of ids, positions and attention mask


@dataclass(frozen=True)
class MemoryInputs:
    """All that memory depends on. cache: tokens in each layer's cache at the end of the prefill."""

    model: PlannedModel
    part: Part
    grid: tuple[int, int, int] | None
    mel_frames: int
    kept: Selected
    cache: list[int]
    full: Counts
    ask: Ask


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes beside the weights.

    steps: the most that each step has in use at once. cache: keys and values at the end of the prefill; cache_end:
    after the longest answer. clip: decoded frames and sound in the host's memory, which steps do not contain.
    """

    steps: dict[str, int]
    cache: int
    cache_end: int
    clip: int
    on_host: bool

    @property
    def peak_step(self) -> str:
        """The step that decides."""
        return max(self.steps, key=lambda name: self.steps[name])

    @property
    def activations(self) -> int:
        """The most that any step has in use, its part of the cache included."""
        return max(self.steps.values())

    @property
    def peak(self) -> int:
        """The same with the decoded clip, where that lies in the same memory."""
        return self.activations + (self.clip if self.on_host else 0)


def room_for(new: int, *, cut: bool) -> int:
    """Tokens that a layer of the cache has memory for behind those of the prompt, after `new` tokens of an answer.

    cut: whether dropped tokens have left the layer, which leaves no room in it.
    """
    room = 0 if cut else _ROOM
    moves = -(-max(0, new - room) // (1 + _ROOM))  # each to where the next token and as much again have room
    return room + moves * (1 + _ROOM)


def stage_one_bytes(tokens: int, window: int, dim: int, dtype_bytes: int, *, on_gpu: bool = False) -> int:
    """Most bytes that Stage I of SEATS holds while it chooses among the tokens of one modality, `dim` features each."""
    rows = window * min(-(-tokens // window), windows_at_once(window, dim))
    padded = tokens % window > 0
    distances = 4 * rows * window
    if on_gpu and dtype_bytes < 4:  # features are multiplied as they are
        most = distances + rows * dim * dtype_bytes * padded
    else:
        vectors = 4 * rows * dim
        # Unit vectors are made from a float32 copy, and padded ones from those without padding.
        most = vectors + max(distances, vectors if padded or dtype_bytes < 4 else 0)
    return tokens * dim * dtype_bytes + most


def farthest_bytes(tokens: int, dim: int, dtype_bytes: int) -> int:
    """Most bytes that DivPrune holds while it chooses among the tokens of one modality, `dim` features each."""
    return tokens * dim * (dtype_bytes + 4) + 4 * farthest_rows(tokens) * tokens


def experts_bytes(text: Any, tokens: int, dtype_bytes: int) -> int:
    """Most bytes that a mixture of experts holds beside its input while it works on so many tokens. text: its config.

    Stock code gathers a copy of every token for each of its experts, and at the end has as much three times more: what
    they made, the same weighted, and in order. Or what the gates make is more, if experts are wide.
    """
    experts, hidden, inner = text.num_experts_per_tok, text.hidden_size, text.moe_intermediate_size
    router = text.num_experts * 2 * dtype_bytes + experts * 44
    return tokens * (experts * max(4 * hidden, hidden + 4 * inner) * dtype_bytes + router)


def merging_bytes(macs: int, full: Counts, dim: int, dtype_bytes: int) -> int:
    """About the most bytes that the methods hold which compare tokens within a window and merge them, for `macs`
    multiply-adds: five copies of the tokens, three of them in float32, and distances in float32. Measured with pictures
    of up to 600 tokens, it is from 0.9 to 3.5 times what is held."""
    if not macs:
        return 0
    # Every multiply-add of `dim` of them is one distance.
    distances = 4 * min(macs // dim, 600 * full.total)
    return distances + (3 * 4 + 2 * dtype_bytes) * (full.video + full.audio) * dim


def memory_plan(inputs: MemoryInputs) -> MemoryPlan:
    """Memory of one answer, beside the weights."""
    return _Formulas(inputs).plan()


class _Formulas:
    """Bytes of each step, and the sizes that several formulas share."""

    def __init__(self, inputs: MemoryInputs) -> None:
        self.inputs = inputs
        model = inputs.model
        self.config, self.family = model.config, model.family
        self.gated = model.family.name == "qwen2.5-omni"
        # Layers of the vision encoder whose output goes to a decoder layer of its own.
        self.deep = 0 if self.gated else len(self.config.vision_config.deepstack_visual_indexes)
        self.b = inputs.ask.dtype_bytes
        self.on_gpu = inputs.ask.device.startswith("cuda")
        self.pixels = inputs.part.frames * 3 * inputs.part.height * inputs.part.width
        vision = self.config.vision_config
        self.fused = self.on_gpu and self.b < 4  # `seats.models.fused`
        self.patches = math.prod(inputs.grid) if inputs.grid else 0
        self.part = self._part()
        self.part_values = self.part * vision.in_channels * vision.temporal_patch_size * vision.patch_size**2

    def plan(self) -> MemoryPlan:
        inputs = self.inputs
        steps = {}
        kept = 0
        if inputs.grid is not None:
            kept += self._video_out()
            # Features of the parts before the last whole one wait for it.
            before = kept * (self.patches // self.part - 1) * self.part // self.patches
            # A part's frames are copied to a GPU, where their patches take their place.
            pixels = self.pixels * self.part // self.patches if self.on_gpu else 0
            steps["prepare_video"] = pixels + self._patchify() + before
            together = 2 * kept if self.part < self.patches else 0
            steps["encode_video"] = max(self.part_values * self.b + self._vision() + before, together)
        if inputs.mel_frames:
            if not self.on_gpu:
                steps["prepare_audio"] = kept + self._mel()
            steps["encode_audio"] = kept + self._audio()
            kept += inputs.full.audio * self._width() + (4 * inputs.full.audio if inputs.kept.wants.audio else 0)
        steps["prefill"] = kept + self._prefill()
        steps["decode"] = kept + self._decode()
        text = self.config.text_config
        cache = kv_cache_bytes(text, inputs.cache, self.b)
        new = inputs.ask.answer_tokens - 1
        return MemoryPlan(
            steps=steps,
            cache=cache,
            cache_end=kv_cache_bytes(text, [tokens + new for tokens in inputs.cache], self.b),
            clip=self.pixels + 4 * inputs.part.samples,
            on_host=not self.on_gpu,
        )

    def _part(self) -> int:
        """Patches of the largest part that the vision encoder works on at a time."""
        if self.inputs.grid is None:
            return 0
        area = self.inputs.grid[1] * self.inputs.grid[2]
        window = self.inputs.kept.wants.video_grids or 1
        return min(self.patches, area * max(window, _PATCHES_AT_ONCE // area // window * window))

    def _width(self) -> int:
        return self.inputs.model.hidden * self.b

    def _video_out(self) -> int:
        """Features of the video that wait for the question."""
        wants = self.inputs.kept.wants
        signals = (4 * (wants.video_grids is not None)) + (4 * self._head() * wants.keys)
        return self.inputs.full.video * ((1 + self.deep) * self._width() + signals)

    def _head(self) -> int:
        vision = self.config.vision_config
        return vision.hidden_size // vision.num_heads

    def _patchify(self) -> int:
        """The patches of a part, a block's values as bytes, and where the patches are of 16 bits as float32, too."""
        assert self.inputs.grid is not None
        grids = self.part // (self.inputs.grid[1] * self.inputs.grid[2])
        block = min(_GRIDS_A_BLOCK, grids) / grids
        return int(self.part_values * (self.b + (1 if self.b == 4 else 5) * block))

    def _vision(self) -> int:
        """The worst of a block's rotary step, its attention and its MLP, and of the signals read at the end, of the
        largest part."""
        vision, b, inputs = self.config.vision_config, self.b, self.inputs
        dim, n = vision.hidden_size, self.part
        tokens = n // vision.spatial_merge_size**2
        tables = 2 * n * self._head() * 4
        wide = 8 if b < 4 else 0  # float32 copies of queries and keys
        probed = inputs.kept.wants.of_video
        # Held: input, normed input, queries, keys, values. The rotated pair is made in float32 where no kernel does it.
        rotary = n * dim * (7 * b if self.fused else 5 * b + wide + 16)
        mlp = n * b * (3 * dim + (3 if self.gated else 2) * vision.intermediate_size)
        mlp += n * dim * b * (2 if self.gated else 3) * probed
        values = 1 if self.gated else 3  # one tensor holds queries, keys and values of Qwen3-Omni
        attention = n * dim * b * (4 + values + self._windowed() + 2 * (probed and self.gated))
        merger = n * dim * b * (4 + (2 if self.gated else 3) * probed)
        deep = self.deep * tokens * self._width()
        # At the last blocks all features of earlier ones are there, and what was interpolated of positions still is.
        held = 0 if self.gated else deep + 4 * n * dim
        worst = tables + held + max(rotary, mlp, attention, merger)
        if not self.gated:
            # Four neighbours' embeddings, and as many weighted ones in float32, for which a CPU copies the former.
            worst = max(worst, n * dim * (5 * b + 16 + (16 if b < 4 and not self.on_gpu else 0)))
        if probed:
            worst = max(worst, tables + self._vision_signals(deep))
        return worst + n * (_PLACES if self.gated else _PLACES + _NEIGHBOURS)

    def _windowed(self) -> float:
        """Tensors as large as the queries that attention makes: its result, and copies of windows of unequal size."""
        if self.on_gpu:
            return 1 + (not self.gated)
        if not self.gated or self.inputs.grid is None:
            return 2.0
        vision = self.config.vision_config
        side = vision.window_size // vision.spatial_merge_size // vision.patch_size
        rows, columns = (cut(length // vision.spatial_merge_size, side) for length in self.inputs.grid[1:])
        windows = Counter(height * width for height in rows for width in columns)  # how many there are of each size
        if len(windows) == 1:
            return 2.0
        tokens = [size * count for size, count in windows.items()]
        return 1 + 4 * max(tokens) / sum(tokens)

    def _vision_signals(self, deep: int) -> int:
        """Saliency of the last block: its queries and keys rotated, then attention a bounded part at a time."""
        vision, n, wants, grid = self.config.vision_config, self.part, self.inputs.kept.wants, self.inputs.grid
        assert grid is not None
        dim = vision.hidden_size
        tokens = n // vision.spatial_merge_size**2
        held = n * dim * self.b * ((2 if self.gated else 3) + 1) + tokens * self._width() + deep
        rotated = 0 if self.fused else n * dim * (self.b + 4 * (3 + (self.b < 4)))
        heads = 2 * n * dim * self.b
        scores = 0
        if wants.video_grids is not None and not wants.mean_query and not self.on_gpu:
            window = min(wants.video_grids, grid[0]) * grid[1] * grid[2]
            scores = self._scores(n, vision.num_heads, dim, window)
        return held + max(rotated, heads + scores)

    def _scores(self, n: int, heads: int, dim: int, window: int) -> int:
        """`column_mass` on the host: copies by window, scores and their softmax for a chunk of windows."""
        window = min(window, n)
        whole = n - n % window
        entries = whole // window * heads
        rows = max(1, _CHUNK // (4 * window))
        at_once = min(entries, max(1, rows // window))
        queries = min(rows, window)
        chunks = -(-entries // at_once) * -(-window // queries)
        # Of 16 bits keys and queries are made float32; the last chunk's scores still stand where the next queries are.
        copies = 2 if self.b < 4 else 1 if chunks > 1 else 0
        part = at_once * (2 * queries * window + copies * window * dim // heads) * 4
        ordered = 2 * whole * dim * self.b if whole > window else 0  # the heads of a single window need no copy
        return part + ordered + 4 * n * heads

    def _mel(self) -> int:
        """The spectrogram, a block of seconds at a time, and the blocks put together."""
        frames = self.inputs.mel_frames
        bins = self.config.audio_config.num_mel_bins
        block = min(frames, _FRAMES_A_BLOCK)
        hop = self.inputs.model.hop
        waiting = 4 * (frames - block) * (hop + bins)  # samples and spectrogram of the blocks not being worked on
        return max(waiting + block * _BYTES_A_FRAME, 4 * frames * (hop + 3 * bins))

    def _audio(self) -> int:
        """Convolutions, or a layer at its worst."""
        audio, b, frames = self.config.audio_config, self.b, self.inputs.mel_frames
        chunks = cut(frames, 2 * audio.n_window)
        longest, count = max(chunks), len(chunks)
        mel = 4 * audio.num_mel_bins * frames
        padded = audio.num_mel_bins * count * longest * (4 + (b if b < 4 else 0))
        encoded = sum(audio_windows(audio, frames, self.family))
        dim, inner = audio.d_model, audio.encoder_ffn_dim
        probed = 2 * self.inputs.kept.wants.of_audio
        attention = encoded * dim * b * (7 + probed)
        mlp = encoded * b * ((2 + probed) * dim + 2 * inner)
        signals = self._audio_signals(encoded) if self.inputs.kept.wants.of_audio else 0
        if self.gated:
            convolved = 2 * count * longest * dim * b
            before = count * halved(longest) * dim * b
        else:
            times, bins = halved(longest), halved(audio.num_mel_bins)
            at_once = min(count, audio.conv_chunksize)
            area = audio.downsample_hidden_size * times * bins
            convolved = 2 * at_once * area * b + 2 * count * audio.downsample_hidden_size * b * (
                halved(longest, 3) * halved(audio.num_mel_bins, 3)
            ) * (count > at_once)
            before = count * halved(longest, 3) * dim * b
        # The chunks are cut from a copy that lies in order.
        return mel + 2 * padded + max(convolved, before + max(attention, mlp), before + signals)

    def _audio_signals(self, encoded: int) -> int:
        """Saliency of the last layer on so many encoder frames."""
        audio, wants = self.config.audio_config, self.inputs.kept.wants
        held = encoded * audio.d_model * self.b * 3 + self.inputs.full.audio * self._width()
        if not wants.audio or self.on_gpu:
            return held
        window = self.family.saliency_audio_frames if wants.audio == "blocks" else encoded
        return held + self._scores(encoded, audio.encoder_attention_heads, audio.d_model, window)

    def _prompt(self) -> int:
        """Embeddings of the prompt and what is known of its tokens; `generate` copies the embeddings."""
        tokens = self.inputs.full.total
        return tokens * (2 * self._width() + _LAYOUT * (2 if self.on_gpu else 1) + _POSITIONS)

    def _stage_one(self) -> int:
        """The selection before the LLM."""
        kept, full, hidden = self.inputs.kept, self.inputs.full, self.inputs.model.hidden
        if kept.diverse:
            return max(stage_one_bytes(*of, hidden, self.b, on_gpu=self.on_gpu) for of in kept.diverse)
        if kept.farthest:
            return max(farthest_bytes(tokens, hidden, self.b) for tokens in kept.farthest)
        return merging_bytes(kept.macs, full, hidden, self.b)

    def _prefill(self) -> int:
        """The worst layer: its temporaries, and the cache up to it."""
        text, b = self.config.text_config, self.b
        hidden, dim = text.hidden_size, head_dim(text)
        width, keys = text.num_attention_heads * dim, text.num_key_value_heads * dim
        worst = self._stage_one()
        cached = 0
        for layer, tokens in enumerate(self.inputs.kept.layers):
            n = tokens.total
            cached += n + _ROOM
            cache = kv_cache_bytes(text, [cached], b)
            tables = 2 * n * dim * b
            features = self.deep * tokens.video * hidden * b if layer < self.deep else 0
            # A layer's input is held twice on the way: by the engine, and normed.
            attention = n * b * (2 * hidden + max(4 * width + 2 * keys, 3 * width + 2 * keys + hidden))
            mlp = b * self._mlp(layer, n)
            worst = max(worst, cache + tables + features + max(attention, mlp))
        return self._prompt() + worst

    def _mlp(self, layer: int, n: int) -> float:
        """Values of a decoder layer's MLP at its worst on n tokens, inputs included."""
        text: Any = self.config.text_config
        hidden = text.hidden_size
        if not is_sparse(text, layer):
            if self.fused and n > _ROWS_AT_ONCE:  # in parts, whose results are put together at the end
                return 3 * hidden * n + max(hidden * n, 3 * text.intermediate_size * _ROWS_AT_ONCE)
            return n * (3 * hidden + 3 * text.intermediate_size)
        return n * 3 * hidden + experts_bytes(text, n, self.b) / self.b

    def _decode(self) -> int:
        """The cache after the longest answer, one layer's keys or values twice while they get more room, and the
        scores."""
        text, new = self.config.text_config, self.inputs.ask.answer_tokens - 1
        cut = self.inputs.ask.kv == "drop"
        room = room_for(new, cut=cut)
        ends = [tokens + room for tokens in self.inputs.cache]
        twice = kv_cache_bytes(text, [max(ends)], self.b) // 2 if cut or new > _ROOM else 0
        scores = text.vocab_size * (self.b + 3 * 4)
        return (
            self._prompt()
            - self.inputs.full.total * self._width()
            + kv_cache_bytes(text, ends, self.b)
            + twice
            + scores
        )
