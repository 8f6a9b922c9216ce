"""What Contextrast costs in a training step, by parts; and the distance transform beside a scipy call for each map.

    python packages/contextrast/benchmarks/contextrast.py [--json FILE]

The paper's Cityscapes setting: 8 crops of 512 x 1024, HRNetV2-W48's four branches (48 to 384 channels, strides 4 to
32), 19 classes. Truth and predictions are made up: smooth regions, and errors along their edges and in blotches.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F

from contrastbench.contextrast import Contextrast
from contrastbench.contextrast.anchors import class_means, mix_anchors
from contrastbench.contextrast.bane import distance_map, error_map, nearest_to_edge
from contrastbench.contextrast.loss import pixel_anchor_loss
from contrastbench.contextrast.positives import choose_positives
from contrastbench.core.ops.distance_transform import distance_transform
from contrastbench.core.testing.measure import Cost, measure

BATCH, CROP, CLASSES, DIM = 8, (512, 1024), 19, 256
CHANNELS, STRIDES = (48, 96, 192, 384), (4, 8, 16, 32)
SIZES = [(CROP[0] // stride, CROP[1] // stride) for stride in STRIDES]


def _scores(generator: torch.Generator) -> Tensor:
    """Smooth scores ``[B, C, h, w]`` at stride 4, whose maximum makes regions of all sizes."""
    parts = [
        F.interpolate(torch.randn(BATCH, CLASSES, 4 * n, 8 * n, generator=generator), SIZES[0], mode="bicubic") / n**0.5
        for n in (1, 2, 4)
    ]
    return torch.stack(parts).sum(0)


def truth_and_prediction() -> tuple[Tensor, Tensor]:
    """Return truth and prediction ``[B, h, w]`` at stride 4; about one pixel in seven is wrong."""
    generator = torch.Generator().manual_seed(0)
    scores = _scores(generator)
    return scores.argmax(1), (scores + 0.15 * _scores(generator)).argmax(1)


def error_maps() -> Tensor:
    """Return the binary maps of all classes, ``[B, C, h, w]`` (bool), at stride 4."""
    truth, prediction = truth_and_prediction()
    return error_map(truth, prediction)[:, None] == torch.arange(CLASSES)[:, None, None]


def scipy_by_map(masks: Tensor) -> float:
    """One call for each image and class, empty ones too."""
    from scipy import ndimage

    return float(sum(ndimage.distance_transform_edt(plane).sum() for plane in masks.flatten(0, 1).numpy()))


def ours_all_maps(masks: Tensor) -> float:
    """The op."""
    return float(distance_transform(masks).sum())


def step() -> dict[str, Any]:
    """Return one training step's inputs, its parts' too."""
    generator = torch.Generator().manual_seed(0)
    truth, prediction = truth_and_prediction()
    torch.manual_seed(0)
    objective = Contextrast(CHANNELS, CLASSES, dim=DIM)
    features = tuple(
        torch.randn(BATCH, c, *size, generator=generator).requires_grad_()
        for c, size in zip(CHANNELS, SIZES, strict=True)
    )
    maps = [tuple(x[:, :: stride // 4, :: stride // 4].contiguous() for x in (truth, prediction)) for stride in STRIDES]
    with torch.no_grad():
        rows = [f.permute(0, 2, 3, 1).reshape(-1, f.shape[1]) for f in features]
        embeddings = [p(r).requires_grad_() for p, r in zip(objective.projectors, rows, strict=True)]
    return {
        "objective": objective,
        "features": features,
        "embeddings": embeddings,
        "maps": maps,
        "draws": [torch.rand(3, *x.shape, generator=generator) for x, _ in maps],
        "logits": F.one_hot(prediction, CLASSES).permute(0, 3, 1, 2).float(),
        "labels": truth.repeat_interleave(4, 1).repeat_interleave(4, 2),
        "index": torch.arange(BATCH),
    }


def whole(inputs: dict[str, Any]) -> float:
    """Forward and backward of everything."""
    loss = inputs["objective"](inputs["features"], inputs["logits"], inputs["labels"], inputs["index"])
    loss["loss_contextrast"].backward()
    return float(loss["loss_contextrast"].detach())


def projection(inputs: dict[str, Any]) -> float:
    """Every pixel of every layer, forward and backward."""
    total = 0.0
    for projector, feature in zip(inputs["objective"].projectors, inputs["features"], strict=True):
        embeddings = projector(feature.permute(0, 2, 3, 1).reshape(-1, feature.shape[1]))
        embeddings.backward(torch.ones_like(embeddings))
        total += float(embeddings.detach().mean())
    return total


def anchors(inputs: dict[str, Any]) -> float:
    """Means of all classes and layers, and their mixing, forward and backward to the embeddings."""
    means = [
        class_means(e, truth.flatten(), CLASSES)
        for e, (truth, _) in zip(inputs["embeddings"], inputs["maps"], strict=True)
    ]
    total = torch.stack([m.means.sum() for m in mix_anchors(means, 0.3, 0.7, True)]).sum()
    total.backward()
    return float(total.detach())


def errors_and_distances(inputs: dict[str, Any]) -> int:
    """Error maps, distances and the half nearest to an edge, of all layers."""
    chosen = 0
    for (truth, prediction), draws in zip(inputs["maps"], inputs["draws"], strict=True):
        errors = error_map(truth, prediction)
        chosen += int(nearest_to_edge(errors, distance_map(errors), draws[0], 50).sum())
    return chosen


def choice(inputs: dict[str, Any]) -> int:
    """Positives and negatives of all layers, what they choose among included: errors and distances."""
    chosen = 0
    for (truth, prediction), draws in zip(inputs["maps"], inputs["draws"], strict=True):
        found = inputs["objective"].choose_negatives(truth, prediction, draws[0], draws[1], torch.arange(CLASSES))
        chosen += found.errors + len(choose_positives(truth.flatten(), draws[2].flatten(), 512))
    return chosen


def loss_setup() -> list[tuple[Tensor, ...]]:
    """Return what the loss of each layer takes."""
    inputs, problems = step(), []
    for e, (truth, prediction), draws in zip(inputs["embeddings"], inputs["maps"], inputs["draws"], strict=True):
        classes = torch.arange(CLASSES)
        found = inputs["objective"].choose_negatives(truth, prediction, draws[0], draws[1], classes)
        positives = choose_positives(truth.flatten(), draws[2].flatten(), 512)
        own = truth.flatten()[positives]
        parts = [
            x.detach().requires_grad_() for x in (F.normalize(torch.randn(CLASSES, DIM)), e[positives], e[found.pixels])
        ]
        problems.append((parts[0], parts[1], own, parts[2], found.against))
    return problems


def loss(problems: list[tuple[Tensor, ...]]) -> float:
    """The pixel-anchor loss of all layers, forward and backward to anchors, positives and negatives."""
    total = torch.stack([pixel_anchor_loss(*problem, 0.1).mean() for problem in problems]).sum()
    total.backward()
    return float(total.detach())


PARTS = {
    "project every pixel": (step, projection),
    "anchors": (step, anchors),
    "errors, distances, K per cent": (step, errors_and_distances),
    "the same, and choosing": (step, choice),
    "pixel-anchor loss": (loss_setup, loss),
    "whole step, forward and backward": (step, whole),
}


def run(threads: int) -> dict[str, Any]:
    """Measure everything; refuse to compare distances that do not agree."""
    theirs, ours = (measure(error_maps, f, threads=threads) for f in (scipy_by_map, ours_all_maps))
    difference = abs(ours.value - theirs.value) / theirs.value
    if difference > 1e-5:
        raise SystemExit(f"the distances differ by {difference:.1e} of their sum: no speed is worth comparing")
    truth, prediction = truth_and_prediction()

    def costs(cost: Cost) -> dict[str, float]:
        return {"seconds": cost.seconds, "cpu_seconds": cost.cpu_seconds, "extra_bytes": cost.extra_bytes}

    return {
        "machine": {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(), "threads": threads},
        "torch": torch.__version__,
        "numpy": np.__version__,
        "share_of_errors": float((truth != prediction).float().mean()),
        "scipy_by_map": costs(theirs),
        "distance_transform": costs(ours),
        "speed_up": theirs.cpu_seconds / ours.cpu_seconds,
        "largest_relative_difference": difference,
        "parts": {name: costs(measure(setup, call, threads=threads)) for name, (setup, call) in PARTS.items()},
    }


def main() -> None:
    """Print the tables; write the record where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path, help="write the measurements here")
    arguments = parser.parse_args()
    result = run(arguments.threads)
    console = Console()
    for title, rows in (
        (
            f"distances in {BATCH} x {CLASSES} x {SIZES[0][0]} x {SIZES[0][1]} error maps",
            {"scipy, a call a map": result["scipy_by_map"], "distance_transform": result["distance_transform"]},
        ),
        (f"a step with {BATCH} crops of {CROP[0]} x {CROP[1]}", result["parts"]),
    ):
        table = Table(title=f"{title}; {arguments.threads} threads, torch {result['torch']}")
        for column in ("", "seconds", "CPU seconds", "extra memory, GB"):
            table.add_column(column, justify="right" if column else "left")
        for name, cost in rows.items():
            table.add_row(
                name, f"{cost['seconds']:.3f}", f"{cost['cpu_seconds']:.3f}", f"{cost['extra_bytes'] / 1e9:.2f}"
            )
        console.print(table)
    console.print(
        f"distance_transform: {result['speed_up']:.1f} times less CPU time than scipy; "
        f"{result['share_of_errors']:.0%} of the pixels are errors"
    )
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
