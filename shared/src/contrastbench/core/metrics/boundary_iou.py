"""Boundary IoU of semantic classes (Cheng et al., CVPR 2021).

The IoU of the two masks' inner bands: of each mask only the pixels within d pixels of its contour count. Unlike
boundary mIoU, which looks at both sides of the ground truth's boundaries, it sees the prediction's contours too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from contrastbench.core.errors import InputError
from contrastbench.core.metrics.evaluated import EvaluatedImage
from contrastbench.core.metrics.results import by_name, mean


def inner_band(labels: Tensor, distance: int) -> Tensor:
    """Return which pixels lie within ``distance`` of their own region's contour, ``[H, W]`` (bool).

    Distances are the larger of the two offsets, and the edge of the image is a contour: what eroding each mask
    ``distance`` times by 3 x 3 pixels takes away, as in the authors' API. For all classes at once: a pixel stays when
    the square around it holds its label alone.

    Args:
        labels: ``[H, W]`` (integer), -1 for void.
        distance: d, pixels.
    """
    # Outside the image is void: -1, and 1 where all signs are turned to get the minimum.
    highest, lowest = _window_maximum(labels, distance, -1), -_window_maximum(-labels, distance, 1)
    return (highest != labels) | (lowest != labels)


def _window_maximum(values: Tensor, radius: int, outside: int) -> Tensor:
    """Return the maximum in the square of ``2 radius + 1`` around each pixel, in logarithmically many steps."""
    for dim, pad in ((1, (radius, radius)), (0, (0, 0, radius, radius))):
        values = F.pad(values, pad, value=outside)
        covered, width = 1, 2 * radius + 1
        while covered < width:
            step = min(covered, width - covered)
            size = values.shape[dim] - step
            values = torch.maximum(values.narrow(dim, 0, size), values.narrow(dim, step, size))
            covered += step
    return values


class BoundaryIoU:
    """Boundary IoU, each class's pixels added up over the data set.

    Results, in points: ``boundary_IoU``, the mean over the classes that occur, and ``per_class``. Void pixels count
    for nothing; they are void in the prediction too, so that a contour towards void is the same in both.

    Args:
        num_classes: C.
        ignore_index: label of void.
        classes: their names.
        ratio: d as a part of the image's diagonal (the authors' 2 %; 46 pixels of 1024 x 2048).
        distance: d in pixels; takes the place of ``ratio``.

    Raises:
        InputError: a ratio or distance that is not above 0.
    """

    needs_features = False
    needs_instances = False

    def __init__(
        self,
        num_classes: int,
        ignore_index: int,
        classes: Sequence[str],
        *,
        ratio: float = 0.02,
        distance: int | None = None,
    ) -> None:
        if not 0 < ratio < 1:
            raise InputError(f"ratio is {ratio!r}; expected the part of the image's diagonal, between 0 and 1")
        if distance is not None and (isinstance(distance, bool) or not isinstance(distance, int) or distance < 1):
            raise InputError(f"distance is {distance!r}; expected a whole number of pixels above 0, or null")
        self.num_classes, self.ignore_index, self.classes = num_classes, ignore_index, tuple(classes)
        self.ratio, self.distance = ratio, distance
        self.counts = torch.zeros(3, num_classes, dtype=torch.int64)

    def update(self, sample: EvaluatedImage) -> None:
        """Count an image in."""
        distance = self.distance or max(1, round(self.ratio * math.hypot(*sample.labels.shape)))
        void = sample.labels == self.ignore_index
        true, predicted = (x.long().masked_fill(void, -1) for x in (sample.labels, sample.prediction))
        in_true, in_predicted = (inner_band(x, distance) & ~void for x in (true, predicted))
        both = in_true & in_predicted & (true == predicted)
        for row, (classes, counted) in zip(
            self.counts, ((true, both), (true, in_true), (predicted, in_predicted)), strict=True
        ):
            row += torch.bincount(classes[counted], minlength=self.num_classes).cpu()

    def state(self) -> dict[str, Any]:
        """Return the pixels in both bands, the true and the predicted one, ``[3, C]`` (int64)."""
        return {"counts": self.counts.clone()}

    def merge(self, state: dict[str, Any]) -> None:
        """Add another's counts."""
        self.counts += state["counts"]

    def compute(self) -> dict[str, Any]:
        """Return the results; see the class."""
        both, true, predicted = self.counts.double()
        per_class = by_name(self.classes, (100 * both / (true + predicted - both)).tolist())
        return {"boundary_IoU": mean(per_class.values()), "per_class": {"boundary_IoU": per_class}}
