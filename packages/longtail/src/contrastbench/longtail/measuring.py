"""What discovery is measured by, beside the detections: clusters, proposals, and the embedded tree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from contrastbench.longtail.contrast import Points
from contrastbench.longtail.findings import Matches, child_pairs, farther, part_pairs, sizes
from contrastbench.longtail.ground import Ground
from contrastbench.longtail.kmeans import Clusters
from contrastbench.longtail.labels import NOVEL
from contrastbench.longtail.purity import Purity, purity
from contrastbench.longtail.store import ProposalStore


def measure_clusters(
    ground: Ground, points: Points, clusters: Clusters, labels: Tensor, store: ProposalStore
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return numbers by name (shares in per cent), and what they come from.

    Args:
        ground: the data.
        points: the proposals of the training split.
        clusters: of these.
        labels: ``[k]``, places of categories.
        store: the proposals.
    """
    tail = torch.tensor([ground.places[number] for number in ground.long_tail])
    true = Matches(ground.truth("train"), store).categories(ground.places)
    discovered = labels.where(torch.isin(labels, tail), NOVEL)
    pure = purity(clusters.assignment, discovered, true, ground.frequencies, sizes(points, store))
    names = ground.source.classes
    numbers = {
        "clusters": len(clusters.centres),
        "inertia": clusters.inertia,
        "long_tail": len(ground.long_tail),
        "discovered": pure.discovered,
        "discovered_known": int((labels >= 0).sum()) - pure.discovered,
        "confirmed": pure.confirmed,
        "novel": int(((labels == NOVEL) & (clusters.sizes > 0)).sum()),
        **_purities(pure),
        "proposals": len(points.points),
    }
    found = {
        "categories": [
            {"id": number, "name": name, "known": number in ground.known_categories}
            for number, name in zip(ground.source.category_ids, names, strict=True)
        ],
        "labels": labels.tolist(),
        "purity": [None if share != share else share for share in pure.per_cluster.tolist()],
        "purity_of": {names[place]: 100 * share for place, share in sorted(pure.per_category.items())},
        "true": true.tolist(),
    }
    return numbers, found


def measure_tree(
    ground: Ground,
    points: Points,
    store: ProposalStore,
    embed: Callable[[Sequence[Mapping[str, Any]]], Tensor],
    inside: float,
    area_ratio: float,
) -> dict[str, Any]:
    """Return recalls, and how many parts and children are farther from the origin than what they are of (per cent).

    Args:
        ground: the data.
        points: the proposals of the validation split.
        store: of these.
        embed: annotations of that split to points ``[a, D]``.
        inside: as of :func:`~contrastbench.longtail.findings.child_pairs`.
        area_ratio: likewise.
    """
    truth = ground.truth("val")
    matches, pairs = Matches(truth, store), part_pairs(truth)
    parents, parts = embed([parent for parent, _ in pairs]), embed([part for _, part in pairs])
    children = child_pairs(points, store, inside, area_ratio)
    return {
        "recall": matches.recall(set(ground.long_tail)),
        "recall_known": matches.recall(set(ground.known_categories)),
        "parts": len(pairs),
        "parts_farther": farther(parents, parts),
        "children": len(children),
        "children_farther": farther(points.points[children[:, 0]], points.points[children[:, 1]]),
    }


def _purities(pure: Purity) -> dict[str, float | None]:
    groups = {"": pure.average, **{f"_{name}": share for name, share in {**pure.groups, **pure.subsets}.items()}}
    return {f"purity{name}": None if share is None else 100 * share for name, share in groups.items()}
