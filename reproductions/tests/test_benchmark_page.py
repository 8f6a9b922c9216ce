from __future__ import annotations

import json

import pytest

from contrastbench.core.errors import InputError
from contrastbench.reproductions.benchmark_page import benchmark_page


def cost(seconds, **more):
    return {"seconds": seconds, "spread": 0.02, "cpu_seconds": seconds, "extra_bytes": 2 * 10**9, "repeats": 3, **more}


def record(devices=("cpu", "cuda"), adds=False, **formulations):
    return {
        "benchmark": "infonce",
        "devices": list(devices),
        "precision": "fp32",
        "flops": 1.0,
        "moved_bytes": 1.0,
        "adds": adds,
        "note": "The paper: 12 %." if adds else "",
        "limits": {"bytes_per_second": 2e10, "fp32": 1e11},
        "load": 0.3,
        "formulations": formulations,
    }


PLAIN = cost(1.0, share_of_limit=0.1)
OURS = cost(0.25, share_of_limit=0.4, speed_up=4.0, cpu_speed_up=4.5, memory_ratio=6.0)
CPU = {
    "infonce, 8 x 8": record(plain=PLAIN, ours=OURS, triton={"skipped": "a kernel for GPUs"}),
    "wrong one": record(("cpu",), plain=PLAIN, ours={"failed": "differs | a lot"}),
    "large one": record(("cuda",), plain={"skipped": "only on cuda"}),
    "step": record(("cpu",), True, without=PLAIN, **{"with": cost(1.1, added=0.1, cpu_added=0.09)}),
}


def write(folder, name, benchmarks, **about):
    machine = {
        "device": "cpu", "cpu": "A Processor", "cores": 2, "threads": 2, "torch": "2.13.0", "small": False, **about,
    }  # fmt: skip
    (folder / name).write_text(json.dumps({"machine": machine, "benchmarks": benchmarks}))


def rows(page, name):
    part = page.split(f"### {name}\n")[1].split("\n#")[0]
    return [[cell.strip() for cell in line.split(" | ")] for line in part.splitlines() if line.startswith("|")][2:]


def test_gpu_figures_are_left_blank_until_there_are_some(tmp_path):
    write(tmp_path, "cpu.json", CPU)
    page = benchmark_page(tmp_path)
    assert "left blank" in page
    assert "--device cuda" in page
    found = rows(page, "infonce, 8 x 8")
    assert found[1][:3] == ["| CPU, 2 threads", "ours", "250 ms"]
    assert found[1][5:9] == ["2 GB", "40.0%", "4x", "4.5x"]
    assert found[1][9] == "1/6 |"
    assert found[2][2] == "not run: a kernel for GPUs"
    assert [row[1] for row in found[3:]] == ["plain", "ours", "triton"]
    assert all(set("".join(row[2:])) <= {"|"} for row in found[3:])
    assert all(row[0] == "| GPU" for row in found[3:])
    assert [row[:2] for row in rows(page, "large one")] == [["| GPU", "plain"]]


def test_measurements_of_a_gpu_take_the_blanks_place(tmp_path):
    write(tmp_path, "cpu.json", CPU)
    gpu = {"infonce, 8 x 8": record(plain=PLAIN, ours=OURS, triton=cost(2e-5, speed_up=50000.0))}
    write(tmp_path, "cuda.json", gpu, device="cuda", gpu="A GPU", cuda="13.0", triton="3.7")
    page = benchmark_page(tmp_path)
    assert "left blank" not in page
    assert "**A GPU**: A Processor, 2 cores, torch 2.13.0, cuda 13.0, triton 3.7. It copies 20 GB/s" in page
    found = rows(page, "infonce, 8 x 8")
    assert [row[0] for row in found] == ["| CPU, 2 threads"] * 3 + ["| A GPU"] * 3
    assert found[5][2] == "20 µs"
    # a machine that has not measured one yet
    assert set("".join(rows(page, "large one")[0][2:])) <= {"|"}


def test_what_failed_and_what_is_added_are_said(tmp_path):
    write(tmp_path, "cpu.json", CPU)
    page = benchmark_page(tmp_path)
    assert "FAILED: differs \\| a lot" in page
    step = page.split("### step")[1]
    assert "| added | by CPU time |" in step
    assert "| +10.0% | +9.0% |" in step
    assert "The paper: 12 %." in step


def test_what_only_tries_benchmarks_out_is_no_result(tmp_path):
    assert "Nothing was measured yet" in benchmark_page(tmp_path)
    write(tmp_path, "cpu.json", CPU, small=True)
    with pytest.raises(InputError, match="--small"):
        benchmark_page(tmp_path)
