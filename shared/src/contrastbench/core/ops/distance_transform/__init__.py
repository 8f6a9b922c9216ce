"""Exact Euclidean distances to the edge of a region, for a batch of masks."""

from contrastbench.core.ops.distance_transform.api import distance_transform

__all__ = ["distance_transform"]
