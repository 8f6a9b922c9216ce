"""Supervised InfoNCE against a bank: the plain formulation beside ours, in one run.

    python shared/benchmarks/infonce.py [--json FILE]

1,024 anchors against 190,000 keys of 256 in 19 classes, forward and backward to the anchors; and one step of
semi-hard sampling and loss from the paper's whole Cityscapes bank of 621,775 keys.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F

from contrastbench.core.losses import KeyTable, select_pairs
from contrastbench.core.ops.class_infonce import negative_logsumexp, positive_terms
from contrastbench.core.ops.sampled_infonce import sampled_infonce
from contrastbench.core.samplers import SemiHardPairs
from contrastbench.core.testing.measure import measure

ANCHORS, CLASSES, PER_CLASS, DIM, TEMPERATURE = 1024, 19, 10_000, 256, 0.1
# N = 2,975 images of Cityscapes: a region entry and ten queued pixels for each, in each class
FULL_PER_CLASS = 2975 + 10 * 2975


def _unit(*shape: int, generator: torch.Generator) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=generator), dim=-1)


def problem() -> tuple[Tensor, Tensor, Tensor]:
    """Return anchors ``[A, D]``, labels ``[A]`` and a bank ``[C, M, D]``."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(CLASSES, (ANCHORS,), generator=generator)
    bank = _unit(CLASSES, PER_CLASS, DIM, generator=generator)
    return _unit(ANCHORS, DIM, generator=generator).requires_grad_(), labels, bank


def plain(inputs: tuple[Tensor, Tensor, Tensor]) -> tuple[float, list[list[float]]]:
    """All similarities at once, autograd: how one writes Eq. 3 without thinking of memory."""
    anchors, labels, bank = inputs
    keys, key_labels = bank.flatten(0, 1), torch.arange(CLASSES).repeat_interleave(PER_CLASS)
    similarity = anchors @ keys.T / TEMPERATURE
    positive = labels[:, None] == key_labels
    log_negatives = similarity.masked_fill(positive, -torch.inf).logsumexp(1)
    terms = F.softplus(log_negatives[:, None] - similarity) * positive
    loss = (terms.sum(1) / positive.sum(1)).mean()
    (grad,) = torch.autograd.grad(loss, anchors)
    return float(loss.detach()), grad[:8].tolist()


def blockwise(inputs: tuple[Tensor, Tensor, Tensor]) -> tuple[float, list[list[float]]]:
    """The bank walked class by class."""
    anchors, labels, bank = inputs
    keys = list(bank)
    log_negatives = negative_logsumexp(anchors, labels, keys, TEMPERATURE)
    loss = (positive_terms(anchors, labels, keys, log_negatives, TEMPERATURE) / PER_CLASS).mean()
    (grad,) = torch.autograd.grad(loss, anchors)
    return float(loss.detach()), grad[:8].tolist()


def full_bank() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return 50 anchors a class and the paper's whole bank for Cityscapes."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(CLASSES).repeat_interleave(50)
    anchors = _unit(len(labels), DIM, generator=generator).requires_grad_()
    bank = torch.empty(CLASSES, FULL_PER_CLASS, DIM)
    for c in range(CLASSES):  # one class at a time, or setting up would set the peak
        bank[c] = _unit(FULL_PER_CLASS, DIM, generator=generator)
    return anchors, labels, bank.flatten(0, 1), torch.arange(CLASSES).repeat_interleave(FULL_PER_CLASS)


def semi_hard_step(inputs: tuple[Tensor, Tensor, Tensor, Tensor]) -> float:
    """Rank the whole bank, sample 1,024 positives and 2,048 negatives an anchor, loss and gradient."""
    anchors, labels, keys, key_labels = inputs
    table = KeyTable(keys, key_labels)
    selection = select_pairs(anchors.detach(), labels, [table], SemiHardPairs(), 1024, 2048, (0, 0))
    loss = sampled_infonce(anchors, [keys], *selection, TEMPERATURE).mean()
    torch.autograd.grad(loss, anchors)
    return float(loss.detach())


def run(threads: int) -> dict[str, Any]:
    """Measure all three; refuse to compare what does not agree."""
    ours, theirs = (measure(problem, f, threads=threads) for f in (blockwise, plain))
    grad, expected = (torch.tensor(cost.value[1]) for cost in (ours, theirs))
    difference = max(
        abs(ours.value[0] - theirs.value[0]) / abs(theirs.value[0]),
        float((grad - expected).abs().max() / expected.abs().max()),
    )
    if difference > 1e-5:
        raise SystemExit(f"loss or gradient differ by {difference:.1e} of their size: no speed is worth comparing")
    semi_hard = measure(full_bank, semi_hard_step, repeats=2, threads=threads)
    return {
        "machine": {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(), "threads": threads},
        "torch": torch.__version__,
        "largest_relative_difference": difference,
        "plain": {"seconds": theirs.seconds, "extra_bytes": theirs.extra_bytes},
        "blockwise": {"seconds": ours.seconds, "extra_bytes": ours.extra_bytes},
        "speed_up": theirs.seconds / ours.seconds,
        "memory_ratio": theirs.extra_bytes / ours.extra_bytes,
        "semi_hard_621775": {"seconds": semi_hard.seconds, "extra_bytes": semi_hard.extra_bytes},
    }


def main() -> None:
    """Print the table; write the record where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path, help="write the measurements here")
    arguments = parser.parse_args()
    result = run(arguments.threads)
    table = Table(title=f"{arguments.threads} threads, torch {result['torch']}")
    for column in ("", "seconds", "extra memory, GB"):
        table.add_column(column, justify="right" if column else "left")
    for name, key in (
        ("plain, 1,024 x 190,000", "plain"),
        ("class_infonce, the same", "blockwise"),
        ("semi-hard step, 950 x 621,775", "semi_hard_621775"),
    ):
        table.add_row(name, f"{result[key]['seconds']:.2f}", f"{result[key]['extra_bytes'] / 1e9:.2f}")
    console = Console()
    console.print(table)
    console.print(
        f"class_infonce: {result['speed_up']:.1f} times faster, 1/{result['memory_ratio']:.0f} of the extra memory; "
        f"loss and gradient agree to {result['largest_relative_difference']:.0e}"
    )
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
