"""Benchmarks that take no time, and some that go wrong."""

import os
import time

import torch

from contrastbench.core.testing.bench import Case, runs_anywhere


def known_limits(device, precisions):
    return {"bytes_per_second": 1e10, "fp32": 1e11}


def pair(device, small):
    side = 8 if small else 64
    return torch.rand(side, side, device=device), torch.rand(side, side, device=device)


def product(inputs):
    return {"product": inputs[0] @ inputs[1], "count": 3}


def summed(inputs):
    return {"product": (inputs[0][:, :, None] * inputs[1]).sum(1), "count": 3}


def wrong(inputs):
    return {"product": inputs[0] @ inputs[1] * 1.01, "count": 3}


def raises(inputs):
    raise ValueError("no such thing\nand more")


def dies(inputs):
    os._exit(7)


def holds(inputs):
    held = torch.ones(64 * 2**20, dtype=torch.uint8)
    return float(held[-1])


def small_only(device, small):
    return small


def sleeps(small):
    if not small:
        time.sleep(60)
    return 0


def nothing_more(inputs):
    return inputs[0].sum()


def adds_work(inputs):
    time.sleep(0.05)
    return inputs[0].sum()


def skips_plain(formulation, device):
    return "would need more memory than there is" if formulation == "plain" else runs_anywhere(formulation, device)


CASES = (
    Case("right", pair, {"plain": summed, "ours": product}, flops=2 * 64**3, moved_bytes=3 * 4 * 64**2),
    Case("wrong", pair, {"plain": product, "ours": wrong, "also": summed}),
    Case("raises", pair, {"plain": product, "ours": raises}),
    Case("dies", pair, {"plain": product, "ours": dies}),
    Case("memory", pair, {"plain": holds}),
    Case("skipped", pair, {"plain": product, "ours": summed, "triton": raises}, skip=skips_plain),
    Case("elsewhere", pair, {"plain": product}, devices=("cuda",)),
    Case("adds", pair, {"without": nothing_more, "with": adds_work}, adds=True, note="The paper: 10 %."),
    Case("slow", small_only, {"plain": sleeps}),
)
