"""K-means in the Poincare ball, and its Euclidean counterpart (section 3.3 of the paper)."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from contrastbench.core.draws import generator
from contrastbench.core.errors import InputError, require_number
from contrastbench.longtail.geometry.spaces import Space, space_named

_log = logging.getLogger(__name__)

_SEEDING = 3  # batches that the centres of mini-batch k-means are drawn from, and at least this many points a centre
_SETTLING = 10  # attempts to fill clusters that the last assignment left empty


@dataclass(frozen=True)
class Clusters:
    """What clustering gives.

    Args:
        centres: ``[k, D]`` (float64).
        assignment: ``[n]`` (int64), the cluster of each point, whose centre is the nearest.
        inertia: the sum over points of the squared distance to their centre.
        iterations: how many times the centres were moved.
        space: the space they lie in.
    """

    centres: Tensor
    assignment: Tensor
    inertia: float
    iterations: int
    space: Space

    @property
    def sizes(self) -> Tensor:
        """Return the number of points of each cluster, ``[k]`` (int64)."""
        return torch.bincount(self.assignment, minlength=len(self.centres))


class HyperbolicKMeans:
    """K-means by geodesic distance: k-means++ seeds, Frechet means, empty clusters seeded again, restarts.

    A cluster that loses its last point takes the point farthest from its own centre. A cluster is left empty only where
    there are fewer distinct points than clusters. On the CPU, the same seed gives the same clusters, bit for bit.

    Args:
        k: the number of clusters (1500 in the paper).
        c: minus the curvature of the ball.
        space: "poincare", or "euclidean" for the ablation (Table 2).
        centroid: "frechet", or "einstein" for midpoints in closed form; of the ball alone.
        restarts: seedings tried; the clusters of the lowest inertia are kept.
        batch_size: points a mini-batch (Sculley, WWW 2010), for millions of points; all at once where ``None``.
        tolerance: a distance; the search ends when no centre moves farther, or no point changes its cluster.
        iterations: how often the centres are moved at most: once for all points, or once a mini-batch.
        seed: of the seeding and of the mini-batches.

    Raises:
        InputError: of settings out of range.
    """

    def __init__(
        self,
        k: int,
        c: float = 1.0,
        space: Literal["poincare", "euclidean"] = "poincare",
        centroid: Literal["frechet", "einstein"] = "frechet",
        restarts: int = 1,
        batch_size: int | None = None,
        tolerance: float = 1e-6,
        iterations: int = 100,
        seed: int = 0,
    ) -> None:
        for name, value in (("k", k), ("restarts", restarts), ("iterations", iterations), ("batch_size", batch_size)):
            if value is not None or name != "batch_size":
                require_number(name, value, least=1, whole=True)
        require_number("tolerance", tolerance, above=0)
        self.k, self.restarts, self.batch_size = k, restarts, batch_size
        self.tolerance, self.iterations, self.seed = tolerance, iterations, seed
        self.space = space_named(space, c, centroid, tolerance)

    @torch.no_grad()
    def fit(self, points: Tensor) -> Clusters:
        """Cluster the points.

        Args:
            points: ``[n, D]``, any floating dtype, on any device; inside the ball.

        Returns:
            The clusters of the best restart.

        Raises:
            InputError: of points that are not finite or not in the ball, naming the first; of fewer points than
                clusters.
        """
        self.space.check(points, "points")
        if self.k > len(points):
            raise InputError(f"{self.k} clusters of {len(points)} points; ask for at most as many clusters as points")
        points = points.double()
        one = self._all_at_once if self.batch_size is None else self._mini_batches
        found = [one(points, generator(self.seed, restart)) for restart in range(self.restarts)]
        best = min(found, key=lambda clusters: clusters.inertia)
        empty = int((best.sizes == 0).sum())
        if empty:
            _log.warning("%d of %d clusters are empty: there are fewer distinct points than clusters", empty, self.k)
        return best

    def _all_at_once(self, points: Tensor, draw: torch.Generator) -> Clusters:
        """Lloyd's iterations."""
        centres = plus_plus(points, self.k, self.space, draw)
        previous: Tensor | None = None
        moves = 0
        while moves < self.iterations:
            index, distance = self.space.nearest(points, centres)
            filled = _fill_empty(points, centres, index, distance)
            if not filled and previous is not None and torch.equal(index, previous):
                break
            updated = self._updated(centres, points, index)
            shift = float(self.space.distance(updated, centres).max())
            centres, previous, moves = updated, index, moves + 1
            if shift <= self.tolerance and not filled:
                break
        return self._settled(points, centres, moves)

    def _mini_batches(self, points: Tensor, draw: torch.Generator) -> Clusters:
        """Move the centres along geodesics towards the means of mini-batches, less and less far."""
        assert self.batch_size is not None
        size = min(self.batch_size, len(points))
        subset = _draw_subset(len(points), _SEEDING * max(size, self.k), draw).to(points.device)
        centres = plus_plus(points[subset], self.k, self.space, draw)
        seen = torch.zeros(self.k, dtype=torch.float64, device=points.device)
        order = torch.empty(0, dtype=torch.int64)
        moves = 0
        while moves < self.iterations:
            if len(order) < size:
                order = torch.randperm(len(points), generator=draw)
            batch, order = points[order[:size].to(points.device)], order[size:]
            index, _ = self.space.nearest(batch, centres)
            new = torch.bincount(index, minlength=self.k)
            seen += new
            means = self._updated(centres, batch, index)
            updated = self.space.between(centres, means, (new / seen.clamp_min(1))[:, None])
            shift = float(self.space.distance(updated, centres).max())
            centres, moves = updated, moves + 1
            if shift <= self.tolerance:
                break
        return self._settled(points, centres, moves)

    def _updated(self, centres: Tensor, points: Tensor, index: Tensor) -> Tensor:
        """Return the means of the clusters; the centre as it was of one without points."""
        used = torch.bincount(index, minlength=self.k) > 0
        return torch.where(used[:, None], self.space.means(points, index, self.k), centres)

    def _settled(self, points: Tensor, centres: Tensor, moves: int) -> Clusters:
        """Return the clusters that the centres make, once no cluster is empty that need not be."""
        index, distance = self.space.nearest(points, centres)
        for _ in range(_SETTLING):
            if not _fill_empty(points, centres, index, distance):
                break
            index, distance = self.space.nearest(points, centres)
        return Clusters(centres, index, float(distance.square().sum()), moves, self.space)


def _draw_subset(n: int, size: int, draw: torch.Generator) -> Tensor:
    return torch.randperm(n, generator=draw)[:size].sort().values


def _fill_empty(points: Tensor, centres: Tensor, index: Tensor, distance: Tensor) -> int:
    """Give each empty cluster the farthest point whose cluster can spare it, in place; return how many were given."""
    sizes = torch.bincount(index, minlength=len(centres))
    empty = (sizes == 0).nonzero()[:, 0].tolist()
    if not empty:
        return 0
    far = distance.argsort(descending=True, stable=True)
    far = far[distance[far] > 0]  # moving a point from a centre that it lies on would gain nothing, for ever
    given, left = 0, sizes.tolist()
    for point, home in zip(far.tolist(), index[far].tolist(), strict=True):
        if given == len(empty):
            break
        if left[home] > 1:
            left[home] -= 1
            centres[empty[given]], index[point], distance[point] = points[point], empty[given], 0.0
            given += 1
    return given


def plus_plus(points: Tensor, k: int, space: Space, draw: torch.Generator) -> Tensor:
    """Return k of the points as first centres (k-means++, Arthur and Vassilvitskii, SODA 2007).

    Each is drawn with a probability proportional to the squared distance to the nearest one before; of a few drawn, the
    one is kept that leaves the smallest sum of squared distances (the greedy variant of their section 7).

    Args:
        points: ``[n, D]`` (float64), with n at least k.
        k: how many.
        space: whose distance is meant.
        draw: the source of randomness, on the CPU.

    Returns:
        ``[k, D]`` (float64); duplicates only where there are fewer distinct points than k.
    """
    tries = 2 + int(math.log(k))
    first = int(torch.randint(len(points), (1,), generator=draw))
    chosen = [first]
    left = space.distance(points, points[first]).square()
    while len(chosen) < k:
        upto = left.cumsum(0)
        # where every point lies on a centre, all sums are zero and the last point is taken
        at = torch.rand(tries, generator=draw, dtype=torch.float64).to(points.device) * upto[-1]
        drawn = torch.searchsorted(upto, at, right=True).clamp_max(len(points) - 1)
        options = torch.minimum(left[:, None], space.pairwise(points, points[drawn]).square_())
        best = int(options.sum(0).argmin())
        left = options[:, best].clone()
        chosen.append(int(drawn[best]))
    return points[chosen].clone()
