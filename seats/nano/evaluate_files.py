"""Accuracy of a model folder on real files, full tokens: `python -m seats.nano.evaluate_files MODEL DIR`.

The files are decoded by `seats.media`, as the command line does it, and asked about with the packed forward, which
equals the stock model's. Controls leave out the picture, the sound or both, or the model: the commonest answer to a
question of that wording, and of a choice the commonest option. Prints one JSON document.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from transformers import Qwen2_5OmniThinkerForConditionalGeneration

from seats.media import FrameSampling, load_clip
from seats.models import compat
from seats.models.window_attention import use_window_attention
from seats.nano.evaluate import Accuracy
from seats.nano.examples import packed_batch
from seats.nano.guess import Guesser
from seats.nano.packing import PackedForward, encode_audio, encode_video
from seats.nano.questions import Question
from seats.nano.sequence import ClipShape
from seats.nano.vocabulary import build_tokenizer
from seats.nano.world import FRAME_SIZE
from seats.tokens.mel import MelSpec, log_mel

Control = Literal["none", "no_picture", "no_sound", "blind", "guess"]
CONTROLS: tuple[Control, ...] = ("none", "no_picture", "no_sound", "blind", "guess")


@dataclass(frozen=True)
class AskedFile:
    """One file of a set and its questions."""

    path: Path
    questions: list[Question]


def read_questions(folder: Path) -> Iterator[AskedFile]:
    """Files and questions of a folder's `questions.jsonl`, in its order."""
    found: dict[str, list[Question]] = {}
    tokenizer = build_tokenizer()
    # splitlines() would also cut at separators that a text may hold.
    for line in filter(str.strip, (folder / "questions.jsonl").read_text(encoding="utf-8").split("\n")):
        record = json.loads(line)
        words = tuple(tokenizer.encode(record["question"]).tokens)
        answer = tuple(record["answer"].split())
        options = tuple(record.get("options") or ())
        question = Question(record["type"], words, answer, form=record.get("form", "short"), options=options)
        found.setdefault(record["clip"], []).append(question)
    for name, questions in found.items():
        yield AskedFile(folder / name, questions)


@torch.no_grad()
def evaluate_file(forward: PackedForward, asked: AskedFile, control: Control, result: Accuracy) -> None:
    """Ask all questions about one file and add them to `result`.

    Controls: "no_picture" shows black frames, "no_sound" plays silence, "blind" does both; so the sequence stays as
    long as it is, and only what is in it is missing.
    """
    pixels = FRAME_SIZE * FRAME_SIZE
    clip = load_clip(asked.path, sampling=FrameSampling(min_pixels=pixels, max_pixels=pixels))
    frames = mel = None
    if clip.video is not None:
        frames = clip.video.pixels.permute(0, 2, 3, 1).contiguous()[None]
        if control in ("no_picture", "blind"):
            frames = torch.zeros_like(frames)
    if clip.audio is not None:
        wave = clip.audio.waveform
        if control in ("no_sound", "blind"):
            wave = np.zeros_like(wave)
        mel = log_mel(wave, MelSpec())[None]
    seconds = frames.shape[1] // 2 if frames is not None else math.ceil(len(wave) / MelSpec.sample_rate)
    shape = ClipShape(seconds, mel.shape[2] if mel is not None else 0, frames is not None)
    batch = packed_batch(shape, frames, mel, [asked.questions])
    video = encode_video(forward.thinker, frames) if frames is not None else None
    audio = encode_audio(forward.thinker, mel) if mel is not None else None
    guess = forward.thinker.lm_head(forward(batch, video, audio).final).argmax(-1)
    right = (guess == batch.target) | (batch.target < 0)
    for number, question in enumerate(asked.questions):
        result.add(question, bool(right[0][batch.block[0] == number].all()))


def guess_all(files: list[AskedFile]) -> Accuracy:
    """The questions about all files, answered by their wording alone."""
    guesser, result = Guesser(), Accuracy()
    for asked in files:
        for question in asked.questions:
            result.add(question, guesser.answer(question) == question.answer)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m seats.nano.evaluate_files", description=__doc__)
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("folder", type=Path, help="folder with clips and questions.jsonl")
    parser.add_argument("--control", choices=CONTROLS, action="append", help="only this one; may be repeated")
    parser.add_argument("--clips", type=int, help="only so many")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    thinker = Qwen2_5OmniThinkerForConditionalGeneration.from_pretrained(options.model, dtype=torch.float32)
    thinker.eval()
    use_window_attention(compat.vision_encoder(thinker), compat.audio_encoder(thinker))
    forward = PackedForward(thinker)
    files = list(read_questions(options.folder))[: options.clips]
    results = {}
    for control in options.control or CONTROLS:
        result = guess_all(files) if control == "guess" else Accuracy()
        for asked in files if control != "guess" else ():
            evaluate_file(forward, asked, control, result)
        results[control] = result.summary() | {"by_type": result.by_type()}
    document = {"schema": "seats.nano-controls/1", "clips": len(files), "controls": results}
    sys.stdout.write(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
