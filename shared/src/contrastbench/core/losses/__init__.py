"""Supervised InfoNCE in its two forms: against everything, and against sampled pairs."""

from contrastbench.core.losses.mean import mean_over_anchors
from contrastbench.core.losses.sampled import KeyTable, Selection, select_pairs
from contrastbench.core.losses.supervised import supervised_infonce

__all__ = ["KeyTable", "Selection", "mean_over_anchors", "select_pairs", "supervised_infonce"]
