"""Boundary mIoU: mean IoU of the pixels near a boundary of the ground truth.

Contextrast (Sung et al., CVPR 2024), Table 4: "the mIoU of the boundary region which is within x pixels from the
boundary". The paper says no more than that. Here a boundary pixel is one with a 4-neighbour of another class, distances
are Euclidean between pixel centres, and one confusion matrix over the whole data set counts the pixels in the band.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from contrastbench.core.errors import InputError
from contrastbench.core.metrics.evaluated import EvaluatedImage
from contrastbench.core.metrics.miou import confusion, mean_iou
from contrastbench.core.metrics.results import by_name, number


def semantic_boundary(labels: Tensor, ignore_index: int, void_edges: bool = False) -> Tensor:
    """Return which pixels have a 4-neighbour of another label, ``[H, W]`` (bool).

    Args:
        labels: ``[H, W]`` (integer).
        ignore_index: label of void.
        void_edges: whether an edge between a class and void counts. It is no semantic boundary: nobody said what lies
            beyond. It is one in data that outline objects in void, as PASCAL VOC does.
    """
    found = torch.zeros_like(labels, dtype=torch.bool)
    for dim in (0, 1):
        size = labels.shape[dim]
        if size < 2:
            continue
        first, second = labels.narrow(dim, 0, size - 1), labels.narrow(dim, 1, size - 1)
        edge = first != second
        if not void_edges:
            edge &= (first != ignore_index) & (second != ignore_index)
        found.narrow(dim, 0, size - 1).logical_or_(edge)
        found.narrow(dim, 1, size - 1).logical_or_(edge)
    return found


def squared_distance(mask: Tensor, limit: int) -> Tensor:
    """Return the exact squared Euclidean distance to the nearest true pixel, where it is at most ``limit``.

    The square of a distance is a sum over rows and columns, so its minimum is found along one, then along the other.

    Args:
        mask: ``[H, W]`` (bool).
        limit: the largest distance of interest, pixels.

    Returns:
        ``[H, W]`` (int32), more than ``limit`` squared wherever the nearest true pixel is farther.
    """
    distance = torch.where(mask, 0, (limit + 1) ** 2).to(torch.int32)
    for dim in (1, 0):
        along, size = distance.clone(), mask.shape[dim]
        for step in range(1, min(limit + 1, size)):
            for here, there in ((0, step), (step, 0)):
                nearest = distance.narrow(dim, here, size - step)
                torch.minimum(nearest, along.narrow(dim, there, size - step) + step**2, out=nearest)
    return distance


class BoundaryMeanIoU:
    """Mean IoU within some pixels of a ground-truth boundary (B-mIoU of Contextrast, Table 4).

    Results, in points: ``B_mIoU_5px`` and so on, one a radius, the mean over the classes that occur in the band (in
    ground truth or prediction); ``per_class`` by the same names. Void pixels count for nothing.

    Args:
        num_classes: C.
        ignore_index: label of void.
        classes: their names.
        radii: distances from a boundary pixel in whole pixels; the band includes them.
        void_edges: as of :func:`semantic_boundary`.

    Raises:
        InputError: a radius that is not a whole number of 1 or more, or none at all.
    """

    needs_features = False
    needs_instances = False

    def __init__(
        self,
        num_classes: int,
        ignore_index: int,
        classes: Sequence[str],
        *,
        radii: Sequence[int] = (5, 7, 10),
        void_edges: bool = False,
    ) -> None:
        if not radii or any(isinstance(r, bool) or not isinstance(r, int) or r < 1 for r in radii):
            raise InputError(f"radii is {list(radii)}; expected whole numbers of pixels above 0, as in [5, 7, 10]")
        self.num_classes, self.ignore_index, self.classes = num_classes, ignore_index, tuple(classes)
        self.radii, self.void_edges = tuple(radii), void_edges
        self.matrices = torch.zeros(len(radii), num_classes, num_classes, dtype=torch.int64)

    def update(self, sample: EvaluatedImage) -> None:
        """Count an image in."""
        boundary = semantic_boundary(sample.labels, self.ignore_index, self.void_edges)
        distance = squared_distance(boundary, max(self.radii))
        for matrix, radius in zip(self.matrices, self.radii, strict=True):
            band = distance <= radius**2
            counts = confusion(sample.prediction[band], sample.labels[band], self.num_classes, self.ignore_index)
            matrix += counts.cpu()

    def state(self) -> dict[str, Any]:
        """Return the confusion matrices, ``[R, C, C]`` (int64)."""
        return {"matrices": self.matrices.clone()}

    def merge(self, state: dict[str, Any]) -> None:
        """Add another's confusion matrices."""
        self.matrices += state["matrices"]

    def compute(self) -> dict[str, Any]:
        """Return the results; see the class."""
        scores = {f"B_mIoU_{r}px": mean_iou(m) for r, m in zip(self.radii, self.matrices, strict=True)}
        return {
            **{name: number(score.miou) for name, score in scores.items()},
            "per_class": {name: by_name(self.classes, score.iou) for name, score in scores.items()},
        }
