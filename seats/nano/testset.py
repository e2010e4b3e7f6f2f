"""The test set shapes-and-sounds as real files: `python -m seats.nano.testset DIR`.

The same command makes the same clips and questions everywhere. `questions.jsonl` is equal byte for byte, and its
SHA-256 is checked against `CHECKSUMS`; the coded bytes of a clip can differ between versions of the codecs.
"""

import argparse
import fcntl
import hashlib
import json
import logging
import random
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from seats.errors import MediaError
from seats.files import replacing
from seats.nano.examples import clip_rng
from seats.nano.files import write_clip
from seats.nano.questions import Question, draw_questions
from seats.nano.world import ClipDescription, Split, describe_clip, seed_of

log = logging.getLogger("seats.nano.testset")
CLIPS = 320
QUESTIONS_PER_CLIP = 7
VERSION = 1
"""Of what the clips' files hold. To be raised whenever the same clip becomes another file in more than its bytes: when
descriptions are drawn, rendered or coded otherwise. Clips that were made before are made anew then."""
_CLIP_NAME = re.compile(r"(?:test|validation)-\d{6}\.(?:mp4|m4a)")
CHECKSUMS: dict[tuple[Split, int, int], str] = {
    ("test", CLIPS, QUESTIONS_PER_CLIP): "f9e2d8d3348add8bc5340736f70bdf773ceb33edc7a4eb6d0c4470cd1338a382",
}
"""SHA-256 of `questions.jsonl` by split, clips and questions for each."""


@dataclass(frozen=True)
class TestClip:
    """One clip of the set: its file, how it is coded, and what is asked about it."""

    file: str
    clip: ClipDescription
    crf: int
    audio_bit_rate: int
    questions: tuple[Question, ...]


def held_out_clips(
    split: Split = "test", clips: int = CLIPS, questions: int = QUESTIONS_PER_CLIP
) -> Iterator[TestClip]:
    """The clips of a held-out split. One in twenty has no sound, one in twenty no picture."""
    for index in range(clips):
        rng = random.Random(seed_of(split, index) ^ 0xF11E)
        has_video, has_audio = index % 20 != 7, index % 20 != 13
        clip = describe_clip(split, index, None, 1.0, has_video, has_audio)
        yield TestClip(
            file=f"{clip.name}.{'mp4' if has_video else 'm4a'}",
            clip=clip,
            crf=rng.randint(22, 32),
            audio_bit_rate=rng.choice((48_000, 64_000, 96_000)),
            questions=tuple(draw_questions(clip, clip_rng(split, index), questions)),
        )


def question_lines(test: TestClip) -> str:
    """Lines of `questions.jsonl` for one clip."""
    lines = []
    for number, question in enumerate(test.questions):
        record = {
            "id": f"{test.clip.name}-{number}",
            "clip": test.file,
            "question": question.text,
            "options": list(question.options),
            "answer": question.answer_text,
            "type": question.type,
            "form": question.form,
        }
        lines.append(json.dumps(record) + "\n")
    return "".join(lines)


def write_test_set(
    folder: Path,
    split: Split = "test",
    clips: int = CLIPS,
    questions: int = QUESTIONS_PER_CLIP,
    name: str = "questions.jsonl",
) -> str:
    """Write the clips and the file of their questions, `name`; clips of this `VERSION` that are there already are kept.
    Several processes may do so at once.

    Returns:
        The SHA-256 of the questions.

    Raises:
        MediaError: the questions are not those that this version of the package is known to make.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _remove_outdated(folder)
    lines = []
    for number, test in enumerate(held_out_clips(split, clips, questions), start=1):
        path = folder / test.file
        if not path.exists():
            with replacing(path) as beside:
                write_clip(test.clip, beside, test.crf, test.audio_bit_rate)
        lines.append(question_lines(test))
        if number % 20 == 0:
            log.info("%d of %d clips", number, clips)
    text = "".join(lines)
    with replacing(folder / name) as beside:
        beside.write_text(text, encoding="utf-8")
    found = hashlib.sha256(text.encode()).hexdigest()
    expected = CHECKSUMS.get((split, clips, questions), found)
    if found != expected:
        raise MediaError(
            f"the test set in {folder} has checksum {found[:12]}, not {expected[:12]}: this Python draws "
            "other random numbers; use the Python and NumPy that the package is tested with"
        )
    return found


def _remove_outdated(folder: Path) -> None:
    """Remove the clips of another version than `VERSION`, and note in the folder which version it holds now. A folder
    without a note holds the first, which was made before there were notes."""
    with (folder / "version").open("a+", encoding="ascii") as note:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(note, fcntl.LOCK_EX)  # or another process would remove what this one makes
        note.seek(0)
        found = note.read().strip()
        if (found or "1") != str(VERSION):
            for path in folder.iterdir():
                if _CLIP_NAME.fullmatch(path.name):
                    path.unlink(missing_ok=True)
        if found != str(VERSION):
            note.truncate(0)
            note.write(str(VERSION))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m seats.nano.testset", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", choices=("test", "validation"), default="test")
    parser.add_argument("--clips", type=int, default=CLIPS)
    parser.add_argument("--questions", type=int, default=QUESTIONS_PER_CLIP, help="questions for each clip")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    checksum = write_test_set(options.folder, options.split, options.clips, options.questions)
    log.info("questions.jsonl: sha256 %s", checksum)


if __name__ == "__main__":
    main()
