"""What Contextrast costs in a training step, by parts.

    python packages/contextrast/benchmarks/contextrast.py [--device cpu|cuda] [--threads N] [--json FILE]

The paper's Cityscapes setting: 8 crops of 512 x 1024, HRNetV2-W48's four branches (48 to 384 channels, strides 4 to
32), 19 classes. Truth and predictions are made up: smooth regions, and errors along their edges and in blotches.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from contrastbench.contextrast import Contextrast
from contrastbench.contextrast.anchors import class_means, mix_anchors
from contrastbench.contextrast.bane import distance_map, error_map, nearest_to_edge
from contrastbench.contextrast.loss import pixel_anchor_loss
from contrastbench.contextrast.positives import choose_positives
from contrastbench.core.testing.bench import Case
from contrastbench.core.testing.bench.command import main

BATCH, CROP, CLASSES, DIM = 8, (512, 1024), 19, 256
SMALL = 1, (64, 128)
CHANNELS, STRIDES = (48, 96, 192, 384), (4, 8, 16, 32)


def _scores(batch: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Smooth scores ``[B, C, h, w]`` whose maximum makes regions of all sizes."""
    parts = [
        F.interpolate(torch.randn(batch, CLASSES, 4 * n, 8 * n, generator=generator), size, mode="bicubic") / n**0.5
        for n in (1, 2, 4)
    ]
    return torch.stack(parts).sum(0)


def step(device: str, small: bool) -> dict[str, Any]:
    """Return one training step's inputs, its parts' too; about one pixel in seven is wrong."""
    batch, crop = SMALL if small else (BATCH, CROP)
    sizes = [(crop[0] // stride, crop[1] // stride) for stride in STRIDES]
    generator = torch.Generator().manual_seed(0)
    scores = _scores(batch, sizes[0], generator)
    truth, prediction = (x.argmax(1).to(device) for x in (scores, scores + 0.15 * _scores(batch, sizes[0], generator)))
    torch.manual_seed(0)
    objective = Contextrast(CHANNELS, CLASSES, dim=DIM).to(device)
    features = tuple(
        torch.randn(batch, c, *size, generator=generator).to(device).requires_grad_()
        for c, size in zip(CHANNELS, sizes, strict=True)
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
        "draws": [torch.rand(3, *x.shape, generator=generator).to(device) for x, _ in maps],
        "logits": F.one_hot(prediction, CLASSES).permute(0, 3, 1, 2).float(),
        "labels": truth.repeat_interleave(4, 1).repeat_interleave(4, 2),
        "index": torch.arange(batch, device=device),
        "classes": torch.arange(CLASSES, device=device),
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
        found = inputs["objective"].choose_negatives(truth, prediction, draws[0], draws[1], inputs["classes"])
        chosen += found.errors + len(choose_positives(truth.flatten(), draws[2].flatten(), 512))
    return chosen


def loss_setup(device: str, small: bool) -> list[tuple[Tensor, ...]]:
    """Return what the loss of each layer takes."""
    inputs, problems = step(device, small), []
    for e, (truth, prediction), draws in zip(inputs["embeddings"], inputs["maps"], inputs["draws"], strict=True):
        found = inputs["objective"].choose_negatives(truth, prediction, draws[0], draws[1], inputs["classes"])
        positives = choose_positives(truth.flatten(), draws[2].flatten(), 512)
        own = truth.flatten()[positives]
        anchors = F.normalize(torch.randn(CLASSES, DIM)).to(device)
        parts = [x.detach().requires_grad_() for x in (anchors, e[positives], e[found.pixels])]
        problems.append((parts[0], parts[1], own, parts[2], found.against))
    return problems


def loss(problems: list[tuple[Tensor, ...]]) -> float:
    """The pixel-anchor loss of all layers, forward and backward to anchors, positives and negatives."""
    total = torch.stack([pixel_anchor_loss(*problem, 0.1).mean() for problem in problems]).sum()
    total.backward()
    return float(total.detach())


PARTS = {
    "every pixel projected": (step, projection),
    "anchors": (step, anchors),
    "errors, distances and the half nearest to an edge": (step, errors_and_distances),
    "the same, and positives and negatives chosen": (step, choice),
    "pixel-anchor loss": (loss_setup, loss),
    "whole objective": (step, whole),
}
CASES = tuple(
    Case(f"Contextrast, {BATCH} crops of {CROP[0]} x {CROP[1]}: {name}", setup, {"Contextrast": call})
    for name, (setup, call) in PARTS.items()
)

if __name__ == "__main__":
    sys.exit(main([__file__]))
