"""A results file's report on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from seats.units import counted, flops, milliseconds, percent, size, three_digits, times
from seats_cli.flow import Fitted, Flow, bar
from seats_cli.summary import STYLES
from seats_cli.text import one_line

if TYPE_CHECKING:
    from seats.report.summary import Against, Comparison, Cost, FileReport, Group, Ratio, Report


class ReportView:
    """Rich renderable of a `Report`."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        file, against = self.report.file, self.report.against
        yield _heading(file)
        yield from _warnings(file)
        for group in file.groups:
            yield ""
            yield from _group(group, options.ascii_only)
        if file.failures:
            yield ""
            yield Fitted(partial(_failures, file))
        for note, count in file.notes.items():
            yield Text(f"note in {count:,}: {one_line(note)}", style="yellow")
        if against is not None:
            yield ""
            yield from _against(against)


def _heading(file: FileReport) -> Text:
    text = Text.assemble((one_line(file.path), "bold"), f" · {file.ok:,} answered")
    if file.failed:
        text.append(f" · {file.failed:,} failed", style="red")
    return text


def _warnings(file: FileReport) -> Iterator[Text]:
    unread = file.unread
    said = []
    if unread.half_written_last_line:
        said.append("the last line is half written and was left out")
    for count, numbers, what in (
        (unread.broken, unread.broken_lines, "broken"),
        (unread.foreign, unread.foreign_lines, "of another kind"),
    ):
        if count:
            more = f" and {count - len(numbers):,} more" if count > len(numbers) else ""
            listed = f"line{'s' * (len(numbers) != 1)} {', '.join(map(str, numbers))}"
            said.append(f"{counted(count, 'line')} {what} left out: {listed}{more}")
    if file.repeated:
        said.append(
            f"{counted(file.repeated, 'row')} with the id, question and settings of an earlier row, counted like the "
            "others"
        )
    said += [
        f"{counted(missing.rows, 'row')} without a usable {missing.field}, first in line {missing.first_line}"
        for missing in file.missing
    ]
    for line in said:
        yield Text(line, style="yellow")


def _group(group: Group, ascii_only: bool) -> Iterator[RenderableType]:
    yield Text(one_line(group.label), style="bold cyan")
    yield Flow(_facts(group))
    tables = [
        Fitted(*(partial(_latency, group, ascii_only, bars) for bars in (True, False))),
        Fitted(*(partial(_flops, group, medians) for medians in (True, False))),
    ]
    if group.retention["video"].stages or group.retention["audio"].stages:
        tables.append(Fitted(*(partial(_retention, group, ascii_only, columns) for columns in (3, 2, 1))))
    if group.slowest:
        tables.append(Fitted(*(partial(_slowest, group, texts) for texts in (3, 2, 1))))
    for table in tables:
        yield ""
        yield table
    if group.shared:
        rows = counted(group.shared, "row")
        yield ""
        yield Text(f"FLOPs count the encoders also in {rows} for whose clip they had run before; times do not")


def _facts(group: Group) -> Iterator[Text | str]:
    yield f"{group.rows:,} answered"
    if cut := group.finish_reasons.get("length"):
        yield f"{cut:,} cut at the limit"
    if group.retried:
        yield f"{group.retried:,} with a smaller budget"
    if group.accuracy is not None:
        low, high = group.accuracy.interval_95
        share = percent(group.accuracy.share)
        between = f"95 % interval {percent(low)} to {percent(high)}"
        yield f"{group.accuracy.right:,} of {group.accuracy.total:,} right, {share} ({between})"
        if group.accuracy.caution:
            yield Text(group.accuracy.caution, style="yellow")
    for basis, speedup in group.speedup.items():
        prefill, first = speedup.prefill_in_all, speedup.first_token_in_all
        said = ""
        if prefill and (each := speedup.prefill):
            said = f"prefill {times(prefill)} (middle 90 % of rows: {times(each.p05)} to {times(each.p95)})"
        said += f"{', ' if said else ''}first token {times(first)}" if first else ""
        if said:
            said += f" faster in sum, {basis} in {speedup.rows:,}"
            yield Text(said, style="green" if basis == "measured" else "yellow")
    names = {"prompt_tokens_per_s": "prompt tokens/s", "output_tokens_per_s": "output tokens/s"}
    for name, rate in group.rates.items():
        yield f"{three_digits(rate.overall)} {names[name]}"
    if group.peak_bytes is not None:
        yield f"{size(group.peak_bytes.highest)} peak memory"


def _table(*columns: str) -> Table:
    """Numbers on the right, texts ("<" before the name) on the left."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        text = column.startswith("<")
        if text:
            table.add_column(column.removeprefix("<"), overflow="fold")
        else:
            table.add_column(column, justify="right", no_wrap=True)
    return table


def _latency(group: Group, ascii_only: bool, bars: bool) -> Table:
    from seats.names import STEP_NAMES
    from seats.report.summary import PARTS_OF_TOTAL

    table = _table("<time", "median", "95th pct.", "share", *["<"] * bars)
    for name, step in group.latency.items():
        part, share = name in PARTS_OF_TOTAL, None if name == "per_output_token" else step.share
        table.add_row(
            STEP_NAMES[name],
            milliseconds(step.ms.median),
            milliseconds(step.ms.p95),
            "" if share is None else percent(share),
            *["" if share is None or not part else bar(min(share, 1.0), 20, "cyan", ascii_only)] * bars,
            style="" if part else "bold",
        )
    return table


def _flops(group: Group, medians: bool) -> Table:
    from seats.names import PART_NAMES

    def row(cost: Cost) -> list[str]:
        full, run = cost.full, cost.run
        return [
            flops(full.total) if full else "",
            flops(run.total) if run else "",
            times(cost.reduction) if cost.reduction else "",
            *[f"{flops(full.median)} → {flops(run.median)}" if full and run else ""] * medians,
        ]

    table = _table("<FLOPs", "full", "run", "fewer", *["median row"] * medians)
    for name, cost in group.flops.parts.items():
        if any(spread is not None and spread.total for spread in (cost.full, cost.run)):
            table.add_row(PART_NAMES[name], *row(cost))
    table.add_row("total", *row(group.flops.total), style="bold")
    return table


def _retention(group: Group, ascii_only: bool, columns: int) -> Table:
    """columns: of each modality; 3 for tokens, share and bar, 2 without the bar, 1 for the share."""
    shown = [name for name in STYLES if group.retention[name].stages]
    stages = {name: group.retention[name].stages for name in shown}
    headers = {3: ("{}", "", "<"), 2: ("{}", ""), 1: ("{}",)}[columns]
    places = {3: slice(3), 2: slice(2), 1: slice(1, 2)}[columns]
    table = _table("<tokens", *(column.format(name) for name in shown for column in headers))
    names = {"full": "in the clip", "pre_llm": "before the LLM"}
    before: list[float] = []
    for place in range(max(map(len, stages.values()))):
        here = [stages[name][min(place, len(stages[name]) - 1)] for name in shown]
        shares = [stage.share for stage in here]
        if shares == before:
            continue  # only the layers in which tokens went
        before = shares
        cells: list[RenderableType] = []
        for name, stage in zip(shown, here, strict=True):
            drawn = bar(min(stage.share, 1.0), 10, STYLES[name], ascii_only)
            each: list[RenderableType] = [flops(stage.tokens), percent(stage.share), drawn]
            cells += each[places]
        stage_name = here[0].name
        table.add_row(names.get(stage_name, f"in {stage_name.replace('_', ' ')}"), *cells)
    averages = [group.retention[name].average for name in shown]
    cells = [cell for average in averages for cell in ["", percent(average.median) if average else "", ""][places]]
    table.add_row("layer average, median", *cells, style="bold")
    return table


def _slowest(group: Group, texts: int) -> Table:
    """texts: how many are said of a row: the clip, the question, in which step most of the time went. One question of
    all stands below them, once."""
    from seats.names import STEP_NAMES

    questions = {one_line(slow.question) for slow in group.slowest}
    several = texts > 1 and len(questions) > 1
    table = _table("slowest", *["<most of it in"] * (texts > 2), "<clip", *["<question"] * several, "line")
    if len(questions) == 1:
        table.caption, table.caption_justify = Text(f"question: {questions.pop()}", style="dim"), "left"
    for slow in group.slowest:
        most = max(slow.steps, key=lambda name: slow.steps[name], default="")
        said = STEP_NAMES[most] if most else ""
        asked = [Text(one_line(slow.clip or slow.id)), *[Text(one_line(slow.question))] * several]
        table.add_row(milliseconds(slow.total_ms), *[said] * (texts > 2), *asked, str(slow.line))
    return table


def _failures(file: FileReport) -> Table:
    table = _table("failed", "", "<cause")
    for cause in file.failures:
        said = Text.assemble((one_line(cause.type), "red"), f" {one_line(cause.message)}")
        for example in cause.examples[:2]:
            said.append(f"\n{one_line(example.clip or example.id)} (line {example.line})", style="dim")
        table.add_row(f"{cause.count:,}", percent(cause.share), said)
    return table


def _against(against: Against) -> Iterator[RenderableType]:
    yield Text.assemble("against ", _heading(against.file))
    yield from _warnings(against.file)
    for compared in against.comparisons:
        yield ""
        yield Text.assemble(
            (one_line(compared.label), "bold cyan"), " against ", (one_line(compared.label_against), "bold cyan")
        )
        pairs = [f"{counted(compared.pairs, 'question')} about the same clips, paired by {compared.paired_by}"]
        if compared.only_here or compared.only_there:
            pairs.append(f"{compared.only_here:,} answered only here, {compared.only_there:,} only there")
        yield Flow(pairs)
        if compared.pairs:
            yield ""
            yield Fitted(*(partial(_ratios, compared, spread) for spread in (True, False)))
            yield ""
            yield f"{counted(compared.same_answers, 'answer')} the same, {compared.different_answers:,} different"
        for example in compared.examples[:5]:
            shown = Text(f"{one_line(example.clip)} · {one_line(example.question)}\n", style="dim")
            shown.append(f"here   {one_line(example.answer)}\nthere  {one_line(example.answer_against)}", style="none")
            yield Padding(shown, (0, 0, 0, 2), expand=False)
        if (more := compared.different_answers - 5) > 0:
            yield f"  … and {more:,} more; --json and --html list {len(compared.examples)}"
    if against.failed_only_here or against.failed_only_there:
        here, there = against.failed_only_here, against.failed_only_there
        yield f"{here:,} failed here and were answered there; {there:,} the other way round"
    for label in against.unpaired:
        yield Text(f"not compared, only one file has these settings: {one_line(label)}", style="yellow")


def _ratios(compared: Comparison, spread: bool) -> Table:
    from seats.names import STEP_NAMES

    table = _table("<median", "there", "here", "there / here", *(["middle 90 % of pairs"] if spread else []))
    rows: list[tuple[str, Ratio, Callable[[float], str]]] = [
        (STEP_NAMES[name], ratio, milliseconds) for name, ratio in compared.latency.items()
    ]
    if compared.flops is not None:
        rows.append(("FLOPs as run", compared.flops, flops))
    for name, ratio, show in rows:
        pairs = [f"{times(ratio.per_pair.p05)} to {times(ratio.per_pair.p95)}"] if spread else []
        table.add_row(name, show(ratio.median_against), show(ratio.median), times(ratio.ratio), *pairs)
    return table
