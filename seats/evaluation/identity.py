"""What a row of an evaluation answers for, as digests: the clip's content, the question, the model, the settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from seats.errors import MediaError
from seats.evaluation.qa import QAItem
from seats.evaluation.settings import Asking
from seats.keep import code_digest
from seats.media.content import content_of
from seats.methods import Method
from seats.models.checkpoint import Checkpoint
from seats.models.fingerprint import fingerprint
from seats.text import printable


def digest(value: Any) -> str:
    """SHA-256, 32 hexadecimal digits of it, of plain values written as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:32]


def clip_digest(path: Path) -> str:
    """SHA-256 of the whole file; of one that can't be read, what stands for none of them: its rows will fail."""
    try:
        return content_of(str(path)).hash
    except MediaError:
        return f"unreadable: {printable(path.name)}"


def model_identity(
    checkpoint: Checkpoint, device: str = "auto", dtype: str = "auto", quantize: str | None = None
) -> dict[str, Any]:
    """Of a model as it is run: fingerprint of its files, kind of device, and the type asked for.

    device, dtype, quantize: as for `load_model`. Raises ModelError if weights are missing.
    """
    if device == "auto":
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
    return {
        "files": fingerprint(checkpoint)[:32],
        "device": device.partition(":")[0],
        "dtype": dtype,
        "quantize": quantize,
    }


def asking_identity(asking: Asking) -> dict[str, Any]:
    """Of how questions are asked. The seed counts where tokens are drawn; methods have it in their own settings."""
    decoding = asking.decoding
    return {
        "kv": asking.kv,
        "system": asking.system,
        "max_new_tokens": decoding.max_new_tokens,
        "temperature": decoding.temperature,
        "seed": decoding.seed if decoding.temperature > 0 else None,
    }


def question_digest(item: QAItem, clip: str, lowered: Mapping[str, int] = MappingProxyType({})) -> str:
    """Of a question about a clip's content: prompt and options, not the right answer, which can be corrected later.

    lowered: frames and pixels of the clip, where a memory limit asked for fewer.
    """
    return digest([clip, item.prompt, item.options, *([dict(lowered)] if lowered else [])])


def setting_digest(method: Method, fixed: Mapping[str, Any]) -> str:
    """Of a method's settings, of its code if that is another package's, and of everything else that is the same for all
    questions (model, clip options, asking)."""
    code = code_digest(method.name)
    return digest([method.settings(), fixed, *([code] if code else [])])
