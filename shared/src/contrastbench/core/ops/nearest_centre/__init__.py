"""The nearest centre of each point, and its distance, in the Poincare ball or in Euclidean space."""

from contrastbench.core.ops.nearest_centre.api import nearest_centre
from contrastbench.core.ops.nearest_centre.distances import at_pairs, ball_distance, product_rounding

__all__ = ["at_pairs", "ball_distance", "nearest_centre", "product_rounding"]
