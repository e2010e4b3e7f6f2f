"""Training examples: a clip rendered, its questions, and every label that the losses use."""

import random
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from seats.nano.facts import FACT_NAMES, IGNORE, ClipFacts, label
from seats.nano.questions import Mention, Question, draw_questions
from seats.nano.render_audio import render_waveform
from seats.nano.render_video import degrade, render_frames, token_owners
from seats.nano.sequence import ANSWER_START, AUDIO_TOKENS_PER_SECOND, ClipShape
from seats.nano.vocabulary import LETTERS, TOKEN_IDS, encode_words
from seats.nano.world import ClipDescription, Split, seed_of
from seats.tokens.mel import MelSpec, log_mel

END_WEIGHT = 0.2
"""Weight of the end token of an answer: it is nearly always the same."""
LIST_WEIGHT = 0.4
"""Weight of each thing named in a description, so that its length does not crowd out the other questions."""
THEN_WEIGHT = 0.1
"""Weight of the words between them: after one thing "then" nearly always follows."""


@dataclass(eq=False)
class Batch:
    """`B` clips of one `ClipShape`, with their questions packed one after another behind the clip.

    frames: uint8 `[B, 2 T, 168, 168, 3]` or None. mel: float32 `[B, 128, M]` or None.
    video_facts `[B, T · 36, facts]`, audio_facts `[B, A, facts]`: group indices or IGNORE; video tokens without an
    object have shape and colour "none" and nothing else.
    ids `[B, Q]` of all questions with their answers; block `[B, Q]` which question (−1 is padding); offset `[B, Q]`
    the place in its question. target `[B, Q]` the next id where an answer is predicted, else IGNORE; weight `[B, Q]`.
    early_answer `[B, Q]` the answer's word at the question mark and where the answer is to come, else IGNORE; of a
    choice the word that its letter stands for. option_letter `[B, Q]` at each option of a choice which letter it has,
    0 to 3; else IGNORE. option_at `[B, Q]`, where the letter of a choice is to come, the place in its question of the
    right option; else IGNORE. question_facts `[B, Q, facts]`, labels at the things that questions name.
    """

    shape: ClipShape
    frames: torch.Tensor | None
    mel: torch.Tensor | None
    video_facts: torch.Tensor | None
    audio_facts: torch.Tensor | None
    ids: torch.Tensor
    block: torch.Tensor
    offset: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor
    early_answer: torch.Tensor
    option_letter: torch.Tensor
    option_at: torch.Tensor
    question_facts: torch.Tensor
    questions: list[list[Question]]


def make_batch(
    clips: list[ClipDescription],
    questions: int,
    rng: random.Random,
    weights: dict[str, float] | None = None,
    extra_frames: int = 0,
    system: bool = False,
    choice_rate: float = 0.25,
) -> Batch:
    """Render clips of equal length and the same modalities, and pack up to `questions` questions for each.

    Args:
        extra_frames: mel frames by which the sound is longer (or shorter) than the picture.
    """
    first = clips[0]
    mel_frames = first.seconds * 100 + extra_frames if first.has_audio else 0
    shape = ClipShape(first.seconds, mel_frames, first.has_video, system)
    frames, mels, video_facts, audio_facts = [], [], [], []
    asked: list[list[Question]] = []
    mentions: list[list[dict[str, int]]] = []
    for clip in clips:
        facts = ClipFacts(clip)
        seconds = [facts.of_second(second) for second in range(clip.seconds)]
        noise = np.random.default_rng(clip.nuisances.noise_seed + 2)
        if clip.has_video:
            images, owners = render_frames(clip, sample_times(clip, noise))
            frames.append(degrade(images, noise))
            video_facts.append(_video_labels(facts, token_owners(owners, len(clip.objects))))
        if clip.has_audio:
            wave = render_waveform(clip, extra_frames * MelSpec.hop)
            mels.append(log_mel(wave, MelSpec()))
            audio_facts.append(_audio_labels(facts, seconds, shape.audio_tokens))
        asked.append(draw_questions(clip, rng, questions, weights, choice_rate) if questions else [])
        named = [mention for question in asked[-1] for _, mention in (*question.mentions, *question.answer_mentions)]
        mentions.append([_mention_labels(facts, seconds, mention) for mention in named])
    return packed_batch(
        shape=shape,
        frames=torch.from_numpy(np.stack(frames)) if frames else None,
        mel=torch.stack(mels) if mels else None,
        questions=asked,
        video_facts=torch.from_numpy(np.stack(video_facts)) if video_facts else None,
        audio_facts=torch.from_numpy(np.stack(audio_facts)) if audio_facts else None,
        mentions=mentions,
    )


def packed_batch(
    shape: ClipShape,
    frames: torch.Tensor | None,
    mel: torch.Tensor | None,
    questions: list[list[Question]],
    video_facts: torch.Tensor | None = None,
    audio_facts: torch.Tensor | None = None,
    mentions: list[list[dict[str, int]]] | None = None,
) -> Batch:
    """A batch of given frames and sound; `questions` for each clip, and the labels of each thing they mention."""
    packed = [_pack(asked) for asked in questions]
    longest = max(len(rows.ids) for rows in packed)

    def stack(name: str, fill: float, dtype: torch.dtype) -> torch.Tensor:
        result = torch.full((len(packed), longest), fill, dtype=dtype)
        for row, rows in zip(result, packed, strict=True):
            values = getattr(rows, name)
            row[: len(values)] = torch.tensor(values, dtype=dtype)
        return result

    question_facts = torch.full((len(packed), longest, len(FACT_NAMES)), IGNORE, dtype=torch.int16)
    for clip, rows in enumerate(packed):
        labels = mentions[clip] if mentions is not None else []
        for place, values in zip(rows.mentions, labels, strict=mentions is not None):
            question_facts[clip, place] = torch.from_numpy(_labelled(values))
    return Batch(
        shape=shape,
        frames=frames,
        mel=mel,
        video_facts=video_facts,
        audio_facts=audio_facts,
        ids=stack("ids", 0, torch.long),
        block=stack("block", -1, torch.long),
        offset=stack("offset", 0, torch.long),
        target=stack("target", IGNORE, torch.long),
        weight=stack("weight", 0.0, torch.float32),
        early_answer=stack("early_answer", IGNORE, torch.long),
        option_letter=stack("option_letter", IGNORE, torch.long),
        option_at=stack("option_at", IGNORE, torch.long),
        question_facts=question_facts,
        questions=questions,
    )


def sample_times(clip: ClipDescription, rng: np.random.Generator) -> NDArray[np.float64]:
    """Times (s) of the two frames a second that a decoder takes from the clip: `[2 · seconds]`.

    Either every half second, or spread evenly over all frames as qwen-omni-utils takes them.
    """
    count = 2 * clip.seconds
    if rng.random() < 0.35:
        return np.floor(np.arange(count) * 0.5 * clip.source_fps) / clip.source_fps
    total = round(clip.seconds * clip.source_fps)
    return np.round(np.linspace(0, total - 1, count)) / clip.source_fps


def clip_rng(split: Split, index: int) -> random.Random:
    """Random numbers for the questions about a clip; not those that drew the clip."""
    return random.Random(seed_of(split, index) ^ 0x5EA75)


def _labelled(values: dict[str, int]) -> NDArray[np.int16]:
    """Labels of all facts, `[facts]`: IGNORE where `values` has none."""
    row = np.full(len(FACT_NAMES), IGNORE, np.int16)
    for name, value in values.items():
        row[FACT_NAMES.index(name)] = value
    return row


def _video_labels(facts: ClipFacts, owners: NDArray[np.int64]) -> NDArray[np.int16]:
    result = np.full((*owners.shape, len(FACT_NAMES)), IGNORE, np.int16)
    result[owners < 0] = _labelled({"shape": 0, "colour": 0})
    for second, row in enumerate(owners):
        for index in set(row.tolist()) - {-1}:
            item = facts.clip.objects[index]
            values = {
                "shape": label("shape", item.shape),
                "colour": label("colour", item.colour),
                "time": second,
                "fresh": int(item.first_second == second),
                **facts.nth(index),
            }
            side = facts.side(index, second)
            if side is not None:
                values["side"] = label("side", side)
            result[second, row == index] = _labelled(values)
    return result.reshape(-1, len(FACT_NAMES))


def _audio_labels(facts: ClipFacts, seconds: list[dict[str, int]], tokens: int) -> NDArray[np.int16]:
    result = np.full((tokens, len(FACT_NAMES)), IGNORE, np.int16)
    for second, values in enumerate(seconds):
        result[second * AUDIO_TOKENS_PER_SECOND : (second + 1) * AUDIO_TOKENS_PER_SECOND] = _labelled(values)
    sound = FACT_NAMES.index("sound")
    result[:, sound] = 0
    nth = FACT_NAMES.index("nth_of_sound")
    for index, event in enumerate(facts.clip.sounds):
        # A token whose 40 ms hold less than half of sound has no clear label.
        first, last = event.start * AUDIO_TOKENS_PER_SECOND, (event.start + event.duration) * AUDIO_TOKENS_PER_SECOND
        result[int(first) : int(last) + 1, sound] = IGNORE
        result[round(first) : round(last), sound] = label("sound", event.kind)
        result[round(first) : round(last), nth] = facts.nth_of_sound(index)
    return result


@dataclass
class _Rows:
    """The questions about one clip, one after another; `mentions` are the positions of the things they name."""

    ids: list[int]
    block: list[int]
    offset: list[int]
    target: list[int]
    weight: list[float]
    early_answer: list[int]
    option_letter: list[int]
    option_at: list[int]
    mentions: list[int]


def _pack(asked: list[Question]) -> _Rows:
    rows = _Rows([], [], [], [], [], [], [], [], [])
    for number, question in enumerate(asked):
        prompt = encode_words([*question.words, *ANSWER_START])
        answer = encode_words([*question.answer, "<|im_end|>"])
        length = len(prompt) + len(answer) - 1
        rows.mentions += [len(rows.ids) + place for place, _ in question.mentions]
        rows.mentions += [len(rows.ids) + len(prompt) + place for place, _ in question.answer_mentions]
        rows.ids += prompt + answer[:-1]
        rows.block += [number] * length
        rows.offset += range(length)
        rows.target += [IGNORE] * (len(prompt) - 1) + answer
        rows.early_answer += _early_answer(question, len(prompt), length)
        rows.option_letter += _option_letter(question, length)
        rows.option_at += _option_at(question, len(prompt), length)
        rows.weight += [0.0] * (len(prompt) - 1) + _answer_weights(question)
    return rows


def _answer_weights(question: Question) -> list[float]:
    if not question.describes:
        return [1.0] * len(question.answer) + [END_WEIGHT]
    return [THEN_WEIGHT if word == "then" else LIST_WEIGHT for word in question.answer] + [LIST_WEIGHT]


def _early_answer(question: Question, prompt: int, length: int) -> list[int]:
    labels = [IGNORE] * length
    if question.describes:
        return labels
    answer = question.answer[0]
    if question.options:
        answer = question.options[LETTERS.index(answer)]
    labels[question.words.index("?")] = labels[prompt - 1] = TOKEN_IDS[answer]
    return labels


def _option_place(question: Question, number: int) -> int:
    """The options follow the question mark, each as a letter, a full stop and one word."""
    return question.words.index("?") + 3 * (number + 1)


def _option_letter(question: Question, length: int) -> list[int]:
    labels = [IGNORE] * length
    for number, _ in enumerate(question.options):
        labels[_option_place(question, number)] = number
    return labels


def _option_at(question: Question, prompt: int, length: int) -> list[int]:
    labels = [IGNORE] * length
    if question.options:
        labels[prompt - 1] = _option_place(question, LETTERS.index(question.answer[0]))
    return labels


def _mention_labels(facts: ClipFacts, seconds: list[dict[str, int]], mention: Mention) -> dict[str, int]:
    if mention.kind == "object":
        return facts.of_object(mention.index)
    if mention.kind == "sound":
        return facts.of_sound(mention.index, mention.side)
    if mention.kind == "count":
        return {"number": mention.index}
    if mention.kind == "second":
        return seconds[mention.index]
    if mention.kind == "known_sound":
        return {"sound": label("sound", facts.clip.sounds[mention.index].kind)}
    if mention.kind == "no_sound":
        return {"sound": 0}
    return {"shape": 0, "colour": 0}
