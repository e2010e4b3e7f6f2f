"""The random baseline: exact counts, the same draw for a seed, another for another."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seats.methods import Random
from seats.methods.base import BeforeLLM, ModelShape, Retention
from seats.tokens.layout import Modality
from tests.methods.layouts import layout_of, random_state


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    family=st.sampled_from(["qwen2.5-omni", "qwen3-omni"]),
    grid=st.none() | st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(1, 4)),
    audio=st.integers(0, 120),
    video_ratio=st.floats(0.001, 1),
    audio_ratio=st.floats(0.001, 1),
    seed=st.integers(0, 9),
)
def test_counts(family, grid, audio, video_ratio, audio_ratio, seed):
    if grid is None and not audio:
        return
    state = random_state(layout_of(family, grid, audio))
    method = Random(video_ratio, audio_ratio, seed)
    keep = method.before_llm(state).keep
    full, kept = state.layout.counts(), state.layout.select(keep).counts()
    assert kept.text == full.text
    assert kept.video == (max(1, int(video_ratio * full.video)) if full.video else 0)
    assert kept.audio == (max(1, int(audio_ratio * full.audio)) if full.audio else 0)
    assert torch.equal(method.before_llm(state).keep, keep)


def test_the_seed_decides_and_the_values_do_not():
    layout = layout_of("qwen2.5-omni", (6, 4, 4), 150)
    keeps = [Random(0.3, 0.3, seed).before_llm(random_state(layout)).keep for seed in (0, 1)]
    assert not torch.equal(*keeps)
    other = BeforeLLM(torch.zeros(len(layout), 4), layout, None)
    assert torch.equal(Random(0.3, 0.3, 0).before_llm(other).keep, keeps[0])


def test_it_draws_from_the_whole_clip():
    """Over many seeds each token is kept about equally often."""
    layout = layout_of("qwen3-omni", (4, 3, 3), 40)
    state = random_state(layout)
    times = sum(Random(0.5, 0.5, seed).before_llm(state).keep.int() for seed in range(200))
    clip = layout.modality != int(Modality.TEXT)
    assert times[clip].min() > 60
    assert times[clip].max() < 140


def test_for_model_takes_target_and_seed():
    method = Random.for_model(ModelShape("qwen2.5-omni", 28, {}), Retention(0.2, 0.4), 5)
    assert method == Random(0.2, 0.4, 5)
    assert method.settings() == {"name": "random", "video": 0.2, "audio": 0.4, "seed": 5}
    assert method.layers == ()
    assert not method.wants.of_video
    assert not method.wants.of_audio
