"""A checkpoint folder in the hub's layout: where it is, what is in it, and what its processor files say.

Reads no weights; nothing here imports torch or runs code from a checkpoint.
"""

from __future__ import annotations

import json
import os
import reprlib
from dataclasses import dataclass
from functools import cached_property
from math import isclose
from pathlib import Path
from typing import Any

from seats.checks import check_kind, is_finite, is_positive
from seats.errors import ModelError
from seats.files import exists
from seats.selection.stages import SINGLE_TURN, wrong_settings

BUILT_IN = "seats-nano"
BUILT_IN_FOLDER = Path(__file__).resolve().parent.parent / "nano" / "weights"
KNOWN = (
    BUILT_IN,
    "Qwen/Qwen2.5-Omni-7B",
    "Qwen/Qwen2.5-Omni-3B",
    "Qwen/Qwen3-Omni-30B-A3B-Instruct",
    "Qwen/Qwen3-Omni-30B-A3B-Thinking",
)
OWN_SETTINGS = "seats.json"
"""A model's settings for this package, which its owner writes, or `seats analyze --save`."""
# Of processors: the whole numbers that are read, and the least each can be. Frames are taken in pairs.
_WHOLE = {"hop_length": 1, "n_fft": 2, "min_frames": 2, "max_frames": 2}
_WHOLE |= dict.fromkeys(("min_pixels", "max_pixels", "shortest_edge", "longest_edge"), 1)
# What stock processors would obey, but is done here as all published models have it.
_FIXED: dict[str, dict[str, float]] = {
    "feature_extractor": {"dither": 0},
    "video_processor": {"do_normalize": True, "do_rescale": True, "rescale_factor": 1 / 255},
}
# Weights other than safetensors can carry code, so they are never fetched.
WANTED = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]


@dataclass(frozen=True)
class Checkpoint:
    """A model folder. name: as the user gave it. folder: holds config.json, safetensors and processor files."""

    name: str
    folder: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        """config.json. Raises ModelError if it is missing, not JSON, or of weights quantised beforehand."""
        config = self._json("config.json", required=True)
        for key in ("thinker_config", "quantization_config"):
            if not isinstance(config.get(key) or {}, dict):
                raise ModelError(
                    f"{self.folder / 'config.json'}: {key} is {reprlib.repr(config[key])}, no object: correct it or "
                    "download the checkpoint again"
                )
        if "quantization_config" in config:  # beside the thinker's part: stock loaders of the thinker do not see it
            kind = (config["quantization_config"] or {}).get("quant_method", "in a way not named")
            raise ModelError(
                f"the weights of {self.name} are quantised ({kind}), which is not read: name the model that they were "
                "made of, with --quantize 4bit if memory is short"
            )
        return config

    @property
    def thinker_config(self) -> dict[str, Any]:
        """The thinker's part of config.json, all of it where a checkpoint holds the thinker alone."""
        return self.config.get("thinker_config") or self.config

    @cached_property
    def seats_settings(self) -> dict[str, Any]:
        """The folder's own `seats.json`, empty where there is none: what SEATS uses in this model (`stage_settings`),
        and `single_turn`. Raises ModelError where that is neither true nor false."""
        said = self._json(OWN_SETTINGS)
        if not isinstance(said.get(SINGLE_TURN, False), bool):
            wrong = f"{SINGLE_TURN} is {said[SINGLE_TURN]!r}; it must be true or false"
            raise ModelError(f"{self.folder / OWN_SETTINGS}: {wrong}")
        return said

    @property
    def stage_settings(self) -> dict[str, Any]:
        """Stage borders measured for this model, empty where it has none. Raises ModelError for what cannot be used."""
        said = {key: value for key, value in self.seats_settings.items() if key != SINGLE_TURN}
        if said and (wrong := wrong_settings(said, self._layers())):
            raise ModelError(f"{self.folder / OWN_SETTINGS}: {wrong}")
        return said

    @property
    def single_turn(self) -> bool:
        """Whether the model knows prompts of one question only."""
        return bool(self.seats_settings.get(SINGLE_TURN, False))

    @cached_property
    def feature_extractor(self) -> dict[str, Any]:
        """Settings of the audio feature extractor. Raises ModelError for one that cannot be, as the next two do."""
        return self._processor("feature_extractor", "preprocessor_config.json")

    @cached_property
    def video_processor(self) -> dict[str, Any]:
        """Settings of the video processor; only those that differ from the image processor's may be there."""
        return self._processor("video_processor", "video_preprocessor_config.json")

    @cached_property
    def image_processor(self) -> dict[str, Any]:
        """Settings of the image processor."""
        return self._processor("image_processor", "preprocessor_config.json")

    @cached_property
    def generation_config(self) -> dict[str, Any]:
        """What the checkpoint says of generating, empty where it says nothing. Raises ModelError for a file that stock
        code would pass over because it cannot be read, with another answer."""
        return self._json("generation_config.json")

    @cached_property
    def chat_template(self) -> str | None:
        """The processor's chat template, None if only the tokenizer has one."""
        file = self.folder / "chat_template.jinja"
        if file.is_file():
            try:
                return file.read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                raise ModelError(f"{file} is not UTF-8 text: download the checkpoint again ({error})") from error
        said = self._json("chat_template.json").get("chat_template")
        if not isinstance(said, str | None):
            raise ModelError(
                f"{self.folder / 'chat_template.json'}: chat_template is {reprlib.repr(said)}, no text: download the "
                "checkpoint again"
            )
        return said

    @property
    def weight_files(self) -> list[Path]:
        """The safetensors files that are loaded: the one of all weights, else the shards. Raises ModelError if there
        are none or their index is damaged."""
        index, whole = "model.safetensors.index.json", self.folder / "model.safetensors"
        if whole.is_file():  # stock code takes it, whatever an index beside it says
            return [whole]
        said = self._json(index)
        shards = said.get("weight_map") or {}
        names = shards.values() if isinstance(shards, dict) else [None]
        # Stock code reads other kinds of files as pickles, and needs the metadata, though nothing in them.
        sound = all(
            isinstance(name, str) and name.endswith(".safetensors") and Path(name).name == name for name in names
        )
        if said and not (sound and names and isinstance(said.get("metadata"), dict)):
            raise ModelError(f"{self.folder / index} is damaged: download the checkpoint again")
        files = [self.folder / name for name in sorted(set(names))] or [whole]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise ModelError(
                f"{self.name}: {', '.join(missing[:3])} missing in {self.folder}: download the checkpoint again "
                "(only safetensors weights are loaded)"
            )
        return files

    def _layers(self) -> int | None:
        """Decoder layers, None where config.json does not say."""
        text = self.thinker_config.get("text_config") or {}
        return text.get("num_hidden_layers")

    def _processor(self, part: str, file: str) -> dict[str, Any]:
        """What is said of a processor in the file of all of them, else in its own; nulls left out."""
        name = "processor_config.json"
        said = self._json(name).get(part)
        if not said:
            name, said = file, self._json(file)
        wrong = (
            _wrong_in_processor(part, said) if isinstance(said, dict) else f"{part} is {reprlib.repr(said)}, no object"
        )
        if wrong:
            raise ModelError(f"{self.folder / name}: {wrong}: correct it or download the checkpoint again")
        return {key: value for key, value in said.items() if value is not None}

    def _json(self, name: str, required: bool = False) -> dict[str, Any]:
        file = self.folder / name
        if not file.is_file():
            if required:
                raise ModelError(f"{self.folder} is not a model folder: it has no {name}{_instead(self.folder)}")
            return {}
        own = name == OWN_SETTINGS
        remedy = "correct or remove it" if own else "download the checkpoint again"
        try:
            # in a file that people edit, a byte order mark is their editor's; in others transformers would refuse it
            found = json.loads(file.read_text(encoding="utf-8-sig" if own else "utf-8"))
        except (ValueError, RecursionError) as error:
            raise ModelError(f"{file} is not valid JSON: {remedy} ({error})") from error
        if not isinstance(found, dict):
            raise ModelError(f"{file} holds no JSON object: {remedy}")
        return found


def _instead(folder: Path) -> str:
    """What may have been meant by a folder without a config.json; empty where nothing shows it."""
    if (folder / "adapter_config.json").is_file():
        return ", but an adapter: merge it into the model that it was trained on, and name the folder of that"
    if below := sorted(folder.glob("snapshots/*/config.json")):  # the hub's cache
        return f"; did you mean {below[0].parent}?"
    return ""


def _wrong_in_processor(part: str, said: dict[str, Any]) -> str | None:
    """What is wrong with a processor's settings, of those that are read; None for nothing."""
    from seats.media import SAMPLE_RATE

    size = said.get("size") or {}
    if not isinstance(size, dict):
        return f"size is {reprlib.repr(size)}, no object"
    for key, value in {**said, **size}.items():
        if value is None:
            continue
        if key in _WHOLE and not (type(value) is int and value >= _WHOLE[key]):
            return f"{key} is {reprlib.repr(value)}, no whole number from {_WHOLE[key]} on"
        fixed = _FIXED.get(part, {}).get(key, value)
        if value != fixed and not (is_finite(value) and isclose(value, fixed)):
            return f"{key} is {reprlib.repr(value)}, but only {fixed} is done"
        if key == "sampling_rate" and value != SAMPLE_RATE:
            return f"{key} is {reprlib.repr(value)}, but sound is read at {SAMPLE_RATE} Hz only"
        if key == "fps" and not is_positive(value):
            return f"{key} is {reprlib.repr(value)}, no number above 0"
        if key == "image_std" and not (isinstance(value, list) and len(value) == 3 and all(map(is_positive, value))):
            return f"{key} is {reprlib.repr(value)}, no list of three numbers above 0"
        if key == "image_mean" and not (isinstance(value, list) and len(value) == 3 and all(map(is_finite, value))):
            return f"{key} is {reprlib.repr(value)}, no list of three numbers"
    return None


def is_hub_id(model: str) -> bool:
    """Whether `find_checkpoint` would look for this name on the hub."""
    return model.count("/") == 1 and not model.startswith((".", "/", "~")) and not Path(model).is_dir()


def find_checkpoint(model: str | os.PathLike[str], *, offline: bool = False, revision: str | None = None) -> Checkpoint:
    """The checkpoint a name stands for: `seats-nano`, a folder, or a hub id (downloaded once, then cached).

    offline: use only what is on disk. revision: branch, tag or commit of a hub id. Raises ModelError, and SettingsError
    for what is neither text nor a path.
    """
    check_kind("the model", model, (str, os.PathLike), "seats-nano, a folder or a hub id")
    model = os.fspath(model)
    if not model:  # as a path it would be the current folder
        raise ModelError("the model's name is empty; give seats-nano, a folder or a hub id")
    if model == BUILT_IN:
        return Checkpoint(model, BUILT_IN_FOLDER)
    folder = Path(os.path.expanduser(model))  # Path.expanduser raises RuntimeError for a user that there is not
    if exists(folder) and folder.is_dir():
        return Checkpoint(model, folder)
    if not is_hub_id(model):
        if model.startswith((".", "/", "~")):
            raise ModelError(f"no model folder {model!r}: check the path")
        raise ModelError(f"no model folder {model!r}, and it is not a hub id; known models: {', '.join(KNOWN)}")
    return Checkpoint(model, _from_hub(model, offline, revision))


def _from_hub(model: str, offline: bool, revision: str | None) -> Path:
    from huggingface_hub import constants, snapshot_download, try_to_load_from_cache
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    from seats.models.families import checkpoint_family

    try:
        if not (offline or isinstance(try_to_load_from_cache(model, "config.json", revision=revision), str)):
            # what cannot be run is refused before its gigabytes are fetched
            folder = snapshot_download(model, revision=revision, allow_patterns=["config.json"])
            checkpoint_family(Checkpoint(model, Path(folder)))
        return Path(snapshot_download(model, revision=revision, allow_patterns=WANTED, local_files_only=offline))
    except ModelError:
        raise
    except GatedRepoError as error:
        raise ModelError(f"{model} asks for its licence to be accepted on the hub, and for a login") from error
    except RevisionNotFoundError as error:
        raise ModelError(f"{model} has no revision {revision!r} on the hub") from error
    except RepositoryNotFoundError as error:
        raise ModelError(f"the hub has no model {model!r}; known models: {', '.join(KNOWN)}") from error
    except HFValidationError as error:
        raise ModelError(f"{model!r} is not a valid hub id; known models: {', '.join(KNOWN)}") from error
    except LocalEntryNotFoundError as error:
        forbidden = "--offline" if offline else "HF_HUB_OFFLINE" if constants.HF_HUB_OFFLINE else None
        how = f"{forbidden} forbids it" if forbidden else "the hub cannot be reached"
        again = f"without {forbidden}" if forbidden else "with a network"
        raise ModelError(
            f"{model} cannot be fetched: {how}, and it is not in the local cache. "
            f"Use --model {BUILT_IN}, a folder, or try again {again}"
        ) from error
    except HfHubHTTPError as error:  # an OSError, but none of the disk
        raise ModelError(f"{model} could not be downloaded: the hub {_answer(error.response.status_code)}") from error
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise ModelError(
            f"{model} could not be downloaded: {error.strerror or error}{where}; check the disk, or set HF_HOME to a "
            "folder that can be written and has room"
        ) from error
    except Exception as error:  # of the network library, whichever it is
        raise ModelError(
            f"{model} could not be downloaded: the connection broke off ({type(error).__name__}); run it again, files "
            "that are complete are kept"
        ) from error


def _answer(status: int) -> str:
    """What the hub says by an HTTP status, and what to do."""
    if status in (401, 403):
        return f"refuses it ({status}); log in (hf auth login) with an account that may read it"
    if status == 429:
        return "asks to slow down (429); try again in a few minutes"
    return f"answers with an error ({status}); try again later"
