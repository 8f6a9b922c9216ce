"""Weighted sums of the rows of each group: what centres are made of."""

from contrastbench.core.ops.group_sums.api import group_sums

__all__ = ["group_sums"]
