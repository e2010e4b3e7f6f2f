"""Looking changes nothing of what is looked at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from seats.costs.timers import StepTimer
from seats.inference.answer import answer, answer_encoded
from seats.inference.encode import encode_clip
from seats.methods import ModelShape
from seats.models.omni import OmniModel
from seats.view import look as look_module
from seats.view.look import _layers_to_watch, _watched_relevance, look, look_encoded
from seats.view.token_map import TokenMap, scored_by_method
from tests.inference.clips import clip_of
from tests.view.conftest import METHODS, question


def test_answers_and_costs_are_those_of_ask(model: OmniModel, maps: dict[str, TokenMap]) -> None:
    for method in METHODS:
        asked = answer(model, clip_of(28), question(method))
        assert maps[method].answer.text == asked.text
        assert maps[method].answer.flops == asked.flops
        assert maps[method].answer.trace.scored == asked.trace.scored


def test_each_answer_has_the_time_of_the_encoders_that_ran_once(model: OmniModel) -> None:
    heard = []
    maps = look(model, clip_of(28), [question("seats"), question("full")], decode_ms=7.0, on_answer=heard.append)
    assert [seen.answer for seen in maps] == heard
    for step in ("encode_video", "encode_audio", "decode_clip"):
        times = {seen.answer.latency_ms[step] for seen in maps}
        assert len(times) == 1
        assert min(times) > 0


@pytest.mark.parametrize("names", [["seats"], ["seats", "full"]])
def test_those_that_are_compared_are_warmed_up(model: OmniModel, names: list[str], monkeypatch) -> None:
    run = []

    def answered(model, encoded, asked, *timer, **more):
        run.append((asked.method, asked.decoding.max_new_tokens == 1))
        return answer_encoded(model, encoded, asked, *timer, **more)

    monkeypatch.setattr(look_module, "answer_encoded", answered)
    look(model, clip_of(28), [question(name) for name in names])
    assert run == [(name, True) for name in names if len(names) > 1] + [(name, False) for name in names]


def test_a_second_pass_drops_what_the_method_drops(model: OmniModel) -> None:
    asked = question("fastv-om")
    method = asked.method_for(model.shape)
    encoded = encode_clip(model, clip_of(28), [method.wants], StepTimer())
    (drop,) = look_encoded(model, encoded, asked, StepTimer()).answer.trace.drops
    watched = _watched_relevance(model, encoded, asked, method)
    assert max(watched) > drop.after_layer
    for layer, (origins, _) in watched.items():
        if layer > drop.after_layer:
            np.testing.assert_array_equal(origins, drop.kept)


@pytest.mark.parametrize(("layers", "watched"), [(1, (1,)), (2, (1,)), (3, (1,)), (4, (2,)), (28, (16, 18, 20))])
def test_relevance_is_read_where_seats_reads_it_or_in_the_middle(layers: int, watched: tuple[int, ...]) -> None:
    assert _layers_to_watch(ModelShape("qwen2.5-omni", layers, {})) == watched


def test_relevance_read_in_a_second_pass_is_what_the_method_itself_would_read(model: OmniModel) -> None:
    asked = question("seats")
    method = asked.method_for(model.shape)
    encoded = encode_clip(model, clip_of(28), [method.wants], StepTimer())
    own = scored_by_method(look_encoded(model, encoded, asked, StepTimer()).answer.trace)
    watched = _watched_relevance(model, encoded, asked, method)
    assert own.keys() <= watched.keys()
    for layer, (origins, scores) in own.items():
        np.testing.assert_array_equal(origins, watched[layer][0])
        np.testing.assert_allclose(scores, watched[layer][1], rtol=1e-5)


def test_methods_that_read_nothing_still_show_something_and_say_so(maps: dict[str, TokenMap]) -> None:
    full, seats = maps["full"], maps["seats"]
    assert full.video is not None
    assert seats.video is not None
    assert full.scored_layers
    assert not np.isnan(full.video.relevance).any()
    np.testing.assert_array_equal(full.video.saliency, seats.video.saliency)
    assert any("relevance" in note for note in full.notes)
    assert any("saliency of video and audio" in note for note in full.notes)
    assert not seats.notes


def test_sampled_answers_are_looked_at_greedily_afterwards(model: OmniModel) -> None:
    asked = question("full")
    asked = replace(asked, decoding=replace(asked.decoding, temperature=1.0, seed=4))
    encoded = encode_clip(model, clip_of(28), [asked.method_for(model.shape).wants], StepTimer())
    seen = look_encoded(model, encoded, asked, StepTimer())
    assert seen.answer.text == answer(model, clip_of(28), asked).text
    assert seen.video is not None
    assert seen.video.saliency is None  # the clip was not encoded with it
