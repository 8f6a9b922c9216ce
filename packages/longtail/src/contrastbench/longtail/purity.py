"""How pure clusters are, and how many categories they discover (the paper's Tables 3 and 4).

What the paper leaves open is settled so. The purity of a cluster is the share of its members that belong to its most
frequent true category (Manning et al., Introduction to Information Retrieval, section 16.3, which the paper cites).
Averages run over the labelled clusters, each counting once ("used to compute the purity scores", Table 3's caption);
the rare, common and frequent groups are those of the clusters' labels. The small, medium and large columns of Table 4
look at the members of that size alone. A member whose true category is not known (a proposal that matches no
annotation) says nothing: LVIS annotates no image in full. The number discovered is that of the labelled clusters.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from contrastbench.core.errors import InputError


@dataclass(frozen=True)
class Purity:
    """What ``purity`` finds. An average over nothing is ``None``.

    Args:
        per_cluster: ``[k]`` (float64), NaN for a cluster without members of known category.
        per_category: the purity of the cluster labelled with a category, where it is defined.
        average: the mean over labelled clusters.
        overall: the share of all known points that belong to the most frequent category of their cluster, labelled or
            novel (Manning's purity of the whole clustering).
        discovered: labelled clusters.
        confirmed: those of them whose label is their most frequent true category.
        novel: clusters with members and without a label.
        groups: the mean over the clusters labelled with a category of each group.
        subsets: the mean over labelled clusters, their members of each subset alone looked at.
    """

    per_cluster: Tensor
    per_category: dict[int, float]
    average: float | None
    overall: float | None
    discovered: int
    confirmed: int
    novel: int
    groups: dict[str, float | None] = field(default_factory=dict)
    subsets: dict[str, float | None] = field(default_factory=dict)


def purity(
    assignment: Tensor,
    labels: Tensor,
    true_categories: Tensor,
    groups: Mapping[str, Collection[int]] | None = None,
    subsets: Mapping[str, Tensor] | None = None,
) -> Purity:
    """Measure clusters against the true categories of their members.

    Args:
        assignment: ``[n]`` (int64), the cluster of each point.
        labels: ``[k]`` (int64), the category of each cluster, -1 for a novel one.
        true_categories: ``[n]`` (int64), -1 where it is not known.
        groups: categories under a name, such as LVIS's rare, common and frequent ones.
        subsets: ``[n]`` (bool) under a name, such as the small, medium and large objects.

    Returns:
        The measures.

    Raises:
        InputError: of sizes or kinds that do not fit, of clusters out of range, of a label given twice.
    """
    labels, assignment = labels.cpu(), assignment.cpu()
    true_categories = true_categories.cpu()
    _check(assignment, labels, true_categories, subsets or {})
    counts = _counts(assignment, labels, true_categories)
    per_cluster = _share_of_largest(counts)
    named = labels >= 0
    known = counts.sum()
    return Purity(
        per_cluster=per_cluster,
        per_category={
            int(c): float(p) for c, p in zip(labels[named], per_cluster[named], strict=True) if not p.isnan()
        },
        average=_mean(per_cluster[named]),
        overall=float(counts.max(1).values.sum() / known) if known else None,
        discovered=int(named.sum()),
        confirmed=sum(int(counts[k, labels[k]] == counts[k].max() > 0) for k in named.nonzero()[:, 0].tolist()),
        novel=int((~named & (torch.bincount(assignment, minlength=len(labels)) > 0)).sum()),
        groups={
            name: _mean(per_cluster[named & torch.isin(labels, torch.tensor(sorted(of), dtype=labels.dtype))])
            for name, of in (groups or {}).items()
        },
        subsets={
            name: _mean(_share_of_largest(_counts(assignment[of], labels, true_categories[of]))[named])
            for name, of in ((name, mask.cpu()) for name, mask in (subsets or {}).items())
        },
    )


def _check(assignment: Tensor, labels: Tensor, true_categories: Tensor, subsets: Mapping[str, Tensor]) -> None:
    given = {"assignment": assignment, "labels": labels, "true_categories": true_categories}
    for name, value in given.items():
        if value.ndim != 1 or value.dtype != torch.int64:
            raise InputError(f"{name}: a list of int64 was expected, not {value.dtype} {tuple(value.shape)}")
        if len(value) and int(value.min()) < (0 if name == "assignment" else -1):
            raise InputError(f"{name} holds {int(value.min())}; what is not known or novel is -1, nothing is lower")
    if len(assignment) != len(true_categories):
        raise InputError(f"{len(assignment)} points are assigned, {len(true_categories)} true categories given")
    if len(assignment) and int(assignment.max()) >= len(labels):
        raise InputError(f"a point is assigned to cluster {int(assignment.max())}; labels are of {len(labels)}")
    values, times = labels[labels >= 0].unique(return_counts=True)
    if bool((times > 1).any()):
        raise InputError(f"category {int(values[times > 1][0])} is the label of more than one cluster")
    for name, mask in subsets.items():
        if mask.dtype != torch.bool or mask.shape != assignment.shape:
            raise InputError(
                f"subset '{name}': a bool of shape ({len(assignment)},) was expected, not {mask.dtype} "
                f"{tuple(mask.shape)}"
            )


def _counts(assignment: Tensor, labels: Tensor, true_categories: Tensor) -> Tensor:
    """Return ``[k, C]`` (int64), the known members of each category in each cluster; C reaches every label."""
    largest = max((int(t.max()) for t in (labels, true_categories) if len(t)), default=-1)
    categories = max(largest + 1, 1)
    known = true_categories >= 0
    cells = assignment[known] * categories + true_categories[known]
    return torch.bincount(cells, minlength=len(labels) * categories).view(len(labels), categories)


def _share_of_largest(counts: Tensor) -> Tensor:
    """Return ``[k]`` (float64) the purity of each cluster, NaN where nothing was counted."""
    return counts.max(1).values.double() / counts.sum(1)


def _mean(values: Tensor) -> float | None:
    values = values[~values.isnan()]
    return float(values.mean()) if len(values) else None
