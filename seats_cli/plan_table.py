# ruff: noqa: RUF001  (a multiplication sign is meant)
"""A plan for people: what the clip becomes, then a table of full tokens beside the method, then whether it fits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from seats.keep import method_label
from seats.media.sampling import frames_told
from seats.names import PART_NAMES
from seats.units import SHOWN_S, counted, flops, seconds, size, times
from seats_cli.flow import Fitted, Flow
from seats_cli.text import one_line

if TYPE_CHECKING:
    from seats.plan.clip import ClipFacts
    from seats.plan.document import Room
    from seats.plan.plan import Plan, Run
    from seats.plan.search import Suggestion

_DTYPES = {2: "16 bit", 4: "32 bit"}


class PlanTable:
    """Rich renderable of a plan."""

    def __init__(
        self,
        plan: Plan,
        clip: ClipFacts,
        room: Room,
        fitting: tuple[bool, bool],
        changes: Sequence[Suggestion],
        verbose: bool,
    ) -> None:
        self.plan, self.clip, self.room, self.fitting = plan, clip, room, fitting
        self.changes, self.verbose = changes, verbose

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._facts()
        yield ""
        yield Fitted(self._numbers)
        yield ""
        yield from self._verdict()

    def _facts(self) -> Table:
        plan, part = self.plan, self.plan.part
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        weights = plan.ask.quantize or _DTYPES.get(plan.ask.dtype_bytes, "")
        name = Text(one_line(PurePath(plan.model.name).name), style="bold")
        table.add_row("model", Flow([name, plan.model.family.name, weights, f"on {plan.ask.device}"]))
        length = seconds(part.end_s - part.start_s)
        if part.duration_s is not None:
            length += f" of {seconds(part.duration_s)}"
        alone = part.still and not part.samples and part.end_s - part.start_s < SHOWN_S
        seen: list[Text | str] = [] if alone else [length]
        if part.frames:
            seen += [frames_told(part.frames, part.fps, part.still), f"{part.width}×{part.height}"]
        if part.samples:
            seen.append(f"{seconds(part.sound_s)} of sound")
        table.add_row("clip", Flow(seen))
        kept = plan.run.tokens
        told = [counted(plan.windows, "window")] if part.frames and part.samples else []
        if not plan.text_exact:
            told.append("text estimated (no tokenizer.json on disk)")
        if not kept.exact:
            told.append(f"what {plan.ask.method} keeps depends on the clip")
        elif kept.slack:
            told.append(f"±{counted(kept.slack, 'token')} in all after the first drop")
        if told:
            table.add_row("tokens", Flow(told))
        for note in plan.notes:
            table.add_row("note", Text(one_line(note), style="yellow"))
        return table

    def _numbers(self) -> Table:
        plan = self.plan
        full, run = plan.full, plan.run
        table = Table(box=None, padding=(0, 1), show_edge=False, pad_edge=False, header_style="bold")
        table.add_column("", no_wrap=True)
        ask, same = plan.ask, plan.ask.method == "full"
        table.add_column("full tokens", justify="right", no_wrap=True)
        if not same:
            label = method_label(ask.method, ask.keep, ask.keep_video, ask.keep_audio)
            table.add_column(label, justify="right", no_wrap=True)

        def row(label: str, values: tuple[str, str], style: str = "") -> None:
            table.add_row(Text(label, style=style), *(Text(v, style=style) for v in values[: 1 if same else 2]))

        for name in ("text", "video", "audio"):
            all_of = getattr(full.tokens.layers[0], name)
            if all_of:
                row(f"{name} tokens", (f"{all_of:,}", f"{getattr(run.tokens.pre_llm, name):,}"))
        layers = len(full.tokens.layers)
        means = tuple(sum(t.total for t in which.tokens.layers) / layers for which in (full, run))
        row("mean of layers", (f"{means[0]:,.0f}", f"{means[1]:,.0f}"))
        for key, label in PART_NAMES.items():
            values = (getattr(full.flops, key), getattr(run.flops, key))
            decoding = key == "llm_decode"
            if decoding:  # said however little it is: the sum goes by the longest answer allowed
                label = f"decode {counted(plan.ask.answer_tokens, 'token')}"
            counts = any(value > 0.005 * which.flops.total for value, which in zip(values, (full, run), strict=True))
            if decoding or counts or (self.verbose and any(values)):
                row(f"  {label}", (flops(values[0]), flops(values[1])), "dim")
        row("FLOPs", (flops(full.flops.total), flops(run.flops.total)), "bold")
        for label, values in self._memory(full, run):
            row(f"  {label}", values, "dim")
        totals = tuple(plan.weights_bytes + which.memory.peak for which in (full, run))
        row("memory", (size(totals[0]), size(totals[1])), "bold")
        return table

    def _memory(self, full: Run, run: Run) -> list[tuple[str, tuple[str, str]]]:
        plan = self.plan
        rows = [
            ("weights", (size(plan.weights_bytes),) * 2),
            ("activations, cache", (size(full.memory.activations), size(run.memory.activations))),
        ]
        if full.memory.on_host:
            rows.append(("decoded clip", (size(full.memory.clip),) * 2))
        rows.append(("KV cache alone", (size(full.memory.cache), size(run.memory.cache))))
        if self.verbose:
            for name in run.memory.steps:
                values = (size(full.memory.steps[name]), size(run.memory.steps[name]))
                rows.append((f"  in {name.replace('_', ' ')}", values))
        return rows

    def _verdict(self) -> RenderResult:
        plan, room = self.plan, self.room
        run_fits, full_fits = self.fitting
        if plan.ask.method != "full":
            yield Text(
                f"{times(plan.flops_reduction)} fewer FLOPs in all "
                f"({counted(plan.ask.answer_tokens, 'token')} decoded), "
                f"{times(plan.llm_reduction)} in selection + prefill"
            )
        from seats.plan.search import reserve_for

        reserve = reserve_for(plan.ask.device)
        spare = f", of which {size(reserve)} stay free for CUDA" if reserve else ""
        where = f"{size(room.limit_bytes)} ({room.source}{spare})"
        if run_fits:
            yield Text(f"Fits into {where}.", style="green")
            if not full_fits:
                yield Text("Full tokens would not.", style="yellow")
            return
        yield Text(f"Does not fit into {where}.", style="red")
        if not self.changes and plan.weights_bytes + reserve >= room.limit_bytes:
            yield Text(f"The weights alone take {size(plan.weights_bytes)}: choose a smaller --model.")
            return
        if not self.changes:
            yield Text("No single change is enough: combine --max-frames, --max-pixels, --end and --keep.")
            return
        yield Text("Any of these does:")
        table = Table.grid(padding=(0, 2))
        table.add_column(overflow="fold")
        table.add_column(justify="right", no_wrap=True, style="dim")
        for change in self.changes:
            table.add_row(Text(f"  {change.text}"), size(change.plan.needed_bytes))
        yield table
