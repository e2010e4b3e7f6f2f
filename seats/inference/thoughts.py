"""Thinking models write their thoughts first, between `<think>` and `</think>`; the answer is what follows."""

from __future__ import annotations

BEGIN, END = "<think>", "</think>"


def part_thoughts(text: str, begun: bool, *, whole: bool = True) -> tuple[str | None, str]:
    """Part what a model wrote into its thoughts (None where there are none) and the answer ("" before it begins).

    begun: whether the prompt ends with `<think>`, as the templates of some thinking models have it; the model then
    writes the end mark alone. whole: whether nothing follows; else `text` may still turn out to begin with the mark.
    """
    said = text.lstrip()
    if not begun:
        if not said.startswith(BEGIN):
            return None, "" if not whole and BEGIN.startswith(said) else text
        said = said.removeprefix(BEGIN)
    thoughts, mark, answer = said.partition(END)
    return thoughts.strip(), answer.lstrip() if mark else ""
