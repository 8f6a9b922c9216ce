"""Measures of what a network predicts."""

from contrastbench.core.metrics.miou import Scores, confusion, mean_iou

__all__ = ["Scores", "confusion", "mean_iou"]
