"""Names for clusters: a few ground-truth masks of each category are anchors (section 3.3 of the paper)."""

from __future__ import annotations

import logging
import math
from typing import Literal

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from contrastbench.core.errors import InputError, unknown_name
from contrastbench.longtail.kmeans import Clusters

_log = logging.getLogger(__name__)

NOVEL = -1
"""The label of a cluster that no category was given to."""

_BLOCK = 2**22  # distances held at a time


@torch.no_grad()
def anchor_distances(
    points: Tensor, clusters: Clusters, anchors: Tensor, anchor_categories: Tensor, categories: int | None = None
) -> Tensor:
    """Return how far each cluster is from each category: the mean distance over pairs of a member and an anchor.

    Args:
        points: ``[n, D]``, those that were clustered.
        clusters: of these points.
        anchors: ``[a, D]``, embedded ground-truth masks.
        anchor_categories: ``[a]`` (int64), their categories, from 0 to C - 1.
        categories: C; by default one more than the largest there is.

    Returns:
        ``[k, C]`` (float64). Infinite for a category without anchors, which cannot be found; a warning says how many
        there are. Infinite for an empty cluster.

    Raises:
        InputError: of points or anchors that are not finite or not in the space, of sizes that do not fit, of
            categories out of range, of no anchors at all.
    """
    space = clusters.space
    space.check(points, "points")
    space.check(anchors, "anchors")
    if len(points) != len(clusters.assignment) or points.shape[1] != clusters.centres.shape[1]:
        raise InputError(
            f"points {tuple(points.shape)} are not those clustered: {len(clusters.assignment)} of dimension "
            f"{clusters.centres.shape[1]}"
        )
    if anchors.shape[1] != points.shape[1] or anchor_categories.shape != anchors.shape[:1] or not len(anchors):
        raise InputError(
            f"anchors {tuple(anchors.shape)} with categories {tuple(anchor_categories.shape)}: at least one anchor of "
            f"dimension {points.shape[1]} was expected, and one category an anchor"
        )
    lowest, highest = int(anchor_categories.min()), int(anchor_categories.max())
    categories = highest + 1 if categories is None else categories
    if lowest < 0 or highest >= categories:
        raise InputError(f"anchor categories lie in {lowest}..{highest}; 0..{categories - 1} was expected")
    order = anchor_categories.argsort(stable=True)
    anchors, group = anchors[order].double().to(points.device), anchor_categories[order].to(points.device)
    each = torch.bincount(group, minlength=categories)
    if int((each == 0).sum()):
        _log.warning("%d of %d categories have no anchors and cannot be found", int((each == 0).sum()), categories)

    sums = torch.zeros(len(clusters.centres), categories, dtype=torch.float64, device=points.device)
    for rows in torch.arange(len(points), device=points.device).split(max(_BLOCK // len(anchors), 1)):
        distances = space.pairwise(points[rows].double(), anchors)
        by_category = distances.new_zeros(categories, len(rows)).index_add_(0, group, distances.T.contiguous())
        sums.index_add_(0, clusters.assignment[rows], by_category.T.contiguous())
    pairs = clusters.sizes[:, None] * each
    return torch.where(pairs > 0, sums / pairs.clamp_min(1), math.inf)


def assign_labels(distances: Tensor, method: Literal["greedy", "greedy_next", "hungarian"] = "greedy") -> Tensor:
    """Give each category to at most one cluster, and each cluster at most one category.

    "greedy" is the paper's: a cluster stands for the category closest to it, or for none; of several that are closest
    to the same category, the closest one has it and the others are novel. "greedy_next" lets those others take the
    next closest category that is free, all pairs ordered by their distance; then no cluster is novel while a category
    is free, which the numbers of discovered categories in the paper's Tables 3 and 4 exclude (41 of 60 at k = 80).
    "hungarian" makes the sum of the distances of ``min(k, C)`` pairs the smallest.

    Args:
        distances: ``[k, C]`` of clusters to categories; a pair at an infinite distance is never made. Of equal
            distances the first cluster, then the first category comes first.
        method: one of the three.

    Returns:
        ``[k]`` (int64): the category of each cluster, -1 for the novel ones.

    Raises:
        InputError: of distances that are NaN, negative or not a matrix, or an unknown method.
    """
    if distances.ndim != 2 or not distances.is_floating_point():
        raise InputError(f"distances: a floating [k, C] was expected, not {distances.dtype} {tuple(distances.shape)}")
    if not bool((distances >= 0).all()):
        row, column = (~(distances >= 0)).nonzero()[0].tolist()
        raise InputError(f"the distance of cluster {row} to category {column} is {float(distances[row, column])}")
    methods = {"greedy": _closest, "greedy_next": _next_closest, "hungarian": _hungarian}
    if method not in methods:
        raise unknown_name("method", method, methods)
    labels = torch.full((len(distances),), NOVEL, dtype=torch.int64)
    if distances.numel():
        for cluster, category in methods[method](distances.detach().cpu().double()):
            labels[cluster] = category
    return labels.to(distances.device)


def _walk(distances: Tensor, clusters: Tensor, categories: Tensor) -> list[tuple[int, int]]:
    """Take pairs in the order of their distance, leaving out those of which one is taken."""
    order = distances.argsort(stable=True)
    order = order[distances[order].isfinite()]
    pairs: list[tuple[int, int]] = []
    named: set[int] = set()
    given: set[int] = set()
    for cluster, category in zip(clusters[order].tolist(), categories[order].tolist(), strict=True):
        if cluster not in named and category not in given:
            named.add(cluster)
            given.add(category)
            pairs.append((cluster, category))
    return pairs


def _closest(distances: Tensor) -> list[tuple[int, int]]:
    least, category = distances.min(1)
    return _walk(least, torch.arange(len(distances)), category)


def _next_closest(distances: Tensor) -> list[tuple[int, int]]:
    k, categories = distances.shape
    return _walk(distances.flatten(), torch.arange(k).repeat_interleave(categories), torch.arange(categories).repeat(k))


def _hungarian(distances: Tensor) -> list[tuple[int, int]]:
    finite = distances.isfinite()
    if not bool(finite.any()):
        return []
    # so dear that a pair is made of what cannot be only where nothing else is left; it is dropped then
    dear = (float(distances[finite].max()) + 1) * (min(distances.shape) + 1)
    rows, columns = linear_sum_assignment(distances.where(finite, dear).numpy())
    return [(r, k) for r, k in zip(rows.tolist(), columns.tolist(), strict=True) if bool(finite[r, k])]
