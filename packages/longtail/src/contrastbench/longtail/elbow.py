"""The number of clusters by the elbow of the explained variation (section 4.3 of the paper)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from torch import Tensor

from contrastbench.core.errors import InputError
from contrastbench.longtail.kmeans import HyperbolicKMeans

_log = logging.getLogger(__name__)


class ElbowPoint(NamedTuple):
    """A point of the curve: k, the sum of squared distances, and the share of the variation that k clusters explain."""

    k: int
    inertia: float
    explained: float


def knee(x: Sequence[float], y: Sequence[float]) -> int:
    """Return the index of the point farthest above the chord from the first to the last.

    It is the point of the greatest curvature in the sense of Satopaa et al. (Finding a Kneedle in a Haystack, 2011),
    and does not depend on the units of either axis.

    Args:
        x: increasing.
        y: of the same length, at least three.

    Raises:
        InputError: of fewer than three points, of x that does not increase, of a curve that has no bend upwards.
    """
    if len(x) != len(y) or len(x) < 3:
        raise InputError(f"an elbow needs at least three numbers of clusters; {len(x)} were given")
    if any(b <= a for a, b in pairwise(x)):
        raise InputError(f"the numbers of clusters must increase: {list(x)}")
    rise = y[-1] - y[0]
    above = [b - y[0] - rise * (a - x[0]) / (x[-1] - x[0]) for a, b in zip(x, y, strict=True)]
    place = max(range(len(x)), key=above.__getitem__)
    if above[place] <= 1e-9 * max(abs(v) for v in y):
        raise InputError(f"the curve between {x[0]} and {x[-1]} has no elbow; try a wider range")
    return place


def elbow(points: Tensor, ks: Sequence[int], **options: Any) -> tuple[int, list[ElbowPoint]]:
    """Cluster with each number of clusters and return the one at the elbow of the explained variation.

    The explained variation is 1 minus the sum of squared distances to the clusters' centres over that to the centre of
    all points. The paper names the method (Thorndike, 1953) and not the rule; the rule here is ``knee``.

    Args:
        points: ``[n, D]``, as of ``HyperbolicKMeans.fit``.
        ks: increasing, at least three.
        **options: of ``HyperbolicKMeans``, k excepted.

    Returns:
        The number of clusters, and the whole curve.

    Raises:
        InputError: of what ``HyperbolicKMeans`` or ``knee`` raise it for, and of points that are all the same.
    """
    if len(ks) < 3:
        raise InputError(f"an elbow needs at least three numbers of clusters; {len(ks)} were given")
    # one cluster has one solution: neither restarts nor mini-batches are needed to measure all there is to explain
    total = HyperbolicKMeans(1, **{**options, "restarts": 1, "batch_size": None}).fit(points).inertia
    if total == 0:
        raise InputError("all points are the same; there is nothing for clusters to explain")
    curve = []
    for k in ks:
        inertia = HyperbolicKMeans(k, **options).fit(points).inertia
        curve.append(ElbowPoint(k, inertia, 1 - inertia / total))
        _log.info("k = %d explains %.4f", k, curve[-1].explained)
    return curve[knee([p.k for p in curve], [p.explained for p in curve])].k, curve
