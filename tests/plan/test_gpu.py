"""Which GPUs CUDA_VISIBLE_DEVICES shows, of those that a stand-in for nvidia-smi tells of."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from seats.plan.gpu import PresentGpu, present_gpus

LIST = """\
GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-aaaa1111-0000)
GPU 1: NVIDIA A100-SXM4-80GB (UUID: GPU-aaaa2222-0000)
  MIG 3g.40gb     Device  0: (UUID: MIG-1111)
  MIG 1g.10gb     Device  1: (UUID: MIG-2222)
GPU 2: NVIDIA H100 (UUID: GPU-bbbb3333-0000)
"""
QUERY = """\
0, GPU-aaaa1111-0000, NVIDIA A100-SXM4-80GB, 81000
1, GPU-aaaa2222-0000, NVIDIA A100-SXM4-80GB, [N/A]
2, GPU-bbbb3333-0000, NVIDIA H100, 200
"""
GPUS = {0: PresentGpu("NVIDIA A100-SXM4-80GB", 81000 * 2**20), 2: PresentGpu("NVIDIA H100", 200 * 2**20)}
MIG = (
    "<mig_device><index>{}</index><fb_memory_usage><total>{} MiB</total><free>{} MiB</free></fb_memory_usage>"
    "</mig_device>"
)
XML = (
    "<nvidia_smi_log><gpu><uuid>GPU-aaaa1111-0000</uuid><mig_devices>None</mig_devices></gpu><gpu>"
    f"<uuid>GPU-aaaa2222-0000</uuid><mig_devices>{MIG.format(0, 40192, 40000)}{MIG.format(1, 9728, 9700)}</mig_devices>"
    "</gpu></nvidia_smi_log>"
)


@pytest.fixture(autouse=True)
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("list", LIST), ("query", QUERY), ("xml", XML)):
        (tmp_path / name).write_text(text)
    script = tmp_path / "nvidia-smi"
    script.write_text(
        f'#!/bin/sh\ncd "{tmp_path}"\n'
        'case "$*" in -L) exec /bin/cat list;; "-q -x") exec /bin/cat xml;; --query-gpu=*) exec /bin/cat query;; '
        "*) exit 6;; esac\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_all_without_the_variable() -> None:
    assert present_gpus() == [GPUS[0], GPUS[2]]


@pytest.mark.parametrize(
    ("visible", "indices"),
    [
        ("2,0", [2, 0]),
        (" 2 ", [2]),
        ("", []),
        ("-1", []),
        ("GPU-bbbb3333-0000", [2]),
        ("GPU-bbbb", [2]),  # CUDA takes the beginning, where only one begins so
        ("GPU-bbbb,GPU-aaaa1", [2, 0]),
        ("GPU-aaaa", []),
        ("0,1,2", [0, 2]),  # 1 does not tell its memory
        ("0,7,2", [0]),  # CUDA stops where it knows none
        ("0,GPU-cccc,2", [0]),
    ],
)
def test_those_that_are_shown(monkeypatch: pytest.MonkeyPatch, visible: str, indices: list[int]) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert present_gpus() == [GPUS[index] for index in indices]


def test_a_part_of_a_gpu_by_its_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-2222")
    assert present_gpus() == [PresentGpu("NVIDIA A100-SXM4-80GB MIG 1g.10gb", 9700 * 2**20)]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-3333")
    assert present_gpus() == []


def test_a_driver_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("seats.plan.gpu.TIMEOUT_S", 0.2)
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexec /bin/sleep 30\n")
    began = time.monotonic()
    assert present_gpus() == []
    assert time.monotonic() - began < 20


def test_without_the_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for script in ("exit 9", "echo No devices were found"):
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
        assert present_gpus() == []
    monkeypatch.setenv("PATH", "")
    assert present_gpus() == []
