"""Metrics for tests of the evaluation, importable by name."""

from __future__ import annotations

from typing import Any

from contrastbench.core.metrics import EvaluatedImage


class Count:
    """Counts images, pixels of each predicted class and places in the split."""

    needs_features = False
    needs_instances = False

    def __init__(self, classes: tuple[str, ...], name: str = "images") -> None:
        self.classes, self.name = classes, name
        self.places: list[int] = []
        self.pixels = [0] * len(classes)

    def update(self, sample: EvaluatedImage) -> None:
        assert (sample.features is not None) >= self.needs_features
        assert (sample.instances is not None) >= self.needs_instances
        self.places.append(sample.index)
        for index in sample.prediction.flatten().tolist():
            self.pixels[index] += 1

    def state(self) -> dict[str, Any]:
        return {"places": self.places, "pixels": self.pixels}

    def merge(self, state: dict[str, Any]) -> None:
        self.places = [*self.places, *state["places"]]
        self.pixels = [a + b for a, b in zip(self.pixels, state["pixels"], strict=True)]

    def compute(self) -> dict[str, Any]:
        return {
            self.name: len(self.places),
            f"{self.name}_places": sorted(self.places),
            "per_class": {f"{self.name}_pixels": dict(zip(self.classes, self.pixels, strict=True))},
        }


class FeatureSum(Count):
    """Adds up what it is given of features and instances."""

    needs_features = True

    def __init__(self, classes: tuple[str, ...], num_classes: int, ignore_index: int) -> None:
        super().__init__(classes, "featured")
        self.given = (num_classes, ignore_index)
        self.shapes: list[tuple[int, ...]] = []
        self.total = 0.0

    def update(self, sample: EvaluatedImage) -> None:
        super().update(sample)
        assert sample.features is not None
        self.shapes.append(tuple(sample.features.shape))
        self.total += float(sample.features.double().sum())

    def state(self) -> dict[str, Any]:
        return {**super().state(), "total": self.total}

    def merge(self, state: dict[str, Any]) -> None:
        super().merge(state)
        self.total += state["total"]

    def compute(self) -> dict[str, Any]:
        return {**super().compute(), "feature_sum": self.total, "evaluation": "features of everything"}


class InstanceIds(Count):
    """Lists the instance ids it met."""

    needs_instances = True

    def __init__(self, classes: tuple[str, ...]) -> None:
        super().__init__(classes, "instanced")
        self.ids: set[int] = set()

    def update(self, sample: EvaluatedImage) -> None:
        super().update(sample)
        assert sample.instances is not None
        assert sample.instances.shape == sample.labels.shape
        self.ids |= set(sample.instances.unique().tolist())

    def compute(self) -> dict[str, Any]:
        return {**super().compute(), "ids": sorted(self.ids)}
