"""Who is contrasted with whom: anchors among an image batch's pixels, keys for each anchor."""

from contrastbench.core.samplers.first_per_group import first_per_group
from contrastbench.core.samplers.hard_anchors import SegmentationAwareAnchors
from contrastbench.core.samplers.hardest_pairs import HardestPairs
from contrastbench.core.samplers.pairs import PairSampler
from contrastbench.core.samplers.random_anchors import RandomAnchors
from contrastbench.core.samplers.random_pairs import RandomPairs
from contrastbench.core.samplers.released_anchors import PerImageAnchors
from contrastbench.core.samplers.semi_hard_pairs import SemiHardPairs

__all__ = [
    "HardestPairs",
    "PairSampler",
    "PerImageAnchors",
    "RandomAnchors",
    "RandomPairs",
    "SegmentationAwareAnchors",
    "SemiHardPairs",
    "first_per_group",
]
