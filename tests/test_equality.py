"""What holds tensors is equal to itself alone: asking whether two tensors are equal gives a tensor, not an answer."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "seats"
HOLDERS = ("Tensor", "ndarray")


def dataclasses_of(file: Path):
    """Name, what the decorator says, and the annotations of the fields that count for equality."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ClassDef):
            continue
        said = [ast.unparse(one) for one in node.decorator_list]
        if any(one.startswith("dataclass") for one in said):
            fields = [one for one in node.body if isinstance(one, ast.AnnAssign)]
            counted = [one for one in fields if one.value is None or "compare=False" not in ast.unparse(one.value)]
            yield node.name, said, [ast.unparse(one.annotation) for one in counted]


FOUND = {
    f"{file.relative_to(PACKAGE)}:{name}": rest
    for file in PACKAGE.rglob("*.py")
    for name, *rest in dataclasses_of(file)
}


def test_dataclasses_are_found():
    assert len(FOUND) > 100
    assert "media/clip.py:Clip" in FOUND


def test_holders_of_tensors_are_compared_by_identity():
    def holds(annotations):
        return any(kind in one for one in annotations for kind in HOLDERS if "ClassVar" not in one)

    wrong = [name for name, (said, annotations) in FOUND.items() if holds(annotations) and "eq=False" not in said[0]]
    assert not wrong
