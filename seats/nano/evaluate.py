"""Accuracy of a model on clips rendered to tensors: quick, for the training curve."""

import random
from collections import defaultdict
from dataclasses import dataclass, field

import torch

from seats.nano.examples import Batch, make_batch
from seats.nano.facts import ASKED_FACTS, ENTITY_FACTS
from seats.nano.losses import ENCODER_AUDIO_FACTS, ENCODER_VIDEO_FACTS, FactHeads, prefix_labels
from seats.nano.packing import PackedForward, encode_audio, encode_video, word_embeddings
from seats.nano.questions import Question
from seats.nano.world import describe_clip


@dataclass
class Accuracy:
    """Right answers and questions for each question type. A description counts as right if every word is."""

    right: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    asked: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    choices_right: int = 0
    choices_asked: int = 0
    facts_right: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    facts_known: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, question: Question, right: bool) -> None:
        self.right[question.type] += int(right)
        self.asked[question.type] += 1
        if question.form == "choice":
            self.choices_right += int(right)
            self.choices_asked += 1

    def of(self, start: str = "") -> float:
        """Accuracy over the types whose name starts so; NaN if none was asked."""
        asked = sum(count for kind, count in self.asked.items() if kind.startswith(start))
        right = sum(count for kind, count in self.right.items() if kind.startswith(start))
        return right / asked if asked else float("nan")

    def add_facts(self, place: str, found: dict[str, tuple[int, int]]) -> None:
        for name, (right, known) in found.items():
            self.facts_right[f"{place}.{name}"] += right
            self.facts_known[f"{place}.{name}"] += known

    def facts(self) -> dict[str, float]:
        """How well the auxiliary heads read facts at the encoders, the middle layer and the question's words."""
        return {name: round(self.facts_right[name] / known, 3) for name, known in self.facts_known.items()}

    def summary(self) -> dict[str, float]:
        """Questions asked, accuracy over all and over each family of types."""
        families = {"all": "", "picture": "v_", "sound": "a_", "cross": "x_", "descriptions": "d_"}
        result: dict[str, float] = {name: round(self.of(start), 4) for name, start in families.items()}
        if self.choices_asked:
            result["choices"] = round(self.choices_right / self.choices_asked, 4)
        return result | {"asked": sum(self.asked.values())}

    def by_type(self) -> dict[str, float]:
        return {kind: round(self.right[kind] / self.asked[kind], 3) for kind in sorted(self.asked)}


def held_out_batches(lengths: tuple[int, ...] = (4, 5, 6, 7, 8, 9, 10), clips: int = 8) -> list[Batch]:
    """Crowded clips of the validation split with up to 16 questions each, one batch for each length in seconds."""
    batches = []
    for place, seconds in enumerate(lengths):
        rng = random.Random(f"validation/{place}")
        described = [describe_clip("validation", place * clips + number, seconds) for number in range(clips)]
        batches.append(make_batch(described, 16, rng))
    return batches


@torch.no_grad()
def evaluate(forward: PackedForward, batches: list[Batch], heads: FactHeads | None = None) -> Accuracy:
    """Accuracy with full tokens.

    Each word of an answer is predicted given the right words before it; for a right answer that is greedy decoding.
    """
    result = Accuracy()
    for batch in batches:
        video = encode_video(forward.thinker, batch.frames) if batch.frames is not None else None
        audio = encode_audio(forward.thinker, batch.mel) if batch.mel is not None else None
        packed = forward(batch, video, audio)
        if heads is not None:
            words = word_embeddings(forward.thinker)
            if video is not None and batch.video_facts is not None:
                labels = batch.video_facts.flatten(0, 1)
                result.add_facts("video", heads.accuracy(video.flatten(0, 1), labels, words, ENCODER_VIDEO_FACTS))
            if audio is not None and batch.audio_facts is not None:
                labels = batch.audio_facts.flatten(0, 1)
                result.add_facts("audio", heads.accuracy(audio.flatten(0, 1), labels, words, ENCODER_AUDIO_FACTS))
            labels = prefix_labels(batch).flatten(0, 1)
            result.add_facts("middle", heads.accuracy(packed.prefix_states.flatten(0, 1), labels, words))
            labels = batch.question_facts.flatten(0, 1)
            there = heads.accuracy(packed.asked_states.flatten(0, 1), labels, words, ASKED_FACTS)
            named = heads.accuracy(packed.question_states.flatten(0, 1), labels, words, (*ENTITY_FACTS, "asked_side"))
            result.add_facts("entity", named | there)
        guess = forward.thinker.lm_head(packed.final).argmax(-1)
        right = (guess == batch.target) | (batch.target < 0)
        for row, asked in enumerate(batch.questions):
            for number, question in enumerate(asked):
                result.add(question, bool(right[row][batch.block[row] == number].all()))
    return result
