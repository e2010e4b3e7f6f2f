"""A decoded clip through the model's encoders, once, for any number of questions about it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch

from seats.costs.flops import Workload
from seats.costs.timers import StepTimer
from seats.errors import MediaError
from seats.inference.attach import Prepared
from seats.media import Clip
from seats.models.omni import OmniModel, Turn
from seats.models.signals import EncoderWants
from seats.models.thinker import EncodedAudio, EncodedVideo
from seats.tokens import Modality, build_sequence, log_mel, mel_frames, patchify
from seats.tokens import Sequence as TokenSequence


@dataclass(frozen=True)
class EncodedClip:
    """Encoder outputs of one clip.

    video, audio: None where the clip has none. grid: (T, Hp, Wp) in patches, None without video. mel_frames: 100 a
    second, 0 without sound. seconds_per_grid: from the true frame rate. notes: remarks a user must see.
    """

    clip: Clip
    video: EncodedVideo | None
    audio: EncodedAudio | None
    grid: tuple[int, int, int] | None
    mel_frames: int
    seconds_per_grid: float
    notes: tuple[str, ...] = ()

    @property
    def workload(self) -> Workload:
        return Workload(self.grid, self.mel_frames)


@dataclass(frozen=True)
class Prompt:
    """One question about an encoded clip. embeds `[S, D]`; prepared: what the engine needs beside them."""

    sequence: TokenSequence
    embeds: torch.Tensor
    prepared: Prepared


def encode_clip(model: OmniModel, clip: Clip, wants: Collection[EncoderWants], timer: StepTimer) -> EncodedClip:
    """Run the encoders; steps "prepare", "encode_video" and "encode_audio" go to `timer`.

    wants: what each method that will be used wants of the encoders. Raises MediaError if neither pictures nor sound
    are long enough for a single token.
    """
    notes: list[str] = []
    video = audio = grid = None
    frames = 0
    if clip.video is not None:
        with timer.step("prepare"):
            pixels = clip.video.pixels.to(model.thinker.device)
            patches, grid = patchify(pixels, model.patches, model.thinker.vision.dtype)
            del pixels  # an hour of frames takes half a gigabyte of a GPU, its patches twice that
        with timer.step("encode_video"):
            video = model.thinker.encode_video(patches, grid, *wants)
        del patches
    if clip.audio is not None:
        frames = mel_frames(len(clip.audio.waveform), model.mel)
        if model.thinker.family.audio_tokens(frames, model.thinker.config):
            with timer.step("prepare"):
                mel = log_mel(clip.audio.waveform, model.mel)
            with timer.step("encode_audio"):
                audio = model.thinker.encode_audio(mel, *wants)
        else:
            notes.append(f"sound of {clip.audio.seconds:.3f} s is too short for a single token and was left out")
            frames = 0
    if video is None and audio is None:
        raise MediaError(f"{clip.path}: nothing to look at or listen to in the part asked about")
    fps = clip.video.fps if clip.video is not None else 1.0
    seconds_per_grid = model.patches.temporal_patch_size / fps
    return EncodedClip(clip, video, audio, grid, frames, seconds_per_grid, tuple(notes))


@torch.inference_mode()
def build_prompt(
    model: OmniModel,
    encoded: EncodedClip,
    question: str,
    system: str | None,
    reserve: int,
    wants: EncoderWants,
    history: Sequence[Turn] = (),
) -> Prompt:
    """Put a question and an encoded clip together.

    reserve: positions to leave free for the answer. wants: of the method, among those the clip was encoded with.
    history: earlier questions about the clip, oldest first, with their answers.
    """
    thinker, merge = model.thinker, model.patches.merge_size
    ids = model.prompt_ids(question, system, encoded.video is not None, history)
    grid = encoded.grid and (encoded.grid[0], encoded.grid[1] // merge, encoded.grid[2] // merge)
    audio_tokens = 0 if encoded.audio is None else len(encoded.audio.embeds)
    sequence = build_sequence(ids, thinker.rule, grid, encoded.seconds_per_grid, audio_tokens, reserve)
    layout = sequence.layout.to(thinker.device)
    embeds = thinker.text.embed_tokens(sequence.ids.to(thinker.device))
    signals = {}
    for kind, features in ((Modality.VIDEO, encoded.video), (Modality.AUDIO, encoded.audio)):
        if features is None:
            continue
        where = layout.positions(kind)
        embeds[where] = features.embeds.to(embeds.dtype)[layout.row[where]]
        if wants.of_video if kind is Modality.VIDEO else wants.of_audio:
            signals[kind] = features.signals[wants]
    deepstack = encoded.video.deepstack if encoded.video is not None else ()
    return Prompt(sequence, embeds, Prepared.of(layout, signals, deepstack))
