"""What an answer takes of a checkpoint's generation_config.json: which token comes next and which one is the last."""

import json

import pytest

from seats.errors import ModelError
from seats.inference.generate import Decoding
from seats.methods import Full
from seats.models.checkpoint import Checkpoint
from seats.models.omni import load_model
from tests.checkpoints import save_tiny_checkpoint
from tests.inference.clips import clip_of
from tests.inference.test_generate import ask, prompt_of
from tests.tiny import IDS


@pytest.fixture(scope="module")
def saying(tmp_path_factory):
    """A model whose generation_config.json says more than the usual."""
    folder = save_tiny_checkpoint(tmp_path_factory.mktemp("said"), "qwen2.5-omni", stops=True)
    file = folder / "generation_config.json"
    usual = {"eos_token_id": IDS["eos"], "pad_token_id": 0}

    def load(said):
        file.write_text(json.dumps({**usual, **said}))
        return load_model(Checkpoint("tiny", folder))

    return load


def ids_of(model, decoding=None):
    return ask(model, prompt_of(model, clip_of(model.patches.token_side), Full()), Full(), decoding).ids


BESIDE_TOKENS = [
    {"return_dict_in_generate": True, "output_scores": True, "output_logits": True},
    {"output_hidden_states": True},
    {"output_attentions": True},
    {"max_time": 1e-3},
    {"max_length": 3, "max_new_tokens": 2},
    {"num_beams": 2, "num_return_sequences": 2, "early_stopping": True},
    {"num_beams": 2, "force_words_ids": [[20]]},
    {"use_cache": False},
    {"cache_implementation": "static", "max_cache_len": 10},
    {"prefill_chunk_size": 5},
    {"prompt_lookup_num_tokens": 3},
    {"assistant_early_exit": 2},
    {"is_assistant": True},
    {"use_mtp": True},
    {"guidance_scale": 1.5},
    {"token_healing": True},
    {"penalty_alpha": 0.6},
    {"dola_layers": "high"},
    {"forced_eos_token_id": 20},
    {"input_ids": [1], "position_ids": 3, "talker_max_new_tokens": 5},
]


@pytest.mark.parametrize("said", BESIDE_TOKENS, ids=lambda said: next(iter(said)))
def test_what_generation_config_says_beside_tokens_is_not_obeyed(saying, said, capfd, recwarn):
    plain = ids_of(saying({}))
    capfd.readouterr()
    assert ids_of(saying(said)) == plain
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_what_generation_config_says_of_tokens_is_obeyed(saying):
    first = ids_of(saying({}))[0]
    assert first not in ids_of(saying({"suppress_tokens": [first]}))
    assert ids_of(saying({"eos_token_id": [first]}), Decoding(3)) == (first,)
    only = saying({"top_k": 1})
    assert ids_of(only, Decoding(8, 2.0)) == ids_of(only, Decoding(8))


@pytest.mark.parametrize(
    "said",
    [
        {"repetition_penalty": 0},
        {"suppress_tokens": "x"},
        {"top_p": "x"},
        {"stop_strings": 4},
        {"exponential_decay_length_penalty": [5]},  # an IndexError
        {"no_repeat_ngram_size": True},  # only after the prefill
        {"sequence_bias": 500 * "x"},  # quoted
    ],
)
def test_a_generation_config_that_cannot_be_used_is_one_line(saying, said):
    model = saying(said)
    with pytest.raises(ModelError, match=r"tiny cannot generate as its generation_config\.json says: ") as caught:
        ids_of(model, Decoding(4, 1.0))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert "forward" not in model.thinker.text.__dict__


@pytest.mark.parametrize("said", ["x", 1.5, [1, "x"], [[1]]])
def test_stop_ids_that_are_none(saying, said):
    with pytest.raises(ModelError, match=r"generation_config\.json: eos_token_id is .*, neither a token id nor a list"):
        saying({"eos_token_id": said})
