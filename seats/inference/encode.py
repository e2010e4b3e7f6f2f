"""A decoded clip through the model's encoders, once, for any number of questions about it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch

from seats.costs.flops import Workload
from seats.costs.timers import StepTimer
from seats.devices import moved, usual_device
from seats.errors import MediaError, ModelError, SettingsError
from seats.inference.prepared import Prepared
from seats.media import Audio, Clip, ReadingClip
from seats.media.reading import Arriving
from seats.models.omni import OmniModel, Turn
from seats.models.signals import EncoderWants
from seats.models.thinker import EncodedAudio, EncodedVideo, grids_at_once
from seats.shortage import shortage_told
from seats.tokens.layout import Modality
from seats.tokens.mel import log_mel, mel_frames
from seats.tokens.patches import patchify
from seats.tokens.sequence import Sequence as TokenSequence
from seats.tokens.sequence import build_sequence


@dataclass(frozen=True, eq=False)
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


@dataclass(frozen=True, eq=False)
class Prompt:
    """One question about an encoded clip. embeds `[S, D]`; prepared: what the engine needs beside them."""

    sequence: TokenSequence
    embeds: torch.Tensor
    prepared: Prepared


@usual_device()
def encode_clip(
    model: OmniModel,
    clip: Clip | ReadingClip,
    wants: Collection[EncoderWants],
    timer: StepTimer,
) -> EncodedClip:
    """Run the encoders; steps "prepare", "encode_video", "encode_audio" and "saliency" go to `timer`.

    clip: one that is still being read is encoded as it comes, unless both would be the CPU's work. wants: what each
    method that will be used wants of the encoders; reading it off them is the step "saliency". Raises OutOfMemoryError,
    SettingsError if the frames were sampled for a model with another size of tokens, MediaError if neither pictures nor
    sound are long enough for a single token, and what reading raised. Does not wait for the device.
    """
    pictures, sound = _VideoEncoder(model, wants, timer), _AudioEncoder(model, wants, timer)
    if isinstance(clip, ReadingClip):
        if encodes_beside_reading(model.thinker.device):
            pictures.arriving(clip.arriving, sound.encode)
        clip = clip.result()
    video = grid = None
    if clip.video is not None:
        video, grid = pictures.rest(clip.video.pixels)
    if clip.audio is not None:
        sound.encode(clip.audio)
    if video is None and sound.encoded is None:
        raise MediaError(f"{clip.path}: nothing to look at or listen to: no picture, and too little sound for a token")
    fps = clip.video.fps if clip.video is not None else 1.0
    seconds_per_grid = model.patches.temporal_patch_size / fps
    return EncodedClip(clip, video, sound.encoded, grid, sound.frames, seconds_per_grid, tuple(sound.notes))


def encodes_beside_reading(device: torch.device) -> bool:
    """Whether a clip is encoded while it is read: on a CPU the two would take each other's time."""
    return device.type != "cpu"


class _VideoEncoder:
    """Encodes a clip's frames part by part, each of `grids_at_once` grids but the last, whether they are all there or
    come one after another: the result is the same to the bit."""

    def __init__(self, model: OmniModel, wants: Collection[EncoderWants], timer: StepTimer) -> None:
        self._model, self._wants, self._timer = model, wants, timer
        self._parts: list[EncodedVideo] = []
        self._frames = 0
        self._attempt = 0

    def arriving(self, clip: Arriving, on_sound: Callable[[Audio], None]) -> None:
        """Encode whole parts as they come, until reading ends. on_sound: gets the sound when no part is waiting."""
        for attempt, pixels in clip.parts(self._at_once, on_sound):
            self._turn_to(attempt)
            self._encode(pixels)
        self._turn_to(clip.attempt)  # the last one may have ended before it filled a part

    def _turn_to(self, attempt: int) -> None:
        """Forget what was encoded of an attempt at reading that has been given up."""
        if attempt != self._attempt:
            self._parts, self._frames, self._attempt = [], 0, attempt

    def rest(self, pixels: torch.Tensor) -> tuple[EncodedVideo, tuple[int, int, int]]:
        """Encode what is left of the clip's frames uint8 `[F, 3, H, W]`; all of them, and their grid (T, Hp, Wp)."""
        while self._frames < len(pixels):
            self._encode(pixels[self._frames : self._frames + self._at_once(*pixels.shape[2:])])
        patches = self._model.patches
        height, width = (side // patches.patch_size for side in pixels.shape[2:])
        parts, self._parts = self._parts, []  # not to be held while the sound is encoded
        return EncodedVideo.joined(parts), (-(-len(pixels) // patches.temporal_patch_size), height, width)

    def _at_once(self, height: int, width: int) -> int:
        """Frames of a part. Raises SettingsError where frames of that size are no whole tokens of this model."""
        patches = self._model.patches
        if height % patches.token_side or width % patches.token_side:
            raise SettingsError(
                f"the clip's frames are {width}x{height}, but {self._model.name} takes multiples of "
                f"{patches.token_side} pixels: load the clip with that model's sampling, sampling=model.sampling"
            )
        area = (height // patches.patch_size) * (width // patches.patch_size)
        return patches.temporal_patch_size * grids_at_once(area, self._wants)

    def _encode(self, pixels: torch.Tensor) -> None:
        thinker, step = self._model.thinker, self._timer.step
        with shortage_told("the clip's pictures do", thinker.device):
            with step("prepare"):
                patches, grid = patchify(moved(pixels, thinker.device), self._model.patches, thinker.vision.dtype)
            made = thinker.encode_grids(patches, grid, *self._wants, step=step)
        self._parts.append(made)
        self._frames += len(pixels)


class _AudioEncoder:
    """Encodes a clip's sound, once.

    encoded: None without sound, or where it is too short for a token, which `notes` says. frames: of the spectrogram,
    100 a second, 0 where nothing is encoded.
    """

    def __init__(self, model: OmniModel, wants: Collection[EncoderWants], timer: StepTimer) -> None:
        self._model, self._wants, self._timer = model, wants, timer
        self._heard: Audio | None = None
        self.encoded: EncodedAudio | None = None
        self.frames = 0
        self.notes: list[str] = []

    def encode(self, audio: Audio) -> None:
        """Do so, unless it is done."""
        if audio is self._heard:
            return
        self._heard = audio
        thinker, step = self._model.thinker, self._timer.step
        frames = mel_frames(len(audio.waveform), self._model.mel)
        if not thinker.family.audio_tokens(frames, thinker.config):
            self.notes.append(f"sound of {audio.seconds:.3f} s is too short for a single token and was left out")
            return
        self.frames = frames
        with shortage_told("the clip's sound does", thinker.device):
            with step("prepare"):
                mel = log_mel(audio.waveform, self._model.mel)
            self.encoded = thinker.encode_audio(mel, *self._wants, step=step)


@usual_device()
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
    history: earlier questions about the clip, oldest first, with their answers. Raises ModelError and SettingsError as
    `OmniModel.prompt_ids`, ModelError for a token that the model does not know, and SettingsError for a prompt that
    leaves too few positions.
    """
    thinker, merge = model.thinker, model.patches.merge_size
    ids = model.prompt_ids(question, system, encoded.video is not None, history)
    grid = encoded.grid and (encoded.grid[0], encoded.grid[1] // merge, encoded.grid[2] // merge)
    audio_tokens = 0 if encoded.audio is None else len(encoded.audio.embeds)
    sequence = build_sequence(ids, thinker.rule, grid, encoded.seconds_per_grid, audio_tokens, reserve)
    if (last := int(sequence.ids.max())) >= (known := len(thinker.text.embed_tokens.weight)):
        raise ModelError(
            f"{model.name}: the prompt has token {last}, but the model knows only {known}: its tokenizer, or the token "
            "ids in its config.json, are another model's"
        )
    layout = sequence.layout.to(thinker.device)
    embeds = thinker.text.embed_tokens(moved(sequence.ids, thinker.device))
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
