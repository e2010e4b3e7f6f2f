import importlib
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

from seats.evaluation.identity import clip_digest, model_identity, question_digest, setting_digest
from seats.evaluation.qa import QAItem
from seats.evaluation.run import Evaluation
from seats.evaluation.settings import Asking, named_settings, set_up
from seats.inference.generate import Decoding
from seats.keep import ENTRY_POINT_GROUP
from seats.methods import ModelShape, Random
from seats.models.checkpoint import Checkpoint

ITEM = QAItem("1", Path("a.mp4"), "What?", ("red",))
SHAPE = ModelShape("qwen2.5-omni", 10, {})


def test_a_clip_is_known_by_its_content(tmp_path):
    for name, content in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        (tmp_path / name).write_bytes(content)
    a, b, c = (clip_digest(tmp_path / name) for name in "abc")
    assert a == b != c
    (tmp_path / "empty").write_bytes(b"")
    assert clip_digest(tmp_path / "gone") == "unreadable: gone"
    assert clip_digest(tmp_path / "empty") == "unreadable: empty"


def test_a_question_is_known_by_clip_text_and_options_alone():
    digest = question_digest(ITEM, "clip")
    assert digest == question_digest(
        replace(ITEM, id="2", answers=("blue",), type="colour", clip=Path("b.mp4")), "clip"
    )
    others = [
        question_digest(ITEM, "other clip"),
        question_digest(replace(ITEM, question="Why?"), "clip"),
        question_digest(replace(ITEM, options=("red", "blue"), answers=("A",)), "clip"),
        question_digest(replace(ITEM, question="What?\nA. red\nB. blue\nAnswer with the letter."), "clip"),
        question_digest(ITEM, "clip", {"max_frames": 8}),
        question_digest(ITEM, "clip", {"max_frames": 6}),
    ]
    assert len({digest, *others}) == 7
    assert digest == question_digest(ITEM, "clip", {})


def test_a_model_is_known_by_its_files_and_how_it_runs(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(bytes(range(256)) * 1000)
    first = model_identity(Checkpoint("m", tmp_path), "cpu")
    assert first == model_identity(Checkpoint("another name", tmp_path), "cpu")
    assert model_identity(Checkpoint("m", tmp_path), "cuda:1")["device"] == "cuda"
    assert model_identity(Checkpoint("m", tmp_path), "cpu", "bfloat16") != first
    weights.write_bytes(bytes(reversed(range(256))) * 1000)
    assert model_identity(Checkpoint("m", tmp_path), "cpu") != first


def test_a_setting_is_known_by_everything_its_answers_depend_on():
    def digests(asking=Asking(), model=("m", "1"), part=None):  # noqa: B008
        ready = set_up(named_settings(["full", "random"], [10.0]), asking, SHAPE)
        return list(Evaluation.of(ready, asking, {"name": model[0], "files": model[1]}, part or {}).digests.values())

    first = digests()
    assert first == digests(model=("another name", "1"))
    assert not set(first) & set(digests(model=("m", "2")))
    assert not set(first) & set(digests(part={"fps": 1.0}))
    assert not set(first) & set(digests(Asking(kv="drop")))
    assert not set(first) & set(digests(Asking(system="Be brief.")))
    assert not set(first) & set(digests(Asking(decoding=Decoding(max_new_tokens=3))))
    # Another seed is another draw for random, and the same for full tokens unless the answer itself is drawn.
    seeded = digests(Asking(decoding=Decoding(seed=1)))
    assert (seeded[0] == first[0], seeded[1] == first[1]) == (True, False)
    assert len({digests(Asking(decoding=Decoding(temperature=1.0, seed=seed)))[0] for seed in (0, 1)}) == 2
    assert setting_digest(Random(0.1, 0.2), {}) != setting_digest(Random(0.1, 0.3), {})


def test_a_method_of_another_package_is_one_with_its_code(tmp_path, monkeypatch):
    """Rows that it gave before it was edited are not taken for what it gives now."""
    monkeypatch.syspath_prepend(tmp_path)
    offered = [EntryPoint("theirs", "edited_plug_in:Theirs", ENTRY_POINT_GROUP)]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: offered)
    method = type("Theirs", (Random,), {"name": "theirs"})(0.1, 0.2)
    digests = [setting_digest(method, {})]
    for source in ("a = 1\n", "a = 2\n"):
        (tmp_path / "edited_plug_in.py").write_text(source)
        importlib.invalidate_caches()
        digests += [setting_digest(method, {}), setting_digest(method, {})]
    missing, first, again, other, last = digests
    assert (again, last) == (first, other)
    assert len({missing, first, other}) == 3
