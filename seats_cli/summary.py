# ruff: noqa: RUF001  (a multiplication sign is meant)
"""The summary under an answer: what was seen and heard, which tokens stayed, what it cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from seats.devices import kind_of
from seats.media.sampling import frames_told
from seats.units import SHOWN_S, counted, flops, milliseconds, seconds, size, times
from seats_cli.flow import Flow, bar
from seats_cli.options import ClipOptions
from seats_cli.text import one_line

if TYPE_CHECKING:
    from seats.inference.answer import Answer
    from seats.tokens.counts import Counts

STYLES = {"video": "cyan", "audio": "magenta"}
_LABEL_WIDTH = 7
_SHORTEST_BAR = 4
# As the notes of a clip begin where the file lacks them; the summary says so in a line of its own.
_NONE_IN_FILE = {"pictures": "no pictures in the file", "sound": "no sound track in the file"}


def about_the_words(answer: Answer) -> Iterator[str]:
    """What the answer's words do not say of themselves: thoughts before them, that there are none, where they end."""
    if answer.thoughts:
        yield f"the model thought first, in {counted(len(answer.thoughts.split()), 'word')}: --json has them"
    elif not answer.text and not answer.cut:
        yield "the answer has no words"
    if answer.cut:
        yield f"{answer.cut}: raise --max-new-tokens"


class Summary:
    """Rich renderable of an `Answer`: a panel on a terminal, plain lines elsewhere.

    part: the options that chose the part of the clip. startup_ms: imports and weights, which the answer's own steps
    leave out.
    """

    def __init__(self, answer: Answer, part: ClipOptions, *, startup_ms: float, verbose: bool = False) -> None:
        self.answer, self.part, self.verbose = answer, part, verbose
        self.startup_ms = startup_ms

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        ascii_only = options.ascii_only
        width = min(options.max_width, 100)
        inner = width - 4 if console.is_terminal else width
        body = Group(self._facts(), "", self._tokens(inner, ascii_only), "", self._costs())
        if not console.is_terminal:
            yield Group("", self._title(), body)
            return
        frame = box.ASCII if ascii_only else box.ROUNDED
        yield Panel(body, title=self._title(), title_align="left", box=frame, border_style="dim", width=width)

    def _title(self) -> Text:
        answer, thinker = self.answer, self.answer.model.thinker
        method = answer.method.name
        name = one_line(PurePath(answer.model.name).name)
        dtype = str(thinker.dtype).removeprefix("torch.")
        target = answer.label.removeprefix(method)
        return Text.assemble((name, "bold"), f" · {dtype} · {thinker.device} · ", (method, "bold"), target)

    def _facts(self) -> Table:
        rows = _Rows()
        clip = self.answer.clip
        used = f"{seconds(clip.end_s - clip.start_s)} of {seconds(clip.duration_s)}"
        if clip.start_s > 0:
            used += f" from {seconds(clip.start_s)}"
        video = clip.video
        if video is not None:
            frames, _, height, width = video.pixels.shape
            source = (video.source_width, video.source_height)
            resized = "" if source == (width, height) else f" from {source[0]}×{source[1]}"
            alone = video.still and clip.audio is None and clip.duration_s < SHOWN_S
            told = frames_told(frames, video.fps, video.still)
            rows.add("seen", *([] if alone else [used]), told, f"{width}×{height}{resized}")
        else:
            rows.add("seen", self._absent("pictures", "--no-video" if self.part.no_video else ""))
        if clip.audio is not None:
            rows.add("heard", f"{seconds(clip.audio.seconds)} of sound", f"{clip.audio.source_rate / 1e3:g} kHz source")
        else:
            rows.add("heard", self._absent("sound", "--no-audio" if self.part.no_audio else ""))
        for note in self._notes():
            rows.add("note", Text(one_line(note), style="yellow"))
        return rows.table

    def _absent(self, what: str, option: str) -> str:
        if option:
            return f"no {what} used ({option})"
        none = any(note.startswith(_NONE_IN_FILE[what]) for note in self.answer.notes)
        return f"no {what} in this file" if none else f"no {what}: see the note"

    def _notes(self) -> Iterator[str]:
        said = tuple(_NONE_IN_FILE.values())
        yield from (note for note in self.answer.notes if not note.startswith(said))
        yield from about_the_words(self.answer)

    def _stages(self) -> list[tuple[str, Counts]]:
        """Stages of the prefill with what was alive after each."""
        trace = self.answer.trace
        stages = [("in the clip", trace.full)]
        dropped_before = trace.pre_llm() != trace.full
        if dropped_before:
            stages.append(("before the LLM", trace.pre_llm()))
        for drop in trace.drops:
            if drop.after_layer > 0:
                gone = drop.counts.video + drop.counts.audio == 0
                stages.append((f"{'gone ' if gone else ''}after layer {drop.after_layer}", drop.counts))
        if len(stages) == 1:
            stages.append((f"all {len(trace.layers)} layers", trace.full))
        return stages

    def _tokens(self, width: int, ascii_only: bool) -> Table:
        trace = self.answer.trace
        present = [name for name in STYLES if getattr(trace.full, name)]
        bar_width = min(24, (width - 18 - 12 * len(present)) // max(len(present), 1))
        bars = bar_width >= _SHORTEST_BAR  # else they go, so that no digit does
        table = Table.grid(padding=(0, 1))
        table.add_column(no_wrap=bars, min_width=_LABEL_WIDTH + 9 if bars else None)
        header = [Text(f"tokens · {trace.full.text:,} text", style="dim")]
        for name in present:
            table.add_column(justify="right", no_wrap=True, min_width=8 if bars else None)
            header.append(Text(name, style=f"bold {STYLES[name]}"))
            if bars:
                table.add_column(no_wrap=True, width=bar_width)
                header.append(Text())
        table.add_row(*header)
        for label, counts in self._stages():
            row = [Text(label)]
            for name in present:
                count = getattr(counts, name)
                share = count / getattr(trace.full, name)
                row.append(Text(f"{count:,}"))
                if bars:
                    row.append(bar(share, bar_width, STYLES[name], ascii_only))
            table.add_row(*row)
        average = [Text("layer average")]
        for name in present:
            average += [Text(f"{100 * (trace.retention(name) or 0):.1f} %", style="bold"), *[Text()] * bars]
        table.add_row(*average)
        return table

    def _costs(self) -> Table:
        rows = _Rows()
        answer = self.answer
        full, run = answer.flops.full, answer.flops.run
        pruned = answer.method.name != "full"
        if pruned:
            rows.add(
                "FLOPs",
                _gain(f"{flops(full.total, 'FLOPs')} → {flops(run.total, 'FLOPs')}", full.total / run.total),
                *self._other_parts(),
                _gain(
                    f"selection + prefill {flops(full.after_encoders)} → {flops(run.after_encoders)}",
                    answer.flops.llm_reduction,
                ),
            )
        else:
            rows.add("FLOPs", flops(run.total, "FLOPs"), *self._other_parts(), f"prefill {flops(run.after_encoders)}")
        rows.add("time", *self._steps())
        rows.add("", *self._overall())
        if pruned:
            rows.add("speed", *self._speedup())
        if self.verbose:
            memory = "device" if kind_of(answer.model.thinker.device) == "cuda" else "process"
            rows.add(
                "memory",
                f"{size(answer.peak_device_bytes)} peak of the {memory}",
                f"{size(answer.kv_cache_bytes)} cache",
            )
            paper = [flops(macs, "MACs") for macs in (answer.flops.paper_full_macs, answer.flops.paper_run_macs)]
            rows.add("paper", f"{' → '.join(dict.fromkeys(paper))} of prefill, as the paper counts")
        return rows.table

    def _other_parts(self) -> Iterator[str]:
        run = self.answer.flops.run
        if encoders := run.vision_encoder + run.audio_encoder:
            yield f"encoders {flops(encoders)}"
        if run.llm_decode:
            yield f"decoding {flops(run.llm_decode)}"

    def _steps(self) -> Iterator[str]:
        names = {
            "decode_clip": "reading",
            "prepare": "preparing",
            "encode_video": "pictures",
            "encode_audio": "sound",
            "selection": "selection",
            "prefill": "prefill",
        }
        for key, name in names.items():
            ms = self.answer.latency_ms[key]
            if ms is not None and (key != "selection" or self.answer.method.name != "full"):
                yield f"{name} {milliseconds(ms)}"

    def _overall(self) -> Iterator[Text | str]:
        latency = self.answer.latency_ms
        yield f"first token {milliseconds(latency['first_token'] or 0)}"
        if latency["per_output_token"] is not None:
            yield f"{milliseconds(latency['per_output_token'])} a token"
        total = latency["total"] or 0.0
        yield Text.assemble(
            (f"total {milliseconds(total)}", "bold"), f" after {milliseconds(self.startup_ms)} of start-up"
        )

    def _speedup(self) -> Iterator[Text | str]:
        gain = self.answer.speedup
        prefill = f"prefill {times(gain.prefill)}"
        if gain.spread is not None:
            prefill += f" (rounds {gain.spread[0]:.2f} to {gain.spread[1]:.2f})"
        yield Text(prefill, style="bold")
        yield f"first token {times(gain.first_token)}"
        if gain.basis == "measured":
            yield Text("measured", style="green")
        else:
            yield Text("estimated (--compare measures)", style="yellow")


def _gain(what: str, ratio: float) -> Text:
    return Text.assemble(f"{what}, ", (f"{times(ratio)} fewer", "bold"))


class _Rows:
    """Rows of a dim label and pieces that flow."""

    def __init__(self) -> None:
        self.table = Table.grid(padding=(0, 1))
        self.table.add_column(width=_LABEL_WIDTH, style="dim", no_wrap=True)
        self.table.add_column(ratio=1)
        self.table.expand = True

    def add(self, label: str, *pieces: Text | str) -> None:
        wraps = len(pieces) == 1 and isinstance(pieces[0], Text)
        self.table.add_row(label, pieces[0] if wraps else Flow(pieces))
