"""What is in safetensors files, and how it gets into memory."""

import json
import os
import sys
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import seats.costs.memory
from seats.errors import ModelError
from seats.models import weight_files
from seats.models.checkpoint import Checkpoint
from seats.models.weight_files import copied_bytes, read_ahead, thinker_bytes, thinker_tensors
from tests.checkpoints import save_full_checkpoint
from tests.tiny import FAMILIES

on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def _shard(path: Path, **tensors: torch.Tensor) -> None:
    save_file({name.replace("__", "."): tensor for name, tensor in tensors.items()}, path, {"format": "pt"})


def _index(folder: Path, **files: str) -> None:
    names = {name.replace("__", "."): file for name, file in files.items()}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names, "metadata": {}}))


def test_only_the_thinker_is_counted(tmp_path):
    _shard(
        tmp_path / "model.safetensors",
        thinker__a=torch.zeros(3, 5, dtype=torch.bfloat16),
        thinker__b=torch.zeros(7, dtype=torch.float32),
        talker__c=torch.zeros(100),
    )
    checkpoint = Checkpoint("m", tmp_path)
    assert thinker_bytes(checkpoint) == 3 * 5 * 2 + 7 * 4
    tensors = thinker_tensors(checkpoint)
    assert {name: (tensor.dtype, tensor.elements) for name, tensor in tensors.items()} == {
        "thinker.a": ("BF16", 15),
        "thinker.b": ("F32", 7),
    }


def test_bytes_are_where_they_are_said_to_be(tmp_path):
    _shard(tmp_path / "model.safetensors", a=torch.arange(5), b=torch.arange(7, 9))
    tensor = thinker_tensors(Checkpoint("m", tmp_path))["b"]
    assert tensor.file.read_bytes()[tensor.start : tensor.end] == torch.arange(7, 9).numpy().tobytes()


def test_a_thinker_alone_counts_in_full(tmp_path):
    _shard(tmp_path / "model.safetensors", model__a=torch.zeros(4), lm_head=torch.zeros(2))
    assert thinker_bytes(Checkpoint("m", tmp_path)) == 24


def test_of_shards_those_of_the_index_count(tmp_path):
    _shard(tmp_path / "one.safetensors", thinker__a=torch.zeros(10), talker__x=torch.zeros(1000))
    _shard(tmp_path / "two.safetensors", thinker__b=torch.zeros(20))
    _shard(tmp_path / "stray.safetensors", thinker__old=torch.zeros(5000))
    _index(tmp_path, thinker__a="one.safetensors", talker__x="one.safetensors", thinker__b="two.safetensors")
    assert thinker_bytes(Checkpoint("m", tmp_path)) == 120


def _denied(path, *_mode):
    raise PermissionError(13, "Permission denied", str(path))


def test_what_is_wrong_is_said(tmp_path, monkeypatch):
    checkpoint, whole = Checkpoint("m", tmp_path), tmp_path / "model.safetensors"
    for damage in (b"", b"abc", b"\xff" * 8 + b"{}", b"\x10\0\0\0\0\0\0\0{", b"\x02\0\0\0\0\0\0\0[]"):
        whole.write_bytes(damage)
        with pytest.raises(ModelError, match="not a readable safetensors file"):
            thinker_bytes(checkpoint)

    _shard(whole, weight=torch.zeros(64))
    assert thinker_bytes(checkpoint) == 256
    whole.write_bytes(whole.read_bytes()[:-1])  # a download that broke off
    with pytest.raises(ModelError, match="not a readable safetensors file"):
        thinker_bytes(checkpoint)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", _denied)  # root may read anything
        with pytest.raises(ModelError, match=r"model\.safetensors may not be read \(Permission denied\)"):
            thinker_bytes(checkpoint)


def _mapped(tensor: torch.Tensor, folder: Path) -> bool:
    """Whether a tensor lies in a mapping of a file of weights."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        first, last = (int(end, 16) for end in line.split()[0].split("-"))
        if first <= tensor.data_ptr() < last:
            return str(folder) in line
    raise AssertionError("nowhere")


@on_linux
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_copies_in_main_memory_are_those_that_the_stock_loader_makes(tmp_path, family, dtype):
    """Stored as float32. Seen before anything of ours changes how weights lie."""
    import transformers

    from seats.models.families import checkpoint_family

    save_full_checkpoint(tmp_path, family)
    checkpoint = Checkpoint("m", tmp_path)
    module = getattr(transformers, checkpoint_family(checkpoint).thinker_class).from_pretrained(
        tmp_path, dtype=getattr(torch, dtype)
    )
    copied = {p.data_ptr(): p.nbytes for p in module.parameters() if not _mapped(p, tmp_path)}
    assert copied_bytes(checkpoint, getattr(torch, dtype)) == sum(copied.values())
    assert (sum(copied.values()) > 0) == (family == "qwen3-omni" or dtype == "bfloat16")
    assert len(copied) < len(list(module.parameters())) or dtype == "bfloat16"


def _read(monkeypatch, checkpoint, least=0) -> list[tuple[str, int, int]]:
    """What `read_ahead` has the kernel read, as (file, first byte, behind the last)."""
    asked, sendfile = [], os.sendfile

    def send(to, descriptor, start, count):
        sent = sendfile(to, descriptor, start, min(count, 50))  # less than asked for, as it may be
        asked.append((Path(os.readlink(f"/proc/self/fd/{descriptor}")).name, start, start + sent))
        return sent

    monkeypatch.setattr(os, "sendfile", send)
    before = set(threading.enumerate())
    read_ahead(checkpoint, least)
    for thread in set(threading.enumerate()) - before:
        thread.join()
    return asked


@on_linux
def test_the_thinker_s_weights_are_read_ahead_once(tmp_path, monkeypatch):
    monkeypatch.setattr(weight_files, "_PIECE", 70)
    _shard(tmp_path / "one.safetensors", thinker__a=torch.zeros(30), talker__x=torch.zeros(1000))
    _shard(tmp_path / "two.safetensors", thinker__b=torch.zeros(20), thinker__c=torch.zeros(10))
    _index(
        tmp_path,
        thinker__a="one.safetensors",
        talker__x="one.safetensors",
        thinker__b="two.safetensors",
        thinker__c="two.safetensors",
    )
    checkpoint = Checkpoint("m", tmp_path)
    asked = _read(monkeypatch, checkpoint)
    assert sorted(end - start for _, start, end in asked) == [20, 20, 50, 50, 50, 50]  # of each file 70 bytes and 50
    assert sorted((file, n) for file, start, end in asked for n in range(start, end)) == sorted(
        (tensor.file.name, n)
        for tensor in thinker_tensors(checkpoint).values()
        for n in range(tensor.start, tensor.end)
    )


@on_linux
@pytest.mark.parametrize(("free", "least", "read"), [(800, 400, True), (799, 400, False), (800, 401, False)])
def test_only_what_is_worth_it_and_fits_is_read_ahead(tmp_path, monkeypatch, free, least, read):
    _shard(tmp_path / "model.safetensors", a=torch.zeros(100))
    monkeypatch.setattr(seats.costs.memory, "available_bytes", lambda device: free)
    assert bool(_read(monkeypatch, Checkpoint("m", tmp_path), least)) == read


@on_linux
def test_a_file_that_goes_meanwhile_is_for_loading_to_name(tmp_path, monkeypatch):
    _shard(tmp_path / "model.safetensors", a=torch.zeros(100))
    checkpoint = Checkpoint("m", tmp_path)
    tensors = thinker_tensors(checkpoint)
    (tmp_path / "model.safetensors").unlink()
    monkeypatch.setattr(weight_files, "thinker_tensors", lambda _: tensors)
    assert _read(monkeypatch, checkpoint) == []


@pytest.mark.parametrize(
    ("shape", "offsets"),
    [
        (["aaaaaaaaaa", 2_000_000_000], [0, 4]),
        ([[0], 200_000_000], [0, 4]),
        ([2**62] * 2000, [0, 4]),
        ([1], [4, 0]),
        ([1], [0.0, 4.0]),
        ([1.5], [0, 4]),
        ([True], [0, 4]),
        ([1], [-4, 4]),
    ],
)
def test_numbers_in_a_header_that_cannot_be_are_refused_at_once(tmp_path, shape, offsets):
    header = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": offsets}}).encode()
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(ModelError, match="not a readable safetensors file"):
        thinker_tensors(Checkpoint("m", tmp_path))


def test_a_header_nested_too_deeply_and_an_empty_tensor(tmp_path):
    header = b'{"a": ' + b"[" * 100_000
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ModelError, match="not a readable safetensors file"):
        thinker_tensors(Checkpoint("m", tmp_path))
    _shard(tmp_path / "model.safetensors", a=torch.zeros(5, 0))
    assert thinker_tensors(Checkpoint("m", tmp_path))["a"].elements == 0
