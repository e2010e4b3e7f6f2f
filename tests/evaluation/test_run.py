from pathlib import Path

import pytest

from seats.errors import MediaError
from seats.evaluation.qa import QAItem
from seats.evaluation.run import Setting, accuracy_by_type, evaluate
from seats.inference.answer import Question
from seats.inference.generate import Decoding
from seats.media import load_clip
from seats.models.checkpoint import find_checkpoint
from seats.models.omni import load_model
from tests.checkpoints import save_tiny_checkpoint

CLIP = Path(__file__).parents[2] / "samples" / "simple.mp4"
SETTINGS = [Setting("full", None), Setting("seats", 10.0), Setting("random", 25.0)]
ASKED = Question("", decoding=Decoding(max_new_tokens=3))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    save_tiny_checkpoint(folder, "qwen2.5-omni")
    return load_model(find_checkpoint(str(folder)), device="cpu")


def _item(number: int, clip: Path = CLIP, answer: str = "?") -> QAItem:
    return QAItem(str(number), clip, f"what {number}", answer, "even" if number % 2 == 0 else "odd")


def test_a_clip_is_decoded_once_for_all_questions_and_settings(model):
    loaded = []

    def load(path):
        loaded.append(path)
        return load_clip(path, sampling=model.sampling, end_s=2.0)

    outcomes = list(evaluate(model, [_item(1), _item(2)], SETTINGS, ASKED, load))

    assert loaded == [CLIP]
    assert [(o.item.id, o.setting.label) for o in outcomes] == [
        (number, label) for number in "12" for label in ("full", "seats 10%", "random 25%")
    ]
    full, seats, random = (outcome.report.trace for outcome in outcomes[:3])
    assert full.retention("video") == 1.0
    assert seats.retention("video") < random.retention("video") < 1.0


def test_the_right_answer_counts_and_any_other_does_not(model):
    def load(path):
        return load_clip(path, sampling=model.sampling, end_s=2.0)

    (seen,) = evaluate(model, [_item(1)], SETTINGS[:1], ASKED, load)
    items = [_item(1, answer=seen.report.text.upper()), _item(2, answer="something else")]
    outcomes = list(evaluate(model, items, SETTINGS[:1], ASKED, load))

    assert [o.right for o in outcomes] == [True, False]
    table = accuracy_by_type(outcomes)
    assert list(table) == ["even", "odd", "all"]
    assert (table["all"].right, table["all"].total) == (1, 2)


def test_a_clip_that_cannot_be_read_costs_its_questions_only(model):
    def load(path):
        if path.name == "broken.mp4":
            raise MediaError("broken.mp4: no")
        return load_clip(path, sampling=model.sampling, end_s=2.0)

    items = [_item(1, Path("broken.mp4")), _item(2)]
    outcomes = list(evaluate(model, items, SETTINGS[:2], ASKED, load))

    assert [bool(o.error) for o in outcomes] == [True, True, False, False]
    assert not any(o.right for o in outcomes[:2])
