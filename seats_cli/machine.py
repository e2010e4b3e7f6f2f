"""What this machine has and what works on it, looked at for `seats doctor`."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from threading import Thread

from seats.errors import SeatsError
from seats.host import usable_cpus
from seats.imports import lasting_imports
from seats.units import size
from seats_cli.codecs import SAMPLES, decodes

HUB_TIMEOUT_S = 3.0
_NEEDED_CODECS = ("h264", "aac")
_NEEDED_MEMORY = 2**30
_EXTRAS = {
    "eval": ("matplotlib",),
    "parquet": ("pyarrow",),
    "quant": ("bitsandbytes", "accelerate"),
    "ray": ("ray",),
}
_PACKAGES = ("seats", "torch", "transformers", "huggingface-hub", "av", "numpy")


@dataclass(frozen=True)
class Gpu:
    """index: as in `--device cuda:index`. capability: "9.0"."""

    index: int
    name: str
    capability: str
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class Attention:
    """sdpa: torch's kernels that may be chosen. varlen: torch's own for windows of any length. flash_attn: version of
    the package, which nothing here needs. triton: version of the package, with which selection's own kernels run on a
    GPU."""

    sdpa: tuple[str, ...]
    varlen: bool
    flash_attn: str | None
    triton: str | None


@dataclass(frozen=True)
class ModelState:
    """bytes: of its weights on disk, None if it is not there as a whole."""

    name: str
    bytes: int | None


@dataclass(frozen=True)
class Hub:
    """reachable: None if it was not asked (offline)."""

    endpoint: str
    reachable: bool | None
    cache: str
    cache_free_bytes: int
    models: tuple[ModelState, ...]


@dataclass(frozen=True)
class Machine:
    """Everything `seats doctor` shows.

    gpus: those of CUDA. mps: whether torch can use an Apple GPU. extras: whether each of the package's optional parts
    has what it needs. problems: what keeps the built-in model from answering, one line each.
    """

    python: str
    system: str
    cpus: int
    versions: dict[str, str | None]
    transformers_tested: tuple[str, str] | None
    transformers_inside: bool | None
    gpus: tuple[Gpu, ...]
    mps: bool
    attention: Attention | None
    codecs: dict[str, bool]
    extras: dict[str, bool]
    built_in: ModelState
    hub: Hub
    memory_free_bytes: int
    problems: tuple[str, ...]


def examine(offline: bool) -> Machine:
    """Look at the machine. offline: don't ask the hub. Takes as long as importing torch and transformers."""
    from huggingface_hub import constants

    problems: list[str] = []
    asking = None if offline or constants.HF_HUB_OFFLINE else _Asking(constants.ENDPOINT)
    with lasting_imports():
        torch_works = _imports("torch", problems)
        tested, inside = _transformers(problems) if torch_works else (None, None)
    codecs = _codecs(problems)
    memory = _memory(problems)
    return Machine(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        cpus=usable_cpus(),
        versions={name: _version(name) for name in _PACKAGES},
        transformers_tested=tested,
        transformers_inside=inside,
        gpus=_gpus() if torch_works else (),
        mps=torch_works and _mps(),
        attention=_attention() if torch_works else None,
        codecs=codecs,
        extras={extra: all(map(_version, packages)) for extra, packages in _EXTRAS.items()},
        built_in=_built_in(problems),
        hub=_hub(constants.ENDPOINT, asking),
        memory_free_bytes=memory,
        problems=tuple(problems),
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _imports(module: str, problems: list[str]) -> bool:
    try:
        __import__(module)
    except Exception as error:  # a broken installation can raise anything
        problems.append(f"{module} cannot be imported ({type(error).__name__}: {error}): install it again")
        return False
    return True


def _transformers(problems: list[str]) -> tuple[tuple[str, str] | None, bool | None]:
    if not _imports("transformers", problems):
        return None, None
    from seats.models import compat
    from seats.models.checkpoint import BUILT_IN, find_checkpoint
    from seats.models.omni import import_model_code

    try:
        import_model_code(find_checkpoint(BUILT_IN))
    except SeatsError as error:
        problems.append(str(error))
    try:
        return compat.TESTED, compat.check_transformers() is None
    except SeatsError as error:
        problems.append(str(error))
        return compat.TESTED, False


def _codecs(problems: list[str]) -> dict[str, bool]:
    if not _imports("av", problems):
        return dict.fromkeys(SAMPLES, False)
    found = {name: decodes(name) for name in SAMPLES}
    lacking = [name for name in _NEEDED_CODECS if not found[name]]
    if lacking:
        problems.append(f"PyAV does not decode {' and '.join(lacking)}: install av from its wheel (pip install av)")
    return found


def _memory(problems: list[str]) -> int:
    from seats.costs.memory import available_bytes

    free = available_bytes("cpu")
    if free < _NEEDED_MEMORY:
        problems.append(f"only {size(free)} of memory are free: the built-in model wants {size(_NEEDED_MEMORY)}")
    return free


def _gpus() -> tuple[Gpu, ...]:
    import torch

    if not torch.cuda.is_available():
        return ()
    found = []
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        capability = ".".join(map(str, torch.cuda.get_device_capability(index)))
        found.append(Gpu(index, torch.cuda.get_device_name(index), capability, total, free))
    return tuple(found)


def _mps() -> bool:
    import torch

    return torch.backends.mps.is_available()


def _attention() -> Attention:
    import torch

    kernels = ["CPU"]
    if torch.cuda.is_available():
        enabled = torch.backends.cuda
        asked = (
            ("flash", enabled.flash_sdp_enabled),
            ("memory-efficient", enabled.mem_efficient_sdp_enabled),
            ("cudnn", enabled.cudnn_sdp_enabled),
        )
        kernels = [*(name for name, works in asked if works()), "math"]
    varlen = torch.cuda.is_available() and find_spec("torch.nn.attention.varlen") is not None
    return Attention(tuple(kernels), varlen, _version("flash-attn"), _version("triton"))


def _built_in(problems: list[str]) -> ModelState:
    from seats.models.checkpoint import BUILT_IN, find_checkpoint
    from seats.models.hub import cached_bytes
    from seats.models.weight_files import thinker_bytes

    try:
        checkpoint = find_checkpoint(BUILT_IN)
        _ = checkpoint.config  # raises where it is missing or broken
        thinker_bytes(checkpoint)  # likewise
        return ModelState(BUILT_IN, cached_bytes(BUILT_IN))
    except SeatsError as error:
        problems.append(f"{BUILT_IN}, the built-in model, is not whole: {error}; install seats again")
        return ModelState(BUILT_IN, None)


def _hub(endpoint: str, asking: _Asking | None) -> Hub:
    from seats.models.checkpoint import BUILT_IN, KNOWN
    from seats.models.hub import cache_folder, cached_bytes, free_bytes

    cache = cache_folder()
    models = tuple(ModelState(name, cached_bytes(name)) for name in KNOWN if name != BUILT_IN)
    return Hub(endpoint, None if asking is None else asking.answer(), str(cache), free_bytes(cache), models)


class _Asking:
    """Asks an address for any answer at all, on a thread: name lookups know no time limit."""

    def __init__(self, address: str) -> None:
        self._reached = False
        self._address = address
        self._thread = Thread(target=self._ask, daemon=True)
        self._thread.start()

    def answer(self) -> bool:
        """Whether an answer has come, waiting for the rest of the time limit at most."""
        self._thread.join(HUB_TIMEOUT_S)
        return self._reached

    def _ask(self) -> None:
        from urllib.error import HTTPError
        from urllib.request import Request, urlopen

        try:
            with urlopen(Request(self._address, method="HEAD"), timeout=HUB_TIMEOUT_S):
                self._reached = True
        except HTTPError:
            self._reached = True
        except (OSError, ValueError):
            self._reached = False
