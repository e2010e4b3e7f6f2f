"""What is built and shipped: the version everywhere, the files of wheel and source archive, the wheel at work."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from packaging.requirements import Requirement

import seats
from tests.tour import Tour

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FILES = ["pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "constraints.txt"]
FOLDERS = ["seats", "seats_cli", "tests", "samples", "benchmarks", "docs"]
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, 'build_' + sys.argv[1])(sys.argv[2]))"


def test_the_version_is_the_same_everywhere() -> None:
    expected = PROJECT["version"]
    assert version("seats") == seats.__version__ == expected
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == expected
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert next(name for name in headings if name != "Unreleased") == expected
    code = "from seats_cli.app import run; run(['--version'])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == f"seats {expected}\n"


def test_the_citation_names_software_and_paper() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= cited.keys()
    assert cited["license"] == PROJECT["license"] == "Apache-2.0"
    (paper,) = cited["references"]
    assert {"type", "title", "authors"} <= paper.keys()
    assert "2605.20035" in paper["url"]


def test_extras_that_messages_name_exist_and_tests_run_with_most() -> None:
    extras = PROJECT["optional-dependencies"]
    sources = [file.read_text() for folder in ("seats", "seats_cli") for file in (ROOT / folder).rglob("*.py")]
    named = {name for source in sources for name in re.findall(r"seats\\*\[(\w+)\\*\]", source)}
    assert named <= extras.keys()
    ours = next(one for one in map(Requirement, extras["test"]) if one.name == "seats")
    assert ours.extras == extras.keys() - {"test", "quant"}  # which needs a GPU


def test_nothing_is_fetched_by_our_name_from_an_index() -> None:
    """Another project has the name there."""
    texts = [ROOT / "README.md", *ROOT.glob("docs/*.md"), ROOT / "benchmarks" / "README.md"]
    for file in (*texts, *(file for folder in ("seats", "seats_cli") for file in (ROOT / folder).rglob("*.py"))):
        assert not re.search(r"pip install (-\S+ )*'?seats\b", file.read_text(encoding="utf-8")), file


def test_constraints_pin_what_the_tests_need_directly() -> None:
    pinned = {_plain(line.partition("==")[0]) for line in (ROOT / "constraints.txt").read_text().splitlines()[1:]}
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *(one for name in extras if name != "quant" for one in extras[name])]
    assert {_plain(Requirement(one).name) for one in wanted} - pinned == {"seats"}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


class Built(NamedTuple):
    """files: what the tree held that is to be shipped."""

    files: set[str]
    archive: Path
    wheel: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """From a copy of this tree, with things in it that must not be shipped."""
    folder = tmp_path_factory.mktemp("built")
    source, out = folder / "source", folder / "out"
    source.mkdir()
    for name in FILES:
        shutil.copy(ROOT / name, source)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    files = {str(file.relative_to(source)) for file in source.rglob("*") if file.is_file()}
    for stray in ("runs/long/checkpoint.pt", "seats/__pycache__/old.pyc", "tests/__pycache__/old.pyc", "notes.txt"):
        (source / stray).parent.mkdir(parents=True, exist_ok=True)
        (source / stray).touch()
    archive = _build("sdist", source, out)
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return Built(files, archive, _build("wheel", folder / archive.name.removesuffix(".tar.gz"), out))


def _build(kind: str, source: Path, out: Path) -> Path:
    ran = subprocess.run([sys.executable, "-c", BUILD, kind, out], cwd=source, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    return out / ran.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel in a folder of its own. What it depends on comes from the environment of the tests."""
    folder = tmp_path_factory.mktemp("installed")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", folder]
    subprocess.run([*install, built.wheel], check=True, timeout=200)
    return folder


@pytest.mark.slow
def test_the_wheel_holds_the_packages_and_their_data_alone(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        found = set(wheel.namelist())
        metadata = wheel.read(f"seats-{PROJECT['version']}.dist-info/METADATA").decode()
    ours = {name for name in found if not name.startswith(f"seats-{PROJECT['version']}.dist-info/")}
    assert ours == {name for name in built.files if name.startswith(("seats/", "seats_cli/"))}
    assert {"seats/py.typed", "seats/nano/weights/model.safetensors", "seats/view/page/page.html"} < ours
    assert "seats/report/templates/page.html" in ours
    assert any(name.endswith("/licenses/LICENSE") for name in found)
    assert "License-Expression: Apache-2.0" in metadata


@pytest.mark.slow
def test_the_source_archive_holds_what_building_and_testing_take(built: Built) -> None:
    with tarfile.open(built.archive) as archive:
        found = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    made = {name for name in found if name.startswith("seats.egg-info/")} | {"PKG-INFO", "setup.cfg"}
    assert found - made == built.files


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_wheel_works_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    seats = [sys.executable, str(installed / "bin" / "seats")]
    Tour([sys.executable], seats, tmp_path / "away", environment).run()


@pytest.mark.slow
def test_a_method_added_as_its_page_says(tmp_path: Path) -> None:
    """Its Python and TOML as they stand there, in a package that is installed."""
    section = (
        (ROOT / "docs/methods.md").read_text(encoding="utf-8").partition("\n## Add a method\n")[2].partition("\n## ")[0]
    )
    code, entry = (re.search(rf"```{kind}\n(.*?)```", section, re.DOTALL)[1] for kind in ("python", "toml"))  # type: ignore[index]
    package, site = tmp_path / "package", tmp_path / "site"
    package.mkdir()
    (package / "my_package.py").write_text(code)
    system = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
    project = '[project]\nname = "my-package"\nversion = "1"\n[tool.setuptools]\npy-modules = ["my_package"]\n'
    (package / "pyproject.toml").write_text(system + project + entry)
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*install, "--target", site, package], check=True, timeout=200)
    ask = [sys.executable, "-m", "seats_cli", "ask", ROOT / "samples" / "simple.mp4", "Which shape is orange?"]
    ask += ["--model", "seats-nano", "--method", "strided", "--keep-video", "50%", "--keep-audio", "25%", "--json"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(site), str(ROOT)))}
    ran = subprocess.run(ask, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=250)
    assert ran.returncode == 0, ran.stderr
    answer = json.loads(ran.stdout)
    assert answer["method"]["name"] == "strided"
    assert answer["retention"]["video"] == pytest.approx(0.5, abs=0.02)
    assert answer["retention"]["audio"] == pytest.approx(0.25, abs=0.02)
