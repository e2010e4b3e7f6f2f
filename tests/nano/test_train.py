"""Training: steps are a function of their number, a resumed run equals one that never stopped, losses fall."""

from dataclasses import replace

import pytest
import torch

from seats.nano.curriculum import Curriculum, TrainSettings, kept_tokens
from seats.nano.losses import token_relevance
from seats.nano.train import Trainer, main

SMALL = TrainSettings(steps=8, clips=2, questions=4, encoder_steps=2, encoder_clips=2, biased_until=0.6, warmup=4)


def _run(trainer, steps):
    data = Curriculum(trainer.settings)
    return [trainer.train_step(data[number]) for number in steps]


def test_steps_depend_on_their_number_only():
    data, again = Curriculum(SMALL), Curriculum(SMALL)
    for number in (1, 5):
        one, two = data[number], again[number]
        assert torch.equal(one.batch.ids, two.batch.ids)
        assert torch.equal(one.batch.target, two.batch.target)
        for left, right in ((one.batch.frames, two.batch.frames), (one.batch.mel, two.batch.mel)):
            assert (left is None) == (right is None)
            assert left is None or torch.equal(left, right)
    assert data[0].encoder_only
    assert not data[2].encoder_only


def test_steps_for_the_encoders_alone_never_leave_them_as_they_are():
    curriculum = Curriculum(TrainSettings(steps=40, encoder_steps=40, encoder_clips=1, frozen_from=0.0))
    assert not any(curriculum[number].frozen_encoders for number in range(8))


@pytest.mark.slow
def test_a_resumed_run_equals_one_that_never_stopped(tmp_path):
    torch.set_num_threads(1)
    whole = Trainer(SMALL)
    _run(whole, range(3))
    whole.averages.add({"answer": 2.0})
    whole.waited = 7.0
    whole.save(tmp_path / "checkpoint.pt")
    _run(whole, range(3, 5))
    resumed = Trainer.load(tmp_path / "checkpoint.pt")
    assert (resumed.step, resumed.waited, resumed.averages.values) == (3, 7.0, {"answer": 2.0})
    _run(resumed, range(3, 5))
    for one, two in zip(whole.thinker.parameters(), resumed.thinker.parameters(), strict=True):
        assert torch.allclose(one, two, atol=1e-6)


def test_settings_changed_on_resuming_hold(tmp_path):
    trainer = Trainer(SMALL)
    trainer.save(tmp_path / "checkpoint.pt")
    resumed = Trainer.load(tmp_path / "checkpoint.pt", weight_decay=0.5)
    assert resumed.settings.weight_decay == 0.5
    matrices, others = resumed._optimizers
    assert {group["weight_decay"] for group in matrices.param_groups} == {0.5}
    assert {group["weight_decay"] for group in others.param_groups} == {0.0}


def test_no_run_is_begun_over_another_nor_resumed_from_nothing(tmp_path, capsys):
    (tmp_path / "log.jsonl").write_text("{}\n")
    for arguments, said in (
        (["--out", str(tmp_path)], "holds a run: go on with --resume"),
        (["--out", str(tmp_path / "other"), "--resume"], "is not there"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
        assert said in capsys.readouterr().err
    (tmp_path / "checkpoint.pt").touch()
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path), "--resume", "--seed", "3"])
    assert "leave it out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"),
    [("stepz=3", "no setting 'stepz'; there are steps, "), ("steps=1.5", "steps is a whole number, not '1.5'"),
     ("weight_decay", "weight_decay is a number, not ''")],
)  # fmt: skip
def test_a_wrong_setting_is_said_in_a_line(capsys, given, said):
    with pytest.raises(SystemExit):
        main(["--set", given])
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("given", [["--steps", "0"], ["--set", "steps=-3"], ["--set", "warmup=0"],
                                   ["--set", "decay_from=1"]])  # fmt: skip
def test_a_run_that_cannot_be_is_refused_before_it_begins(tmp_path, capsys, given):
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path / "run"), "--set", "clips=1", *given])
    assert "steps and warmup are at least 1, decay_from is below 1" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_losses_fall_on_a_repeated_step():
    settings = replace(SMALL, frozen_from=1.0)
    trainer = Trainer(settings)
    step = Curriculum(settings)[3]
    first = trainer.train_step(step)
    for _ in range(16):
        last = trainer.train_step(step)
    assert last["answer"] < 0.5 * first["answer"]
    assert last["encoder"] < first["encoder"]


def test_biased_steps_keep_text_and_what_matters():
    step = Curriculum(SMALL)[3]
    step.keep_relevant, step.keep_other = 1.0, 10
    relevance = token_relevance(step.batch)
    kept = kept_tokens(relevance, step)
    assert kept.shape[1] < relevance.shape[1]
    for row, places in zip(relevance, kept, strict=True):
        assert (places.diff() > 0).all()
        left_out = torch.ones(len(row), dtype=torch.bool)
        left_out[places] = False
        assert (row[left_out] == 0).all()
