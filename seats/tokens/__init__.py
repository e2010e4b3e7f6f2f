"""A clip and a question to the sequence of tokens the LLM sees. Importing it does not import torch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seats.tokens.interleave import MediaBlock, TimeRule
    from seats.tokens.layout import Counts, Modality, TokenLayout
    from seats.tokens.mel import MelSpec, log_mel, mel_frames
    from seats.tokens.patches import PatchSpec, patchify
    from seats.tokens.sequence import Sequence, SequenceRule, build_sequence

__all__ = [
    "Counts",
    "MediaBlock",
    "MelSpec",
    "Modality",
    "PatchSpec",
    "Sequence",
    "SequenceRule",
    "TimeRule",
    "TokenLayout",
    "build_sequence",
    "log_mel",
    "mel_frames",
    "patchify",
]

_HOMES = {
    "MediaBlock": "interleave",
    "TimeRule": "interleave",
    "Counts": "layout",
    "Modality": "layout",
    "TokenLayout": "layout",
    "MelSpec": "mel",
    "log_mel": "mel",
    "mel_frames": "mel",
    "PatchSpec": "patches",
    "patchify": "patches",
    "Sequence": "sequence",
    "SequenceRule": "sequence",
    "build_sequence": "sequence",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
