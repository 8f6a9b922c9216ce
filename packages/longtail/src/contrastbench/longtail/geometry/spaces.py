"""The two spaces that embeddings are clustered in, under one interface: the ball, and its Euclidean counterpart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from contrastbench.core.errors import unknown_name
from contrastbench.core.ops.nearest_centre import nearest_centre
from contrastbench.longtail.geometry.ball import distance, geodesic
from contrastbench.longtail.geometry.checks import check_points
from contrastbench.longtail.geometry.means import Grouping, group_means, group_midpoints
from contrastbench.longtail.geometry.nearest import pairwise, pairwise_distance


class Space(Protocol):
    """What clustering asks of a space. Points are ``[n, D]`` (float64), checked once by ``check``."""

    def check(self, points: Tensor, name: str) -> None:
        """Raise InputError where points are not of this space."""

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """Return distances ``[...]`` of ``[..., D]``."""

    def pairwise(self, points: Tensor, others: Tensor) -> Tensor:
        """Return all distances ``[n, a]``; the caller keeps blocks small."""

    def nearest(self, points: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
        """Return the nearest of the centres ``[k, D]``, ``[n]`` (int64), and the distances ``[n]``."""

    def means(self, points: Tensor, group: Tensor, groups: int) -> Tensor:
        """Return the mean of each group ``[G, D]``, anything for groups without members."""

    def between(self, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        """Return the points at the shares ``t`` ``[..., 1]`` of the way from ``x`` to ``y``."""


@dataclass(frozen=True)
class PoincareBall:
    """The ball of curvature -c.

    Args:
        c: minus the curvature.
        centroid: "frechet" for means that minimise squared distances, "einstein" for midpoints in closed form.
        tolerance: how far, as a distance, a Frechet mean may be from the exact one.

    Raises:
        InputError: of an unknown centroid.
    """

    c: float = 1.0
    centroid: Literal["frechet", "einstein"] = "frechet"
    tolerance: float = 1e-6

    def __post_init__(self) -> None:
        if self.centroid not in ("frechet", "einstein"):
            raise unknown_name("centroid", self.centroid, ("frechet", "einstein"))

    def check(self, points: Tensor, name: str) -> None:
        """Raise InputError where points are not finite, or not in the ball."""
        check_points(points, name, self.c)

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """Return geodesic distances (Eq. 2)."""
        return distance(x, y, self.c)

    def pairwise(self, points: Tensor, others: Tensor) -> Tensor:
        """Return all geodesic distances ``[n, a]``."""
        return pairwise_distance(points, others, self.c)

    def nearest(self, points: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
        """Return the nearest centre of each point and the geodesic distance to it."""
        return nearest_centre(points, centres, self.c)

    def means(self, points: Tensor, group: Tensor, groups: int) -> Tensor:
        """Return Frechet means or Einstein midpoints, ``[G, D]``."""
        if self.centroid == "einstein":
            return group_midpoints(points, group, groups, self.c)
        return group_means(points, group, groups, self.c, tolerance=self.tolerance)

    def between(self, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        """Return points along geodesics."""
        return geodesic(x, y, t, self.c)


@dataclass(frozen=True)
class Euclidean:
    """Euclidean space, for the paper's ablation (Table 2)."""

    def check(self, points: Tensor, name: str) -> None:
        """Raise InputError where points are not finite."""
        check_points(points, name)

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """Return Euclidean distances, in float64."""
        return torch.linalg.vector_norm(x.double() - y.double(), dim=-1)

    def pairwise(self, points: Tensor, others: Tensor) -> Tensor:
        """Return all Euclidean distances ``[n, a]``."""
        return pairwise(points.double(), others.double(), self.distance, torch.sqrt)

    def nearest(self, points: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
        """Return the nearest centre of each point and the distance to it."""
        return nearest_centre(points, centres, None)

    def means(self, points: Tensor, group: Tensor, groups: int) -> Tensor:
        """Return arithmetic means ``[G, D]``."""
        members = Grouping(group, groups)
        one = torch.ones_like(points[:, 0])
        return members.sums(points, one) / members.scalar_sums(one).clamp_min(1)

    def between(self, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        """Return points along straight lines."""
        return x + t * (y - x)


def space_named(
    name: str, c: float = 1.0, centroid: Literal["frechet", "einstein"] = "frechet", tolerance: float = 1e-6
) -> Space:
    """Return the space of that name, "poincare" or "euclidean"; the other arguments concern the ball alone.

    Raises:
        InputError: of a name that is neither.
    """
    if name == "euclidean":
        return Euclidean()
    if name == "poincare":
        return PoincareBall(c, centroid, tolerance)
    raise unknown_name("space", name, ("poincare", "euclidean"))
