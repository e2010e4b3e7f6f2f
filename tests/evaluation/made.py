"""Results made by hand: what each setting answered, without a model."""

from __future__ import annotations

from pathlib import Path

from seats.evaluation.qa import QAItem
from seats.evaluation.results import Results, results
from seats.evaluation.rows import Row
from seats.evaluation.run import Evaluation, Plan
from seats.evaluation.settings import Asking, Compared
from seats.keep import Setting
from seats.methods import Full, Method, Random

RIGHT, WRONG, UNSERVED, FAILED = "1", "0", "u", "f"
SHARES = {35.0: 0.5, 10.0: 0.2}


def made(
    answers: dict[str, str],
    clips: str,
    types: str = "",
    unreachable: tuple[str, ...] = (),
    broken: tuple[str, ...] = (),
) -> Results:
    """answers: by setting ("full", "seats 10"), a letter for each question: RIGHT, WRONG, UNSERVED or FAILED. clips,
    types: a letter for each question. unreachable, broken: settings that can't be set up."""
    settings = {name: _setting(name) for name in [*answers, *unreachable, *broken]}
    methods = {settings[name]: _method(settings[name]) for name in answers}
    reasons = ({settings[name]: f"{name} won't do" for name in names} for names in (unreachable, broken))
    compared = Compared(tuple(settings.values()), methods, *reasons)
    evaluation = Evaluation(compared, Asking(), {}, {setting: setting.label for setting in methods})
    items = [
        QAItem(str(i), Path(f"{clip}.mp4"), f"question {i} ?", ("red",), type=type_)
        for i, (clip, type_) in enumerate(zip(clips, types or " " * len(clips), strict=True))
    ]
    plan = Plan(tuple((item, item.id, item.clip.stem) for item in items), ())
    rows = {}
    for name, letters in answers.items():
        for item, letter in zip(items, letters, strict=True):
            row = _row(item, settings[name], letter)
            rows[row.key] = row
    return results("made", "a-model", evaluation, plan, rows)


def _setting(name: str) -> Setting:
    method, _, keep = name.partition(" ")
    return Setting(method, float(keep) if keep else None)


def _method(setting: Setting) -> Method:
    return Full() if setting.keep is None else Random(0.5, 0.5)


def _row(item: QAItem, setting: Setting, letter: str) -> Row:
    base = {"question": item.id, "setting": setting.label, "id": item.id, "clip": str(item.clip), "type": item.type}
    if letter in (UNSERVED, FAILED):
        status = "unreachable" if letter == UNSERVED else "failed"
        return Row(**base, label=setting.label, status=status, reason=f"{item.clip.stem}: no")  # type: ignore[arg-type]
    share = 1.0 if setting.keep is None else SHARES[setting.keep]
    return Row(
        **base,
        label=setting.label,
        status="answered",
        answer="Red." if letter == RIGHT else "blue",
        llm_flops=share * 4e9,
        llm_flops_full=4e9,
        selection_ms=1.5,
        prefill_ms=40 * share,
        video=share,
        audio=None if item.clip.stem == "m" else share,
        overall=share,
    )
