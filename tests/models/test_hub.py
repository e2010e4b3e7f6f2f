"""What would have to be fetched, with a hub on this machine."""

import json
import shutil
import struct
from pathlib import Path

import pytest
from huggingface_hub import constants

from seats.models.checkpoint import find_checkpoint
from seats.models.hub import cached_bytes, fetch_plan, free_bytes
from tests.cli.hub_server import SHA, serve_hub

NAME = "org/tiny"
CONFIG = json.dumps({"model_type": "qwen2_5_omni", "text_config": {}, "vision_config": {}, "audio_config": {}})
LATER = SHA[::-1]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, with the network allowed."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "cache"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """1,200 bytes that a model needs, and more that it does not."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "config.json").write_text(CONFIG.ljust(200))
    header = json.dumps({"weight": {"dtype": "U8", "shape": [892], "data_offsets": [0, 892]}}).ljust(100).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(892))
    (folder / "pytorch_model.bin").write_bytes(bytes(5000))
    (folder / "README.md").write_text("A model.")
    return folder


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch):
    """The hub with a repository, while a context is open."""

    class Served:
        def __init__(self, folder: Path, sha: str = SHA) -> None:
            self._hub = serve_hub(NAME, folder, sha=sha)

        def __enter__(self) -> None:
            address = self._hub.__enter__()
            monkeypatch.setattr(constants, "ENDPOINT", address)
            template = address + "/{repo_id}/resolve/{revision}/{filename}"
            monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)

        def __exit__(self, *_: object) -> None:
            self._hub.__exit__(None, None, None)

    return Served


def missing(**options: object) -> int | None:
    plan = fetch_plan(NAME, **options)
    return None if plan is None else plan.missing_bytes


def test_weights_that_were_cut_off_are_not_whole(repository: Path) -> None:
    weights = repository / "model.safetensors"
    assert cached_bytes(str(repository)) == 1000
    weights.write_bytes(weights.read_bytes()[:-1])
    assert cached_bytes(str(repository)) is None


def test_what_is_wanted_and_not_there_is_missing(cache: Path, repository: Path, serve) -> None:
    with serve(repository):
        plan = fetch_plan(NAME)
        assert plan.missing_bytes == 1200
        assert plan.folder == cache
        assert 0 < plan.free_bytes <= shutil.disk_usage(cache.parent).total
        assert missing(revision=SHA) == 1200
        assert missing(revision="v9") is None
        assert missing(offline=True) is None
        assert cached_bytes(NAME) is None
        assert not cache.exists()
        find_checkpoint(NAME)
        assert missing() == missing(offline=True) == 0
    assert missing() == 0
    assert missing(revision="v9") is None
    assert cached_bytes(NAME) == 1000


def test_of_a_later_version_only_changed_files_are_missing(cache: Path, repository: Path, serve) -> None:
    with serve(repository):
        find_checkpoint(NAME)
    (repository / "README.md").write_text("A good model.")
    with serve(repository, LATER):
        assert missing() == 0
    (repository / "config.json").write_text(CONFIG.ljust(220))
    with serve(repository, LATER):
        assert missing() == 220
    (repository / "model.safetensors").write_bytes(bytes(1500))
    with serve(repository, LATER):
        assert missing() == 1720


def test_half_of_a_model_is_not_the_model(cache: Path, repository: Path, serve) -> None:
    with serve(repository):
        folder = find_checkpoint(NAME).folder
        (folder / "model.safetensors").resolve().unlink()
        assert missing() == 1000
    assert missing() is None


def test_files_of_a_disk_without_links_are_found(cache: Path, repository: Path, serve) -> None:
    with serve(repository):
        folder = find_checkpoint(NAME).folder
        for file in folder.iterdir():
            file.resolve().replace(file)  # as the hub's client puts them there
        assert missing() == 0


def test_room_of_a_folder_that_does_not_exist_yet(tmp_path: Path) -> None:
    assert 0 < free_bytes(tmp_path / "not" / "there") <= shutil.disk_usage(tmp_path).total
