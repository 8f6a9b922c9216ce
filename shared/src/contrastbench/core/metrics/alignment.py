"""Alignment and uniformity of features: how close a class lies together, and how far classes lie apart.

Contextrast (Sung et al., CVPR 2024), section 4.1 and Table 5, after Li et al., CVPR 2022, and Wang and Isola, ICML
2020. All on the features that the classifier takes, brought to unit length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from contrastbench.core.draws import generator
from contrastbench.core.errors import InputError
from contrastbench.core.metrics.evaluated import EvaluatedImage
from contrastbench.core.metrics.results import by_name, mean
from contrastbench.core.samplers import first_per_group

# Pixels whose features are held in float64 at once.
_PIXELS = 1 << 14


def nearest_labels(labels: Tensor, size: Sequence[int]) -> Tensor:
    """Return labels ``[H, W]`` (integer) at the nearest pixels of a map of another ``size`` ``[h, w]``."""
    rows, columns = (torch.arange(n, device=labels.device) * m // n for n, m in zip(size, labels.shape, strict=True))
    return labels[rows[:, None], columns]


class AlignmentUniformity:
    """Alignment A, uniformity U and neighbourhood uniformity U_l.

    Results, distances between vectors of unit length (0 to 2), not points:

    - ``A``: the mean distance between two pixels of a class, averaged over the classes; lower is tighter. On a sample
      of pixels; all pixels would be squared in number. ``per_class`` has it for each class.
    - ``U``: the mean distance between the centres of two classes, at most sqrt(2 C / (C - 1)).
    - ``U_3``, ``U_5``: the mean distance from a class's centre to its l nearest, averaged over the classes; None for
      fewer than l + 1 classes.

    A class's centre is the mean over all its pixels, brought to unit length. Labels are those of the nearest pixels
    at the features' own resolution.

    The sample is the pixels with the smallest draws, and draws belong to (seed, image): uniform over the data set,
    and the same in any order and on any number of ranks.

    Args:
        num_classes: C.
        ignore_index: label of void.
        classes: their names.
        samples: pixels of each class that alignment is taken of, at most.
        neighbours: [l], how many nearest centres; one result each.
        seed: of the sample.

    Raises:
        InputError: fewer than two samples, or a number of neighbours below 1.
    """

    needs_features = True
    needs_instances = False

    def __init__(
        self,
        num_classes: int,
        ignore_index: int,
        classes: Sequence[str],
        *,
        samples: int = 2000,
        neighbours: Sequence[int] = (3, 5),
        seed: int = 0,
    ) -> None:
        if samples < 2:
            raise InputError(f"samples is {samples}; alignment needs two pixels of a class at least")
        if any(n < 1 for n in neighbours):
            raise InputError(f"neighbours is {list(neighbours)}; expected whole numbers above 0, as in [3, 5]")
        self.num_classes, self.ignore_index, self.classes = num_classes, ignore_index, tuple(classes)
        self.samples, self.neighbours, self.seed = samples, tuple(neighbours), seed
        self.sums = torch.zeros(num_classes, 0, dtype=torch.float64)
        self.sampled = {
            "draws": torch.zeros(0, dtype=torch.float64),
            "labels": torch.zeros(0, dtype=torch.int64),
            "features": torch.zeros(0, 0),
        }

    def update(self, sample: EvaluatedImage) -> None:
        """Count an image in.

        Raises:
            InputError: the host gives no features, or some are not finite.
        """
        if sample.features is None:
            raise InputError("alignment and uniformity need the classifier's input, and this host gives no features")
        size = sample.features.shape[1:]
        labels = nearest_labels(sample.labels, size).flatten().long()
        draws = torch.rand(labels.shape, generator=generator(self.seed, sample.index), dtype=torch.float64)
        draws = draws.to(labels.device)
        labels = torch.where(labels == self.ignore_index, -1, labels)
        features = sample.features.flatten(1)
        sums = torch.zeros(features.shape[0], self.num_classes, dtype=torch.float64, device=labels.device)
        for some, of in zip(features.split(_PIXELS, 1), labels.split(_PIXELS), strict=True):
            member = of[:, None] == torch.arange(self.num_classes, device=of.device)
            sums += F.normalize(some.double(), dim=0) @ member.double()
        if not sums.isfinite().all():
            # one such pixel would take every class's centre with it
            raise InputError(f"features of validation image {sample.index} are not finite; has the training diverged?")
        # At most so many of this image can stay; only they leave the device.
        kept = first_per_group(labels, draws, self.samples)
        part = {
            "draws": draws[kept],
            "labels": labels[kept],
            "features": F.normalize(features[:, kept].T.float(), dim=1),
        }
        self.merge({"sums": sums.T.cpu(), **{name: value.cpu() for name, value in part.items()}})

    def state(self) -> dict[str, Any]:
        """Return each class's summed features ``[C, D]`` and the sample: draws, labels, features ``[n, D]``."""
        return {"sums": self.sums.clone(), **self.sampled}

    def merge(self, state: dict[str, Any]) -> None:
        """Add another's sums, and keep of both samples the pixels with the smallest draws."""
        if state["sums"].shape[1] == 0:
            return
        if self.sums.shape[1] == 0:
            self.sums = torch.zeros_like(state["sums"])
            self.sampled["features"] = state["features"][:0]
        self.sums += state["sums"]
        both = {name: torch.cat([mine, state[name]]) for name, mine in self.sampled.items()}
        kept = first_per_group(both["labels"], both["draws"], self.samples)
        self.sampled = {name: value[kept] for name, value in both.items()}

    def compute(self) -> dict[str, Any]:
        """Return the results; see the class."""
        per_class = by_name(self.classes, [self._alignment(c) for c in range(self.num_classes)])
        centres = F.normalize(self.sums[self.sums.abs().sum(1) > 0], dim=1)
        distances = torch.cdist(centres, centres, compute_mode="donot_use_mm_for_euclid_dist")
        count = len(centres)
        results: dict[str, Any] = {
            "A": mean(per_class.values()),
            "U": float(distances.sum() / (count * (count - 1))) if count > 1 else None,
        }
        ordered = distances.sort(1).values  # the first is the centre itself
        for near in self.neighbours:
            results[f"U_{near}"] = float(ordered[:, 1 : near + 1].mean()) if count > near else None
        return {**results, "per_class": {"A": per_class}}

    def _alignment(self, label: int) -> float:
        """Return the mean distance between two sampled pixels of a class, NaN for fewer than two."""
        features = self.sampled["features"][self.sampled["labels"] == label].double()
        count = len(features)
        if count < 2:
            return math.nan
        return float(torch.cdist(features, features).triu(1).sum() / (count * (count - 1) / 2))
