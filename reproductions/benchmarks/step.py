"""What each objective adds to a whole training step: forward, backward and optimiser, with it and without, in turn.

    python reproductions/benchmarks/step.py [--device cpu|cuda] [--threads N] [--json FILE]

Pixel contrast with both memories full, and Contextrast, on HRNetV2-W48; the dense contrastive loss on torchvision's
Mask R-CNN with ResNet-50 and FPN. Images and labels are made up, weights drawn at random. On a GPU at the papers' 8
crops of 512 x 1024; on a CPU at sizes that two cores do in about two minutes: fewer pixels, and as much less of a
memory, so that the shares stay comparable.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from importlib.resources import files
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional as F

from contrastbench.core.testing.bench import Case
from contrastbench.core.testing.bench.command import main

CITYSCAPES_IMAGES, CLASSES, CATEGORIES, INSTANCES = 2975, 19, 8, 24


class Size(NamedTuple):
    """Images of a step, their height and width, and the size N of the training set that a memory is made for."""

    batch: int
    height: int
    width: int
    images: int = CITYSCAPES_IMAGES

    def __str__(self) -> str:
        return f"{self.batch} x {self.height} x {self.width}"


SMALL = Size(2, 64, 128, 8)
PAPER = Size(8, 512, 1024)
# A sixteenth of the paper's pixels, and of its memory.
ON_CPU = Size(2, 256, 512, CITYSCAPES_IMAGES // 16)
ON_CPU_INSTANCES = Size(1, 512, 1024)


class Step(NamedTuple):
    """Two networks of the same weights and what they are fed; ``losses(network)`` runs one forward."""

    networks: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]
    losses: Any


def take(which: str, step: Step) -> dict[str, Tensor]:
    """Take one training step and return the network's own losses, which the objective must leave as they are."""
    torch.manual_seed(0)  # of the sampling within the network
    losses = step.losses(step.networks[which])
    torch.stack([value for name, value in losses.items() if "loss" in name]).sum().backward()
    step.optimizers[which].step()
    step.optimizers[which].zero_grad()
    added = [name for name in losses if name.startswith("objective.loss") or name == "loss_dcl"]
    if bool(added) != (which == "with"):
        raise RuntimeError(f"the objective is not where it should be: {sorted(losses)}")
    return {name: value.detach() for name, value in losses.items() if "loss" in name and name not in added}


def semantic(objective: Mapping[str, Any], size: Size, device: str, small: bool) -> Step:
    """Return HRNetV2-W48 in mmsegmentation, with an objective in its seat and without."""
    from mmengine.registry import DefaultScope
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    from contrastbench.core.hosts.mmseg.network import build_segmentor

    size = SMALL if small else size
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(size.batch, 3, size.height, size.width, generator=generator).to(device)
    samples = [
        SegDataSample(gt_sem_seg=PixelData(data=label[None].to(device)), metainfo={"sample_idx": index})
        for index, label in enumerate(regions(size, generator))
    ]
    config = yaml.safe_load(files("contrastbench.reproductions").joinpath("conf/network/hrnetv2_w48.yaml").read_text())
    source = SimpleNamespace(classes=range(CLASSES), train=range(size.images), ignore_index=255)

    def network(objective: Mapping[str, Any] | None) -> nn.Module:
        torch.manual_seed(0)
        with DefaultScope.overwrite_default_scope("mmseg"):
            segmentor = build_segmentor(config, objective, source, (size.height, size.width), False)
        return segmentor.to(device).train()

    networks = {"without": network(None), "with": network(objective)}
    fill(networks["with"].objective)

    def losses(network: nn.Module) -> dict[str, Tensor]:
        return {name: value for name, value in network.loss(images, samples).items() if "acc" not in name}

    return Step(networks, optimizers(networks), losses)


def regions(size: Size, generator: torch.Generator) -> Tensor:
    """Return labels ``[B, H, W]``: smooth regions of all sizes, in 19 classes."""
    shape = size.height // 4, size.width // 4
    scores = [
        F.interpolate(torch.randn(size.batch, CLASSES, 4 * n, 8 * n, generator=generator), shape, mode="bicubic")
        / n**0.5
        for n in (1, 2, 4)
    ]
    return torch.stack(scores).sum(0).argmax(1).repeat_interleave(4, 1).repeat_interleave(4, 2)


def fill(objective: nn.Module) -> None:
    """Fill the memory of pixel contrast, where there is one, as it is after the first epochs."""
    queue, table = getattr(objective, "queue", None), getattr(objective, "regions", None)
    for bank in (queue, table):
        for keys in [] if bank is None else bank.keys:  # a class at a time, which spares memory
            keys.copy_(F.normalize(torch.randn(keys.shape, generator=torch.Generator().manual_seed(0)), dim=-1))
    if queue is not None:
        queue.count.fill_(queue.keys.shape[1])
    if table is not None:
        table.held.fill_(True)


def instance(size: Size, device: str, small: bool) -> Step:
    """Return torchvision's Mask R-CNN, with the dense contrastive loss and without."""
    from torchvision.models.detection import maskrcnn_resnet50_fpn

    from contrastbench.core.hosts.torchvision import fit_mask_objective
    from contrastbench.dcl import DenseContrast

    size = Size(1, 128, 256) if small else size
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(3, size.height, size.width, generator=generator).to(device) for _ in range(size.batch)]
    targets = [{k: v.to(device) for k, v in instances(size, generator).items()} for _ in range(size.batch)]
    options = {"min_size": size.height, "max_size": size.width, "num_classes": CATEGORIES + 1}

    def network() -> nn.Module:
        torch.manual_seed(0)
        model = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, **options).train()
        propose_as_if_trained(model, [target["boxes"].cpu() for target in targets])
        return model

    networks = {"without": network(), "with": fit_mask_objective(network(), {"type": DenseContrast, "seed": 0})}
    networks = {name: model.to(device) for name, model in networks.items()}
    return Step(networks, optimizers(networks), lambda network: network(images, targets))


def instances(size: Size, generator: torch.Generator) -> dict[str, Tensor]:
    """Return 24 ellipses on one image, as crowded as a street."""
    whole = torch.tensor([size.width, size.height])
    sides = torch.randint(size.height // 10, size.height * 7 // 16, (INSTANCES, 2), generator=generator)
    corner = (torch.rand(INSTANCES, 2, generator=generator) * (whole - sides)).long()
    y, x = torch.meshgrid(torch.arange(size.height), torch.arange(size.width), indexing="ij")
    middle, half = corner + sides / 2, sides / 2
    masks = [((x - m[0]) / h[0]) ** 2 + ((y - m[1]) / h[1]) ** 2 < 1 for m, h in zip(middle, half, strict=True)]
    return {
        "boxes": torch.cat([corner, corner + sides], 1).float(),
        "labels": torch.randint(1, CATEGORIES + 1, (INSTANCES,), generator=generator),
        "masks": torch.stack(masks).to(torch.uint8),
    }


def propose_as_if_trained(model: nn.Module, boxes: list[Tensor]) -> None:
    """Put eight proposals near each instance among those of the untrained network: they fill the foreground's quota."""
    near = []
    for box in boxes:
        sides = (box[:, 2:] - box[:, :2]).repeat(8, 2)
        draws = torch.rand(sides.shape, generator=torch.Generator().manual_seed(0))
        near.append(box.repeat(8, 1) + 0.08 * sides * (draws - 0.5))

    def add(rpn: nn.Module, inputs: Any, output: tuple[list[Tensor], Any]) -> tuple[list[Tensor], Any]:
        proposals, losses = output
        return [torch.cat([more.to(own), own]) for more, own in zip(near, proposals, strict=True)], losses

    model.rpn.register_forward_hook(add)


def optimizers(networks: Mapping[str, nn.Module]) -> dict[str, torch.optim.Optimizer]:
    """Return what the papers train with, at a rate that leaves the weights nearly as they are."""
    return {name: torch.optim.SGD(m.parameters(), lr=1e-6, momentum=0.9) for name, m in networks.items()}


CALLS = {"without": partial(take, "without"), "with": partial(take, "with")}
OBJECTIVES = {
    "pixel contrast, both memories, in HRNetV2-W48": (
        {"type": "contrastbench.pixel_contrast.PixelContrast"},
        "The paper: 1.67 to 1.87 seconds an iteration, +12 % (Table 4).",
    ),
    "Contextrast in HRNetV2-W48": (
        {"type": "contrastbench.contextrast.Contextrast", "taps": [0, 1, 2, 3]},
        "The paper states no training time. The network is untrained: nearly every pixel is an error here.",
    ),
}
DCL_NOTE = (
    "The paper: 17.5 to 21.5 hours on COCO, +23 %; SparseInst +19 %, RefineMask +8 % (Table 9); '10-20 %' in its text."
)
CPU_NOTE = f" A sixteenth of the pixels of {PAPER}, and of the memory: N = {ON_CPU.images} images."

CASES = (
    *(
        Case(
            f"training step, {name}, {size}",
            partial(semantic, objective, size),
            CALLS,
            devices=(device,),
            adds=True,
            note=note + (CPU_NOTE if device == "cpu" else ""),
        )
        for name, (objective, note) in OBJECTIVES.items()
        for device, size in (("cpu", ON_CPU), ("cuda", PAPER))
    ),
    *(
        Case(
            f"training step, dense contrastive loss in Mask R-CNN R50-FPN, {size}",
            partial(instance, size),
            CALLS,
            devices=(device,),
            adds=True,
            note=DCL_NOTE,
        )
        for device, size in (("cpu", ON_CPU_INSTANCES), ("cuda", PAPER))
    ),
)

if __name__ == "__main__":
    sys.exit(main([__file__]))
