import json
import random
from pathlib import Path

import pytest

from seats.errors import ModelError, SettingsError
from seats.evaluation.borders import Borders, Proposal, check_can_save, find_borders, propose, save
from seats.evaluation.layers import Dependence
from seats.methods import ModelShape, Retention, Seats, retention_for
from seats.models.checkpoint import Checkpoint, find_checkpoint
from tests.schedules import decay_schedule

SHAPE = ModelShape("qwen2.5-omni", 10, {})


def curves(
    share: dict[int, float] | None = None,
    *,
    questions: int = 1000,
    layers: int = 10,
    needs: tuple[float, float] = (3, 7),
    full: float = 0.85,
    blind: float = 0.35,
    flips: float = 0.0,
    seed: int = 0,
    per_clip: int = 1,
) -> Dependence:
    """Answers as a model would give them whose tokens pass on what a question needs somewhere in a range of layers.

    needs: a question's answer no longer needs its tokens from a layer on that is drawn from this range; before, it is
    the blind guess. flips: chance that a single answer is the other way round by accident. share: instead, the share
    of right answers at each layer, the first questions right.
    """
    rng = random.Random(seed)
    right: dict[int, list[bool]] = {layer: [] for layer in range(layers + 1)}
    for number in range(questions):
        guess, answer, need = rng.random() < blind, rng.random() < full, rng.uniform(*needs)
        for layer, answers in right.items():
            if share is not None:
                answers.append(number < round(share[layer] * questions))
                continue
            value = answer if layer >= need else guess
            answers.append(value != (0 < layer < layers and rng.random() < flips))
    curve = {layer: tuple(values) for layer, values in right.items()}
    clips = tuple(str(number // per_clip) for number in range(questions))
    return Dependence(layers, questions, 0, clips, {"video": curve, "audio": curve, "both": curve})


def found(dependence: Dependence, **more: float) -> tuple[int, int]:
    borders = find_borders(dependence, **more)
    assert borders is not None
    return borders.shallow, borders.late


def test_borders_of_a_clear_curve() -> None:
    # Worth 0.5, tolerated 0.025: 0.5 is less than half of it, 0.7 more; 0.8 is a loss, 0.845 is none.
    share = {0: 0.35, 1: 0.35, 2: 0.36, 3: 0.5, 4: 0.7, 5: 0.8, 6: 0.845, 7: 0.85, 8: 0.85, 9: 0.85, 10: 0.85}
    borders = find_borders(curves(share))
    assert borders is not None
    assert (borders.shallow, borders.late) == (3, 6)
    assert (borders.shallow_from, borders.late_from) == (3, 6)
    assert borders.worth == pytest.approx(0.5)
    assert borders.tolerated == pytest.approx(0.025)


@pytest.mark.parametrize("seed", range(5))
def test_borders_of_answers_drawn_one_by_one(seed: int) -> None:
    # Half of the clip's worth has been read by the middle of the range, where chance alone decides the side.
    shallow, late = found(curves(needs=(3, 7), seed=seed))
    assert shallow in (4, 5)
    assert late == 7
    shallow, late = found(curves(needs=(0, 10), seed=seed))
    assert shallow in (4, 5)
    assert late == 10
    assert found(curves(needs=(5, 5), seed=seed)) == (4, 5)


def test_single_layers_out_of_line_move_no_border() -> None:
    share = {layer: 0.35 if layer <= 4 else 0.85 for layer in range(11)}
    assert found(curves(share)) == (4, 5)
    assert found(curves({**share, 2: 0.6})) == (4, 5)  # a lucky early layer
    # A late layer that is really worse is no accident: from there on removal is not free.
    assert found(curves({**share, 8: 0.7})) == (4, 9)


def test_accidents_put_borders_deeper_never_earlier() -> None:
    early = 0
    for seed in range(60):
        clear = curves(needs=(3, 7), flips=0.0, seed=seed, questions=300)
        noisy = curves(needs=(3, 7), flips=0.02, seed=seed, questions=300)
        shallow, late = found(noisy)
        assert shallow >= found(clear)[0]
        early += late < 7
    assert early <= 3  # 5 %


def test_few_questions_leave_the_borders_open_and_say_so() -> None:
    many, few = (find_borders(curves(questions=n, flips=0.01, seed=3)) for n in (3000, 150))
    assert many is not None
    assert few is not None
    assert few.late > many.late
    assert few.late_from <= many.late
    assert few.shallow_from <= few.shallow


def test_questions_that_go_together_count_for_less() -> None:
    share = {layer: 0.35 if layer <= 4 else 0.84 if layer < 10 else 0.85 for layer in range(11)}
    alone, together = curves(share), curves(share, per_clip=20)
    assert found(alone)[1] == 5
    assert found(together)[1] > 5  # what was lost lies in a single clip


@pytest.mark.parametrize("blind", [0.85, 0.83, 0.9])
def test_no_borders_without_dependence(blind: float) -> None:
    share = {layer: blind if layer < 5 else 0.85 for layer in range(11)}
    assert find_borders(curves(share, questions=200)) is None


def test_the_tolerance_decides_what_counts_as_nothing() -> None:
    share = {0: 0.35, 1: 0.35, 2: 0.36, 3: 0.5, 4: 0.7, 5: 0.8, 6: 0.845, 7: 0.85, 8: 0.85, 9: 0.85, 10: 0.85}
    assert found(curves(share), tolerance=0.2) == (3, 5)
    for wrong, said in ((0.0, 0), (0.5, 50), (-1.0, -100)):
        with pytest.raises(SettingsError, match=f"tolerance of {said} %"):
            find_borders(curves(share), wrong)


def test_only_measured_layers_are_borders() -> None:
    dependence = curves(needs=(3, 7))
    kept = {layer: dependence.right["both"][layer] for layer in (0, 4, 8, 9, 10)}
    assert found(Dependence(10, 1000, 0, dependence.clips, {"both": kept})) == (4, 8)


@pytest.mark.parametrize(
    ("family", "layers", "shallow", "late", "drops", "late_layer"),
    [
        ("qwen2.5-omni", 28, 15, 23, (16, 18, 20), 24),
        ("qwen3-omni", 48, 25, 39, (27, 31, 35), 40),
    ],
)
def test_published_borders_give_the_published_settings(
    family: str, layers: int, shallow: int, late: int, drops: tuple[int, ...], late_layer: int
) -> None:
    proposal = propose(Borders(shallow, late, 0.5, 0.025, shallow, late), ModelShape(family, layers, {}))
    assert (proposal.drop_layers, proposal.late_layer, proposal.remarks) == (drops, late_layer, ())
    assert proposal.pre_llm_scale == 1.4


@pytest.mark.parametrize("family", ["qwen2.5-omni", "qwen3-omni"])
@pytest.mark.parametrize("layers", [4, 10, 28])
def test_whatever_the_borders_seats_reaches_the_published_retentions(layers: int, family: str) -> None:
    for late in range(1, layers + 1):
        for shallow in range(late):
            proposal = propose(Borders(shallow, late, 0.5, 0.025, shallow, late), ModelShape(family, layers, {}))
            own = {"drop_layers": list(proposal.drop_layers), "late_layer": proposal.late_layer}
            for keep in (10, 35):
                pair = retention_for(family, keep)
                method = Seats.for_model(ModelShape(family, layers, own), pair, 0)
                borders = layers, method.drop_layers, method.late_layer
                mean = decay_schedule(*borders, pair.audio, method.pre_llm_scale).mean()
                assert mean == pytest.approx(pair.audio, abs=2e-4)
                assert method.layers == (*proposal.drop_layers, proposal.late_layer - 1)


def test_an_early_late_border_leaves_room_for_the_published_retentions() -> None:
    proposal = propose(Borders(2, 3, 0.5, 0.025, 2, 3), SHAPE)
    assert (proposal.drop_layers, proposal.late_layer) == ((2, 4, 5), 8)  # 7 of 10 layers hold 65 % on average
    assert proposal.free_after == 3
    (remark,) = proposal.remarks
    assert "after layer 3 on; late_layer is 8 because" in remark
    assert "65 %" in remark


def test_no_late_border_means_the_last_layer() -> None:
    proposal = propose(Borders(5, 10, 0.5, 0.025, 5, 10), SHAPE)
    assert (proposal.drop_layers, proposal.late_layer) == ((5, 6, 7), 10)
    assert proposal.free_after is None
    assert "not shown to be free" in proposal.remarks[0]


def test_drop_layers_of_blocks_at_the_ends() -> None:
    assert propose(Borders(0, 7, 0.5, 0.025, 0, 7), SHAPE).drop_layers == (1, 3, 5)
    assert propose(Borders(9, 10, 0.5, 0.025, 9, 10), SHAPE).drop_layers == (8,)  # tokens go after layer 9


def test_open_borders_are_remarked_on() -> None:
    (remark,) = propose(Borders(3, 8, 0.5, 0.025, 2, 6), SHAPE).remarks
    assert "after layer 6" in remark


def test_saving_keeps_what_else_the_model_says(tmp_path: Path) -> None:
    (tmp_path / "seats.json").write_text(json.dumps({"temperature": 0.3, "drop_layers": [1], "late_layer": 3}))
    path = save(Checkpoint("mine", tmp_path), SHAPE, Proposal((4, 5, 6), 9, 1.4, 7), {"questions": 300})
    assert path == tmp_path / "seats.json"
    assert [*tmp_path.iterdir()] == [path]
    settings = Checkpoint("mine", tmp_path).seats_settings
    assert settings == {
        "temperature": 0.3,
        "drop_layers": [4, 5, 6],
        "late_layer": 9,
        "pre_llm_scale": 1.4,
        "removal_free_after": 7,
        "measured": {"questions": 300},
    }
    method = Seats.for_model(ModelShape("qwen2.5-omni", 10, settings), Retention(0.1, 0.3), 0)
    assert (method.drop_layers, method.late_layer, method.temperature) == ((4, 5, 6), 9, 0.3)


def test_settings_that_seats_cannot_run_with_are_not_saved(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="settings: late_layer is 12; it must be a layer from 2 to 10"):
        save(Checkpoint("mine", tmp_path), SHAPE, Proposal((4,), 12, 1.4), {})
    assert not [*tmp_path.iterdir()]


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *_: object, **__: object) -> None:
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ModelError, match=r"seats.json cannot be written \(No space left on device\)"):
        save(Checkpoint("mine", tmp_path), SHAPE, Proposal((4, 5, 6), 9, 1.4), {})
    assert not [*tmp_path.iterdir()]


def test_the_model_of_the_package_is_not_written() -> None:
    with pytest.raises(ModelError, match=r"seats-nano come with the package: copy .* to a folder of your own"):
        check_can_save(find_checkpoint("seats-nano"))


def test_the_hubs_cache_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "models--org--name" / "snapshots" / "abc"
    folder.mkdir(parents=True)
    with pytest.raises(ModelError, match="copy the model"):
        check_can_save(Checkpoint("org/name", folder))


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(ModelError, match="cannot be written"):
        check_can_save(Checkpoint("mine", tmp_path))
