"""What fetching a model from the hub would mean: how much is missing, and whether the disk has room for it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from seats.errors import ModelError
from seats.models.checkpoint import WANTED, find_checkpoint, is_hub_id
from seats.models.weight_files import thinker_bytes

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

TIMEOUT_S = 3.0


@dataclass(frozen=True)
class FetchPlan:
    """missing_bytes: to download, 0 where the cache has everything. free_bytes: on the cache's disk. folder: the
    cache."""

    missing_bytes: int
    free_bytes: int
    folder: Path


def fetch_plan(model: str, *, offline: bool = False, revision: str | None = None) -> FetchPlan | None:
    """What `find_checkpoint` would have to download for a hub id, asked of the hub within `TIMEOUT_S` seconds.

    None where the hub gives no answer (or may not be asked) and the cache doesn't hold the whole model; what is wrong
    then is for `find_checkpoint` to say.
    """
    missing = None if offline else _missing_online(model, revision)
    if missing is None:
        if cached_bytes(model, revision=revision) is None:
            return None
        missing = 0
    folder = cache_folder()
    return FetchPlan(missing, free_bytes(folder), folder)


def cache_folder() -> Path:
    """Where the hub's files are kept (`HF_HOME`, `HF_HUB_CACHE`)."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def may_be_on_disk(model: str) -> bool:
    """False for a hub id that the cache has no folder for: asking the hub's client takes a second."""
    return not is_hub_id(model) or _folder_in_cache(model).is_dir()


def _folder_in_cache(model: str) -> Path:
    return cache_folder() / f"models--{model.replace('/', '--')}"


def free_bytes(folder: Path) -> int:
    """Free bytes on the disk of a folder that may not exist yet; 0 where that cannot be told."""
    for place in (folder, *folder.parents):
        try:
            return shutil.disk_usage(place).free
        except OSError:
            continue
    return 0


def cached_bytes(model: str, *, revision: str | None = None) -> int | None:
    """Bytes of a model's weights on this disk, None if they are not whole. Never asks the hub."""
    try:
        checkpoint = find_checkpoint(model, offline=True, revision=revision)
        thinker_bytes(checkpoint)  # raises where a file was cut off
        return sum(file.stat().st_size for file in checkpoint.weight_files)
    except (ModelError, OSError):
        return None


def _missing_online(model: str, revision: str | None) -> int | None:
    from huggingface_hub import HfApi

    try:
        info = HfApi().model_info(model, revision=revision, timeout=TIMEOUT_S, files_metadata=True)
        wanted = [file for file in info.siblings or () if any(fnmatch(file.rfilename, p) for p in WANTED)]
        return sum(file.size or 0 for file in wanted if not _in_cache(model, file, info.sha))
    except Exception:  # the libraries below raise many kinds; the download meets the same one and names it
        return None


def _in_cache(model: str, file: RepoSibling, commit: str | None) -> bool:
    """Whether a file is there as it was at a commit, be it fetched for another: only changed files are fetched anew."""
    from huggingface_hub import try_to_load_from_cache

    if isinstance(try_to_load_from_cache(model, file.rfilename, revision=commit), str):
        return True
    content = file.lfs.sha256 if file.lfs else file.blob_id
    return content is not None and (_folder_in_cache(model) / "blobs" / content).is_file()
