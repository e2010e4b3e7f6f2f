"""Which clips: a folder, a pattern, a list file, or one clip; and which of them are this shard's."""

from __future__ import annotations

import codecs
import glob
import hashlib
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from seats.errors import MediaError, SettingsError
from seats.files import exists

MEDIA = frozenset(
    (
        ".3g2", ".3gp", ".aac", ".ac3", ".aif", ".aiff", ".amr", ".asf", ".avi", ".caf", ".divx", ".dv", ".f4v",
        ".flac", ".flv", ".gif", ".m1v", ".m2ts", ".m2v", ".m4a", ".m4b", ".m4v", ".mka", ".mkv", ".mov", ".mp2",
        ".mp3", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".oga", ".ogg", ".ogv", ".opus", ".rm", ".rmvb", ".ts",
        ".vob", ".wav", ".webm", ".wma", ".wmv", ".wv", ".y4m",
    )
)  # fmt: skip
"""Extensions by which files of a folder are taken for clips."""
LISTS = frozenset((".txt", ".lst", ".list", ".m3u"))
STANDARD_INPUT = "-"
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""How text begins that some programs on Windows write."""
_ANY_DEPTH = re.compile(r"(?:^|(?<=/))(?:\*\*(?:/|$))+")
"""** of a pattern, alone between slashes."""


@dataclass(frozen=True)
class Found:
    """base: folder that names are relative to. names: of the clips, each once; sorted, or in a list's order. remarks:
    what was left out, a line each."""

    base: str
    names: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def path(self, name: str) -> str:
        """A clip's path, as `ask` would be given it."""
        return str(Path(self.base, name))


def find_clips(where: str, *, recursive: bool = False, needed: bool = True) -> Found:
    """The clips that `where` stands for.

    where: a folder (its files with a media file's extension that are not hidden; with `recursive` also those of the
    folders in it, but not of linked or hidden ones), a pattern with * or ? (all that match; ** stands for the same
    folders), a list (.txt, .lst, .list or .m3u, a path a line, relative to the list; or separated by NUL, as from
    `find -print0`), "-" for such a list on standard input (relative to the current folder), or a single clip.
    Names are not opened here: what is wrong with a file is found when it is its turn. needed: False where a folder is
    only what names of clips are relative to, and may hold none itself.
    Raises MediaError where there is nothing.
    """
    if not where:
        raise MediaError("the folder's name is empty: write . for the current one")
    if where == STANDARD_INPUT:
        return _listed("", sys.stdin.buffer.read(), "standard input")
    path = Path(where)
    try:
        if exists(path) and path.is_dir():
            return _in_folder(where, recursive, needed)
        if path.is_file():
            if path.suffix.lower() in LISTS:
                return _listed(str(path.parent), path.read_bytes(), where)
            return Found("", [str(path)])
        there = os.path.lexists(where)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise MediaError(f"{where[:200]}: cannot be read ({why}); check the path") from None
    if not there and glob.has_magic(where):
        linked: set[str] = set()
        closed: set[str] = set()
        names = sorted({str(Path(found)) for found in _matching(where, linked, closed) if not os.path.isdir(found)})
        remarks = [f"{_are(len(linked), 'linked folder')} not entered"] if linked else []
        remarks += sorted(closed)
        if not names:
            no_match = f"{where}: no file matches; check the pattern, and keep it in quotes"
            raise MediaError("; ".join([no_match, *remarks]))
        return Found("", names, remarks)
    if not there:
        raise MediaError(f"{where}: no such folder or file; check the path")
    return Found("", [str(path)])


def _matching(pattern: str, linked: set[str], closed: set[str]) -> Iterator[str]:
    """As `glob.glob(pattern, recursive=True)`, but for **, which there goes round and round in links that lead back: it
    doesn't enter linked folders, which are put into `linked`. closed: gets what is to be said of folders that cannot be
    looked into. Some paths may come several times."""
    before, *after = _ANY_DEPTH.split(pattern, maxsplit=1)
    if not after:
        yield from glob.iglob(pattern)
        return
    for top in glob.iglob(before or os.curdir):
        for place, folders, _ in os.walk(top, onerror=lambda error: closed.add(_closed_told(error))):
            folders[:] = [name for name in folders if not name.startswith(".")]
            linked.update(path for name in folders if os.path.islink(path := os.path.join(place, name)))
            yield from _matching(os.path.join(glob.escape(place), after[0] or "*"), linked, closed)


def _listed(base: str, content: bytes, where: str) -> Found:
    if content.startswith(UTF16):  # its zeros would be taken for separators
        raise MediaError(f"{where}: is UTF-16 text; save it as UTF-8")
    content = content.removeprefix(codecs.BOM_UTF8)
    separator = b"\0" if b"\0" in content else b"\n"
    lines = (line if separator == b"\0" else line.removesuffix(b"\r") for line in content.split(separator))
    comment = b"#" if where.lower().endswith(".m3u") else None
    names = [os.fsdecode(line) for line in lines if line.strip() and not (comment and line.startswith(comment))]
    once = list(dict.fromkeys(str(Path(name)) for name in names))
    if not once:
        raise MediaError(f"{where}: lists no clips; write one path a line")
    repeated = len(names) - len(once)
    return Found(base, once, [f"{where}: {repeated} of its lines repeat a path and are left out"] if repeated else [])


def _closed_told(error: OSError) -> str:
    return f"{os.path.normpath(error.filename)}: cannot be looked into ({error.strerror})"


def _in_folder(folder: str, recursive: bool, needed: bool) -> Found:
    found = Found(folder)
    others: Counter[str] = Counter()
    linked, inner, hidden, hidden_files = 0, 0, 0, 0

    for place, folders, files in os.walk(folder, onerror=lambda error: found.remarks.append(_closed_told(error))):
        hidden += sum(name.startswith(".") for name in folders)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        linked += sum(os.path.islink(os.path.join(place, name)) for name in folders)
        inner += len(folders)
        for name in files:
            suffix = os.path.splitext(name)[1].lower()
            if name.startswith("."):
                hidden_files += 1
            elif suffix not in MEDIA:
                others[suffix or "no extension"] += 1
            else:
                found.names.append(os.path.relpath(os.path.join(place, name), folder))
        if not recursive:
            break
    found.names.sort(key=os.fsencode)
    if not found.names and not needed:
        return found
    if others:
        kinds = ", ".join(f"{count} {kind}" for kind, count in others.most_common(5))
        skipped = _are(others.total(), "file")
        found.remarks.append(f"{skipped} skipped, not video or sound by extension ({kinds}); a list takes any file")
    if hidden_files:
        found.remarks.append(f"{_are(hidden_files, 'hidden file')} skipped; a list takes any file")
    if inner and not recursive:
        found.remarks.append(f"{_are(inner, 'folder', ' in it')} not entered; --recursive does that")
    elif linked:
        found.remarks.append(f"{_are(linked, 'linked folder')} not entered")
    if hidden and recursive:
        found.remarks.append(f"{_are(hidden, 'hidden folder')} not entered")
    if not found.names:
        why = found.remarks or ["give a folder of video or sound files"]
        raise MediaError("; ".join([f"{folder}: holds no clips", *why]))
    return found


def _are(count: int, what: str, where: str = "") -> str:
    return f"{count} {what}{where} is" if count == 1 else f"{count} {what}s{where} are"


@dataclass(frozen=True)
class Shard:
    """One of `count` parts, `index` from 1. The part of a clip depends on its name alone, so that every machine finds
    the same, also when clips come or go."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From "3/16". Raises SettingsError."""
        first, slash, second = text.partition("/")
        if not (slash and first.strip().isdecimal() and second.strip().isdecimal() and len(text) <= 40):
            raise SettingsError(f"{text[:40]!r} is not a shard: write 1/4 to 4/4")
        shard = cls(int(first), int(second))
        if not 1 <= shard.index <= shard.count:
            raise SettingsError(f"there is no shard {text}: count from 1/{shard.count} to {shard.count}/{shard.count}")
        return shard

    def has(self, name: str) -> bool:
        """Whether a clip is this shard's. name: below the folder, or as the list says."""
        digest = hashlib.sha256(os.fsencode(name)).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1
