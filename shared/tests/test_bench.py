from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import small_benchmark
import torch

from contrastbench.core.errors import InputError
from contrastbench.core.testing.bench import Case
from contrastbench.core.testing.bench.command import main
from contrastbench.core.testing.bench.limits import COPY, least_seconds, measure_limits
from contrastbench.core.testing.bench.parity import differences, relative
from contrastbench.core.testing.bench.process import FailedError, in_process, told
from contrastbench.core.testing.bench.record import RecordFile, read_measurements
from contrastbench.core.testing.bench.timing import time_calls

FILE = Path(__file__).parent / "modules/small_benchmark.py"


@pytest.fixture
def quick_limits(monkeypatch):
    """Limits that need no measuring: they are tested by themselves."""
    monkeypatch.setattr("contrastbench.core.testing.bench.command.measure_limits", small_benchmark.known_limits)


@pytest.fixture
def here(quick_limits, monkeypatch):
    """Everything in this process: each other one spends seconds on importing torch."""

    def call(function, *arguments, threads):
        try:
            return function(*arguments)
        except Exception as error:
            raise FailedError(told(error)) from error

    monkeypatch.setenv("COLUMNS", "200")  # or the table is cut off
    monkeypatch.setattr("contrastbench.core.testing.bench.command.in_process", call)
    monkeypatch.setattr("contrastbench.core.testing.bench.measuring.in_process", call)
    monkeypatch.setattr("contrastbench.core.testing.bench.timing.ENOUGH_SECONDS", 0.05)


def bench(*arguments, file=FILE):
    return main([file], [*arguments, "--device=cpu", "--threads=1", "--repeats=1"])


def measured(path, name):
    return json.loads(path.read_text())["benchmarks"][name]


def test_what_agrees_is_timed_and_compared(here, tmp_path, capsys):
    assert bench("right", f"--json={tmp_path / 'out.json'}") == 0
    record = measured(tmp_path / "out.json", "right")
    plain, ours = record["formulations"].values()
    assert ours["difference"] < 1e-5
    assert ours["seconds"] > 0
    assert ours["speed_up"] == pytest.approx(plain["seconds"] / ours["seconds"])
    assert ours["share_of_limit"] == pytest.approx(2 * 64**3 / 1e11 / ours["seconds"])
    assert "speed_up" not in plain
    printed = capsys.readouterr().out
    assert "times faster" in printed
    assert "multiplies 0.1 Tflop/s fp32" in printed


@pytest.mark.slow
def test_memory_is_what_a_call_takes_in_a_process_of_its_own(quick_limits, tmp_path):
    assert bench("memory", f"--json={tmp_path / 'out.json'}") == 0
    found = measured(tmp_path / "out.json", "memory")["formulations"]["plain"]
    assert found["seconds"] > 0
    if Path("/proc/self/clear_refs").exists():  # the account of memory is Linux's
        # the held 64 MiB, and what a first call brings in
        assert 60 * 2**20 <= found["extra_bytes"] < 128 * 2**20


def test_no_speed_is_printed_of_what_is_wrong_and_the_others_go_on(here, tmp_path, capsys):
    assert bench("wrong", "right", f"--json={tmp_path / 'out.json'}") == 1
    found = measured(tmp_path / "out.json", "wrong")["formulations"]
    assert set(found["ours"]) == {"failed"}
    assert "differs from plain by 1.0e-02, allowed are 1e-04" in found["ours"]["failed"]
    assert "speed_up" in found["also"]
    assert "speed_up" in measured(tmp_path / "out.json", "right")["formulations"]["ours"]
    printed = capsys.readouterr().out
    assert "ours: FAILED: differs" in printed
    assert len([line for line in printed.splitlines() if "ours" in line]) == 2


def test_what_raises_is_said(here, tmp_path, capsys):
    assert bench("raises", f"--json={tmp_path / 'out.json'}") == 1
    assert measured(tmp_path / "out.json", "raises")["formulations"]["ours"] == {"failed": "ValueError: no such thing"}
    assert "ValueError: no such thing" in capsys.readouterr().out


@pytest.mark.slow
def test_another_process_gives_its_error_or_its_end():
    with pytest.raises(FailedError, match="ValueError: no such thing"):
        in_process(small_benchmark.raises, None, threads=1)
    with pytest.raises(FailedError, match="exit code 7"):
        in_process(small_benchmark.dies, None, threads=1)


def test_what_is_skipped_is_neither_run_nor_compared_with(here, tmp_path):
    assert bench("skipped", "elsewhere", f"--json={tmp_path / 'out.json'}") == 0
    found = measured(tmp_path / "out.json", "skipped")["formulations"]
    assert found["plain"] == {"skipped": "would need more memory than there is"}
    assert "speed_up" not in found["ours"]
    assert found["triton"] == {"skipped": "a kernel for GPUs"}
    assert measured(tmp_path / "out.json", "elsewhere")["formulations"]["plain"] == {"skipped": "only on cuda"}


def test_what_is_added_is_told_as_a_share(here, tmp_path, capsys):
    assert bench("adds", f"--json={tmp_path / 'out.json'}") == 0
    found = measured(tmp_path / "out.json", "adds")["formulations"]
    assert found["with"]["added"] == pytest.approx(found["with"]["seconds"] / found["without"]["seconds"] - 1)
    assert found["with"]["added"] > 1
    assert "speed_up" not in found["with"]
    assert "The paper: 10 %." in capsys.readouterr().out


@pytest.mark.slow
def test_an_interrupted_run_keeps_what_is_done(tmp_path):
    out = tmp_path / "out.json"
    (tmp_path / "interrupted.py").write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(FILE.parent)!r})\n"
        "from small_benchmark import known_limits\n"
        "from contrastbench.core.testing.bench import command\n"
        "command.measure_limits = known_limits\n"
        f"if __name__ == '__main__': sys.exit(command.main([{str(FILE)!r}], sys.argv[1:]))\n"
    )
    process = subprocess.Popen(
        [
            sys.executable, str(tmp_path / "interrupted.py"), "right", "slow",
            "--device=cpu", "--threads=1", f"--json={out}",
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
        # a process whose parent ignores Ctrl-C, as under nohup, would ignore it too
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    until = time.monotonic() + 120
    while not out.exists() and time.monotonic() < until:
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert f"interrupted; what is measured is in {out}" in errors
    assert set(json.loads(out.read_text())["benchmarks"]) == {"right"}
    assert [p.name for p in tmp_path.glob("*.partial")] == []


def test_a_record_keeps_what_it_holds(tmp_path):
    file = RecordFile(tmp_path / "deep/out.json", {"device": "cpu", "threads": 2})
    file.add("a", {"x": 1})
    RecordFile(tmp_path / "deep/out.json", {"device": "cpu", "threads": 2}).add("b", {"x": 2})
    file.add("a", {"x": 3})
    held = read_measurements(tmp_path / "deep/out.json")
    assert held["benchmarks"] == {"a": {"x": 3}, "b": {"x": 2}}
    with pytest.raises(InputError, match="another machine or setting \\(threads differ\\)"):
        RecordFile(tmp_path / "deep/out.json", {"device": "cpu", "threads": 1})
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(InputError, match="no file of measurements"):
        RecordFile(tmp_path / "other.json", {})


def test_bad_input_is_said(tmp_path, capsys):
    assert bench("wronk") == 2
    assert "unknown benchmark 'wronk'" in capsys.readouterr().err
    assert main([FILE], ["--threads=0"]) == 2
    assert "must be 1 or more" in capsys.readouterr().err
    if not torch.cuda.is_available():
        assert main([FILE], ["--device=cuda"]) == 2
        assert "no CUDA device" in capsys.readouterr().err


def test_a_file_that_cannot_be_read_keeps_no_other_from_being_measured(quick_limits, tmp_path, capsys):
    (tmp_path / "cannot_be_imported.py").write_text("import surely_not_installed\n")
    (tmp_path / "has_no_cases.py").write_text("x = 1\n")
    files = [tmp_path / "cannot_be_imported.py", FILE, tmp_path / "has_no_cases.py"]
    assert main(files, ["--list"]) == 1
    printed = capsys.readouterr().out
    assert "No module named 'surely_not_installed'" in printed
    assert "tuple CASES" in printed
    assert "small_benchmark: right" in printed


def test_differences_name_what_is_not_the_same():
    base = {"a": torch.tensor([1.0, -4.0]), "n": torch.tensor([1, 2])}
    calls = {
        "first": lambda _: base,
        "near": lambda _: {"a": torch.tensor([1.0, -4.002]), "n": torch.tensor([1, 2])},
        "integer": lambda _: {"a": base["a"], "n": torch.tensor([1, 3])},
        "shape": lambda _: {"a": base["a"][:1], "n": base["n"]},
        "fewer": lambda _: [base["a"]],
        "nan": lambda _: {"a": torch.tensor([1.0, math.nan]), "n": base["n"]},
        "half": lambda _: {"a": base["a"].half(), "n": base["n"].int()},
        "raises": lambda _: 1 / 0,
    }
    found = differences(lambda: None, calls)
    assert found["first"] == 0
    assert found["near"] == pytest.approx(0.002 / 4, rel=1e-3)
    assert [found[name] for name in ("integer", "shape", "fewer", "nan")] == [math.inf] * 4
    assert found["half"] == 0
    assert found["raises"] == "ZeroDivisionError: division by zero"
    assert differences(lambda: None, {"plain": lambda _: math.nan}) == {"plain": math.inf}


def test_infinities_must_be_in_the_same_places():
    a = torch.tensor([math.inf, 2.0])
    assert relative(a, a) == 0
    assert relative(-a, a) == math.inf
    assert relative(torch.tensor([2.0, 2.0]), a) == math.inf
    assert relative(torch.zeros(2), torch.zeros(2)) == 0
    assert relative(torch.ones(2), torch.zeros(2)) == math.inf


def test_the_setup_is_repeatable_without_seeds_of_its_own():
    calls = {"one": lambda x: x, "other": lambda x: x}
    assert differences(partial(torch.rand, 5), calls) == {"one": 0.0, "other": 0.0}


def test_times_are_of_each_call():
    costs = time_calls(
        lambda: None, {"long": lambda _: time.sleep(0.03), "short": lambda _: time.sleep(0.01)}, "cpu", 2
    )
    assert 0.03 <= costs["long"].seconds < 0.3
    assert 0.01 <= costs["short"].seconds < costs["long"].seconds
    assert costs["long"].cpu_seconds < 0.02
    assert costs["long"].repeats >= 2
    assert costs["long"].spread >= 0


@pytest.mark.parametrize("precision", ["fp32", "fp64"])
def test_limits_bound(precision, monkeypatch):
    monkeypatch.setattr("contrastbench.core.testing.bench.limits._SIZES", {"cpu": (2**22, 256)})
    monkeypatch.setattr("contrastbench.core.testing.bench.timing.ENOUGH_SECONDS", 0.01)
    found = measure_limits("cpu", frozenset({precision}))
    assert set(found) == {COPY, "fp32", precision}
    assert 1e8 < found[COPY] < 1e13
    assert 1e8 < found[precision] < 1e14
    limits = {COPY: 10.0, precision: 100.0}
    assert least_seconds(1000, 10, precision, limits) == 10
    assert least_seconds(10, 1000, precision, limits) == 100


def test_a_case_names_its_plain_formulation_first():
    case = Case("x", lambda device, small: None, {"plain": lambda _: 0, "triton": lambda _: 0})
    assert next(iter(case.calls)) == "plain"
    assert case.skip("triton", "cpu") is not None
    assert case.skip("triton", "cuda") is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU")
def test_on_a_gpu_time_is_the_devices_and_memory_torchs(tmp_path):
    costs = time_calls(partial(torch.rand, 4096, 4096, device="cuda"), {"product": lambda x: x @ x}, "cuda", 3)
    assert 1e-5 < costs["product"].seconds < 1
    assert 4 * 4096**2 <= costs["product"].extra_bytes < 3 * 4 * 4096**2
    assert main([FILE], ["right", "--device=cuda", f"--json={tmp_path / 'out.json'}"]) == 0
    found = read_measurements(tmp_path / "out.json")
    assert "gpu" in found["machine"]
    assert {"fp32", "tf32", "bf16"} < set(found["benchmarks"]["right"]["limits"])
