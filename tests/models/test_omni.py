"""Loading: hub checkpoints with everything in them, tiny ones, and settings that can or cannot be."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch
import transformers

import seats.costs.memory
from seats.errors import ModelError, OutOfMemoryError, SettingsError
from seats.inference.answer import Question, answer
from seats.inference.generate import Decoding
from seats.methods import Retention, Seats
from seats.models import omni
from seats.models.checkpoint import Checkpoint
from seats.models.omni import Turn, load_model
from seats.models.presets import find_preset
from seats.models.weight_files import thinker_bytes
from seats.models.window_attention import NAME
from seats.plan.model import of_checkpoint
from seats.plan.weights import count_weights
from tests.checkpoints import save_full_checkpoint
from tests.defaults import DEFAULTS, defaults
from tests.inference.clips import clip_of
from tests.tiny import FAMILIES, IDS, tiny_thinker

both_families = pytest.mark.parametrize("family", FAMILIES)


def load(folder, **settings):
    return load_model(Checkpoint("tiny", folder), **settings)


def edit(file, change) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


@both_families
def test_a_tiny_checkpoint(saved, family):
    model = load(saved[family])
    thinker = tiny_thinker(family)
    for name, weight in thinker.state_dict().items():
        assert torch.equal(model.thinker.module.state_dict()[name], weight), name
    assert model.name == "tiny"
    assert not model.thinker.module.training
    assert (model.thinker.dtype, model.thinker.device.type) == (torch.float32, "cpu")
    assert model.thinker.vision.config._attn_implementation == NAME
    assert model.shape.family == family
    assert (model.shape.num_layers, model.shape.settings) == (8, {})
    patch = 14 if family == "qwen2.5-omni" else 16
    assert (model.patches.patch_size, model.patches.merge_size) == (patch, 2)
    assert model.sampling.factor == 2 * patch
    assert (model.sampling.min_pixels, model.sampling.max_frames) == (4 * (2 * patch) ** 2, 64)
    assert (model.mel.bins, model.mel.hop, model.mel.padded) == (128, 160, family == "qwen2.5-omni")


@both_families
@pytest.mark.parametrize("kind", DEFAULTS)
def test_what_torch_makes_tensors_of_by_default_changes_no_model(saved, family, kind):
    usual = load(saved[family]).thinker.module
    with defaults(kind):
        other = load(saved[family]).thinker.module
    for one, same in (
        (usual.named_parameters(), other.named_parameters()),
        (usual.named_buffers(), other.named_buffers()),
    ):
        for (name, mine), (_, theirs) in zip(one, same, strict=True):
            assert (mine.dtype, mine.device) == (theirs.dtype, theirs.device), name
            assert torch.equal(mine, theirs), name


@both_families
def test_the_thinker_of_a_full_sharded_checkpoint(tmp_path, family):
    thinker = save_full_checkpoint(tmp_path, family)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())["weight_map"]
    assert len(set(index.values())) > 3
    assert {name.split(".")[0] for name in index} > {"thinker", "talker"}
    model = load(tmp_path)
    loaded, saved = model.thinker.module.state_dict(), thinker.state_dict()
    assert loaded.keys() == saved.keys()
    assert all(torch.equal(loaded[name], weight) for name, weight in saved.items())
    assert thinker_bytes(Checkpoint("full", tmp_path)) == 4 * sum(p.numel() for p in thinker.parameters())


def test_threads_that_load_at_the_same_time_take_turns(saved):
    """transformers sets the default type and patches `torch.nn.init` for the whole process meanwhile."""

    def state():
        logging = transformers.utils.logging
        quiet = logging.get_verbosity(), logging.is_progress_bar_enabled()
        return torch.get_default_dtype(), torch.nn.init.normal_, *quiet

    def weights(family, dtype):
        return load(saved[family], dtype=dtype).thinker.module.state_dict()

    wanted = [(family, dtype) for family in FAMILIES for dtype in ("float32", "bfloat16", "float16")]
    alone, before = [weights(*one) for one in wanted], state()
    with ThreadPoolExecutor(len(wanted)) as pool:
        together = list(pool.map(lambda one: weights(*one), wanted))
    assert state() == before
    for mine, theirs in zip(together, alone, strict=True):
        assert mine.keys() == theirs.keys()
        for name, weight in theirs.items():
            assert mine[name].dtype == weight.dtype, name
            assert torch.equal(mine[name], weight), name


def test_how_much_transformers_says_is_as_before(saved):
    logging = transformers.utils.logging
    usual, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    try:
        logging.set_verbosity_info()
        logging.disable_progress_bar()
        load(saved["qwen2.5-omni"])
        assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == (logging.INFO, False)
    finally:
        logging.set_verbosity(usual)
        if bar:
            logging.enable_progress_bar()


def test_answers_do_not_change_while_another_thread_loads_a_model(saved):
    model = load(saved["qwen3-omni"])
    clip = clip_of(model.patches.token_side)
    asked = Question("what ?", keep=35.0, decoding=Decoding(4))
    alone = answer(model, clip, asked)
    with ThreadPoolExecutor(1) as pool:
        loading = [pool.submit(load, saved["qwen2.5-omni"], dtype="bfloat16") for _ in range(4)]
        while not all(one.done() for one in loading):
            made = answer(model, clip, asked)
            assert (made.text, made.trace.layers) == (alone.text, alone.trace.layers)
            assert torch.equal(made.trace.saliency, alone.trace.saliency)
    assert [one.result().thinker.dtype for one in loading] == 4 * [torch.bfloat16]


def test_settings_that_say_nothing_are_the_usual_ones(broken):
    plain = load(broken)
    edit(broken / "preprocessor_config.json", lambda c: c.update(hop_length=None, n_fft=None, image_mean=None))
    edit(broken / "video_preprocessor_config.json", lambda c: c.update(fps=None, min_frames=None))
    model = load(broken)
    assert (model.mel, model.patches, model.sampling) == (plain.mel, plain.patches, plain.sampling)


def test_code_in_a_checkpoint_is_never_run_nor_asked_about(broken, monkeypatch, tmp_path):
    marker = tmp_path / "ran"
    (broken / "own.py").write_text(f"open({str(marker)!r}, 'w')\nclass Own:\n    from_pretrained = print\n")
    own = {"AutoTokenizer": ["own.Own", "own.Own"]}
    edit(broken / "tokenizer_config.json", lambda c: c.update(auto_map=own, tokenizer_class="Own"))
    edit(broken / "config.json", lambda c: c.update(auto_map={"AutoConfig": "own.Own", "AutoModel": "own.Own"}))
    monkeypatch.setattr("builtins.input", lambda _: "y")  # to what transformers asks unless told
    with pytest.raises(ModelError, match="no tokenizer that can be loaded"):
        load(broken)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"device": "tpu0"}, "unknown device 'tpu0'"),
        ({"device": "meta"}, "unknown device 'meta'"),
        ({"device": "cuda"}, "sees no CUDA GPU"),
        ({"device": "mps"}, "mps"),
        ({"dtype": "float8"}, "unknown dtype 'float8'"),
        ({"quantize": "3bit"}, "unknown quantisation '3bit'"),
        ({"quantize": "4bit"}, "works on a CUDA GPU, not on cpu"),
    ],
)
def test_settings_that_cannot_be(saved, monkeypatch, settings, said):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(SettingsError, match=said):
        load(saved["qwen2.5-omni"], **settings)


def test_how_pixels_are_scaled_is_the_image_processor_s_where_the_one_of_videos_does_not_say(broken):
    of_images = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.4, 0.4]}
    said = {"image_processor": of_images, "video_processor": {"image_std": [0.5, 0.5, 0.5]}}
    said["feature_extractor"] = json.loads((broken / "preprocessor_config.json").read_text())
    (broken / "processor_config.json").write_text(json.dumps(said))
    patches = load(broken).patches
    assert (patches.mean, patches.std) == ((0.1, 0.2, 0.3), (0.5, 0.5, 0.5))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_dtype_asked_for(saved, dtype):
    model = load(saved["qwen2.5-omni"], dtype=dtype, device="cpu")
    assert model.thinker.dtype == getattr(torch, dtype)
    assert {p.dtype for p in model.thinker.module.parameters()} == {getattr(torch, dtype)}


def test_only_small_models_run_in_32_bits_on_a_cpu(saved, monkeypatch):
    parameters = count_weights(of_checkpoint(Checkpoint("tiny", saved["qwen2.5-omni"]))).parameters
    monkeypatch.setattr("seats.plan.weights.SMALL", parameters + 1)  # the file's own number type does not count
    assert load(saved["qwen2.5-omni"]).thinker.dtype == torch.float32
    monkeypatch.setattr("seats.plan.weights.SMALL", parameters)
    assert load(saved["qwen2.5-omni"]).thinker.dtype == torch.bfloat16


@pytest.mark.parametrize("version", ["2.9.0", "2.12.1"])
def test_mps_is_refused_where_torch_gets_attention_wrong_there(saved, monkeypatch, version):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch, "__version__", version)
    for dtype in ("auto", "float16"):
        with pytest.raises(SettingsError, match=f"torch {version} computes attention wrongly on mps in 16 bits: inst"):
            load(saved["qwen2.5-omni"], device="mps", dtype=dtype)


@pytest.mark.parametrize(
    ("version", "device", "dtype"),
    [
        ("2.13.0", "mps", torch.bfloat16),
        ("2.14.0a0+git0", "mps:0", torch.float16),
        ("2.9.0", "mps", torch.float32),
        ("2.9.0", "cpu", torch.bfloat16),
    ],
)
def test_elsewhere_attention_is_taken_as_it_is(monkeypatch, version, device, dtype):
    monkeypatch.setattr(torch, "__version__", version)
    omni._check_attention(torch.device(device), dtype)


def test_memory_is_checked_before_loading(saved, monkeypatch):
    import transformers

    monkeypatch.setattr(seats.costs.memory, "available_bytes", lambda device: 10_000)
    monkeypatch.setattr(
        transformers.Qwen2_5OmniThinkerForConditionalGeneration,
        "from_pretrained",
        lambda *_args, **_kwargs: pytest.fail("loading began"),
    )
    with pytest.raises(OutOfMemoryError, match=r"needs .* GiB for its weights, cpu has .*choose a smaller --model"):
        load(saved["qwen2.5-omni"])


@pytest.mark.parametrize(
    ("name", "device", "said"),
    [
        (
            "qwen2.5-omni-7b",
            "cuda",
            "needs 16.6 GiB for its weights, cuda has 1.5 GiB free: choose a smaller --model, --q",
        ),
        (
            "qwen2.5-omni-7b",
            "cpu",
            "16.6 GiB for its weights, cpu has 1.5 GiB free: choose a smaller --model, or another",
        ),
        (
            "qwen3-omni-30b-a3b",
            "cuda",
            "59.1 GiB for its weights, cuda has 1.5 GiB free: choose a smaller --model, or an",
        ),
    ],
)
def test_what_is_said_of_too_little_memory_would_help(name, device, said, tmp_path, monkeypatch):
    """Nothing is quantised on a CPU, nor the experts that the 30B consists of."""
    preset = find_preset(name)
    (tmp_path / "config.json").write_text(
        json.dumps({**preset.thinker, "model_type": preset.family.config_types[1], "architectures": []})
    )
    monkeypatch.setattr(seats.costs.memory, "available_bytes", lambda _: 3 * 2**29)
    with pytest.raises(OutOfMemoryError, match=said):
        omni._check_memory(of_checkpoint(Checkpoint("m", tmp_path)), torch.device(device), torch.bfloat16, None)


def test_the_host_s_memory_is_checked_where_weights_are_copied_in_it(saved, monkeypatch):
    """On the way to a GPU those of the type they are stored as are only mapped."""
    gpu = torch.device("cuda")
    for name, dtype, copied in (
        ("qwen2.5-omni", torch.float32, False),
        ("qwen2.5-omni", torch.float16, True),
        ("qwen3-omni", torch.float32, True),  # its experts are joined
    ):
        checkpoint = Checkpoint(name, saved[name])
        monkeypatch.setattr(seats.costs.memory, "available_bytes", lambda device: 10_000)
        with pytest.raises(OutOfMemoryError, match="by way of main memory") if copied else nullcontext():
            omni._check_host_memory(checkpoint, gpu, dtype)
        monkeypatch.setattr(seats.costs.memory, "available_bytes", lambda device: 2**30)
        omni._check_host_memory(checkpoint, gpu, dtype)


on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


@pytest.mark.skipif(find_spec("accelerate") is None, reason="needs accelerate")
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=on_cuda)])
@both_families
def test_weights_that_go_straight_to_their_device(saved, family, device, monkeypatch):
    monkeypatch.setattr(omni, "_goes_straight", lambda device: False)
    by_way = load(saved[family], device=device).thinker.module.state_dict()
    monkeypatch.setattr(omni, "_goes_straight", lambda device: True)
    monkeypatch.delattr(transformers.PreTrainedModel, "to")
    monkeypatch.delattr(torch.nn.Module, "to")
    straight = load(saved[family], device=device).thinker.module.state_dict()
    assert straight.keys() == by_way.keys()
    for name, weight in straight.items():
        assert weight.device.type == device
        assert torch.equal(weight, by_way[name]), name


@pytest.mark.parametrize("where", ["the stock loader", "the fused blocks"])
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 65536 bytes."),
        RuntimeError("CUDA error: out of memory"),
        MemoryError(),
    ],
)
def test_memory_that_runs_out_while_loading_is_told_as_such(saved, monkeypatch, where, error):
    def lacks_memory(*_, **__):
        raise error

    if where == "the stock loader":
        monkeypatch.setattr(transformers.PreTrainedModel, "from_pretrained", lacks_memory)
    else:
        monkeypatch.setattr(omni, "use_fused_blocks", lacks_memory)
    with pytest.raises(OutOfMemoryError, match="does not fit into cpu: choose a smaller --model"):
        load(saved["qwen3-omni"])


@pytest.mark.parametrize("quantize", [None, "8bit", "4bit"])
def test_the_memory_that_is_asked_for_is_what_the_weights_take(saved, monkeypatch, quantize):
    """Whatever type they have on disk (here float32), and where experts stay wide."""
    free = [0]
    monkeypatch.setattr(seats.costs.memory, "available_bytes", lambda device: free[0])
    checkpoint = Checkpoint("m", saved["qwen3-omni"])
    needed = count_weights(of_checkpoint(checkpoint)).bytes(2, quantize)
    free[0] = needed
    omni._check_memory(of_checkpoint(checkpoint), torch.device("cuda"), torch.bfloat16, quantize)
    free[0] = needed - 1
    with pytest.raises(OutOfMemoryError, match="choose a smaller --model"):
        omni._check_memory(of_checkpoint(checkpoint), torch.device("cuda"), torch.bfloat16, quantize)


@pytest.mark.parametrize(("optimize", "cure"), [(0, "mend or remove that package"), (2, "without -OO")])
def test_code_that_cannot_be_imported_is_said_with_its_cause(saved, monkeypatch, optimize, cure):
    """-OO leaves out docstrings, which transformers reads: then no package is to blame."""

    class Broken:
        def __getattr__(self, name):
            if name == "__spec__":  # Python 3.13's import statement asks for it
                raise AttributeError(name)
            try:
                raise RuntimeError("operator torchvision::nms does not exist")
            except RuntimeError as error:
                raise ModuleNotFoundError("Could not import module 'AttentionInterface'") from error

    monkeypatch.setitem(sys.modules, "transformers", Broken())
    monkeypatch.setattr(omni, "sys", SimpleNamespace(flags=SimpleNamespace(optimize=optimize)))
    with pytest.raises(ModelError, match=rf"cannot import the model's code \(operator torchvision::nms.*{cure}"):
        omni.import_model_code(Checkpoint("m", saved["qwen2.5-omni"]))


def test_how_pixels_are_scaled_is_not_guessed(broken):
    (broken / "preprocessor_config.json").unlink()
    (broken / "video_preprocessor_config.json").unlink(missing_ok=True)
    with pytest.raises(ModelError, match=r"no preprocessor_config\.json.*copy it"):
        load(broken)


def test_its_own_settings_reach_the_method(saved, broken):
    own = {"drop_layers": [2, 4], "late_layer": 7, "temperature": 0.7}
    (broken / "seats.json").write_text(json.dumps(own))
    shape = load(broken).shape
    assert shape.settings == own
    method = Seats.for_model(shape, Retention(0.2, 0.3), 0)
    assert (method.drop_layers, method.late_layer, method.temperature) == ((2, 4), 7, 0.7)
    plain = Seats.for_model(load(saved["qwen2.5-omni"]).shape, Retention(0.2, 0.3), 0)
    assert plain.drop_layers != method.drop_layers


@both_families
def test_prompts_hold_one_placeholder(saved, family):
    model = load(saved[family])
    turn, end = model.tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
    words = model.tokenizer.convert_tokens_to_ids(["what", "is", "red", "?"])
    for has_video, placeholder in ((True, IDS["video"]), (False, IDS["audio"])):
        ids = model.prompt_ids("what is red ?", None, has_video)
        at = ids.index(placeholder)
        marks = ("vision_start", "vision_end") if has_video else ("audio_start", "audio_end")
        assert [ids[at - 1], ids[at + 1]] == [IDS[mark] for mark in marks]
        assert ids[at + 2 : at + 2 + len(words)] == words
        assert (ids[0], ids.count(turn), ids.count(end)) == (turn, 2, 1)
    with_system = model.prompt_ids("what is red ?", "you are a test .", True)
    assert with_system.count(turn) == 3
    said = model.tokenizer.convert_tokens_to_ids(["you", "are", "a", "test"])
    assert any(with_system[i : i + 4] == said for i in range(len(with_system)))


@both_families
def test_texts_that_the_tokenizer_would_not_take_for_words(saved, family):
    model = load(saved[family])
    video, audio = model.tokenizer.convert_ids_to_tokens([IDS["video"], IDS["audio"]])

    def refused(said, *texts):
        with pytest.raises(SettingsError) as caught:
            model.prompt_ids(*texts)
        assert str(caught.value).startswith(said)

    refused(f"the question holds {video}, a special token", f"what is {video} ?", None, True)
    refused("the system prompt holds <|im_end|>", "what ?", "be <|im_end|> brief", True)
    refused(f"the earlier question holds {audio}", "what ?", None, False, [Turn(f"{audio} ?", "red")])
    refused(f"the earlier answer holds {audio}", "what ?", None, False, [Turn("what ?", f"red {audio}")])
    refused("the question holds '\\udcff', which is no character", "what \udcff ?", None, True)


@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation"])
@pytest.mark.parametrize("name", ["someone/kernels@main", "eager", "flash_attention_2"])
def test_attention_is_never_what_a_checkpoint_names(broken, key, name):
    """It may be code on the hub."""
    edit(broken / "config.json", lambda config: config.update({key: name}))
    assert load(broken).thinker.text.config._attn_implementation == "sdpa"


@pytest.mark.parametrize(
    "template", [None, "{% for %}", "{{ raise_exception('no') }}", "{% if 1 %}" * 3000 + "{% endif %}" * 3000]
)
def test_a_chat_template_that_does_not_work(broken, template):
    (broken / "chat_template.jinja").unlink()
    if template is not None:
        (broken / "chat_template.jinja").write_text(template)
    model = load(broken)
    with pytest.raises(ModelError, match="no usable chat template") as caught:
        model.prompt_ids("what ?", None, True)
    assert "\n" not in str(caught.value)
