"""The Poincare ball: distances, maps, means and nearest centres, all in float64."""

from contrastbench.longtail.geometry.ball import (
    MARGIN,
    clip_to_ball,
    distance,
    expmap0,
    geodesic,
    logmap0,
    mobius_add,
)
from contrastbench.longtail.geometry.means import einstein_midpoint, frechet_mean
from contrastbench.longtail.geometry.nearest import nearest_centre, pairwise_distance
from contrastbench.longtail.geometry.spaces import Euclidean, PoincareBall, Space, space_named

__all__ = [
    "MARGIN",
    "Euclidean",
    "PoincareBall",
    "Space",
    "clip_to_ball",
    "distance",
    "einstein_midpoint",
    "expmap0",
    "frechet_mean",
    "geodesic",
    "logmap0",
    "mobius_add",
    "nearest_centre",
    "pairwise_distance",
    "space_named",
]
