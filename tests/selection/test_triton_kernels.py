"""The Triton kernels against the tensor versions: in Triton's interpreter on a CPU, as they are on a GPU."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from seats.selection import triton_kernels
from seats.selection.budget import choose_relevant
from seats.selection.diversity import select_diverse
from seats.selection.saliency import column_mass

pytest.importorskip("triton", reason="comes with torch for CUDA; on a CPU: pip install 'triton>=3.9'")

SELF = __file__
CASES = [(7, 1, 8, 7), (40, 2, 16, 16), (131, 2, 24, 64), (300, 1, 80, 300), (260, 2, 64, 128)]
"""Tokens, heads, width of a head, window."""


def _device():
    return "cuda" if torch.cuda.is_available() else "cpu"


def _queries(n, heads, dim, dtype):
    generator = torch.Generator().manual_seed(n)
    return [torch.randn(n, heads, dim, generator=generator).to(_device(), dtype) for _ in range(2)]


def _masses(dtype):
    return [column_mass(*_queries(n, heads, dim, dtype), window).cpu() for n, heads, dim, window in CASES]


def _picks():
    masks = []
    for n, window, ratio in ((9, 4, 0.5), (50, 50, 0.3), (200, 64, 0.4), (333, 100, 0.15)):
        generator = torch.Generator().manual_seed(n)
        features = torch.randn(n, 12, generator=generator)
        features[n // 2] = features[0]  # an exact duplicate
        saliency = torch.rand(n, generator=generator)
        for scores in (None, saliency.to(_device())):
            masks.append(select_diverse(features.to(_device()), scores, window, ratio).cpu())
    return masks


def _relevant():
    """Choices at drop layers: random, with ties, windows that are numbered with gaps, one modality, other types."""
    masks = []
    for seed, n, kinds, dtype in (
        (1, 300, 3, "float32"),
        (2, 700, 3, "float32"),
        (3, 90, 2, "float32"),
        (4, 257, 3, "float16"),
    ):
        generator = torch.Generator().manual_seed(seed)
        modality = torch.randint(0, kinds, (n,), generator=generator).to(torch.int8)
        window = 3 * torch.randint(0, 9, (n,), generator=generator)
        scores = torch.rand(n, generator=generator) / n
        if seed == 2:
            scores = (8 * n * scores).round() / n
        given = [x.to(_device()) for x in (scores.to(getattr(torch, dtype)), modality, window)]
        masks.append(choose_relevant(*given, 0.4, 0.7, 0.1).keep.cpu())
    return masks


def _by_kernels(what, tmp_path):
    """The result with kernels in use: without a GPU in a process of its own, as the interpreter is chosen when Triton
    is imported."""
    if torch.cuda.is_available():
        return _made(what)
    path = tmp_path / "found.pt"
    env = {**os.environ, "TRITON_INTERPRET": "1"}
    subprocess.run([sys.executable, SELF, what, str(path)], env=env, check=True, timeout=280)
    return torch.load(path)


def _made(what):
    """what: "picks", "relevant" or a type, for column masses."""
    assert triton_kernels.usable(torch.zeros(1, device=_device()))
    made = {"picks": _picks, "relevant": _relevant}.get(what)
    return made() if made else _masses(getattr(torch, what))


def _without_kernels(monkeypatch):
    monkeypatch.setattr(triton_kernels, "usable", lambda _: False)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_column_mass(dtype, tmp_path, monkeypatch):
    if dtype == "bfloat16" and not torch.cuda.is_available():
        pytest.skip("Triton's interpreter multiplies the bits of bfloat16 as if they were integers")
    found = _by_kernels(dtype, tmp_path)
    _without_kernels(monkeypatch)
    tolerance = 1e-5 if dtype == "float32" else 2e-2
    for mine, expected in zip(found, _masses(getattr(torch, dtype)), strict=True):
        torch.testing.assert_close(mine, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.slow
def test_picks_are_the_same(tmp_path, monkeypatch):
    found = _by_kernels("picks", tmp_path)
    _without_kernels(monkeypatch)
    for mine, expected in zip(found, _picks(), strict=True):
        assert torch.equal(mine, expected)


@pytest.mark.slow
def test_choices_at_a_drop_layer_are_the_same(tmp_path, monkeypatch):
    found = _by_kernels("relevant", tmp_path)
    _without_kernels(monkeypatch)
    for mine, expected in zip(found, _relevant(), strict=True):
        assert torch.equal(mine, expected)
        assert 0 < mine.sum() < len(mine)


@pytest.mark.parametrize(
    ("capability", "usable", "large"),
    [
        ((7, 5), False, False),
        ((8, 0), True, False),
        ((8, 9), True, False),
        ((9, 0), True, True),
        ((12, 0), True, False),
    ],
)
def test_what_a_gpu_must_be_for_kernels(capability, usable, large, monkeypatch):
    """Below 8 there are no matrix units for them; between and behind 9 and 10 some do not fit into the registers."""
    for name, answer in (("interpreted", False), ("starts", True), ("_capability", capability)):
        monkeypatch.setattr(triton_kernels, name, lambda *_, answer=answer: answer)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.delenv("SEATS_TRITON", raising=False)
    x = SimpleNamespace(is_cuda=True, device=torch.device("cuda:0"))
    assert triton_kernels.usable(x) == usable
    assert triton_kernels.is_large(x) == triton_kernels.has_accelerator(x) == large
    monkeypatch.setenv("SEATS_TRITON", "no-tma")
    assert triton_kernels.is_large(x) == large
    assert not triton_kernels.has_accelerator(x)


if __name__ == "__main__":
    torch.save(_made(sys.argv[1]), sys.argv[2])
