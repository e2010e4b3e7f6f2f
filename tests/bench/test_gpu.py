"""The parts of `benchmarks/gpu.py`: their commands are understood, and they run, with small models on a CPU."""

import contextlib
import io
import json
import math
import re
import subprocess
import sys
import tarfile
import time

import pytest
import typer

from benchmarks import gpu, tables
from benchmarks.gpu_profile import tried
from seats_cli.app import build_app

PARTS = ("7b-tokens", "7b-first-token", "7b-hour", "7b-profile")


@pytest.fixture(scope="module")
def commands():
    return typer.main.get_command(build_app()).commands


@pytest.mark.parametrize("dry", [False, True])
def test_the_commands_are_understood(commands, dry):
    parts = gpu.parts(dry)
    assert len({part.name for part in parts}) == len(parts)
    asked = [part.command for part in parts if part.command[:2] == ("-m", "seats_cli")]
    assert len(asked) == 13
    for _, _, name, *arguments in asked:
        commands[name].make_context(name, list(arguments))  # raises for an option it does not know
    assert all(part.about_s < gpu.LIMIT_S < 9 * 60 for part in parts)


def test_every_method_at_every_retention_and_stock_code():
    by_name = {part.name: part.command for part in gpu.parts()}
    for model in ("7b", "3b", "30b"):
        ours, others = by_name[f"{model}-tokens"], by_name[f"{model}-methods"]
        assert {"--method=seats", "--stock"} <= set(ours)
        assert {"--method=omnizip", "--method=divprune-om", "--method=random"} <= set(others)
        for command in (ours, others):
            assert [word for word in command if word.startswith("--keep")] == [f"--keep={k}%" for k in (35, 25, 15, 10)]
            assert "--method=full" not in command  # it always runs


def test_the_plan_is_printed_and_nothing_runs(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "run", lambda *_: pytest.fail("ran"))
    assert gpu.main(["--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "7b-first-token" in out
    assert " done " not in out
    assert gpu.main(["run", "7b", "--budget", "10", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said.count("left for the next call") == 7
    assert said.startswith("kernels ")
    for names in (["70b"], ["3b", "70b"]):
        with pytest.raises(SystemExit):
            gpu.main(["run", *names])
        assert "no such part as 70b" in capsys.readouterr().err


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Parts that were run once: the folder of their records, the one they are handed over in, and what was said."""
    out, again, said = tmp_path_factory.mktemp("files"), tmp_path_factory.mktemp("again"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.setenv("OUT", str(again))
        assert gpu.main(["run", *PARTS, "--dry", "--out", str(out)]) == 0
    return out, again, said.getvalue()


@pytest.mark.slow
def test_parts_run_are_recorded_and_not_run_again(done, capsys, monkeypatch):
    out, again, said = done
    assert "ms after the file is opened" in said
    assert "peak memory full" in said
    for name in PARTS:
        record = json.loads((out / f"gpu-{name}.json").read_text())
        with tarfile.open(again / "gpu-records.tar") as tar:
            assert record == json.load(tar.extractfile(f"gpu-{name}.json"))
        assert record["exit_code"] == 0
        assert record["command"][0] == "python"
        assert record.keys() >= {"commit", "recorded", "machine", "result", "seconds"}
        if name in ("7b-hour", "7b-first-token"):
            assert [row["label"] for row in record["result"]["rows"]] == ["full", "seats 10%"]
    monkeypatch.setattr(gpu, "run", lambda *_: pytest.fail("ran again"))
    assert gpu.main(["run", *PARTS, "--dry", "--out", str(out)]) == 0
    assert capsys.readouterr().out.count(" done ") == 1 + len(PARTS)


@pytest.mark.slow
def test_records_become_a_table(done):
    rows = tables.gpu(done[0]).splitlines()
    assert rows[2].startswith("| qwen2.5-omni-7b than our full tokens | - | - | - | ")
    assert re.search(r"\| \d+\.\d\d \(\d+\.\d\d … \d+\.\d\d\) \|$", rows[2])
    assert rows[3].startswith("| qwen2.5-omni-7b than transformers | ")
    assert {row.split(":")[0] for row in rows if row.startswith("- 7b-")} >= {f"- {name}" for name in PARTS[:3]}


@pytest.mark.slow
def test_a_profile_names_kernels_and_products(done):
    result = json.loads((done[0] / "gpu-7b-profile.json").read_text())["result"]
    assert result["failed"] == {}
    assert list(result["runs"]) == ["full", "seats 10%", "vision encoder"]
    assert all(its["kernels"][0]["ms"] > 0 for its in result["runs"].values())
    assert {(its["part"], its["product"]) for its in result["products"]} >= {("text", "down"), ("vision", "gate")}
    by_backend = {its["backend"]: its["ms"] for its in result["prompt_attention"]}
    assert by_backend["FLASH_ATTENTION"] > 0
    assert "CUDNN_ATTENTION" in by_backend  # without a figure on a CPU
    windows = result["window_attention_ms"]
    assert list(windows) == ["one_kernel", "rotated_before"]
    assert all(len(taken) == 3 and min(taken) > 0 for taken in windows.values())
    assert [its["patches"] for its in result["encoder_parts"]] == [4_096, 8_192, 16_384, 32_768, 65_536]
    assert all(len(its["rounds_ms"]) == 3 and its["ms"] > 0 for its in result["encoder_parts"])
    assert {its["product"] for its in result["layouts"]} == {"o + residual", "down + residual", "gate, up", "q, k, v"}
    assert all(its["apart_ms"] > 0 and its["in_one_ms"] > 0 for its in result["layouts"])
    assert {its["rows"] % 128 for its in result["row_counts"] if its["rows"] != its["near"]} == {0}


def test_what_fails_is_recorded_and_told(tmp_path, capsys, monkeypatch):
    part = gpu.Part("broken", ("-c", "import sys; print('{'); sys.exit('no such thing')"), 1, document=False)
    monkeypatch.setattr(gpu, "parts", lambda _: [part])
    assert gpu.main(["run", "--dry", "--out", str(tmp_path)]) == 1
    assert "no such thing" in capsys.readouterr().out
    record = json.loads((tmp_path / "gpu-broken.json").read_text())
    assert (record["exit_code"], record["result"]["summary"]) == (1, "{")
    assert gpu.main(["--dry", "--out", str(tmp_path)]) == 0
    assert "to do" in capsys.readouterr().out  # a failure is not done


@pytest.mark.parametrize("found", ["", '{"command": ["py', "[1]", "{}"])
def test_a_record_that_was_cut_in_writing_is_made_anew(tmp_path, capsys, monkeypatch, found):
    monkeypatch.setattr(gpu, "parts", lambda _: [gpu.Part("short", ("-c", "print(1)"), 1, document=False)])
    record = tmp_path / "gpu-short.json"
    record.write_text(found)
    assert gpu.main(["--dry", "--out", str(tmp_path)]) == 0
    assert "to do" in capsys.readouterr().out
    assert gpu.main(["run", "--dry", "--out", str(tmp_path)]) == 0
    assert json.loads(record.read_text())["result"]["summary"] == "1"


def test_a_record_of_another_command_is_made_anew(tmp_path, monkeypatch):
    for said in ("1", "2"):
        part = gpu.Part("short", ("-c", f"print({said})"), 1, document=False)
        monkeypatch.setattr(gpu, "parts", lambda _, part=part: [part])
        assert gpu.main(["run", "--dry", "--out", str(tmp_path)]) == 0
        assert json.loads((tmp_path / "gpu-short.json").read_text())["result"]["summary"] == said


def test_an_older_record_stays_until_the_new_one_is_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "parts", lambda _: [gpu.Part("short", ("-c", "print(1)"), 1, document=False)])
    assert gpu.main(["run", "--dry", "--out", str(tmp_path)]) == 0
    record = tmp_path / "gpu-short.json"
    before = record.read_text()

    def cut(path, text, **_):
        path.write_bytes(text.encode()[:20])
        raise OSError("No space left on device")

    monkeypatch.setattr(gpu.Path, "write_text", cut)
    assert gpu.main(["run", "--dry", "--again", "--out", str(tmp_path)]) == 1
    assert record.read_text() == before


def test_output_that_is_no_document_is_kept_and_a_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "parts", lambda _: [gpu.Part("odd", ("-c", "print('{broken')"), 1)])
    assert gpu.main(["run", "--dry", "--out", str(tmp_path)]) == 1
    record = json.loads((tmp_path / "gpu-odd.json").read_text())
    assert (record["exit_code"], record["result"]) == (1, None)
    assert "{broken" in record["stderr"]


def test_a_part_ends_with_the_budget(tmp_path, monkeypatch):
    command = ("-c", "import sys, time; print(sys.argv[-1], flush=True); time.sleep(60)")
    monkeypatch.setattr(gpu, "parts", lambda _: [gpu.Part("long", command, 1, document=False)])
    began = time.monotonic()
    assert gpu.main(["run", "--budget", "2.5", "--dry", "--out", str(tmp_path)]) == 1
    assert time.monotonic() - began < 30
    record = json.loads((tmp_path / "gpu-long.json").read_text())
    assert record["exit_code"] == 124
    assert 0 < float(record["result"]["summary"]) < 5


def _told_kernels(fails_with, error="raise SystemExit(1)"):
    """A command that says which kernels it runs with, or fails with some."""
    kernels = "os.environ.get('SEATS_TRITON', 'all')"
    return ("-c", f"import os\nif {kernels} in {fails_with}: {error}\nelse: print({kernels})")


@pytest.mark.parametrize("left", ["no-tma", "0"])
def test_fewer_kernels_where_their_tests_fail(tmp_path, capsys, monkeypatch, left):
    fails_with = {"no-tma": ["all"], "0": ["all", "no-tma"]}[left]
    parts = [
        gpu.Part("kernels", _told_kernels(fails_with), 1, document=False),
        gpu.Part("odd", _told_kernels([]), 1, document=False),
    ]
    monkeypatch.setattr(gpu, "parts", lambda _: parts)
    monkeypatch.delenv("SEATS_TRITON", raising=False)
    assert gpu.main(["run", "odd", "--dry", "--out", str(tmp_path)]) == (left == "0")
    record = json.loads((tmp_path / "gpu-odd.json").read_text())
    assert (record["result"]["summary"], record["kernels"]) == (left, left)  # nobody takes it for a figure with all
    said = capsys.readouterr().out
    assert said.count("the rest runs with fewer kernels") == len(fails_with)
    assert f"with fewer Triton kernels: odd ({left})" in said


def test_a_later_call_leaves_out_the_kernels_whose_tests_failed(tmp_path, monkeypatch):
    kernels = gpu.Part("kernels", _told_kernels(["all"]), 1, document=False)
    monkeypatch.setattr(gpu, "parts", lambda _: [kernels, gpu.Part("odd", _told_kernels([]), 1, document=False)])
    monkeypatch.delenv("SEATS_TRITON", raising=False)
    for name in ("kernels", "odd"):
        assert gpu.main(["run", name, "--dry", "--out", str(tmp_path)]) == 0
    record = json.loads((tmp_path / "gpu-odd.json").read_text())
    assert (record["result"]["summary"], record["kernels"]) == ("no-tma", "no-tma")


def test_tests_that_cannot_be_run_say_nothing_about_the_kernels(tmp_path, monkeypatch):
    tests = ("-m", "pytest", "-q", str(tmp_path / "no_such_test.py"))
    parts = [
        gpu.Part("kernels", tests, 20, document=False, limited=False),
        gpu.Part("odd", _told_kernels([]), 1, document=False),
    ]
    monkeypatch.setattr(gpu, "parts", lambda _: parts)
    monkeypatch.delenv("SEATS_TRITON", raising=False)
    assert gpu.main(["run", "--dry", "--out", str(tmp_path)]) == 1
    assert json.loads((tmp_path / "gpu-odd.json").read_text())["kernels"] == "all"


@pytest.mark.parametrize(
    "error",
    [
        "CUDA error: an illegal memory access",
        "triton.runtime.errors.OutOfResources: out of resource: shared memory",
        "triton.compiler.errors.CompilationError: at 1:1",
        "RuntimeError: Triton Error [CUDA]: Failed to create tensor map descriptor: invalid argument",
        "RuntimeError: PassManager::run failed",
    ],
)
@pytest.mark.parametrize("left", ["no-tma", "0"])
def test_a_device_that_gives_up_is_tried_again_with_fewer_kernels(tmp_path, capsys, monkeypatch, error, left):
    fails_with = {"no-tma": ["all"], "0": ["all", "no-tma"]}[left]
    code = _told_kernels(fails_with, f"print({error!r})")
    parts = [gpu.Part("odd", code, 1, document=False), gpu.Part("next", code, 1, document=False)]
    monkeypatch.setattr(gpu, "parts", lambda _: parts)
    monkeypatch.delenv("SEATS_TRITON", raising=False)
    assert gpu.main(["run", "--dry", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("the rest runs with fewer kernels") == len(fails_with)
    records = {name: json.loads((tmp_path / f"gpu-{name}.json").read_text()) for name in ("odd", "next")}
    assert {record["kernels"] for record in records.values()} == {left}
    assert {record["result"]["summary"] for record in records.values()} == {left}
    assert json.loads((tmp_path / "gpu-odd-failed.json").read_text())["kernels"] == fails_with[-1]


@pytest.mark.parametrize(
    "error",
    [
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling",
        "Triton Error [CUDA]: out of memory",
    ],
)
def test_a_lack_of_memory_is_no_kernel_s_fault(tmp_path, monkeypatch, error):
    monkeypatch.setattr(gpu, "parts", lambda _: [gpu.Part("full", ("-c", f"print({error!r})"), 1, document=False)])
    monkeypatch.delenv("SEATS_TRITON", raising=False)
    assert gpu.main(["run", "--dry", "--out", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "gpu-full.json").read_text())["kernels"] == "all"


def test_a_part_that_cannot_be_told_leaves_the_others(tmp_path, capsys, monkeypatch):
    parts = [gpu.Part(name, ("-c", "print('fine')"), 1, document=False) for name in ("choices", "odd")]
    monkeypatch.setattr(gpu, "parts", lambda _: parts)
    tell = gpu.figures

    def fails(records):
        if "choices" in records:
            raise KeyError("median")
        return tell(records)

    monkeypatch.setattr(gpu, "figures", fails)
    assert gpu.main(["run", "--dry", "--out", str(tmp_path)]) == 1
    assert "KeyError" in capsys.readouterr().err
    assert json.loads((tmp_path / "gpu-odd.json").read_text())["exit_code"] == 0


def test_a_gpu_that_answers_nothing_is_told_for_every_part(tmp_path, capsys, monkeypatch):
    def fails():
        raise RuntimeError("CUDA error: unknown error")

    parts = [gpu.Part(name, ("-c", "print('fine')"), 1, document=False) for name in ("one", "two")]
    monkeypatch.setattr(gpu, "parts", lambda _: parts)
    monkeypatch.setattr(gpu, "free_gib", fails)
    assert gpu.main(["run", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("RuntimeError: CUDA error") == 2


def test_a_part_that_hangs_leaves_time_for_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "parts", lambda _: [gpu.Part("long", ("-c", "import time; time.sleep(60)"), 1)])
    monkeypatch.setattr(gpu, "PATIENCE", 1)
    began = time.monotonic()
    assert gpu.main(["run", "--budget", "500", "--dry", "--out", str(tmp_path)]) == 1
    assert time.monotonic() - began < 30
    assert json.loads((tmp_path / "gpu-long.json").read_text())["exit_code"] == 124


@pytest.mark.parametrize("missing", ["av", "pytest"])
def test_what_cannot_be_imported_is_told_before_anything_runs(monkeypatch, tmp_path, missing):
    monkeypatch.setattr(gpu, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(SystemExit, match=f"{missing} cannot be imported: install them, or put their wheels into"):
        gpu.main(["--out", str(tmp_path)])


def test_wheels_that_cannot_be_installed_leave_nothing_behind(monkeypatch, tmp_path):
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "av-1-py3-none-any.whl").write_bytes(b"cut off")
    monkeypatch.setattr(gpu, "ROOT", tmp_path)
    monkeypatch.setattr(gpu.tempfile, "gettempdir", lambda: str(tmp_path))
    for _ in range(2):  # what a first try left would pass for installed in the second
        with pytest.raises(SystemExit, match="wheels cannot be installed"):
            gpu.place(tmp_path, dry=False)
    assert not (tmp_path / "seats-gpu-site").exists()


def test_a_line_before_a_document_does_not_cost_it():
    part = gpu.Part("odd", ("-c", ""), 1)
    for before in ("", "a library's remark\n", "{\n"):
        assert gpu._result(part, 0, f'{before}{{\n "rows": []\n}}\n') == {"rows": []}
    assert gpu._result(part, 0, "cut {off") is None


def test_a_test_that_no_signal_reaches_is_ended(tmp_path):
    """As one that waits for a kernel which never ends: the others' time is not to be spent on it."""
    hangs = "import signal, time\ndef test_hangs():\n    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])\n"
    (tmp_path / "test_it.py").write_text(f"{hangs}    time.sleep(60)\n")
    command = [one.replace("=100", "=2") for one in gpu.parts()[0].command[: -len(gpu.KERNEL_TESTS)]]
    began = time.monotonic()
    ended = subprocess.run([sys.executable, *command, "."], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 1  # as of tests that failed
    assert "Timeout" in ended.stdout + ended.stderr
    assert time.monotonic() - began < 30


def test_a_measurement_that_fails_leaves_the_others():
    told = tried({"one": lambda: 1 / 0, "two": lambda: 2}, math.inf)
    assert told == {"one": None, "two": 2, "failed": {"one": "ZeroDivisionError: division by zero"}}
    assert tried({"late": lambda: 1}, -1.0) == {"late": None, "failed": {"late": "no time left"}}
    assert gpu.figures({"7b-profile": {"result": {"runs": None}}}) == []


def test_figures_of_rows_that_lack_something():
    spread = {"median": 2.0, "low": 1.5, "high": 2.5}
    row = {
        "label": "seats 10%",
        "error": None,
        "speedup": dict.fromkeys(("selection_and_prefill", "with_saliency", "over_stock", "vision_over_stock")),
        "flops": {"reduction": 7.8, "reduction_over_stock": 8.4},
        "latency_ms": {"encode_video": spread},
        "rate_share": {"vision_encoder": 0.5},
    }
    record = {"result": {"rows": [{"label": "full", "error": "out of memory"}, row]}}
    said = gpu.figures({"30b-tokens": record, "30b-frames": record})
    assert [line.split(":")[0] for line in said] == ["30b-tokens", "30b-frames"]
    assert "- times faster (limit 7.80)" in said[0]
    assert "stock code takes - times as long" in said[1]
