"""Instance-level IoU (iIoU) and IoU of categories, as Cityscapes defines them.

Cordts et al., CVPR 2016, section 4.1; Contextrast (Sung et al., CVPR 2024), Eq. 8 and Table 3:
iIoU = iTP / (iTP + FP + iFN), the true positives and false negatives of each instance weighted by its class's average
instance size over its own size, so that a far car counts as much as a near one. False positives belong to no
instance and are not weighted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch

from contrastbench.core.data.taxonomies import CITYSCAPES, CITYSCAPES_TRAIN_IDS
from contrastbench.core.errors import InputError, unknown_name
from contrastbench.core.metrics.evaluated import EvaluatedImage
from contrastbench.core.metrics.miou import confusion
from contrastbench.core.metrics.results import by_name, mean

CITYSCAPES_AVERAGE_SIZES = {
    "person": 3462.4756337644,
    "rider": 3930.4788056518,
    "car": 12794.0202738185,
    "truck": 27855.1264367816,
    "bus": 35732.1511111111,
    "train": 67583.7075812274,
    "motorcycle": 6298.7200839748,
    "bicycle": 4672.3249222261,
}
"""Average pixels of an instance at 1024 x 2048, the constants of the Cityscapes benchmark."""

CITYSCAPES_CATEGORIES = {
    "flat": ("road", "sidewalk"),
    "construction": ("building", "wall", "fence"),
    "object": ("pole", "traffic light", "traffic sign"),
    "nature": ("vegetation", "terrain"),
    "sky": ("sky",),
    "human": ("person", "rider"),
    "vehicle": ("car", "truck", "bus", "train", "motorcycle", "bicycle"),
}
"""The categories of the Cityscapes benchmark that it scores."""

_LABEL_IDS = dict(zip(CITYSCAPES, CITYSCAPES_TRAIN_IDS, strict=True))


class InstanceIoU:
    """iIoU of classes and categories, and mIoU of categories.

    Results, in points: ``iIoU`` (mean over the classes with instances), ``iIoU_category`` (mean over the categories
    all of whose classes have instances), ``mIoU_category``; ``per_class`` has each by the class's or the category's
    name. Pixels of a group (an instance id below 1000) are neither true positives nor false negatives, as in the
    benchmark.

    Args:
        num_classes: C.
        ignore_index: label of void.
        classes: their names.
        instance_classes: label id to class name, for the classes with instances; the instances of a class have the
            ids label id * 1000 + n. Ids of other labels are left out. None for those of Cityscapes.
        categories: category to class names. None for those of Cityscapes, with the classes that are there.
        average_sizes: pixels of an average instance: ``"cityscapes"`` (the benchmark's constants, which hold for its
            images at full size), ``"measured"`` (over the evaluated ground truth), or by class name.

    Raises:
        InputError: a name that is no class, a class without an average size, or no class with instances.
    """

    needs_features = False
    needs_instances = True

    def __init__(
        self,
        num_classes: int,
        ignore_index: int,
        classes: Sequence[str],
        *,
        instance_classes: Mapping[int, str] | None = None,
        categories: Mapping[str, Sequence[str]] | None = None,
        average_sizes: Literal["cityscapes", "measured"] | Mapping[str, float] = "cityscapes",
    ) -> None:
        self.num_classes, self.ignore_index, self.classes = num_classes, ignore_index, tuple(classes)
        there = set(classes)
        if instance_classes is None:
            instance_classes = {_LABEL_IDS[name]: name for name in CITYSCAPES_AVERAGE_SIZES if name in there}
        if not instance_classes:
            raise InputError(
                "iIoU: no class has instances; set instance_classes to {label id: class name}, where the instances "
                "have the ids label id * 1000 + n"
            )
        self.with_instances = tuple(dict.fromkeys(instance_classes.values()))
        self.class_of = torch.full((max(instance_classes) + 1,), -1)
        for label, name in instance_classes.items():
            self.class_of[label] = self._index(name)

        if categories is None:
            known = {c: tuple(n for n in names if n in there) for c, names in CITYSCAPES_CATEGORIES.items()}
            categories = {category: names for category, names in known.items() if names}
        self.categories = {category: tuple(names) for category, names in categories.items()}
        self.category_of = torch.full((num_classes,), -1)
        for place, names in enumerate(self.categories.values()):
            self.category_of[[self._index(name) for name in names]] = place

        self.sizes: Mapping[str, float] | None
        if isinstance(average_sizes, str):
            if average_sizes not in ("cityscapes", "measured"):
                raise unknown_name("average_sizes", average_sizes, ("cityscapes", "measured"))
            self.sizes = CITYSCAPES_AVERAGE_SIZES if average_sizes == "cityscapes" else None
        else:
            self.sizes = average_sizes
        lacking = [name for name in self.with_instances if self.sizes is not None and name not in self.sizes]
        if lacking:
            raise InputError(f"iIoU: no average size of {', '.join(lacking)}; give it, or set average_sizes: measured")

        self.matrix = torch.zeros(num_classes, num_classes, dtype=torch.int64)
        self.instances = torch.zeros(0, 4, dtype=torch.int64)

    def _index(self, name: str) -> int:
        if name not in self.classes:
            raise unknown_name("class (of iIoU's options)", name, self.classes)
        return self.classes.index(name)

    def update(self, sample: EvaluatedImage) -> None:
        """Count an image in.

        Raises:
            InputError: the host gives no instance ids, or not at the size of the labels.
        """
        if sample.instances is None or sample.instances.shape != sample.labels.shape:
            given = None if sample.instances is None else list(sample.instances.shape)
            raise InputError(f"iIoU needs instance ids of size {list(sample.labels.shape)}; the host gives {given}")
        self.matrix += confusion(sample.prediction, sample.labels, self.num_classes, self.ignore_index).cpu()
        ids, predicted = sample.instances.flatten().long(), sample.prediction.flatten()
        label = torch.div(ids, 1000, rounding_mode="floor")
        class_of, category_of = self.class_of.to(ids.device), self.category_of.to(ids.device)
        known = (label > 0) & (label < len(class_of))
        true = torch.where(known, class_of[label.clamp(0, len(class_of) - 1)], -1)
        thing = true >= 0
        ids, true, predicted = ids[thing], true[thing], predicted[thing]
        _, instance, size = ids.unique(return_inverse=True, return_counts=True)
        count = len(size)
        of_class = torch.zeros_like(size).scatter_(0, instance, true)
        hit = torch.bincount(instance[predicted == true], minlength=count)
        related = instance[category_of[predicted] == category_of[true]]
        rows = torch.stack([of_class, size, hit, torch.bincount(related, minlength=count)], 1)
        self.instances = torch.cat([self.instances, rows.cpu()])

    def state(self) -> dict[str, Any]:
        """Return the confusion matrix, and a row an instance: class, pixels, those right, those right by category."""
        return {"matrix": self.matrix.clone(), "instances": self.instances}

    def merge(self, state: dict[str, Any]) -> None:
        """Add another's counts and instances."""
        self.matrix += state["matrix"]
        self.instances = torch.cat([self.instances, state["instances"]])

    def compute(self) -> dict[str, Any]:
        """Return the results; see the class."""
        hits, misses = self._weighted(2)
        iiou = {}
        for name in self.with_instances:
            c = self.classes.index(name)
            wrong = float(self.matrix[:, c].sum() - self.matrix[c, c])
            iiou[name] = _iou(hits[name], wrong, misses[name])
        hits, misses = self._weighted(3)
        iou_category, iiou_category = {}, {}
        for place, (category, names) in enumerate(self.categories.items()):
            inside = self.category_of == place
            both = float(self.matrix[inside][:, inside].sum())
            wrong = float(self.matrix[~inside][:, inside].sum())
            iou_category[category] = _iou(both, wrong, float(self.matrix[inside].sum()) - both)
            if all(name in self.with_instances for name in names):
                iiou_category[category] = _iou(sum(hits[n] for n in names), wrong, sum(misses[n] for n in names))
        scores = {"iIoU": iiou, "iIoU_category": iiou_category, "mIoU_category": iou_category}
        per_class = {name: by_name(tuple(values), values.values()) for name, values in scores.items()}
        return {**{name: mean(values.values()) for name, values in per_class.items()}, "per_class": per_class}

    def _weighted(self, column: int) -> tuple[dict[str, float], dict[str, float]]:
        """Return each class's weighted true positives and false negatives.

        The parts of instances are summed without rounding (fsum): in any order the sum is the same.
        """
        hits, misses = {}, {}
        for name in self.with_instances:
            rows = self.instances[self.instances[:, 0] == self.classes.index(name)]
            pixels = rows[:, 1].double()
            average = self.sizes[name] if self.sizes is not None else float(pixels.sum()) / max(len(rows), 1)
            right = rows[:, column].double()
            hits[name] = average * math.fsum((right / pixels).tolist())
            misses[name] = average * math.fsum(((pixels - right) / pixels).tolist())
        return hits, misses


def _iou(hits: float, wrong: float, misses: float) -> float:
    total = hits + wrong + misses
    return 100 * hits / total if total > 0 else math.nan
