"""The plan's counts against the methods themselves, run on random tokens."""

from __future__ import annotations

from functools import cache, partial

import pytest
import torch

from seats.errors import SettingsError
from seats.keep import METHODS, shares
from seats.methods import AfterLayer, BeforeLLM, ModelShape, Retention, method_class
from seats.plan.scene import Scene
from seats.plan.selection import _RULES, select
from seats.tokens.counts import Counts
from seats.tokens.interleave import interleave
from seats.tokens.layout import Modality
from seats.tokens.sequence import build_sequence
from tests.tiny import tiny_config

HIDDEN, KEYS = 24, (6, 10)
COUNTED = [name for name in METHODS if name not in ("fastvid", "omnizip")]


def _layout(family: str, grid: tuple[int, int, int] | None, audio: int):
    from seats.models.families import FAMILIES

    config = tiny_config(family)
    rule = next(f for f in FAMILIES if f.name == family).sequence_rule(config)
    prompt = [1, 2, rule.video if grid else rule.audio, 3, 4, 5]
    layout = build_sequence(prompt, rule, grid, 1.0, audio).layout
    if grid is None or not audio:
        return layout, 1
    return layout, len(set(interleave(grid, 1.0, audio, rule.time).window.tolist()))


def _run(method, layout, layers: int):
    """Totals entering each layer, multiply-adds and relevances, as the engine would find them."""
    generator = torch.Generator().manual_seed(3)
    embeds = torch.randn(len(layout), HIDDEN, generator=generator)
    saliency = torch.rand(len(layout), generator=generator)
    sizes = zip((Modality.VIDEO, Modality.AUDIO), KEYS, strict=True)
    keys = {kind: torch.randn(int(layout.is_modality(kind).sum()), d, generator=generator) for kind, d in sizes}
    macs, scored, counts = 0, [], []

    def keep(selection):
        nonlocal layout, macs
        if selection is not None:
            macs += selection.macs
            layout = layout.select(selection.keep | layout.is_modality(Modality.TEXT))

    keep(method.before_llm(BeforeLLM(embeds, layout, saliency, keys)))
    for layer in range(1, layers + 1):
        counts.append(layout.counts())
        if layer in method.layers:

            @cache
            def relevance(layer=layer, queries=1):
                scored.append((layer, len(layout), queries))
                return torch.rand(len(layout), generator=generator) / len(layout)

            hidden = torch.randn(len(layout), HIDDEN, generator=generator)
            of_question = partial(relevance, queries=layout.question())
            keep(method.after_layer(AfterLayer(layer, hidden, layout, relevance, of_question)))
    return counts, macs, scored


@pytest.mark.parametrize("family", ["qwen2.5-omni", "qwen3-omni"])
@pytest.mark.parametrize("name", COUNTED)
@pytest.mark.parametrize("clip", [((6, 6, 8), 150), ((7, 5, 6), 83), ((4, 9, 5), 0), (None, 217)])
@pytest.mark.parametrize("keep", [10.0, 30.0, 55.0])
def test_counts_are_the_methods_own(family, name, clip, keep):
    _compare(family, 28 if family == "qwen2.5-omni" else 48, {}, name, clip, keep)


@pytest.mark.parametrize("family", ["qwen2.5-omni", "qwen3-omni"])
@pytest.mark.parametrize("clip", [(None, 9), (None, 217), ((7, 5, 6), 0), ((1, 2, 3), 0)])
@pytest.mark.parametrize("keep", [30.0, 40.0])
def test_what_omnizip_keeps_of_one_modality_is_known(family, clip, keep):
    assert _compare(family, 28, {}, "omnizip", clip, keep).exact


@pytest.mark.parametrize("name", ["seats", "seats+"])
@pytest.mark.parametrize("keep", [3.0, 10.0, 25.0, 35.0, 50.0])
def test_counts_by_a_models_own_settings(name, keep):
    own = {"drop_layers": [4, 5, 6], "late_layer": 8, "pre_llm_scale": 1.7, "removal_free_after": 6}
    _compare("qwen2.5-omni", 10, own, name, ((6, 6, 8), 150), keep)


@pytest.mark.parametrize("clip", [((20, 2, 4), 500), ((30, 4, 4), 750)])
@pytest.mark.parametrize("keep", [1.0, 2.0])
@pytest.mark.parametrize(("family", "layers"), [("qwen2.5-omni", 28), ("qwen3-omni", 48)])
def test_each_modality_of_a_window_keeps_a_token(family, layers, clip, keep):
    _compare(family, layers, {}, "seats", clip, keep)


def _compare(family, layers, settings, name, clip, keep):
    grid, audio = clip
    layout, windows = _layout(family, grid, audio)
    per_grid = grid[1] * grid[2] if grid else 0
    scene = Scene(family, layers, settings, layout.counts(), layout.question(), per_grid, windows, HIDDEN, KEYS)
    pair = shares(family, keep)
    try:
        method = method_class(name).for_model(ModelShape(family, layers, settings), Retention(*pair), 0)
        counts, macs, scored = _run(method, layout, layers)
    except SettingsError:
        with pytest.raises(SettingsError):
            select(name, scene, *pair)
        return None
    planned = select(name, scene, *pair)
    assert planned.wants == method.wants
    assert planned.macs == macs
    assert planned.pre_llm == counts[0]
    assert [(one.layer, one.queries) for one in planned.scored] == [(layer, queries) for layer, _, queries in scored]
    off = [abs(said.total - real.total) for said, real in zip(planned.layers, counts, strict=True)]
    assert max(off) <= planned.slack
    if name not in ("seats", "seats+"):
        assert planned.slack == 0
    return planned


def test_every_built_in_method_can_be_planned():
    assert _RULES.keys() == set(METHODS)


@pytest.mark.parametrize("name", ["fastvid", "omnizip"])
def test_counts_that_content_decides_are_said_to_be_estimates(name):
    scene = Scene("qwen2.5-omni", 28, {}, Counts(10, 1000, 250), 3, 100, 5, HIDDEN, KEYS)
    planned = select(name, scene, 0.4, 0.6)
    assert not planned.exact
    assert 0.2 * 1250 < planned.pre_llm.total < 0.8 * 1250


@pytest.mark.parametrize(("shares", "said"), [((0.0, 0.5), "0 % of the video"), ((0.5, 1.5), "150 % of the audio")])
def test_a_share_that_is_none_is_refused_in_percent(shares, said):
    scene = Scene("qwen2.5-omni", 28, {}, Counts(10, 1000, 250), 3, 100, 5, HIDDEN, KEYS)
    with pytest.raises(SettingsError, match=f"cannot keep {said} tokens"):
        select("random", scene, *shares)


def test_an_unknown_method_is_named():
    scene = Scene("qwen2.5-omni", 28, {}, Counts(10, 1000, 250), 3, 100, 5, HIDDEN, KEYS)
    with pytest.raises(SettingsError, match=r"'best'.*choose one of.*seats"):
        select("best", scene, 0.1, 0.1)


def test_a_method_of_another_package_is_told_from_an_unknown_one(tmp_path, monkeypatch):
    """Its counts are its code's secret, which needs torch and is not imported here."""
    from seats.keep import ENTRY_POINT_GROUP

    info = tmp_path / "my_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\nstrided = not_imported:Strided\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    scene = Scene("qwen2.5-omni", 28, {}, Counts(10, 1000, 250), 3, 100, 5, HIDDEN, KEYS)
    with pytest.raises(SettingsError, match=r"'strided' comes from another package.*--method full") as caught:
        select("strided", scene, 0.1, 0.1)
    assert "choose one of" not in str(caught.value)
