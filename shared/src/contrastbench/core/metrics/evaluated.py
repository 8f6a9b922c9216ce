"""What a segmentation metric is given of each image, and what a host may ask of the metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor


@dataclass(frozen=True)
class EvaluatedImage:
    """One image of the evaluated split. All tensors are on one device.

    Attributes:
        prediction: ``[H, W]`` (int64), the predicted class of each pixel, in 0..C-1.
        labels: ``[H, W]`` (int64), the true class, the ignore index among them.
        index: the image's place in the split; what a metric samples of it depends on this, not on who evaluates it.
        features: ``[D, h, w]`` (float), what the classifier takes (the last 1x1 convolution of the decode head), or
            None where no metric needs it.
        instances: ``[H, W]`` (integer), instance ids of the ground truth as the data has them, or None where no
            metric needs them.
    """

    prediction: Tensor
    labels: Tensor
    index: int = 0
    features: Tensor | None = None
    instances: Tensor | None = None


class SegmentationMetric(Protocol):
    """A measure that adds up over images, in any order and any split over ranks, to the same result.

    A host builds it with those of ``num_classes`` (C), ``ignore_index`` and ``classes`` (their names, a tuple) that
    its constructor declares, and adds what the user configured. Then each rank calls :meth:`update` with its own
    images, one process calls :meth:`merge` with the :meth:`state` of every other, and asks :meth:`compute`.

    Attributes:
        needs_features: whether :attr:`EvaluatedImage.features` must be there.
        needs_instances: whether :attr:`EvaluatedImage.instances` must be there.
    """

    needs_features: bool
    needs_instances: bool

    def update(self, sample: EvaluatedImage) -> None:
        """Count an image in."""
        ...

    def state(self) -> dict[str, Any]:
        """Return what was counted so far: CPU tensors and plain numbers by name, which can be pickled."""
        ...

    def merge(self, state: dict[str, Any]) -> None:
        """Count in what another object of the same configuration counted on other images."""
        ...

    def compute(self) -> dict[str, Any]:
        """Return the results; where nothing was counted there is no value, which is no error.

        Returns:
            Floats by name, None for no value; and, where there are values for each class, ``per_class``: by the same
            names, floats (None for no value) by the class's name.
        """
        ...
