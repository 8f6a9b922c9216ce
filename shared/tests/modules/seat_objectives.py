"""Objectives for tests of the seats, importable by name."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from contrastbench.core.objectives import SemanticObjective


class Compact(SemanticObjective):
    """Pull projected pixels towards a slow mean, which is a buffer. Its step counter and mean must survive a resume."""

    def __init__(
        self, in_channels: tuple[int, ...], num_classes: int, num_images: int, ignore_index: int, weight: float = 1.0
    ) -> None:
        super().__init__()
        self.weight, self.ignore_index = weight, ignore_index
        self.projection = nn.Conv2d(in_channels[-1], 8, 1)
        self.register_buffer("mean", torch.zeros(8))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self.register_buffer("seen", torch.zeros(num_images, dtype=torch.int64))

    def forward(
        self, features: tuple[Tensor, ...], logits: Tensor, labels: Tensor, image_index: Tensor
    ) -> dict[str, Tensor]:
        rows = self.projection(features[-1]).mean((2, 3))
        loss = (rows - self.mean).square().mean()
        self.mean.lerp_(rows.detach().mean(0), 0.1)
        self.step += 1
        self.seen[image_index] += 1
        return {"loss_compact": self.weight * loss, "steps": self.step.float()}


class Recorder(SemanticObjective):
    """Keep what the seat gives."""

    def __init__(self, in_channels: tuple[int, ...], num_classes: int, num_images: int, ignore_index: int) -> None:
        super().__init__()
        self.given = (in_channels, num_classes, num_images, ignore_index)
        self.calls: list[tuple[tuple[Tensor, ...], Tensor, Tensor, Tensor]] = []

    def forward(
        self, features: tuple[Tensor, ...], logits: Tensor, labels: Tensor, image_index: Tensor
    ) -> dict[str, Tensor]:
        self.calls.append((features, logits, labels, image_index))
        return {"loss_none": logits.sum() * 0, "called": torch.ones(())}


class Poison(Compact):
    """Return NaN at the third step."""

    def forward(
        self, features: tuple[Tensor, ...], logits: Tensor, labels: Tensor, image_index: Tensor
    ) -> dict[str, Tensor]:
        results = super().forward(features, logits, labels, image_index)
        if int(self.step) == 3:
            results["loss_compact"] = results["loss_compact"] * float("nan")
        return results


class Misnamed(Recorder):
    """Return a count that mmengine would add to the loss."""

    def forward(
        self, features: tuple[Tensor, ...], logits: Tensor, labels: Tensor, image_index: Tensor
    ) -> dict[str, Tensor]:
        return {"number_of_losses": torch.ones(())}
