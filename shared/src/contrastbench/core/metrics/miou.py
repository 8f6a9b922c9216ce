"""Mean intersection over union, from one confusion matrix over a whole data set."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from contrastbench.core.errors import InputError


@dataclass(frozen=True)
class Scores:
    """Scores in points, 0 to 100. A class that has no value is NaN.

    Attributes:
        miou: mean IoU over the classes that have one.
        mean_accuracy: mean accuracy over the classes that have one.
        iou: IoU of each class; NaN for a class that is neither in the ground truth nor predicted.
        accuracy: share of each class's pixels that are predicted as it; NaN for a class not in the ground truth.
    """

    miou: float
    mean_accuracy: float
    iou: tuple[float, ...]
    accuracy: tuple[float, ...]


def confusion(prediction: Tensor, labels: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    """Count pixels by true and predicted class.

    Args:
        prediction: class ids (integer), any shape.
        labels: true class ids of the same shape; pixels labelled ``ignore_index`` count for nothing.
        num_classes: C.
        ignore_index: label to leave out.

    Returns:
        ``[C, C]`` (int64): row the true class, column the predicted one. Add those of several images.

    Raises:
        InputError: a counted label or prediction is no class.
    """
    counted = labels != ignore_index
    true, predicted = labels[counted].long(), prediction[counted].long()
    for what, found in (("label", true), ("prediction", predicted)):
        outside = found[(found < 0) | (found >= num_classes)]
        if len(outside):
            known = f"0 to {num_classes - 1}, or {ignore_index} for a label to leave out"
            raise InputError(f"a {what} is {int(outside[0])}; expected {known}")
    return torch.bincount(true * num_classes + predicted, minlength=num_classes**2).reshape(num_classes, num_classes)


def mean_iou(matrix: Tensor) -> Scores:
    """Return IoU and accuracy of each class and their means over the classes that have one.

    A class absent from both ground truth and prediction has no IoU and is left out of the mean, as in the Cityscapes
    and mmsegmentation evaluations; one that is predicted but never true has an IoU of 0 and stays in.

    Args:
        matrix: ``[C, C]`` from :func:`confusion`.
    """
    matrix = matrix.double()
    hit, true, predicted = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
    # 0 / 0 is NaN: the class has no value.
    iou = 100 * hit / (true + predicted - hit)
    accuracy = 100 * hit / true
    return Scores(iou.nanmean().item(), accuracy.nanmean().item(), tuple(iou.tolist()), tuple(accuracy.tolist()))
