import os
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import DynamicCache

from seats.costs.memory import (
    available_bytes,
    kv_cache_bytes,
    linux_available_bytes,
    macos_available_bytes,
    parse_size,
    peak_device_bytes,
)
from seats.errors import SettingsError
from seats.models import compat
from tests.tiny import FAMILIES, tiny_inputs, tiny_thinker

on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


@pytest.mark.parametrize("family", FAMILIES)
def test_kv_cache_is_what_a_cache_holds(family):
    thinker, cache = tiny_thinker(family), DynamicCache()
    thinker.generate(**tiny_inputs(family), max_new_tokens=3, do_sample=False, **{compat.CACHE: cache})
    held = sum(x.numel() * x.element_size() for layer in cache.layers for x in (layer.keys, layer.values))
    tokens = [cache.get_seq_length(layer) for layer in range(8)]

    assert tokens[0] > 50
    assert kv_cache_bytes(thinker.config, tokens, 4) == held
    assert kv_cache_bytes(thinker.config, tokens, 2) == held // 2
    assert kv_cache_bytes(thinker.config, [*tokens[:4], 0, 0, 0, 0], 4) == held // 2


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("24G", 24 * 2**30),
        ("24g", 24 * 2**30),
        ("24GiB", 24 * 2**30),
        ("24 GB", 24 * 10**9),
        ("1.5G", 3 * 2**29),
        ("800M", 800 * 2**20),
        ("800mb", 800 * 10**6),
        ("2T", 2 * 2**40),
        ("64K", 65536),
        (" 123456B ", 123456),
    ],
)
def test_parse_size(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        "",
        "G",
        "24X",
        "-3G",
        "0",
        "0G",
        "1e9",
        "24G free",
        "1.2.3M",
        "nan",
        "5iB",
        "0.2",
        "24",
        "1000000",
        "9" * 400 + "G",
    ],
)
def test_parse_size_refuses(text):
    with pytest.raises(SettingsError, match="is not a size"):
        parse_size(text)


def _linux(root: Path, available_kb: int, cgroup: str) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(f"MemTotal: 99999999 kB\nMemAvailable:   {available_kb} kB\nBuffers: 5 kB\n")
    (root / "proc/self/cgroup").write_text(cgroup)
    return root


def _group(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def test_available_without_limits_is_what_the_kernel_says(tmp_path):
    assert linux_available_bytes(_linux(tmp_path, 1000, "0::/\n")) == 1000 * 1024


def test_available_inside_a_cgroup_is_what_its_tightest_parent_allows(tmp_path):
    root = _linux(tmp_path, 1000, "0::/box/inner\n")
    _group(root / "sys/fs/cgroup/box/inner", memory__max="max", memory__current=5000)
    _group(
        root / "sys/fs/cgroup/box",
        memory__max=400_000,
        memory__current=250_000,
        memory__stat="anon 200000\ninactive_file 30000\nactive_file 1",
    )
    assert linux_available_bytes(root) == 400_000 - 250_000 + 30_000


def test_available_inside_a_container_that_sees_only_its_own_cgroup(tmp_path):
    root = _linux(tmp_path, 1000, "0::/../../host/path\n")
    _group(root / "sys/fs/cgroup", memory__max=90_000, memory__current=100_000)
    assert linux_available_bytes(root) == 0


def test_the_group_of_another_controller_is_not_one_of_memory(tmp_path):
    root = _linux(tmp_path, 1000, "5:cpu,cpuacct:/b\n4:memory:/a\n")
    _group(root / "sys/fs/cgroup/memory/b", memory__limit_in_bytes=100_000, memory__usage_in_bytes=70_000)
    assert linux_available_bytes(root) == 1000 * 1024


def test_available_under_cgroup_version_1(tmp_path):
    root = _linux(tmp_path, 1000, "5:cpu,cpuacct:/a\n4:memory:/a\n0::/\n")
    group = root / "sys/fs/cgroup/memory"
    _group(group, memory__limit_in_bytes=9223372036854771712, memory__usage_in_bytes=70_000)
    assert linux_available_bytes(root) == 1000 * 1024
    _group(
        group / "a",
        memory__limit_in_bytes=100_000,
        memory__usage_in_bytes=70_000,
        memory__stat="inactive_file 1\ntotal_inactive_file 2",
    )
    assert linux_available_bytes(root) == 30_002


VM_STAT = """\
Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                                5000.
Pages active:                            300000.
Pages inactive:                          200000.
Pages speculative:                          300.
Pages throttled:                              0.
Pages wired down:                        100000.
Pages purgeable:                           7000.
"Translation faults":                 123456789.
"""


def test_available_on_macos_is_not_all_there_is(monkeypatch):
    assert macos_available_bytes(VM_STAT) == 16384 * 205_300
    assert macos_available_bytes("") is macos_available_bytes(VM_STAT.replace("Pages inactive", "Else")) is None
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("seats.costs.memory._vm_stat", lambda: VM_STAT)
    assert available_bytes("mps") == available_bytes("cpu") == 16384 * 205_300


def test_available_where_macos_does_not_say(monkeypatch):
    def missing(*_args, **_settings):
        raise FileNotFoundError

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(subprocess, "run", missing)
    monkeypatch.setattr(os, "sysconf_names", {"SC_PHYS_PAGES": 0, "SC_PAGE_SIZE": 0})
    assert available_bytes("cpu") == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_available_falls_when_memory_is_taken():
    def taken() -> int:
        before = available_bytes("cpu")
        held = np.ones(2**30, dtype=np.uint8)
        assert held[-1] == 1
        return before - available_bytes(torch.device("cpu"))

    # Other processes take and give back memory at the same time, and Linux keeps hundreds of MiB that were freed
    # beside what it calls available, for whoever asks next.
    assert statistics.median(taken() for _ in range(5)) > 256 * 2**20


@on_linux
def test_peak_is_that_of_the_process_and_stays():
    before = peak_device_bytes("cpu")
    now = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    held = np.ones(max(0, before - now) + 100 * 2**20, dtype=np.uint8)
    during = peak_device_bytes("cpu")
    del held
    after = peak_device_bytes("cpu")

    slack = 2**22  # the kernel adds up its counters now and then
    assert before + 100 * 2**20 - slack <= during < before + 150 * 2**20
    assert after >= during - slack


@on_cuda
def test_cuda_memory():
    device = torch.device("cuda:0")
    torch.cuda.empty_cache()
    free = available_bytes(device)
    held = torch.ones(256 * 2**20, dtype=torch.uint8, device=device)
    assert free - available_bytes(device) > 200 * 2**20
    assert peak_device_bytes(device) >= 256 * 2**20
    del held  # torch keeps it, and gives it again
    assert available_bytes(device) > free - 56 * 2**20
    assert peak_device_bytes(device) >= 256 * 2**20
