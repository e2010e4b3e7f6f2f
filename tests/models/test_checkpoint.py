"""Finding a checkpoint and what its files say: every mistake a folder or a name can have is one clear line."""

import json
import re
from contextlib import nullcontext
from fnmatch import fnmatch
from types import SimpleNamespace

import pytest

from seats.errors import ModelError
from seats.models.checkpoint import BUILT_IN, BUILT_IN_FOLDER, WANTED, Checkpoint, find_checkpoint


def one_line(caught) -> str:
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write(folder, **files) -> Checkpoint:
    for name, content in files.items():
        path = folder / f"{name}.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return Checkpoint("test", folder)


def test_a_folder_and_the_built_in_model_are_found(tmp_path):
    found = find_checkpoint(str(tmp_path))
    assert (found.name, found.folder) == (str(tmp_path), tmp_path)
    assert find_checkpoint(BUILT_IN).folder == BUILT_IN_FOLDER


@pytest.mark.parametrize("name", ["nope", "a/b/c"])
def test_what_is_neither_folder_nor_hub_id(name):
    with pytest.raises(ModelError, match="no model folder") as caught:
        find_checkpoint(name)
    assert "seats-nano" in one_line(caught)


@pytest.mark.parametrize("name", ["./nope", "../nope", "/no/where", "~/no-where", "~no-such-user/model"])
def test_a_path_to_no_folder(name):
    with pytest.raises(ModelError, match=f"^no model folder '{name}': check the path$"):
        find_checkpoint(name)


def test_an_empty_name_is_not_the_current_folder(tmp_path, monkeypatch):
    write(tmp_path, config={})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="the model's name is empty; give seats-nano"):
        find_checkpoint("")


def test_a_hub_id_that_is_not_cached_offline(tmp_path, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="not in the local cache") as caught:
        find_checkpoint("Qwen/Qwen2.5-Omni-7B", offline=True)
    assert "cannot be fetched: --offline forbids it, " in one_line(caught)
    assert "--model seats-nano" in one_line(caught)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"HF_HUB_OFFLINE forbids it, .*try again without HF_HUB_OFFLINE") as caught:
        find_checkpoint("Qwen/Qwen2.5-Omni-7B")
    one_line(caught)
    with pytest.raises(ModelError, match="not a valid hub id") as caught:
        find_checkpoint("Qwen/Qwen 2.5", offline=True)
    one_line(caught)


def test_a_hub_id_is_downloaded_without_code_or_pickles(tmp_path, monkeypatch):
    import huggingface_hub

    asked = {}

    def download(model, **kwargs):
        asked.update(kwargs, model=model)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert find_checkpoint("Qwen/Qwen2.5-Omni-3B", offline=True, revision="abc").folder == tmp_path
    assert (asked["model"], asked["revision"], asked["local_files_only"]) == ("Qwen/Qwen2.5-Omni-3B", "abc", True)

    def fetched(name: str) -> bool:
        return any(fnmatch(name, pattern) for pattern in asked["allow_patterns"])

    names = "config.json model-00001-of-00005.safetensors model.safetensors.index.json chat_template.jinja merges.txt"
    assert all(fetched(name) for name in [*names.split(), "chat_template.json", "vocab.json", "tokenizer.json"])
    assert not any(fetched(name) for name in ("modeling.py", "pytorch_model.bin", "spk_dict.pt", "README.md"))


@pytest.mark.parametrize(("kind", "fetches"), [("llama", 1), ("qwen2_5_omni", 2)])
def test_a_model_that_cannot_be_run_is_refused_before_its_weights_are_fetched(tmp_path, monkeypatch, kind, fetches):
    import huggingface_hub
    import huggingface_hub.constants

    parts = {part: {} for part in ("text_config", "vision_config", "audio_config")}
    write(tmp_path, config={"model_type": kind, "thinker_config": parts})
    asked = []

    def download(model, **kwargs):
        asked.append((model, kwargs["revision"], kwargs["allow_patterns"]))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with nullcontext() if fetches == 2 else pytest.raises(ModelError, match="a/b is a llama model"):
        find_checkpoint("a/b", revision="abc")
    assert asked == [("a/b", "abc", ["config.json"]), ("a/b", "abc", WANTED)][:fetches]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("RepositoryNotFoundError", "the hub has no model"),
        ("RevisionNotFoundError", "no revision 'abc'"),
        ("GatedRepoError", "licence"),
        ("LocalEntryNotFoundError", "cannot be reached"),
    ],
)
def test_what_the_hub_answers_is_told_in_one_line(monkeypatch, error, said):
    import huggingface_hub
    import huggingface_hub.errors

    kind = getattr(huggingface_hub.errors, error)

    def fail(*_args, **_kwargs):
        raise kind.__new__(kind)  # its constructor wants the answer of a server

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(ModelError, match=said) as caught:
        find_checkpoint("Qwen/Qwen2.5-Omni-3B", revision="abc")
    one_line(caught)


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "refuses it .401.; log in"), (403, "log in"), (429, "slow down"), (500, "an error .500.; try again later")],
)
def test_what_the_hub_refuses_is_not_put_down_to_the_disk(monkeypatch, status, said):
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError

    def fail(*_args, **_kwargs):
        error = HfHubHTTPError.__new__(HfHubHTTPError)
        error.response = SimpleNamespace(status_code=status)
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(ModelError, match=said) as caught:
        find_checkpoint("Qwen/Qwen2.5-Omni-3B")
    assert "disk" not in one_line(caught)


def test_a_connection_that_breaks_off_is_told_in_one_line(monkeypatch):
    import huggingface_hub

    class RemoteProtocolError(Exception):  # of a network library: no OSError
        pass

    def fail(*_args, **_kwargs):
        raise RemoteProtocolError("peer closed connection")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(ModelError, match="broke off") as caught:
        find_checkpoint("Qwen/Qwen2.5-Omni-3B")
    one_line(caught)


def test_a_full_disk_is_told_in_one_line(monkeypatch):
    import huggingface_hub

    def fail(*_args, **_kwargs):
        raise OSError(28, "No space left on device", "/cache/model.safetensors")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(ModelError, match="No space left on device") as caught:
        find_checkpoint("Qwen/Qwen2.5-Omni-3B")
    one_line(caught)


def test_no_config(tmp_path):
    with pytest.raises(ModelError, match=r"not a model folder: it has no config\.json"):
        _ = Checkpoint("test", tmp_path).config


@pytest.mark.parametrize("content", ["{", "", "[1]", "\x00", 100_000 * "["])
def test_a_config_that_is_no_json_object(tmp_path, content):
    checkpoint = write(tmp_path, config=content)
    with pytest.raises(ModelError, match=r"config\.json .*download the checkpoint again") as caught:
        _ = checkpoint.config
    one_line(caught)


def test_processor_settings_come_from_either_layout(tmp_path):
    old = write(tmp_path, preprocessor_config={"hop_length": 80}, video_preprocessor_config={"fps": 3})
    assert old.feature_extractor == {"hop_length": 80}
    assert old.video_processor == {"fps": 3}
    new = write(tmp_path, processor_config={"feature_extractor": {"hop_length": 9}, "video_processor": {"fps": 4}})
    assert new.feature_extractor == {"hop_length": 9}
    assert new.video_processor == {"fps": 4}
    assert old.seats_settings == {}


def test_whether_a_model_takes_single_questions_is_no_setting_of_a_method(tmp_path):
    assert not write(tmp_path, config={}).single_turn
    own = {"drop_layers": [3], "late_layer": 7}
    said = write(tmp_path, seats={"single_turn": True, **own})
    assert said.single_turn
    assert said.stage_settings == own
    assert write(tmp_path, seats={"single_turn": True}).stage_settings == {}
    assert find_checkpoint(BUILT_IN).single_turn
    with pytest.raises(ModelError, match="must be true or false") as caught:
        _ = write(tmp_path, seats={"single_turn": "yes"}).single_turn
    with pytest.raises(ModelError, match="single_turn"):  # a plan asks for these alone
        _ = write(tmp_path, seats={"single_turn": "yes"}).stage_settings
    one_line(caught)


OWN = {"drop_layers": [4, 5, 6], "late_layer": 8, "pre_llm_scale": 1.7, "removal_free_after": 6, "temperature": 0.1}


def with_layers(folder, layers: int, whole: bool = True, **own) -> Checkpoint:
    """A folder whose decoder has so many layers. whole: config of the full model, not of its thinker."""
    thinker = {"text_config": {"num_hidden_layers": layers}}
    return write(folder, config={"thinker_config": thinker} if whole else thinker, seats=own)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    "other",
    [
        {},
        {"drop_layers": [], "removal_free_after": None},
        {"drop_layers": [4, 7, 9], "late_layer": 8},  # those from the removal on are left out, as published
        {"late_layer": 10, "removal_free_after": 9},
        {"pre_llm_scale": 2, "temperature": 1},
        {"measured": {"by": 1}},
    ],
)
def test_stage_settings_that_can_be(tmp_path, whole, other):
    own = {**OWN, **other}
    assert with_layers(tmp_path, 10, whole, **own).stage_settings == own


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("drop_layers", [4, "5"], "a list of rising layers from 1 to 10"),
        ("drop_layers", 4.5, "a list of rising layers from 1 to 10"),
        ("drop_layers", None, "a list of rising layers from 1 to 10"),
        ("drop_layers", {"4": 5}, "a list of rising layers from 1 to 10"),
        ("drop_layers", [4, 5.0], "a list of rising layers from 1 to 10"),
        ("drop_layers", [True, 5], "a list of rising layers from 1 to 10"),
        ("drop_layers", [0, 5], "a list of rising layers from 1 to 10"),
        ("drop_layers", [4, 11], "a list of rising layers from 1 to 10"),
        ("drop_layers", [5, 4], "a list of rising layers from 1 to 10"),
        ("drop_layers", [4, 4], "a list of rising layers from 1 to 10"),
        ("drop_layers", [7, 8], "before layer 7, after which late_layer 8 removes everything, or be empty"),
        ("late_layer", 5, "before layer 4, after which late_layer 5 removes everything, or be empty"),
        ("late_layer", "x", "a layer from 2 to 10"),
        ("late_layer", None, "a layer from 2 to 10"),
        ("late_layer", 1, "a layer from 2 to 10"),
        ("late_layer", 11, "a layer from 2 to 10"),
        ("late_layer", 7.5, "a layer from 2 to 10"),
        ("pre_llm_scale", "x", "a number above 0"),
        ("pre_llm_scale", 0, "a number above 0"),
        ("pre_llm_scale", -1, "a number above 0"),
        ("pre_llm_scale", True, "a number above 0"),
        ("pre_llm_scale", None, "a number above 0"),
        ("pre_llm_scale", float("nan"), "a number above 0"),
        ("pre_llm_scale", float("inf"), "a number above 0"),
        ("pre_llm_scale", 10**400, "a number above 0"),
        ("temperature", None, "a number above 0"),
        ("temperature", 0, "a number above 0"),
        ("temperature", [0.1], "a number above 0"),
        ("removal_free_after", "7", "a layer from 1 to 10, or null"),
        ("removal_free_after", 6.5, "a layer from 1 to 10, or null"),
        ("removal_free_after", 0, "a layer from 1 to 10, or null"),
        ("removal_free_after", 99, "a layer from 1 to 10, or null"),
        ("removal_free_after", False, "a layer from 1 to 10, or null"),
    ],
)
def test_stage_settings_that_cannot_be(tmp_path, whole, key, value, allowed):
    checkpoint = with_layers(tmp_path, 10, whole, **{**OWN, key: value})
    with pytest.raises(ModelError) as caught:
        _ = checkpoint.stage_settings
    said = one_line(caught)
    assert said.startswith(f"{tmp_path / 'seats.json'}: ")
    assert key in said
    assert f"must be {allowed}" in said or f"must begin {allowed}" in said
    assert len(said) < 250 + len(str(tmp_path))


def test_a_setting_that_is_none_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"'pre_llm_scal' is no setting; there are .*single_turn") as caught:
        _ = with_layers(tmp_path, 10, **OWN, pre_llm_scal=2).stage_settings
    one_line(caught)


@pytest.mark.parametrize("lacks", [["drop_layers"], ["late_layer"], ["drop_layers", "late_layer"]])
def test_stage_settings_go_together(tmp_path, lacks):
    checkpoint = with_layers(tmp_path, 10, **{key: value for key, value in OWN.items() if key not in lacks})
    told = rf"lacks {' and '.join(lacks)}: drop_layers and late_layer go together"
    with pytest.raises(ModelError, match=told) as caught:
        _ = checkpoint.stage_settings
    one_line(caught)


def test_the_settings_of_the_built_in_model_can_be():
    assert find_checkpoint(BUILT_IN).stage_settings["removal_free_after"] == 6


def test_a_byte_order_mark_before_ones_own_settings_is_passed_over(tmp_path):
    assert write(tmp_path, seats='\ufeff{"single_turn": true}\n').single_turn


@pytest.mark.parametrize("content", ["{", "", "[1]", "\x00"])
def test_a_broken_file_of_ones_own_is_not_to_be_downloaded_again(tmp_path, content):
    with pytest.raises(ModelError, match=r"seats\.json .*correct or remove it") as caught:
        _ = write(tmp_path, seats=content).single_turn
    assert "download" not in one_line(caught)


def test_weights_that_are_quantised_are_refused_by_kind(tmp_path):
    checkpoint = write(tmp_path, config={"model_type": "qwen2_5_omni", "quantization_config": {"quant_method": "awq"}})
    with pytest.raises(ModelError, match=r"quantised \(awq\), which is not read: name the model") as caught:
        _ = checkpoint.config
    one_line(caught)


def test_the_chat_template_comes_from_either_file(tmp_path):
    assert Checkpoint("test", tmp_path).chat_template is None
    assert write(tmp_path, chat_template={"chat_template": "json"}).chat_template == "json"
    with pytest.raises(ModelError, match=r"chat_template\.json: chat_template is \[1\], no text: download"):
        _ = write(tmp_path, chat_template={"chat_template": [1]}).chat_template
    (tmp_path / "chat_template.jinja").write_text("jinja")
    assert Checkpoint("test", tmp_path).chat_template == "jinja"
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(ModelError, match=r"chat_template\.jinja is not UTF-8 text: download") as caught:
        _ = Checkpoint("test", tmp_path).chat_template
    one_line(caught)


def test_folders_that_are_mistaken_for_models(tmp_path):
    snapshot = tmp_path / "models--Qwen--Qwen2.5-Omni-7B" / "snapshots" / "ae9e"
    adapter = tmp_path / "lora"
    for file in (snapshot / "config.json", adapter / "adapter_config.json"):
        file.parent.mkdir(parents=True)
        file.write_text("{}")
    for folder, said in (
        (snapshot.parent.parent, f"it has no config.json; did you mean {snapshot}?"),
        (adapter, "it has no config.json, but an adapter: merge it into the model that it was trained on"),
    ):
        with pytest.raises(ModelError, match=re.escape(said)) as caught:
            _ = Checkpoint("test", folder).config
        one_line(caught)


def test_weight_files(tmp_path):
    checkpoint = Checkpoint("test", tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ModelError, match=r"model\.safetensors missing .*only safetensors") as caught:
        _ = checkpoint.weight_files
    one_line(caught)
    shards = {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-2.safetensors"}
    write(tmp_path, **{"model.safetensors.index": {"weight_map": shards, "metadata": {}}})
    (tmp_path / "model-1.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=r"model-2\.safetensors missing") as caught:
        _ = checkpoint.weight_files
    one_line(caught)
    (tmp_path / "model-2.safetensors").write_bytes(b"")
    assert [file.name for file in checkpoint.weight_files] == ["model-1.safetensors", "model-2.safetensors"]
    (tmp_path / "model.safetensors").write_bytes(b"")  # stock code takes it, whatever the index says
    assert [file.name for file in checkpoint.weight_files] == ["model.safetensors"]


@pytest.mark.parametrize(
    "index",
    [
        {"a": 1},
        {"weight_map": 1},
        {"weight_map": {}},
        {"weight_map": {"a": 1}, "metadata": {}},
        {"weight_map": {"a": "config.json"}, "metadata": {}},  # stock code would read it as a pickle
        {"weight_map": {"a": "../other/model.safetensors"}, "metadata": {}},
        {"weight_map": {"a": "/other/model.safetensors"}, "metadata": {}},
        {"weight_map": {"a": "model.safetensors"}},
    ],
)
def test_an_index_that_stock_code_could_not_use(tmp_path, index):
    checkpoint = write(tmp_path, config={}, **{"model.safetensors.index": index})
    with pytest.raises(ModelError, match=r"model\.safetensors\.index\.json is damaged: download") as caught:
        _ = checkpoint.weight_files
    one_line(caught)


def test_a_folder_may_be_a_path(tmp_path):
    """Its name goes into JSON reports."""
    assert find_checkpoint(tmp_path) == Checkpoint(str(tmp_path), tmp_path)
