"""Mask objectives and evaluators for tests of the instance hosts, importable by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from contrastbench.core.distributed import all_sum
from contrastbench.core.objectives import MaskObjective


class CompactMask(MaskObjective):
    """Pull projected mask pixels towards a slow mean. Mean and step counter are buffers and must survive a resume."""

    def __init__(self, in_channels: int, num_classes: int, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight
        self.projection = nn.Conv2d(in_channels, 8, 1)
        self.register_buffer("mean", torch.zeros(8))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def forward(self, features: Tensor, masks: Tensor, classes: Tensor, images: Tensor) -> dict[str, Tensor]:
        rows = self.projection(features).permute(0, 2, 3, 1)[masks]
        loss = (rows - self.mean).square().mean(1).sum() / max(1, len(rows))
        pixels, rois = all_sum(torch.tensor([float(len(rows)), float(len(masks))], device=rows.device))
        if pixels:
            self.mean.lerp_(all_sum(rows.float().sum(0)) / pixels, 0.1)
        self.step += 1
        return {"loss_compact": self.weight * loss, "steps": self.step.float(), "rois": rois}


class MaskRecorder(MaskObjective):
    """Keep what the seat gives."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.given = (in_channels, num_classes)
        self.calls: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    def forward(self, features: Tensor, masks: Tensor, classes: Tensor, images: Tensor) -> dict[str, Tensor]:
        self.calls.append((features, masks, classes, images))
        return {"loss_none": features.sum() * 0, "called": torch.ones(())}


class PoisonMask(CompactMask):
    """Return NaN at the third step."""

    def forward(self, features: Tensor, masks: Tensor, classes: Tensor, images: Tensor) -> dict[str, Tensor]:
        results = super().forward(features, masks, classes, images)
        if int(self.step) == 3:
            results["loss_compact"] = results["loss_compact"] * float("nan")
        return results


class ClashingMask(MaskRecorder):
    """Return a loss under a name that Mask R-CNN uses."""

    def forward(self, features: Tensor, masks: Tensor, classes: Tensor, images: Tensor) -> dict[str, Tensor]:
        return {"loss_mask": features.sum() * 0}


class Tally:
    """An evaluator that counts."""

    def __call__(self, ground_truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        of_class = {
            category["name"]: sum(result["category_id"] == category["id"] for result in results)
            for category in ground_truth["categories"]
        }
        return {"results": len(results), "per_class": {"results": of_class}, "evaluation": "counted"}
