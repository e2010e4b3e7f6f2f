from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from seats.costs.timers import StepTimer
from seats.errors import SeatsError
from seats.evaluation.layers import Removal, Removals, answer_without, dependence, shared_prefill
from seats.evaluation.qa import QAItem
from seats.evaluation.run import Evaluation, answer_clip, plan
from seats.evaluation.settings import Asking
from seats.inference.encode import build_prompt, encode_clip
from seats.inference.generate import Decoding, generate
from seats.keep import Setting
from seats.media import load_clip
from seats.methods import Full
from seats.models.checkpoint import find_checkpoint
from seats.models.omni import load_model
from tests.checkpoints import save_tiny_checkpoint
from tests.media.make import tone, write_clip
from tests.tiny import FAMILIES

LAYERS = 8
ASKING = Asking(decoding=Decoding(max_new_tokens=3))


@dataclass(frozen=True)
class Bench:
    model: object
    folder: Path

    def item(self, number: int, clip: str = "both.mp4") -> QAItem:
        return QAItem(str(number), self.folder / clip, f"what {number}", ("?",))

    def load(self, path: Path):
        return load_clip(path, sampling=replace(self.model.sampling, max_frames=4))

    def prompt(self, clip: str = "both.mp4"):
        encoded = encode_clip(self.model, self.load(self.folder / clip), [Full().wants], StepTimer(torch.device("cpu")))
        return build_prompt(self.model, encoded, "what ?", None, 4, Full().wants)

    def run(self, prompt, method):
        return generate(self.model, prompt, method, Decoding(4), StepTimer(torch.device("cpu")))


@pytest.fixture(scope="module", params=FAMILIES)
def bench(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    write_clip(folder / "both.mp4", frames=20, rate=10, sound=tone(2))
    write_clip(folder / "mute.mp4", frames=20, rate=10)
    model = load_model(find_checkpoint(str(save_tiny_checkpoint(folder / "model", request.param))), device="cpu")
    return Bench(model, folder)


def answered(bench, items, removals, *, answer=answer_without):
    evaluation = Evaluation.of(removals.compared(), ASKING, {"name": "tiny"}, {})
    planned = plan(items, evaluation, {})
    rows = [row for work in planned.work for row in answer(bench.model, evaluation, work, bench.load)]
    return evaluation, planned, {row.key: row for row in rows}


@pytest.mark.parametrize(("what", "video", "audio"), [("video", 0, 1), ("audio", 1, 0), ("both", 0, 0)])
@pytest.mark.parametrize("layer", [0, 1, LAYERS - 1])
def test_a_removal_takes_all_of_a_modality_at_its_layer(bench, what, video, audio, layer):
    trace = bench.run(bench.prompt(), Removal(what, layer)).trace
    for number, counts in enumerate(trace.layers, start=1):
        gone = number > layer
        assert counts.video == trace.full.video * (video if gone else 1)
        assert counts.audio == trace.full.audio * (audio if gone else 1)
        assert counts.text == trace.full.text
    assert trace.full.video
    assert trace.full.audio


def test_removals_are_of_every_nth_layer_and_the_last_but_one():
    assert Removals.every(10).layers == tuple(range(10))
    assert Removals.every(10, 4).layers == (0, 4, 8, 9)
    compared = Removals.every(10, 4).compared()
    assert len(compared.settings) == 1 + 3 * 4
    assert compared.methods[Setting("without both after layer 8", None)] == Removal("both", 8)


def test_removals_run_from_the_last_layer_to_the_first():
    """So that what the layers before one computed for full tokens is still remembered."""
    first, *labels = [setting.method for setting in Removals(10, (0, 4, 9)).compared().settings]
    assert first == "full"
    assert [int(label.rpartition(" ")[2]) for label in labels] == [9] * 3 + [4] * 3 + [0] * 3


def test_shared_prefill_changes_nothing_and_saves_the_layers_before_a_removal(bench):
    prompt, other = bench.prompt(), bench.prompt("mute.mp4")
    methods = [Full(), Removal("video", 6), Removal("both", 6), Removal("audio", 3), Removal("video", 0)]
    expected = [bench.run(p, m) for p in (prompt, other) for m in methods]
    ran, layers = [], bench.model.thinker.layers
    # A hook on a part of the layer sees the layers that really ran, each time with how many tokens.
    handles = [
        layer.mlp.register_forward_pre_hook(lambda _m, args, n=n: ran.append((n, args[0].shape[-2])))
        for n, layer in enumerate(layers, start=1)
    ]
    with shared_prefill(bench.model.thinker):
        made = [bench.run(p, m) for p in (prompt, other) for m in methods]
    for handle in handles:
        handle.remove()
    for one, two in zip(made, expected, strict=True):
        assert one.ids == two.ids
        assert one.trace.cache_tokens == two.trace.cache_tokens
        assert one.trace.layers == two.trace.layers
    full = made[0].trace.full
    first = ran[: ran.index((1, full.text + full.audio))]  # until video goes before layer 1
    assert [n for n, tokens in first if tokens == full.total] == [*range(1, LAYERS + 1)]
    assert [n for n, tokens in first if tokens == full.text + full.audio] == [7, 8]
    assert [n for n, tokens in first if tokens == full.text + full.video] == [4, 5, 6, 7, 8]
    assert all("forward" not in layer.__dict__ for layer in layers)


def test_shared_prefill_tells_prompts_apart_that_differ_in_positions_alone(bench):
    prompt = bench.prompt()
    late = replace(prompt, sequence=replace(prompt.sequence, positions=prompt.sequence.positions * 3))
    expected = [bench.run(p, Full()).trace for p in (prompt, late)]
    rotary = []
    handle = bench.model.thinker.layers[0].mlp.register_forward_pre_hook(lambda _m, args: rotary.append(args[0]))
    with shared_prefill(bench.model.thinker):
        bench.run(prompt, Full())
        before = len(rotary)
        bench.run(late, Full())
    handle.remove()
    assert any(seen.shape[-2] == expected[0].full.total for seen in rotary[before:])


def test_shared_prefill_leaves_no_trace_after_an_error(bench):
    with pytest.raises(ValueError, match="stop"), shared_prefill(bench.model.thinker):
        raise ValueError("stop")
    assert all("forward" not in layer.__dict__ for layer in bench.model.thinker.layers)


def test_rows_equal_those_of_the_plain_evaluation(bench):
    removals = Removals.every(LAYERS, 3)
    items = [bench.item(1), bench.item(2), bench.item(3, "mute.mp4")]
    _, _, rows = answered(bench, items, removals)
    _, _, plain = answered(bench, items, removals, answer=answer_clip)
    assert rows.keys() == plain.keys()
    assert len(rows) == 3 * (1 + 3 * len(removals.layers))
    for key, row in rows.items():
        assert row.status == "answered"
        assert (row.answer, row.video, row.audio, row.llm_flops) == (
            plain[key].answer,
            plain[key].video,
            plain[key].audio,
            plain[key].llm_flops,
        )


def test_curves_hold_what_was_right_at_each_layer(bench):
    removals = Removals.every(LAYERS, 4)
    items = [bench.item(1), bench.item(2), bench.item(3, "mute.mp4")]
    evaluation, planned, rows = answered(bench, items, removals)
    # What the model says with all tokens is taken for right, so a removal is right where it changes nothing.
    full = evaluation.digests[Setting("full", None)]
    items = [
        replace(item, answers=(rows[q, full].answer,)) for item, (_, q, _) in zip(items, planned.questions, strict=True)
    ]
    planned = replace(
        planned, questions=tuple((i, *rest) for i, (_, *rest) in zip(items, planned.questions, strict=True))
    )
    found = dependence(removals, evaluation, planned, rows)
    assert (found.asked, found.failed, len(set(found.clips))) == (3, 0, 2)
    assert [*found.right["audio"]] == [0, 4, 7, 8]
    for what, curve in found.right.items():
        assert curve[LAYERS] == (True, True, True)
        for layer in removals.layers:
            digest = evaluation.digests[removals.setting(what, layer)]
            expected = tuple(rows[q, digest].answer == rows[q, full].answer for _, q, _ in planned.questions)
            assert curve[layer] == expected
    assert found.right["audio"][0][2]  # the mute clip has nothing to lose
    assert not all(found.right["both"][0])
    last = found.curve("both")[-1]
    assert (last.layer, last.loss, last.loss_interval) == (LAYERS, 0.0, (0.0, 0.0))
    first = found.curve("both")[0]
    assert first.loss == pytest.approx(1 - first.accuracy.share)
    assert first.loss_interval[0] <= first.loss <= first.loss_interval[1]


def test_a_question_that_failed_somewhere_is_in_no_curve(bench):
    removals = Removals.every(LAYERS, 7)
    evaluation, planned, rows = answered(bench, [bench.item(1), bench.item(2)], removals)
    key = (planned.questions[0][1], evaluation.digests[removals.setting("audio", 7)])
    rows[key] = replace(rows[key], status="failed")
    found = dependence(removals, evaluation, planned, rows)
    assert (found.asked, found.failed, len(found.clips)) == (2, 1, 1)
    for number, key in enumerate(rows):
        rows[key] = replace(rows[key], status="failed", reason=f"reason {number}")
    with pytest.raises(SeatsError, match="no question was answered under every removal; the first: reason 0"):
        dependence(removals, evaluation, planned, rows)
