"""A clip and a question to the sequence of tokens the LLM sees."""

from seats.tokens.interleave import MediaBlock, TimeRule, interleave
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
    "interleave",
    "log_mel",
    "mel_frames",
    "patchify",
]
