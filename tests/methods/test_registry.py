"""Methods by name, and a third party's by entry point, exactly as the README shows it."""

import re
import sys
from pathlib import Path

import pytest

import seats
from seats.errors import SettingsError
from seats.methods import ModelShape, Retention, method_class, method_classes, retention_for
from tests.tiny import FAMILIES, tiny_inputs, tiny_thinker

BUILT_IN = {
    "seats", "full", "random", "fastv", "fastv-om", "visionzip", "visionzip-om", "divprune", "divprune-om", "dycoke",
    "fastvid", "omnizip",
}  # fmt: skip


def readme_blocks() -> dict[str, str]:
    """The code blocks of the section on methods of one's own, by language."""
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    section = text.split("## Add a method\n")[1].split("\n## ")[0]
    return dict(re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL))


def test_every_method_has_its_own_name_and_source():
    classes = method_classes()
    assert set(classes) >= BUILT_IN
    for name in BUILT_IN:
        assert classes[name].name == name
        assert classes[name].source
        made = classes[name].for_model(ModelShape("qwen2.5-omni", 28, {}), Retention(0.3, 0.65), 5)
        settings = made.settings()
        assert settings["name"] == name
        if name != "full":
            assert (settings["video"], settings["audio"]) == (0.3, 0.65)
        assert settings.get("seed", 5) == 5


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(SettingsError, match=r"unknown method 'fastvv'.*divprune-om, dycoke, fastv, fastv-om"):
        method_class("fastvv")


# What the table of the paper leaves empty, and what it has, for one window's mix of tokens or by the method itself.
@pytest.mark.parametrize(
    ("name", "family", "reachable"),
    [
        ("fastv", "qwen2.5-omni", {35, 25, 15}),
        ("fastv-om", "qwen3-omni", {35, 25, 15, 10}),
        ("visionzip-om", "qwen2.5-omni", {35, 25, 15, 10}),
        ("omnizip", "qwen2.5-omni", {35}),
        ("omnizip", "qwen3-omni", {35}),
        ("seats", "qwen3-omni", {35, 25, 15, 10}),
    ],
)
def test_operating_points_in_reach(name, family, reachable):
    shape = ModelShape(family, 28 if family == "qwen2.5-omni" else 48, {})
    for keep in (35, 25, 15, 10):
        retention = retention_for(family, keep)
        if keep in reachable:
            method_class(name).for_model(shape, retention, 0)
        else:
            with pytest.raises(SettingsError, match="cannot keep") as caught:
                method_class(name).for_model(shape, retention, 0)
            assert "\n" not in str(caught.value)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The README's example as an installed package."""
    blocks = readme_blocks()
    (tmp_path / "my_package.py").write_text(blocks["python"], encoding="utf-8")
    info = tmp_path / "my_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n", encoding="utf-8")
    group, entry = re.search(r'\[project.entry-points."([\w.]+)"\]\n(.*)', blocks["toml"]).groups()
    (info / "entry_points.txt").write_text(f"[{group}]\n{entry.replace(chr(34), '')}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("my_package", None)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("family", FAMILIES)
def test_the_example_of_the_readme_runs(family):
    thinker = tiny_thinker(family)
    method = method_class("strided").for_model(ModelShape(family, 8, {}), Retention(0.25, 0.5), 0)
    with seats.attach(thinker, method) as attached:
        thinker.generate(**tiny_inputs(family, grid=(4, 8, 8)), max_new_tokens=2, do_sample=False)
    assert attached.trace.retention("video") == 0.25
    assert attached.trace.retention("audio") == pytest.approx(0.5, abs=0.02)
    assert method.settings() == {"name": "strided", "video": 0.25, "audio": 0.5}


@pytest.mark.usefixtures("installed")
def test_packages_cannot_replace_a_built_in_method(tmp_path):
    file = next(tmp_path.glob("*.dist-info")) / "entry_points.txt"
    file.write_text(file.read_text().replace("strided =", "seats ="))
    assert method_class("seats").__module__ == "seats.methods.seats"
