"""K keys at random among each anchor's nearest or farthest, without sorting what there is."""

from contrastbench.core.ops.top_fraction.api import Draw, kernels_fit, top_fraction
from contrastbench.core.ops.top_fraction.priorities import class_seeds

__all__ = ["Draw", "class_seeds", "kernels_fit", "top_fraction"]
