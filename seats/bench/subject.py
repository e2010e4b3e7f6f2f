"""One thinker and one prompt, run with any method as often as asked."""

from __future__ import annotations

import contextlib
import math
import time
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

from seats.bench.measure import STOCK, Run
from seats.bench.rate import synchronise
from seats.bench.workload import Load, mel_spec, patch_spec, random_frames, sequence_of
from seats.costs.flops import flops_report
from seats.costs.memory import kv_cache_bytes, peak_device_bytes, reset_peak_device_bytes
from seats.costs.timers import StepTimer
from seats.inference.attach import attach
from seats.inference.engine import KvPolicy
from seats.inference.prepared import Prepared
from seats.keep import Setting
from seats.methods import Method, retention_for, set_up
from seats.models import compat
from seats.models.fused import stock_blocks
from seats.models.presets import Preset
from seats.models.signals import EncoderWants, Signals
from seats.models.thinker import Thinker
from seats.tokens.layout import Modality
from seats.tokens.mel import log_mel
from seats.tokens.patches import patchify


class Subject:
    """A thinker and its prompt. All inputs are random, made once, and the same for every method.

    kv: as in `attach`. new_tokens: decoding steps after the first token, 0 for none.
    """

    def __init__(
        self,
        thinker: Thinker,
        preset: Preset,
        load: Load,
        *,
        kv: KvPolicy = "keep",
        new_tokens: int = 0,
        seed: int = 0,
    ) -> None:
        self.thinker, self.preset, self.load = thinker, preset, load
        self.kv, self.new_tokens, self.seed = kv, new_tokens, seed
        self.sequence = sequence_of(load, preset, thinker.config)
        # Made here, as each of them makes a whole configuration: milliseconds of a run.
        self._patch_spec, self._mel_spec = patch_spec(preset), mel_spec(preset)
        torch.manual_seed(seed)
        device = thinker.device
        self._ids = self.sequence.ids.to(device)
        self._layout = self.sequence.layout.to(device)
        order = torch.arange(len(self._ids), device=device, dtype=self.sequence.positions.dtype)
        self._positions = torch.cat([order[None], self.sequence.positions.to(device)])[:, None]
        self._pixels = random_frames(load, preset, device) if load.encoders and load.grid else None
        self._waveform = (
            np.random.default_rng(seed).standard_normal(160 * load.mel_frames).astype(np.float32) / 10
            if load.encoders and load.mel_frames
            else None
        )
        counts = self.sequence.layout.counts()
        self._features = {} if load.encoders else self._random_features(counts.video, counts.audio)
        # An encoder gives its queries and keys back when saliency is known; here they stay for the next run.
        self._stand_ins = sum(
            tensor.nbytes for kind in ("vision", "sound") for tensor in self._features.get(kind, {}).values()
        )

    @property
    def settings(self) -> dict[str, Any]:
        """What the run depends on beside the model and the method, for reports."""
        counts = self.sequence.layout.counts()
        return {
            "video": counts.video,
            "audio": counts.audio,
            "text": counts.text,
            "grid": self.load.grid and list(self.load.grid),
            "frames": self.load.grid and self.load.grid[0] * self._patch_spec.temporal_patch_size,
            "mel_frames": self.load.mel_frames,
            "seconds_per_grid": self.load.seconds_per_grid,
            "encoders": self.load.encoders,
            "kv": self.kv,
            "new_tokens": self.new_tokens,
        }

    def method_of(self, setting: Setting) -> Method:
        """The method set up for the model. Raises SeatsError."""
        keep = setting.keep if setting.keep is not None else 100.0
        retention = retention_for(self.preset.family_name, keep, setting.keep_video, setting.keep_audio)
        return set_up(setting.method, self.preset.shape, retention, self.seed)

    @torch.inference_mode()
    def run(self, setting: Setting) -> Run:
        """Measure one run. Raises SettingsError where the method refuses the setting, torch.OutOfMemoryError."""
        if setting.method == STOCK:
            with stock_blocks(self.thinker), self._stock_encoders():
                return self._measured(None)
        return self._measured(self.method_of(setting))

    def _measured(self, method: Method | None) -> Run:
        """One run with a method, or without one of the stock code."""
        timer = StepTimer(self.thinker.device)
        reset_peak_device_bytes(self.thinker.device)
        synchronise(self.thinker.device)
        began = time.perf_counter()
        embeds, prepared = self._encode(method.wants if method else EncoderWants(), timer)
        synchronise(self.thinker.device)
        encoded = time.perf_counter()
        cache = DynamicCache(config=self.thinker.text.config)
        attached: Any = contextlib.nullcontext()
        if method is not None:
            attached = attach(self.thinker, method, kv=self.kv, prepared=prepared, timer=timer)
        with attached as handle:
            logits = self.thinker.module(
                inputs_embeds=embeds[None], position_ids=self._positions, use_cache=True, **{compat.CACHE: cache}
            ).logits
            token = logits[:, -1:].argmax(-1)
            synchronise(self.thinker.device)
            answered = time.perf_counter()
            del logits
            peak = peak_device_bytes(self.thinker.device)
            if self.thinker.device.type == "cuda":
                peak -= self._stand_ins
            held = [cache.get_seq_length(i) for i in range(len(self.thinker.layers))]
            per_token = self._decode(token, cache)
        trace = handle.trace if handle is not None else None
        flops = None
        if method is not None and trace is not None:
            trace.decoded_tokens = self.new_tokens  # what is timed, without the warm-up
            config, given = self.thinker.config, self.load.encoder_input
            flops = flops_report(config, trace, given, method.wants, self.preset.family)
        return Run(
            steps_ms=timer.ms(),
            prefill_ms=1e3 * (answered - encoded),
            first_token_ms=1e3 * (answered - began) if self.load.encoders else None,
            per_token_ms=per_token,
            peak_bytes=peak,
            kv_cache_bytes=kv_cache_bytes(self.thinker.config, held, self.thinker.dtype.itemsize),
            trace=trace,
            flops=flops,
        )

    def _decode(self, token: torch.Tensor, cache: Any) -> float | None:
        """Milliseconds a token, greedily and without stopping."""
        if not self.new_tokens:
            return None
        # For its own decoding, stock `generate()` runs a mixture of experts in another way.
        for_decoding = getattr(self.thinker.module, "_optimize_model_for_decode", contextlib.nullcontext)
        last = self._positions[:, :, -1:]
        with for_decoding():
            began = 0.0
            for step in range(self.new_tokens + 1):
                if step == 1:  # the first one is a warm-up
                    synchronise(self.thinker.device)
                    began = time.perf_counter()
                last = last + 1
                out = self.thinker.module(input_ids=token, position_ids=last, use_cache=True, **{compat.CACHE: cache})
                token = out.logits[:, -1:].argmax(-1)
            synchronise(self.thinker.device)
        return 1e3 * (time.perf_counter() - began) / self.new_tokens

    def _encode(self, wants: EncoderWants, timer: StepTimer) -> tuple[torch.Tensor, Prepared]:
        """Embeddings `[S, D]` of the prompt and what the engine needs beside them."""
        thinker, load = self.thinker, self.load
        features: dict[Modality, tuple[torch.Tensor, dict[EncoderWants, Signals]]] = {}
        deepstack: tuple[torch.Tensor, ...] = ()
        if not load.encoders:
            features, deepstack = self._given(wants, timer)
        else:
            if self._pixels is not None:
                with timer.step("prepare"):
                    patches, grid = patchify(self._pixels, self._patch_spec, thinker.vision.dtype)
                video = thinker.encode_video(patches, grid, wants, step=timer.step)
                del patches
                features[Modality.VIDEO], deepstack = (video.embeds, video.signals), video.deepstack
            if self._waveform is not None:
                with timer.step("prepare"):
                    mel = log_mel(self._waveform, self._mel_spec)
                audio = thinker.encode_audio(mel, wants, step=timer.step)
                features[Modality.AUDIO] = (audio.embeds, audio.signals)
        with timer.step("prepare"):
            embeds = thinker.text.embed_tokens(self._ids)
            signals = {}
            for kind, (rows, found) in features.items():
                where = self._layout.positions(kind)
                embeds[where] = rows.to(embeds.dtype)[self._layout.row[where]]
                if wants in found:
                    signals[kind] = found[wants]
            return embeds, Prepared.of(self._layout, signals, deepstack)

    def _random_features(self, video: int, audio: int) -> dict[str, Any]:
        """Encoder outputs, and the queries and keys that saliency is read from, where no encoder runs."""
        thinker, load = self.thinker, self.load
        device, dtype = thinker.device, thinker.dtype
        width = thinker.text.config.hidden_size

        def drawn(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, device=device, dtype=dtype)

        made: dict[str, Any] = {}
        if video:
            patches, config = math.prod(load.grid or ()), thinker.vision.config
            made["video"] = drawn(video, width)
            names: dict[str, Any] = {**self.preset.family.vision_projections(thinker.vision)}
            probe = {name: drawn(patches, module.out_features) for name, module in names.items()}
            angle = torch.rand(patches, config.hidden_size // config.num_heads, device=device)
            made["vision"] = {**probe, "cos": angle.cos(), "sin": angle.sin()}
            layers = len(getattr(config, "deepstack_visual_indexes", ()))
            made["deepstack"] = tuple(drawn(video, width) for _ in range(layers))
        if audio:
            frames = audio * self.preset.family.audio_frames_per_token
            made["audio"] = drawn(audio, width)
            names = {**self.preset.family.audio_projections(thinker.audio)}
            made["sound"] = {name: drawn(frames, module.out_features) for name, module in names.items()}
        return made

    def _given(self, wants: EncoderWants, timer: StepTimer) -> tuple[dict[Modality, Any], tuple[torch.Tensor, ...]]:
        made, found = self._features, {}
        if "video" in made:
            signals = {}
            if wants.of_video:
                with timer.step("saliency"):
                    signals[wants] = self.thinker.vision_signals(made["vision"], self.load.grid, wants)  # type: ignore[arg-type]
            found[Modality.VIDEO] = (made["video"], signals)
        if "audio" in made:
            signals = {}
            if wants.of_audio:
                with timer.step("saliency"):
                    signals[wants] = self.thinker.audio_signals(made["sound"], wants)
            found[Modality.AUDIO] = (made["audio"], signals)
        return found, made.get("deepstack", ())

    @contextlib.contextmanager
    def _stock_encoders(self) -> Any:
        """The encoders with the attention that stock code uses where flash attention is not installed."""
        encoders = (self.thinker.vision, self.thinker.audio)
        before = [encoder.config._attn_implementation for encoder in encoders]
        try:
            for encoder in encoders:
                encoder.config._attn_implementation = "sdpa"
            yield
        finally:
            for encoder, name in zip(encoders, before, strict=True):
                encoder.config._attn_implementation = name
