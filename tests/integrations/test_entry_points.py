"""What this package offers to other programs is there under the names they look for."""

import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType, SimpleNamespace

import seats


def test_lmms_eval_finds_a_class_of_this_package(monkeypatch):
    for name in ("lmms_eval", "lmms_eval.models", "lmms_eval.models.registry_v2"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["lmms_eval.models.registry_v2"].ModelManifest = SimpleNamespace  # type: ignore[attr-defined]
    (entry,) = entry_points(group="lmms_eval.models", name="seats")
    manifest = entry.load()()
    assert manifest.model_id == "seats"
    module, _, cls = manifest.simple_class_path.rpartition(".")
    source = Path(seats.__file__).parent.parent.joinpath(*module.split(".")).with_suffix(".py").read_text()
    assert f"class {cls}(lmms):" in source
