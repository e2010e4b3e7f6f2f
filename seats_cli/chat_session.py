"""What `seats chat` does with a line: questions, and the commands that begin with a slash."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from seats.batch.rows import ERROR, OK, to_line
from seats.errors import SeatsError, SettingsError
from seats.files import replacing, unwritten_told
from seats.inference.answer import Answer
from seats.inference.conversation import Conversation
from seats.keep import method_names
from seats.methods import method_class, retention_for
from seats.text import error_line, printable
from seats.units import counted, milliseconds, seconds
from seats_cli.command import print_error, print_traceback, unexpected
from seats_cli.commands.ask import answer_document, question_of
from seats_cli.options import AnswerOptions, ClipOptions, OutputOptions, SelectionOptions, parse_percent
from seats_cli.output import Output
from seats_cli.page_file import check_page, write_page
from seats_cli.startup import Started
from seats_cli.summary import Summary, about_the_words
from seats_cli.text import one_line
from seats_cli.transcript import transcript

if TYPE_CHECKING:
    from seats_cli.planning import Fit


@dataclass(frozen=True)
class _Command:
    """usage: what follows the name. does: one line for /help. run: gets what follows; False ends the chat."""

    usage: str
    does: str
    run: Callable[[str], bool | None]


class Session:
    """A conversation with someone who types, or with a pipe. failed: whether anything asked for could not be done."""

    def __init__(
        self,
        started: Started,
        selection: SelectionOptions,
        part: ClipOptions,
        answering: AnswerOptions,
        output: OutputOptions,
        history: bool | None,
        fit: Fit | None = None,
    ) -> None:
        self.fit = fit
        self.started, self.part, self.answering, self.options = started, part, answering, output
        self.selection = selection
        self.out = Output(output)
        self.failed = False
        self._conversation = Conversation(started.model, started.clip, decode_ms=started.decode_ms, history=history)
        self._asked = 0
        self._answers: list[dict[str, Any]] = []
        self._notes: set[str] = set()
        self._saved: set[str] = set()
        self._commands = {
            "/keep": _Command("25%", "share of tokens alive, from the next question on", self._keep),
            "/method": _Command("NAME", "how they are chosen, from the next question on", self._method),
            "/view": _Command("[FILE]", "which tokens the last answer was made from, as a page (map.html)", self._view),
            "/save": _Command("FILE", "all questions and answers so far: .jsonl, or .md to read", self._save),
            "/reset": _Command("", "forget the questions so far; the clip stays encoded", self._reset),
            "/help": _Command("", "these commands", self._help),
            "/quit": _Command("", "leave, as Ctrl-D does", lambda _: False),
        }
        if started.model.single_turn and history is None:
            self.out.say(
                f"{started.model.name} knows single questions only: each is asked without the earlier ones "
                "(--history puts them in)"
            )

    def greet(self) -> None:
        """What the chat is about, and the two things to know."""
        clip = self.started.clip
        facts = [clip.path.name, seconds(clip.end_s - clip.start_s)]
        facts.append("no pictures" if clip.video is None else f"{clip.video.pixels.shape[0]} frames")
        facts.append("no sound" if clip.audio is None else f"{seconds(clip.audio.seconds)} of sound")
        self.out.say(f"{' · '.join(facts)}; /help lists the commands, Ctrl-D leaves")

    def take(self, line: str) -> bool:
        """Do what a line says; False to leave. What goes wrong is one line on standard error. Raises OSError where
        standard output takes no more answers."""
        if not line:
            return True
        try:
            if line.startswith("/"):
                return self._obey(line) is not False
            self._ask(line)
        except Exception as error:
            if isinstance(error, BrokenPipeError) or (isinstance(error, OSError) and error.errno == errno.ENOSPC):
                raise  # of standard output: /save and /view make SettingsErrors of theirs
            self._fail(error, None if line.startswith("/") else line)
        return True

    def stopped(self, line: str) -> None:
        """What a line asked for was interrupted."""
        if not self.options.json:
            sys.stdout.write("\n")
            sys.stdout.flush()
        self.out.say("stopped" if line.startswith("/") else "stopped; the question is not part of the conversation")

    def completions(self, line: str) -> list[str]:
        """Words that the last word of a line could become: commands, and names of methods."""
        name, space, _ = line.partition(" ")
        if not space:
            return [f"{command} " for command in self._commands] if name.startswith("/") else []
        return sorted(method_names()) if name == "/method" and line.count(" ") == 1 else []

    def _ask(self, text: str) -> None:
        self._asked += 1
        out = Output(self.options)
        earlier = len(self._conversation.turns)
        if self.fit is not None:
            said = [part for turn in self._conversation.turns for part in (turn.question, turn.answer)]
            self.fit.check("\n".join([*said, text]), self.selection)
        with out.working("looking and listening"):
            answer = self._conversation.ask(
                question_of(text, self.selection, self.answering), on_text=out.stream, on_end=out.end_stream
            )
        row = {"id": str(self._asked), "status": OK, **answer_document(answer, self.fit), "history": earlier}
        self._answers.append(row)
        if self.options.json:
            self.out.row(row)
        if not self.options.json or self.options.verbose:
            self._sum_up(answer)

    def _sum_up(self, answer: Answer) -> None:
        if self.options.verbose:
            self.out.show(Summary(answer, self.part, startup_ms=self.started.startup_ms, verbose=True))
            return
        for note in answer.notes:
            if note not in self._notes:
                self.out.say(f"note: {note}")
        self._notes.update(answer.notes)
        for note in about_the_words(answer):
            self.out.say(f"note: {note}")
        self.out.say_pieces(_figures(answer))

    def _obey(self, line: str) -> bool | None:
        name, *rest = line.split(None, 1)
        said = "".join(rest).strip()
        command = self._commands.get(name)
        if command is None:
            close = get_close_matches(name, self._commands, n=1)
            raise SettingsError(f"unknown command {name}: " + (f"did you mean {close[0]}?" if close else "try /help"))
        if said and not command.usage:
            raise SettingsError(f"{name} takes nothing after it")
        return command.run(said)

    def _keep(self, said: str) -> None:
        if said:
            try:
                percent = parse_percent(said)
            except typer.BadParameter as error:
                raise SettingsError(f"/keep: {error.message}") from None
            self._choose(replace(self.selection, keep=percent, keep_video=None, keep_audio=None))
        self.out.reply(self._chosen())

    def _method(self, said: str) -> None:
        if said:
            method_class(said)
            self._choose(replace(self.selection, method=said))
        self.out.reply(self._chosen() if said else f"{self._chosen()}; there are {', '.join(sorted(method_names()))}")

    def _choose(self, selection: SelectionOptions) -> None:
        """Raises SettingsError, and changes nothing, for what cannot be."""
        question_of("", selection, self.answering).method_for(self.started.model.shape)
        self.selection = selection

    def _chosen(self) -> str:
        chosen = self.selection
        if chosen.method == "full":
            return "full: every token"
        pair = retention_for(self.started.model.shape.family, chosen.keep)
        video = 100 * pair.video if chosen.keep_video is None else chosen.keep_video
        audio = 100 * pair.audio if chosen.keep_audio is None else chosen.keep_audio
        both = None not in (chosen.keep_video, chosen.keep_audio)  # then --keep has nothing to say
        name = chosen.method if both else f"{chosen.method} {chosen.keep:g}%"
        return f"{name}: {video:g} % of video and {audio:g} % of audio tokens"

    def _view(self, said: str) -> None:
        path = self._file(said or "map.html")
        check_page(path)
        from seats.view.look import look_back

        with self.out.working(f"writing {path.name}"):
            seen = look_back(self._conversation)
            self._writing(path, lambda: write_page([seen], path))
        self.out.reply(f"wrote {path}")

    def _save(self, said: str) -> None:
        if not said:
            raise SettingsError("/save needs the name of a file: .jsonl, or .md to read")
        path = self._file(said)
        if path.suffix.lower() not in (".jsonl", ".md"):
            raise SettingsError(f"{path}: end the name in .jsonl, or in .md for a text to read")
        if not self._answers:
            raise SettingsError("nothing to save yet: ask a question first")
        if path.exists() and os.path.realpath(path) not in self._saved:
            raise SettingsError(f"{path} is there already: give another name")
        if path.suffix.lower() == ".md":
            content = transcript(self._answers).encode("utf-8", "backslashreplace")
        else:
            content = b"".join(to_line(row) for row in self._answers)
        self._writing(path, lambda: _write_whole(path, content))
        self._saved.add(os.path.realpath(path))
        self.out.reply(f"saved {counted(len(self._answers), 'answer')} to {path}")

    def _file(self, said: str) -> Path:
        """A path to write to. Raises SettingsError for one that cannot be."""
        if "\0" in said:
            raise SettingsError("a file's name cannot have a zero byte in it")
        quoted = len(said) > 1 and said[0] == said[-1] and said[0] in "'\""
        path = Path(os.path.expanduser(said[1:-1] if quoted else said))
        if path.is_dir():
            raise SettingsError(f"{path} is a folder: give the name of a file")
        if not path.absolute().parent.is_dir():
            raise SettingsError(f"{path}: its folder does not exist; make it first")
        if os.path.realpath(path) == os.path.realpath(self.started.clip.path):
            raise SettingsError(f"{path} is the clip: give another name")
        return path

    @staticmethod
    def _writing(path: Path, write: Callable[[], object]) -> None:
        try:
            write()
        except OSError as error:
            raise SettingsError(unwritten_told(path, error)) from None

    def _reset(self, _: str) -> None:
        self._conversation.reset()
        self.out.reply("forgotten; the next question is the first")

    def _help(self, _: str) -> None:
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        for name, command in self._commands.items():
            table.add_row(Text(f"{name} {command.usage}"), command.does)
        table.add_row("anything else", "is a question; Ctrl-C stops an answer")
        self.out.console.print(table)

    def _fail(self, error: Exception, question: str | None) -> None:
        self.failed = True
        print_traceback(self.options.debug)
        print_error(str(error) if isinstance(error, SeatsError) else unexpected(error, self.options.debug))
        if self.options.json and question is not None:
            said = {"type": type(error).__name__, "message": error_line(error)}
            path = printable(str(self.started.clip.path))
            self.out.row({"id": str(self._asked), "clip": path, "question": question, "status": ERROR, "error": said})


def _write_whole(path: Path, content: bytes) -> None:
    with replacing(path) as beside:
        beside.write_bytes(content)


def _figures(answer: Answer) -> list[str]:
    """An answer's summary on one line."""
    trace, latency = answer.trace, answer.latency_ms
    said = [answer.label]
    for what in ("video", "audio"):
        full = getattr(trace.full, what)
        if full:
            share = 100 * (trace.retention(what) or 0.0)
            said.append(f"{full:,} {what} tokens" + ("" if answer.method.name == "full" else f", {share:.1f} % kept"))
    encoding = (latency["encode_video"] or 0.0) + (latency["encode_audio"] or 0.0)
    if latency["decode_clip"]:
        said.append(f"reading {milliseconds(latency['decode_clip'])}, encoding {milliseconds(encoding)}")
    elif encoding:
        said.append(f"pictures encoded again in {milliseconds(encoding)}")
    else:
        said.append("clip not read or encoded again")
    if answer.speedup.basis == "measured":
        said.append(f"prefill {answer.speedup.prefill:.2f} times as fast as with full tokens, measured")
    said.append(f"first token {milliseconds(latency['first_token'] or 0.0)}")
    said.append(f"total {milliseconds(latency['total'] or 0.0)}")
    return [one_line(piece) for piece in said]
