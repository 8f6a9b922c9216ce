"""Measures of what a network predicts."""

from contrastbench.core.metrics.alignment import AlignmentUniformity
from contrastbench.core.metrics.boundary_iou import BoundaryIoU
from contrastbench.core.metrics.boundary_miou import BoundaryMeanIoU
from contrastbench.core.metrics.evaluated import EvaluatedImage, SegmentationMetric
from contrastbench.core.metrics.instance_iou import InstanceIoU
from contrastbench.core.metrics.miou import Scores, confusion, mean_iou

__all__ = [
    "AlignmentUniformity",
    "BoundaryIoU",
    "BoundaryMeanIoU",
    "EvaluatedImage",
    "InstanceIoU",
    "Scores",
    "SegmentationMetric",
    "confusion",
    "mean_iou",
]
