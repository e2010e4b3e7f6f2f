"""A loaded model with everything a question needs: thinker, tokenizer, and the settings of its processors."""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

import torch
from jinja2 import TemplateError
from packaging.version import Version

from seats.checks import check_kind, check_text
from seats.devices import usual_device
from seats.errors import ModelError, OutOfMemoryError, SettingsError
from seats.media import FrameSampling
from seats.methods.base import ModelShape
from seats.models import compat
from seats.models.checkpoint import Checkpoint
from seats.models.families import Family, checkpoint_family
from seats.models.fused import use_fused_blocks
from seats.models.generation_config import check_stops, only_of_tokens
from seats.models.quantization import quantization
from seats.models.sampling import frame_sampling
from seats.models.thinker import Thinker
from seats.models.weight_files import check_readable, copied_bytes
from seats.models.window_attention import use_window_attention
from seats.shortage import lacks_memory, shortage
from seats.tokens.mel import MelSpec
from seats.tokens.patches import CLIP_MEAN, CLIP_STD, PatchSpec

if TYPE_CHECKING:
    from seats.plan.model import PlannedModel

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
_NAMED = {
    "video_token_id": "video_token",
    "audio_token_id": "audio_token",
    "audio_start_token_id": "audio_bos_token",
    "audio_end_token_id": "audio_eos_token",
}
"""Ids in a config.json by which the model finds pictures and sound in a prompt, and what the tokenizer calls them."""
_loading = Lock()
"""Held while transformers loads a model. For that it changes torch's default type and the functions of `torch.nn.init`,
and we its logging, all of the whole process; of two threads at it each would get the other's."""
_LINE = 200
"""Characters of a foreign error message that are passed on."""


@dataclass(frozen=True)
class Turn:
    """An earlier question about a clip, and the answer it got. Raises SettingsError for what is no text."""

    question: str
    answer: str

    def __post_init__(self) -> None:
        check_text("an earlier question", self.question)
        check_text("an earlier answer", self.answer)


@dataclass(frozen=True, eq=False)
class OmniModel:
    """A model ready to answer.

    mel, patches, sampling: what its encoders take, from the checkpoint's files. single_turn: whether it knows prompts
    of one question only.
    """

    name: str
    thinker: Thinker
    tokenizer: Any
    chat_template: str | None
    mel: MelSpec
    patches: PatchSpec
    sampling: FrameSampling
    shape: ModelShape
    single_turn: bool = False

    def prompt_ids(self, question: str, system: str | None, has_video: bool, history: Sequence[Turn] = ()) -> list[int]:
        """Ids of the templated prompt with one media placeholder: a video with or without sound, or sound alone.

        history: earlier questions and answers, oldest first; the clip stands before the first question.
        Raises ModelError if the checkpoint has no chat template that works, SettingsError for a text with a special
        token of the model in it, or with half of a surrogate pair, which is no character.
        """
        for what, said in (
            ("question", question),
            ("system prompt", system or ""),
            *(("earlier question", turn.question) for turn in history),
            *(("earlier answer", turn.answer) for turn in history),
        ):
            self._check(what, said)
        media = {"type": "video", "video": ""} if has_video else {"type": "audio", "audio": ""}
        first, *following = (*(turn.question for turn in history), question)
        messages = [_message("system", system)] if system else []
        messages.append(_message("user", first, media))
        for turn, asked in zip(history, following, strict=True):
            messages += [_message("assistant", turn.answer), _message("user", asked)]
        try:
            text = self.tokenizer.apply_chat_template(
                messages, chat_template=self.chat_template, tokenize=False, add_generation_prompt=True
            )
        except (ValueError, RecursionError, TemplateError) as error:  # there is none, or it is broken
            raise ModelError(f"{self.name} has no usable chat template: {_one_line(error)}") from error
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def _check(self, what: str, said: str) -> None:
        """Raises SettingsError for what the tokenizer would not take for words."""
        try:
            said.encode()
        except UnicodeEncodeError as error:
            raise SettingsError(f"the {what} holds {said[error.start]!a}, which is no character: take it out") from None
        special = (str(token) for token in self.tokenizer.added_tokens_decoder.values() if token.special)
        if found := next((token for token in special if token in said), None):
            raise SettingsError(
                f"the {what} holds {found}, a special token of the model: take it out or write it apart"
            )


def _message(role: str, text: str, *media: dict[str, str]) -> dict[str, Any]:
    return {"role": role, "content": [*media, {"type": "text", "text": text}]}


@usual_device()
def load_model(
    checkpoint: Checkpoint,
    *,
    device: str = "auto",
    dtype: str = "auto",
    quantize: str | None = None,
    announce: Callable[[str], None] = lambda _: None,
) -> OmniModel:
    """Load the thinker of a checkpoint; talker weights in it are left on disk.

    device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", "mps". dtype: "auto", "bfloat16", "float16",
    "float32". quantize: "4bit", "8bit" (bitsandbytes, CUDA) or None. announce: gets one-line remarks. Threads that load
    models take turns.
    Raises ModelError for a checkpoint that cannot be run, OutOfMemoryError if it does not fit, SettingsError.
    """
    from seats.plan.model import of_checkpoint

    check_kind("the checkpoint", checkpoint, Checkpoint, "what seats.find_checkpoint gives")
    if remark := compat.check_transformers():
        announce(remark)
    planned = of_checkpoint(checkpoint)
    checkpoint.generation_config  # noqa: B018  (raises for one that stock code would pass over)
    template, single_turn = checkpoint.chat_template, checkpoint.single_turn  # small files first: weights take long
    where = device_named(device)
    check_readable(checkpoint)
    kind = _dtype(dtype, where, planned)
    _check_attention(where, kind)
    quantized = None if quantize is None else quantization(quantize, where, kind)
    too_large = f"{checkpoint.name} does not fit into {where}: choose a smaller --model or another --device"
    with _loading, shortage(too_large):
        _check_memory(planned, where, kind, quantize)
        if where.type == "cuda" and not _goes_straight(where):
            _check_host_memory(checkpoint, where, kind)
        thinker = Thinker(_load_thinker(checkpoint, planned.family, where, kind, quantized))
        use_window_attention(thinker.vision, thinker.audio)
        use_fused_blocks(thinker)
    tokenizer = _tokenizer(checkpoint)
    _check_marks(checkpoint, thinker, tokenizer)
    return OmniModel(
        name=checkpoint.name,
        thinker=thinker,
        tokenizer=tokenizer,
        chat_template=template,
        mel=_mel_spec(checkpoint, thinker),
        patches=_patch_spec(checkpoint, thinker),
        sampling=frame_sampling(checkpoint),
        shape=model_shape(checkpoint),
        single_turn=single_turn,
    )


def model_shape(checkpoint: Checkpoint) -> ModelShape:
    """What methods need to know of a model, from its JSON files alone. Raises ModelError."""
    family = checkpoint_family(checkpoint)
    text = checkpoint.thinker_config["text_config"]
    if "num_hidden_layers" not in text:
        raise ModelError(f"{checkpoint.name}: config.json does not say how many layers the model has")
    return ModelShape(family.name, text["num_hidden_layers"], checkpoint.stage_settings)


def import_model_code(checkpoint: Checkpoint) -> None:
    """Import the code that `load_model` would import: seconds in which nothing can go wrong with the checkpoint.

    Raises ModelError for a model that is not a Qwen-Omni.
    """
    import transformers

    family = checkpoint_family(checkpoint)
    try:
        getattr(transformers, family.thinker_class)
    except Exception as error:  # of whatever it imports: a torchvision for another torch, say
        cure = "mend or remove that package"
        if sys.flags.optimize > 1:  # transformers reads its own docstrings
            cure = "run Python with docstrings, without -OO or PYTHONOPTIMIZE=2"
        raise ModelError(f"transformers cannot import the model's code ({_one_line(_root(error))}): {cure}") from error


def device_named(device: str) -> torch.device:
    """The device that `--device` stands for. Raises SettingsError for one that is unknown or not there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        where = torch.device(device)
        known = where.type in ("cpu", "cuda", "mps")
    except (RuntimeError, TypeError):
        known = False
    if not known:
        raise SettingsError(f"unknown device {device!r}: choose auto, cpu, cuda, cuda:N or mps")
    if where.type == "cuda" and not torch.cuda.is_available():
        raise SettingsError(f"device {device!r} asked for, but this torch sees no CUDA GPU: use --device cpu")
    if where.type == "cuda" and where.index is not None and where.index >= torch.cuda.device_count():
        raise SettingsError(f"device {device!r} asked for, but there are {torch.cuda.device_count()} GPUs")
    if where.type == "mps" and not torch.backends.mps.is_available():
        raise SettingsError("device 'mps' asked for, but this torch has none: use --device cpu")
    return where


def _dtype(dtype: str, device: torch.device, planned: PlannedModel) -> torch.dtype:
    from seats.plan.weights import dtype_bytes

    if dtype != "auto":
        if dtype not in DTYPES:
            raise SettingsError(f"unknown dtype {dtype!r}: choose auto, {', '.join(DTYPES)}")
        return DTYPES[dtype]
    return torch.float32 if dtype_bytes(planned, device.type, dtype) == 4 else torch.bfloat16


def _check_attention(device: torch.device, dtype: torch.dtype) -> None:
    """Raise SettingsError where torch is known to get causal attention wrong without a word: on MPS, in 16 bits, before
    2.13 (pytorch issue 195910), and before 2.11 that of single tokens too (174861)."""
    if device.type == "mps" and dtype.itemsize == 2 and Version(torch.__version__).release < (2, 13):
        raise SettingsError(
            f"torch {torch.__version__} computes attention wrongly on mps in 16 bits: install torch 2.13 or newer, or "
            "choose --dtype float32 or --device cpu"
        )


def _check_memory(planned: PlannedModel, device: torch.device, dtype: torch.dtype, quantize: str | None) -> None:
    from seats.costs.memory import available_bytes
    from seats.plan.weights import count_weights

    weights = count_weights(planned)
    needed, free = weights.bytes(dtype.itemsize, quantize), available_bytes(device)
    # Experts are not quantised, so that a model that consists of them hardly gets smaller.
    helps = device.type == "cuda" and weights.bytes(dtype.itemsize, "4bit") < 0.75 * needed
    smaller = "choose a smaller --model" + (", --quantize 4bit" if helps else "")
    if needed > free:
        raise OutOfMemoryError(
            f"{planned.name} needs {needed / 2**30:.1f} GiB for its weights, {device} has {free / 2**30:.1f} GiB "
            f"free: {smaller}, or another --device"
        )


def _goes_straight(device: torch.device) -> bool:
    """Whether the stock loader puts weights on the device one by one, which it does where accelerate is installed."""
    from transformers.utils import is_accelerate_available

    return device.type == "cuda" and is_accelerate_available()


def _check_host_memory(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
    """Raise OutOfMemoryError where main memory has no room for the copies that the stock loader makes on the way to a
    device: of weights stored as another type, and of experts, which it joins."""
    from seats.costs.memory import available_bytes

    needed, free = copied_bytes(checkpoint, dtype), available_bytes("cpu")
    if needed > free:
        raise OutOfMemoryError(
            f"{checkpoint.name} goes to {device} by way of main memory: {needed / 2**30:.1f} GiB of it are needed, "
            f"{free / 2**30:.1f} GiB are free: free some, or pip install accelerate, with which one weight at a time "
            "goes there"
        )


def _load_thinker(
    checkpoint: Checkpoint, family: Family, device: torch.device, dtype: torch.dtype, quantized: Any
) -> Any:
    import transformers

    extra = {"device_map": {"": device}} if _goes_straight(device) else {}
    if quantized is not None:
        extra["quantization_config"] = quantized
    quiet = transformers.utils.logging
    verbosity, bar = quiet.get_verbosity(), quiet.is_progress_bar_enabled()
    quiet.set_verbosity_error()
    quiet.disable_progress_bar()
    try:
        module, info = getattr(transformers, family.thinker_class).from_pretrained(
            checkpoint.folder,
            dtype=dtype,
            local_files_only=True,
            use_safetensors=True,
            attn_implementation="sdpa",  # a config.json may name another, even code on the hub
            ignore_mismatched_sizes=True,  # they are told below, by name
            output_loading_info=True,
            **extra,
        )
    except Exception as error:
        if lacks_memory(error):
            raise
        # Whatever else the stock loader stumbles over is in the checkpoint's files.
        raise ModelError(
            f"{checkpoint.name} cannot be loaded: {_one_line(error)}: correct its config.json or "
            "generation_config.json, or download the checkpoint again"
        ) from error
    finally:
        quiet.set_verbosity(verbosity)
        if bar:
            quiet.enable_progress_bar()
    if info["missing_keys"] or info["mismatched_keys"]:
        wrong = [*info["missing_keys"], *(name for name, *_shapes in info["mismatched_keys"])]
        raise ModelError(
            f"{checkpoint.name} lacks {len(wrong)} weights of its thinker or has them in another shape, for example "
            f"{sorted(map(str, wrong))[0]}: download the checkpoint again"
        )
    if not extra:
        module.to(device)
    only_of_tokens(module.generation_config)
    check_stops(checkpoint.folder / "generation_config.json", module.generation_config.eos_token_id)
    return module.eval()


def _tokenizer(checkpoint: Checkpoint) -> Any:
    from transformers import AutoTokenizer

    if not any((checkpoint.folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise ModelError(f"{checkpoint.name} has no tokenizer: tokenizer.json is missing, download it again")
    try:
        made = AutoTokenizer.from_pretrained(checkpoint.folder, local_files_only=True, trust_remote_code=False)
        made("a", add_special_tokens=False)  # some of its settings are only looked at here
        return made
    except Exception as error:  # as above; a broken tokenizer.json raises a plain Exception
        raise ModelError(
            f"{checkpoint.name} has no tokenizer that can be loaded: {_one_line(error)}: take tokenizer.json, "
            "tokenizer_config.json and what is beside them from the model that this one was made of"
        ) from error


def _check_marks(checkpoint: Checkpoint, thinker: Thinker, tokenizer: Any) -> None:
    """Raise ModelError where config.json and the tokenizer do not mean the same tokens: pictures and sound would be
    looked for, or put, in the wrong places."""
    for key, name in _NAMED.items():
        said, token = getattr(thinker.config, key, None), getattr(tokenizer, name, None)
        meant = None if token is None else tokenizer.convert_tokens_to_ids(str(token))
        if type(said) is not int or said != (said if meant is None else meant):
            raise ModelError(
                f"{checkpoint.folder / 'config.json'}: {key} is {reprlib.repr(said)}, but the tokenizer's {token} is "
                f"{meant}: take both from the same model"
            )


def _root(error: BaseException) -> BaseException:
    """What an error was made of."""
    return error if error.__cause__ is None else _root(error.__cause__)


def _one_line(error: BaseException) -> str:
    line = " ".join(str(error).split())
    if not line or isinstance(error, (KeyError, TypeError, AttributeError)):  # which alone say little
        line = f"{type(error).__name__} {line}".rstrip()
    return line if len(line) <= _LINE else f"{line[:_LINE]}…"


def _mel_spec(checkpoint: Checkpoint, thinker: Thinker) -> MelSpec:
    said = checkpoint.feature_extractor
    return MelSpec(
        bins=thinker.audio.config.num_mel_bins,
        n_fft=said.get("n_fft", 400),
        hop=said.get("hop_length", 160),
        padded=thinker.family.pads_audio,
    )


def _patch_spec(checkpoint: Checkpoint, thinker: Thinker) -> PatchSpec:
    if not (checkpoint.image_processor or checkpoint.video_processor):
        raise ModelError(
            f"{checkpoint.name} has no preprocessor_config.json, which says how pixels are scaled: copy it from the "
            "model that this one was made of"
        )
    vision = thinker.vision.config
    said = {**checkpoint.image_processor, **checkpoint.video_processor}
    return PatchSpec(
        patch_size=vision.patch_size,
        temporal_patch_size=vision.temporal_patch_size,
        merge_size=vision.spatial_merge_size,
        mean=tuple(said.get("image_mean") or CLIP_MEAN),
        std=tuple(said.get("image_std") or CLIP_STD),
    )
