"""Full tokens against a run, on a tiny model."""

from types import SimpleNamespace

import pytest

from seats.costs.timers import StepTimer
from seats.inference import speedup
from seats.inference.answer import Question, answer, answer_encoded
from seats.inference.encode import encode_clip
from seats.inference.generate import Decoding
from seats.inference.report import answer_json
from seats.media import load_clip
from seats.methods import method_class
from seats.models.checkpoint import Checkpoint
from seats.models.omni import load_model
from tests.checkpoints import save_tiny_checkpoint
from tests.media.make import tone, write_clip


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(Checkpoint("tiny", save_tiny_checkpoint(tmp_path_factory.mktemp("m"), "qwen2.5-omni")))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clips") / "both.mp4", frames=80, rate=20, sound=tone(4.0))


def test_a_measured_speedup(model, file):
    clip = load_clip(file, sampling=model.sampling)
    asked = Question("what is red ?", keep=25.0, decoding=Decoding(2), compare=True)
    found = answer_json(answer(model, clip, asked, decode_ms=12.5))["speedup"]
    assert found["basis"] == "measured"
    low, high = found["spread"]
    assert 0 < low <= found["prefill"] <= high
    assert found["first_token"] > 0


def test_a_measured_speedup_is_the_median_of_rounds_after_a_warm_up(model, monkeypatch):
    times = {"full": iter([900.0, 40.0, 60.0, 80.0]), "saliency": iter([3.0, 8.0, 18.0, 8.0])}

    def generate(_model, _prompt, which, decoding, timer, kv):
        assert (decoding.max_new_tokens, kv) == (1, "drop")
        timer.add("selection", 1.0)
        timer.add("prefill", next(times[which.name]) - 1.0)

    monkeypatch.setattr(speedup, "generate", generate)
    latency = {"first_token": 100.0, "prefill": 25.0, "selection": 5.0}
    method = Question("", method="saliency").method_for(model.shape)
    found = speedup.measured_speedup(model, None, method, "drop", latency, 2.0)
    assert (found.basis, found.prefill, found.spread) == ("measured", 4.0, (3.0, 8.0))
    assert found.first_token == pytest.approx((70 + 60) / (70 + 10))  # 70 ms are neither selection nor prefill


def test_an_estimated_speedup_scales_the_prefill_and_charges_selection():
    latency = {"first_token": 100.0, "prefill": 20.0, "selection": 10.0}
    flops = SimpleNamespace(full=SimpleNamespace(prefill=12.0), run=SimpleNamespace(prefill=4.0))
    found = speedup.estimated_speedup(flops, latency)
    assert (found.basis, found.prefill, found.spread) == ("estimated", 2.0, None)  # 3 * 20 ms against 30
    assert found.first_token == pytest.approx((70 + 60) / 100)


@pytest.mark.parametrize("compare", [True, False])
@pytest.mark.parametrize(("method", "reads"), [("seats", True), ("random", False)])
def test_saliency_counts_as_selection_where_the_method_reads_it(model, file, method, reads, compare):
    timer = StepTimer()
    clip = load_clip(file, sampling=model.sampling)
    encoded = encode_clip(model, clip, [method_class("seats").wants], timer)
    timer.add("saliency", 1e6)
    question = Question("what is red ?", method=method, keep=25.0, decoding=Decoding(2), compare=compare)
    made = answer_encoded(model, encoded, question, timer)
    assert all((made.latency_ms[step] > 1e6) == reads for step in ("selection", "first_token", "total"))
    assert (made.speedup.prefill < 1e-2) == (reads and not compare)  # what is measured is measured warm
