"""Questions of a set through the real pipeline: files on disk, decoding, encoders, prompt, generated answer."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from seats.costs.flops import flops_report
from seats.costs.timers import StepTimer
from seats.devices import is_lost
from seats.errors import SeatsError, SettingsError
from seats.evaluation.identity import asking_identity, clip_digest, question_digest, setting_digest
from seats.evaluation.qa import QAItem
from seats.evaluation.rows import Row
from seats.evaluation.settings import Asking, Compared
from seats.inference.encode import EncodedClip, Prompt, build_prompt, encode_clip
from seats.inference.generate import generate
from seats.keep import Setting
from seats.media import Clip
from seats.media.content import being_written, stat_of
from seats.models.omni import OmniModel
from seats.models.signals import EncoderWants
from seats.shortage import lacks_memory
from seats.text import error_line, printable

Load = Callable[[Path], Clip]


@dataclass(frozen=True)
class Evaluation:
    """What is the same for all questions. about: model and clip options in plain values. digests: of each setting that
    is set up, with everything here that its answers depend on. debug: whether tracebacks of errors that nobody foresaw
    go to standard error."""

    compared: Compared
    asking: Asking
    about: Mapping[str, Any]
    digests: Mapping[Setting, str]
    debug: bool = False

    @classmethod
    def of(cls, compared: Compared, asking: Asking, model: Mapping[str, Any], part: Mapping[str, Any]) -> Evaluation:
        """model: its name and `model_identity`; the name alone makes no difference. part: which part of each clip is
        used, and how finely, as far as it is not the model's rule."""
        how = asking_identity(asking)
        identity = {key: value for key, value in model.items() if key != "name"}
        fixed = {"model": identity, "part": part, "asking": how}
        digests = {setting: setting_digest(method, fixed) for setting, method in compared.methods.items()}
        return cls(compared, asking, {"model": model, "part": part, "asking": how}, digests)


@dataclass(frozen=True)
class Asked:
    """A question with its digest, and the settings that are still to answer it."""

    item: QAItem
    digest: str
    settings: tuple[Setting, ...]


@dataclass(frozen=True)
class ClipWork:
    """What is still to be asked about one clip. digest: of its content; stat: what the file system said of it before
    that was read. lowered: frames and pixels, where a memory limit asks for fewer."""

    clip: Path
    digest: str
    stat: str | None
    lowered: Mapping[str, int]
    asked: tuple[Asked, ...]

    @property
    def answers(self) -> int:
        return sum(len(asked.settings) for asked in self.asked)


@dataclass(frozen=True)
class Plan:
    """questions: all of them with their digests, and those of their clips, in the set's order. work: what is not done
    yet, by clip."""

    questions: tuple[tuple[QAItem, str, str], ...]
    work: tuple[ClipWork, ...]

    @property
    def answers(self) -> int:
        return sum(work.answers for work in self.work)

    def rows_of(self, evaluation: Evaluation, rows: Mapping[tuple[str, str], Row]) -> list[Row]:
        """Those of `rows`, by question and setting, that answer what is asked here; a file may hold others."""
        keys = dict.fromkeys((question, d) for _, question, _ in self.questions for d in evaluation.digests.values())
        return [rows[key] for key in keys if key in rows]


def plan(
    items: Sequence[QAItem],
    evaluation: Evaluation,
    done: Mapping[tuple[str, str], Row],
    lowered: Mapping[Path, Mapping[str, int]] = MappingProxyType({}),
) -> Plan:
    """What there is to do: everything but rows that are there and haven't failed.

    lowered: of clips that a memory limit has read with fewer frames or pixels, how many. A question about such a clip
    is another than about the clip as it is.
    """
    clips: dict[Path, str] = {}
    stats: dict[Path, str | None] = {}
    questions, by_clip = [], dict[Path, list[Asked]]()
    planned: set[tuple[str, str]] = set()
    for item in items:
        if item.clip not in clips:
            stats[item.clip] = stat_of(str(item.clip))
            clips[item.clip] = clip_digest(item.clip)
        question = question_digest(item, clips[item.clip], lowered.get(item.clip, {}))
        questions.append((item, question, clips[item.clip]))
        settings = []
        for setting, digest in evaluation.digests.items():
            key = (question, digest)
            if key not in planned and (key not in done or done[key].status == "failed"):
                planned.add(key)
                settings.append(setting)
        if settings:
            by_clip.setdefault(item.clip, []).append(Asked(item, question, tuple(settings)))
    work = (
        ClipWork(clip, clips[clip], stats[clip], lowered.get(clip, {}), tuple(asked)) for clip, asked in by_clip.items()
    )
    return Plan(tuple(questions), tuple(work))


def answer_clip(model: OmniModel, evaluation: Evaluation, work: ClipWork, load: Load) -> Iterator[Row]:
    """Rows of one clip, which is decoded and encoded once for all questions and settings.

    load: decodes a clip. A clip or question that fails, in whatever way, gives rows that say so, and so does a clip
    that is no longer the one that was planned for; only a device that can do nothing any more ends it.
    """
    methods = evaluation.compared.methods
    wants = {methods[setting].wants for asked in work.asked for setting in asked.settings}
    encoded, failed = None, dict[str, Any]()
    try:
        clip = load(work.clip)
        # What is said of a file may change by itself, as on a network's disk.
        if stat_of(str(work.clip)) != work.stat and clip_digest(work.clip) != work.digest:
            raise being_written(str(work.clip))
        encoded = encode_clip(model, clip, wants, StepTimer(model.thinker.device))
    except Exception as error:
        failed = _failed(error, evaluation.debug)
    for asked in work.asked:
        prompts: dict[EncoderWants, Prompt] = {}
        for setting in asked.settings:
            said = failed
            if encoded is not None:
                try:
                    said = _answer(model, encoded, evaluation, asked.item, setting, prompts)
                except Exception as error:
                    said = _failed(error, evaluation.debug)
            yield _row(evaluation, work, asked, setting, **said)


def _answer(
    model: OmniModel,
    encoded: EncodedClip,
    evaluation: Evaluation,
    item: QAItem,
    setting: Setting,
    prompts: dict[EncoderWants, Prompt],
) -> dict[str, Any]:
    """Fields of a row. prompts: of this question, shared by the methods that want the same of the encoders."""
    method, asking = evaluation.compared.methods[setting], evaluation.asking
    timer = StepTimer(model.thinker.device)
    if method.wants not in prompts:
        reserve = asking.decoding.max_new_tokens
        prompts[method.wants] = build_prompt(model, encoded, item.prompt, asking.system, reserve, method.wants)
    try:
        made = generate(model, prompts[method.wants], method, asking.decoding, timer, asking.kv)
    except SettingsError as error:  # the prompt is fine, so it is the method that can't serve this clip
        return {"status": "unreachable", "reason": error_line(error)}
    steps, trace = timer.ms(), made.trace
    flops = flops_report(model.thinker.config, trace, encoded.workload, method.wants, model.thinker.family)
    return {
        "status": "answered",
        "answer": made.text,
        "right": item.is_right(made.text),
        "finish_reason": made.finish_reason,
        "llm_flops": flops.run.after_encoders,
        "llm_flops_full": flops.full.after_encoders,
        "selection_ms": round(steps.get("selection", 0.0), 3),
        "prefill_ms": round(steps["prefill"], 3),
        "tokens": trace.full.total,
        **{name: trace.retention(name) for name in ("video", "audio", "overall")},
    }


def _failed(error: Exception, debug: bool) -> dict[str, Any]:
    """Fields of the row of what failed. Raises the error if the device can do nothing any more."""
    if lacks_memory(error):
        said = " ".join(str(error).split())
        return {"status": "failed", "reason": said or "memory ran out"}  # MemoryError says nothing
    if is_lost(error):
        raise error
    if debug and not isinstance(error, SeatsError):
        traceback.print_exception(error)
    return {"status": "failed", "reason": error_line(error)}


def _row(evaluation: Evaluation, work: ClipWork, asked: Asked, setting: Setting, **said: Any) -> Row:
    item = asked.item
    about = {
        "clip": work.digest,
        **({"lowered": dict(work.lowered)} if work.lowered else {}),
        "prompt": item.prompt,
        "method": evaluation.compared.methods[setting].settings(),
        **evaluation.about,
    }
    return Row(
        question=asked.digest,
        setting=evaluation.digests[setting],
        id=item.id,
        clip=printable(str(item.clip)),
        type=item.type,
        label=setting.label,
        about=about,
        **said,
    )
