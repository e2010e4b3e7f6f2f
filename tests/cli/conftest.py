"""A tiny checkpoint, clips, and two ways to run the command line: in this process, and as a user's shell does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.checkpoints import save_tiny_checkpoint
from tests.media.make import tone, write_clip


@dataclass(frozen=True)
class Ran:
    """Exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """Standard error, which must be one line."""
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        return lines[0]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny", "qwen2.5-omni")


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both.mp4 (4 s), mute.mp4, sound.m4a, text.mp4 and empty.mp4."""
    folder = tmp_path_factory.mktemp("clips")
    write_clip(folder / "both.mp4", frames=40, rate=10, sound=tone(4))
    write_clip(folder / "mute.mp4", frames=40, rate=10)
    write_clip(folder / "sound.m4a", sound=tone(4), container_format="mp4")
    (folder / "text.mp4").write_text("This is a letter, not a clip.\n" * 20)
    (folder / "empty.mp4").touch()
    return folder


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of the user who runs the tests, and no network."""
    for name in [name for name in os.environ if name.startswith("SEATS_") or name in ("NO_COLOR", "FORCE_COLOR")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run the command line in this process."""
    from seats_cli.app import run as run_cli

    def call(*arguments: object) -> Ran:
        capsys.readouterr()
        code = run_cli([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return call


@pytest.fixture
def shell() -> Callable[..., Ran]:
    """Run the command line as a process of its own."""

    def call(*arguments: object, code: str | None = None, **options: object) -> Ran:
        start = ["-c", code] if code else ["-m", "seats_cli"]
        done = subprocess.run(
            [sys.executable, *start, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
            **options,  # type: ignore[call-overload]
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return call
