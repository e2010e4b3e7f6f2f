"""What training sees at each step: a function of the step alone, so that a resumed run goes on as before."""

import random
from dataclasses import dataclass

import torch
from torch.utils.data import Dataset

from seats.nano.examples import Batch, make_batch
from seats.nano.world import describe_clip, describe_practice_clip

CLIPS_PER_STEP = 64
"""Clip numbers set aside for each step; no step uses more, so no two steps share a clip."""
CHOICE_RATE = 0.4
"""How many of the questions that can be are choices; more than in the test set, as they are learnt last."""
TYPE_WEIGHTS = {
    "x_sound_as": 2.0,
    "x_sound_while": 2.0,
    "x_shape_as": 2.0,
    "x_shape_while": 2.0,
    "x_shape_side": 6.0,
    "x_visible": 3.0,
    "x_order": 1.5,
    "d_clip": 1.5,
    "d_shapes": 1.5,
    "d_sounds": 1.5,
    "v_count": 2.5,
    "a_count": 1.5,
    "v_side": 1.5,
}


@dataclass(frozen=True)
class TrainSettings:
    """Everything that decides a run.

    steps: how many in all. clips, questions: in one step, and for each clip. encoder_steps: at the start, on
    `encoder_clips` practice clips each, for the encoders alone.
    easy_until, middle_until: parts of the run (0 to 1) with short and simple, then middling clips.
    biased_until, full_from: parts between which half of the steps read all tokens; before, none does; after, all do.
    frozen_from: from here on 60 % of the steps leave the encoders as they are, which is cheaper.
    decay_from: where the learning rate begins to fall.
    split_offset: steps by which the numbers of the training clips are moved, for runs that share no clip.
    """

    steps: int = 5000
    clips: int = 6
    questions: int = 16
    encoder_steps: int = 280
    encoder_clips: int = 16
    easy_until: float = 0.15
    middle_until: float = 0.3
    biased_until: float = 0.4
    full_from: float = 0.75
    frozen_from: float = 0.12
    learning_rate: float = 2e-3
    encoder_learning_rate: float = 4e-3
    warmup: int = 80
    decay_from: float = 0.45
    weight_decay: float = 0.02
    answer_weight: float = 2.0
    early_weight: float = 1.5
    middle_weight: float = 2.0
    entity_weight: float = 3.0
    asked_weight: float = 1.0
    seed: int = 0
    split_offset: int = 0

    def progress(self, step: int) -> float:
        return step / self.steps


@dataclass
class Step:
    """One step's batch, and how the LLM reads it."""

    number: int
    batch: Batch
    encoder_only: bool
    biased: bool
    keep_relevant: float
    keep_other: int
    frozen_encoders: bool = False


def kept_tokens(relevance: torch.Tensor, step: Step) -> torch.Tensor:
    """Positions `[B, n]` of the prefix that a biased step reads: text, most of what matters, some of the rest.

    Args:
        relevance: `[B, P]` from `losses.token_relevance`.
    """
    generator = torch.Generator().manual_seed(step.number)
    score = relevance + torch.rand(relevance.shape, generator=generator)
    text = int(relevance[0].isinf().sum())
    relevant = (relevance == 1).sum(1).max().item()
    count = min(text + int(relevant * step.keep_relevant) + step.keep_other, relevance.shape[1])
    return score.topk(count, dim=1).indices.sort(dim=1).values


class Curriculum(Dataset):
    """Steps of training, each rendered when asked for. Item `i` is step `i`."""

    def __init__(self, settings: TrainSettings) -> None:
        self.settings = settings

    def __len__(self) -> int:
        return self.settings.steps

    def __getitem__(self, number: int) -> Step:
        torch.set_num_threads(1)
        settings = self.settings
        rng = random.Random(f"{settings.seed}/{number}")
        part = settings.progress(number)
        encoder_only = number < settings.encoder_steps
        if part < settings.easy_until:
            seconds, least, most = rng.choice((4, 4, 5, 6)), 0.1, 0.7
        elif part < settings.middle_until:
            seconds, least, most = rng.choice((4, 5, 6, 6, 7, 8)), 0.3, 1.0
        else:
            seconds, least, most = rng.choice((4, 5, 6, 6, 7, 8, 8, 9, 10)), 0.6, 1.0
        has_video = has_audio = True
        if not encoder_only:
            missing = rng.random()
            has_video, has_audio = missing >= 0.05, not 0.05 <= missing < 0.1
        extra = rng.choice((0, 0, 0, 1, 2, 3, 4, 5, 6, 8, 10, -2, -4)) if has_audio else 0
        first = (settings.split_offset + number) * CLIPS_PER_STEP
        if encoder_only:
            clips = [describe_practice_clip(first + place, 4) for place in range(settings.encoder_clips)]
        else:
            clips = [
                describe_clip("train", first + place, seconds, rng.uniform(least, most), has_video, has_audio)
                for place in range(settings.clips)
            ]
        questions = 0 if encoder_only else settings.questions
        batch = make_batch(
            clips, questions, rng, TYPE_WEIGHTS, extra, system=rng.random() < 0.12, choice_rate=CHOICE_RATE
        )
        biased = part < settings.biased_until or (part < settings.full_from and rng.random() < 0.5)
        return Step(
            number=number,
            batch=batch,
            encoder_only=encoder_only,
            biased=biased,
            keep_relevant=rng.uniform(0.6, 1.0) if rng.random() < 0.35 else 1.0,
            keep_other=rng.randrange(4, 60),
            frozen_encoders=not encoder_only and part > settings.frozen_from and rng.random() < 0.6,
        )
