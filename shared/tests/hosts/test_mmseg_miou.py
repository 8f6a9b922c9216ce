import pytest
import torch

pytest.importorskip("mmseg", reason="needs the mmseg extra")
from mmseg.evaluation import IoUMetric

from contrastbench.core.metrics import confusion, mean_iou


def test_agrees_with_mmsegmentation(generator: torch.Generator) -> None:
    classes = 5
    batches = [
        (
            torch.randint(0, classes, (2, 9, 7), generator=generator),
            torch.randint(0, classes + 1, (2, 9, 7), generator=generator),
        )
        for _ in range(3)
    ]
    for _, labels in batches:
        labels[labels == classes] = 255
    areas = [IoUMetric.intersect_and_union(p, t, classes, 255) for p, t in batches]
    theirs = IoUMetric.total_area_to_metrics(*(sum(parts) for parts in zip(*areas, strict=True)))

    ours = mean_iou(sum((confusion(p, t, classes, 255) for p, t in batches), torch.zeros(classes, classes)))

    assert ours.iou == pytest.approx([100 * value for value in theirs["IoU"]])
    assert ours.accuracy == pytest.approx([100 * value for value in theirs["Acc"]])
