"""The dense contrastive loss: the plain formulation beside ours, and its share of a whole training step, in one run.

    python packages/dcl/benchmarks/loss.py [--record]

128 RoIs of 256x28x28, forward and backward to features and projection. Then one step of torchvision's Mask R-CNN with
ResNet-50 and FPN on one image of 512x1024 with 24 instances and 128 foreground RoIs, with the objective and without.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

from contrastbench.core.testing.measure import measure
from contrastbench.dcl import DenseContrast
from contrastbench.dcl.sampling import roi_draws

ROIS, CHANNELS, SIDE, IMAGES = 128, 256, 28, 2
HEIGHT, WIDTH, CATEGORIES, INSTANCES = 512, 1024, 8, 24
RESULTS = Path(__file__).parent / "results"


class Problem(NamedTuple):
    """An objective and the RoIs of one step."""

    objective: DenseContrast
    features: Tensor
    masks: Tensor
    classes: Tensor
    images: Tensor


def problem() -> Problem:
    """Return 128 RoIs of two images; each mask is a disc of its own size and place."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    centre = torch.rand(ROIS, 2, 1, 1, generator=generator) * SIDE
    radius = (0.15 + 0.45 * torch.rand(ROIS, 1, 1, generator=generator)) * SIDE
    grid = torch.stack(torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij"))
    masks = (grid - centre).norm(dim=1) < radius
    features = torch.randn(ROIS, CHANNELS, SIDE, SIDE, generator=generator).relu().requires_grad_()
    images = torch.arange(ROIS) // (ROIS // IMAGES)
    return Problem(DenseContrast(CHANNELS), features, masks, torch.zeros_like(images), images)


def _result(problem: Problem, loss: Tensor) -> tuple[float, list[list[float]]]:
    grads = torch.autograd.grad(loss, [problem.features, *problem.objective.parameters()])
    return float(loss.detach()), [
        grads[0][:8].sum((2, 3)).flatten().tolist(),
        *(g.flatten().tolist() for g in grads[1:]),
    ]


def ours(problem: Problem) -> tuple[float, list[list[float]]]:
    """All RoIs at once; the sampled pixels are projected."""
    problem.objective.step.zero_()
    return _result(problem, problem.objective(*problem[1:])["loss_dcl"])


def _plain(problem: Problem, split: Callable[[Tensor], Any]) -> tuple[float, list[list[float]]]:
    """Project every pixel, then go from RoI to RoI, as the paper describes it; with the samples that ours takes."""
    objective, features, masks, _, images = problem
    first, _, second = objective.projection.layers
    k = objective.samples
    draws = roi_draws(images, 1 + 3 * k, objective.seed, 0)[:, 1:].view(-1, 3, k)
    hidden = F.conv2d(features, first.weight[:, :, None, None], first.bias).relu()
    projected = F.normalize(F.conv2d(hidden, second.weight[:, :, None, None], second.bias), dim=1)
    losses = []
    for embeddings, mask, (u, v, w) in zip(split(projected), masks, draws, strict=True):
        inside, outside = mask.flatten().nonzero()[:, 0], (~mask).flatten().nonzero()[:, 0]
        if min(len(inside), len(outside)) < k:
            continue
        pixels = embeddings.flatten(1)
        anchors = pixels[:, inside[(u * len(inside)).long()]]
        positives = pixels[:, inside[(v * len(inside)).long()]]
        negatives = pixels[:, outside[(w * len(outside)).long()]]
        positive = anchors.T @ positives / objective.temperature
        negative = anchors.T @ negatives / objective.temperature
        losses.append(F.softplus(negative.logsumexp(1, keepdim=True) - positive).mean())
    return _result(problem, torch.stack(losses).mean() * objective.weight)


def plain(problem: Problem) -> tuple[float, list[list[float]]]:
    """RoIs taken as ``projected[i]``: each has a gradient of the whole tensor's size."""
    return _plain(problem, lambda projected: [projected[i] for i in range(len(projected))])


def plain_unbound(problem: Problem) -> tuple[float, list[list[float]]]:
    """The same with RoIs taken by one ``unbind``, which avoids that."""
    return _plain(problem, lambda projected: projected.unbind(0))


def _difference(a: tuple[float, list[list[float]]], b: tuple[float, list[list[float]]]) -> float:
    """Return the largest difference of loss and gradients, relative to the largest element of each."""
    pairs = [(torch.tensor(x), torch.tensor(y)) for x, y in zip([[a[0]], *a[1]], [[b[0]], *b[1]], strict=True)]
    return max(float((x - y).abs().max() / y.abs().max()) for x, y in pairs)


def loss_costs(threads: int) -> dict[str, Any]:
    """Measure the loss by itself; refuse to compare what does not agree."""
    costs = {f.__name__: measure(problem, f, threads=threads) for f in (ours, plain, plain_unbound)}
    difference = max(_difference(costs["ours"].value, costs[name].value) for name in ("plain", "plain_unbound"))
    if difference > 1e-4:
        raise SystemExit(f"loss or gradient differ by {difference:.1e} of their size: no speed is worth comparing")
    return {
        "largest_relative_difference": difference,
        **{
            name: {"seconds": c.seconds, "cpu_seconds": c.cpu_seconds, "extra_bytes": c.extra_bytes}
            for name, c in costs.items()
        },
        # of the work, so that a busy machine does not matter
        "speed_up": costs["plain"].cpu_seconds / costs["ours"].cpu_seconds,
        "speed_up_unbound": costs["plain_unbound"].cpu_seconds / costs["ours"].cpu_seconds,
        "memory_ratio": costs["plain"].extra_bytes / costs["ours"].extra_bytes,
    }


def _instances() -> dict[str, Tensor]:
    """Return 24 ellipses on one image, as crowded as a street."""
    generator = torch.Generator().manual_seed(0)
    sides = torch.randint(48, 224, (INSTANCES, 2), generator=generator)
    corner = (torch.rand(INSTANCES, 2, generator=generator) * (torch.tensor([WIDTH, HEIGHT]) - sides)).long()
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    middle, half = corner + sides / 2, sides / 2
    masks = [((x - m[0]) / h[0]) ** 2 + ((y - m[1]) / h[1]) ** 2 < 1 for m, h in zip(middle, half, strict=True)]
    return {
        "boxes": torch.cat([corner, corner + sides], 1).float(),
        "labels": torch.randint(1, CATEGORIES + 1, (INSTANCES,), generator=generator),
        "masks": torch.stack(masks).to(torch.uint8),
    }


def _propose_as_if_trained(model: nn.Module, boxes: Tensor) -> None:
    """Put eight proposals near each instance among those of the untrained network: they fill the foreground's quota."""
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(8, 2)
    near = boxes.repeat(8, 1) + 0.08 * sides * (
        torch.rand(sides.shape, generator=torch.Generator().manual_seed(0)) - 0.5
    )

    def add(rpn: nn.Module, inputs: Any, output: tuple[list[Tensor], Any]) -> tuple[list[Tensor], Any]:
        return [torch.cat([near, output[0][0]])], output[1]

    model.rpn.register_forward_hook(add)  # type: ignore[union-attr]


def step_costs(threads: int, repeats: int = 3) -> dict[str, Any]:
    """Time whole training steps in turn, with the objective and without, by CPU seconds."""
    import torchvision
    from torchvision.models.detection import maskrcnn_resnet50_fpn

    from contrastbench.core.hosts.torchvision import fit_mask_objective

    torch.set_num_threads(threads)
    image = torch.rand(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    targets = _instances()
    sizes = {"min_size": HEIGHT, "max_size": WIDTH, "num_classes": CATEGORIES + 1}

    def model() -> nn.Module:
        torch.manual_seed(0)
        network = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, **sizes).train()
        _propose_as_if_trained(network, targets["boxes"])
        return network

    models = {"without": model(), "with": fit_mask_objective(model(), {"type": DenseContrast, "seed": 0})}
    optimizers = {name: torch.optim.SGD(m.parameters(), lr=1e-6) for name, m in models.items()}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in models}
    valid = 0.0
    for repeat in range(repeats + 1):
        for name, network in models.items():
            start = time.process_time(), time.perf_counter()
            losses = network([image], [targets])
            torch.stack(list(losses.values())).sum().backward()
            optimizers[name].step()
            optimizers[name].zero_grad()
            if repeat:  # the first steps allocate
                seconds[name].append((time.process_time() - start[0], time.perf_counter() - start[1]))
            if ("loss_dcl" in losses) != (name == "with"):
                raise SystemExit("the objective is not where it should be")
        valid = float(models["with"].objective_counts["dcl_valid_rois"])
    (cpu_with, wall_with), (cpu_without, wall_without) = min(seconds["with"]), min(seconds["without"])
    return {
        "torchvision": torchvision.__version__,
        "image": [HEIGHT, WIDTH],
        "batch": 1,
        "valid_rois": int(valid),
        "without": {"seconds": wall_without, "cpu_seconds": cpu_without},
        "with": {"seconds": wall_with, "cpu_seconds": cpu_with},
        "spread_without": max(seconds["without"])[0] / cpu_without - 1,
        "share": cpu_with / cpu_without - 1,
    }


def main() -> None:
    """Print both tables; write the record where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--no-step", action="store_true", help="leave out the whole training step")
    parser.add_argument("--record", action="store_true", help=f"write the measurements to {RESULTS.name}/ beside this")
    arguments = parser.parse_args()
    console = Console()
    result = {
        "machine": {
            "cpu": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "threads": arguments.threads,
        },
        "torch": torch.__version__,
        "loss": loss_costs(arguments.threads),
    }
    loss = result["loss"]
    table = Table(
        title=f"{ROIS} RoIs of {CHANNELS}x{SIDE}x{SIDE}, {arguments.threads} threads, torch {result['torch']}"
    )
    for column in ("", "seconds", "CPU seconds", "extra memory, GB"):
        table.add_column(column, justify="right" if column else "left")
    for name, key in (
        ("every pixel, projected[i]", "plain"),
        ("every pixel, unbind", "plain_unbound"),
        ("DenseContrast", "ours"),
    ):
        cost = loss[key]
        table.add_row(name, f"{cost['seconds']:.2f}", f"{cost['cpu_seconds']:.2f}", f"{cost['extra_bytes'] / 1e9:.2f}")
    console.print(table)
    console.print(
        f"DenseContrast: 1/{loss['speed_up']:.0f} of the CPU seconds (1/{loss['speed_up_unbound']:.0f} with unbind), "
        f"1/{loss['memory_ratio']:.0f} of the extra memory; loss and gradients agree to "
        f"{loss['largest_relative_difference']:.0e}"
    )
    if not arguments.no_step:
        step = result["step"] = step_costs(arguments.threads)
        step["share_of_the_loss_alone"] = loss["ours"]["cpu_seconds"] / step["without"]["cpu_seconds"]
        console.print(
            f"A training step of Mask R-CNN R-50 FPN, one image of {HEIGHT}x{WIDTH}, {step['valid_rois']} valid RoIs: "
            f"{step['without']['cpu_seconds']:.2f} CPU seconds without, {step['with']['cpu_seconds']:.2f} with, "
            f"{step['share']:+.1%} (repeats spread by {step['spread_without']:.1%}; the loss by itself is "
            f"{step['share_of_the_loss_alone']:.1%})"
        )
    if arguments.record:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"cpu-{arguments.threads}-threads.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
