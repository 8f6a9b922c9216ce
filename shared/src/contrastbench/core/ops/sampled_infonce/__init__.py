"""Supervised InfoNCE against positives and negatives that are chosen for each anchor."""

from contrastbench.core.ops.sampled_infonce.api import sampled_infonce

__all__ = ["sampled_infonce"]
