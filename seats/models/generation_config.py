"""What answers take of a checkpoint's generation_config.json: which token comes next, and which one is the last."""

from __future__ import annotations

import reprlib
from pathlib import Path
from typing import Any

from seats.errors import ModelError

_OF_TOKENS = (
    "bad_words_ids", "begin_suppress_tokens", "bos_token_id", "do_sample", "eos_token_id", "epsilon_cutoff",
    "eta_cutoff", "exponential_decay_length_penalty", "min_length", "min_new_tokens", "min_p", "no_repeat_ngram_size",
    "pad_token_id", "remove_invalid_values", "renormalize_logits", "repetition_penalty", "sequence_bias",
    "stop_strings", "suppress_tokens", "temperature", "top_h", "top_k", "top_p", "typical_p", "watermarking_config",
)  # fmt: skip
"""All that is obeyed of the file."""


def only_of_tokens(config: Any) -> None:
    """Take out of what a checkpoint's generation_config.json says all that is not about the choice of the next token.

    The rest is for other ways of generating, or other outputs, than an answer's; `max_time` would cut one unseen.
    """
    usual = type(config)()
    for key in vars(config).keys() - set(_OF_TOKENS):
        if hasattr(usual, key):
            setattr(config, key, getattr(usual, key))
        else:
            delattr(config, key)  # generate() would hand it to the model


def check_stops(file: Path, said: Any) -> None:
    """Raise ModelError for stop ids, `said` in a checkpoint's file, that are neither one nor a list."""
    ids = said if isinstance(said, list) else [] if said is None else [said]
    if any(type(one) is not int for one in ids):
        raise ModelError(
            f"{file}: eos_token_id is {reprlib.repr(said)}, neither a token id nor a list of them: correct it or "
            "download the checkpoint again"
        )
