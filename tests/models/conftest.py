"""Tiny checkpoints on disk."""

import shutil

import pytest

from tests.checkpoints import save_tiny_checkpoint
from tests.tiny import FAMILIES


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return {
        family: save_tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "model", family, stops=True)
        for family in FAMILIES
    }


@pytest.fixture
def broken(saved, tmp_path):
    """A copy of the Qwen2.5 checkpoint to spoil."""
    return shutil.copytree(saved["qwen2.5-omni"], tmp_path / "model")
