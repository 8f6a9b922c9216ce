"""Labels for clusters: against brute force over pairs and permutations, and never twice."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import planted

from contrastbench.core.errors import InputError
from contrastbench.longtail.geometry import distance, expmap0
from contrastbench.longtail.kmeans import Clusters, HyperbolicKMeans
from contrastbench.longtail.labels import anchor_distances, assign_labels

METHODS = ("greedy", "greedy_next", "hungarian")


def randn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def greedy_by_hand(d):
    """A cluster stands for its closest category; the closest of several has it."""
    labels = [-1] * len(d)
    for category in range(len(d[0]) if d else 0):
        wanting = [(row[category], k) for k, row in enumerate(d) if row.index(min(row)) == category]
        wanting = [w for w in wanting if math.isfinite(w[0])]
        if wanting:
            labels[min(wanting)[1]] = category
    return labels


def greedy_next_by_hand(d):
    """Again and again the closest pair of a free cluster and a free category."""
    labels = [-1] * len(d)
    while True:
        free = [
            (v, k, c)
            for k, row in enumerate(d)
            for c, v in enumerate(row)
            if labels[k] == -1 and c not in labels and math.isfinite(v)
        ]
        if not free:
            return labels
        _, k, c = min(free)
        labels[k] = c


# few values, so that many are equal, and some that cannot be
value = st.one_of(st.integers(0, 4).map(float), st.floats(0, 10), st.just(math.inf))
matrices = st.integers(1, 7).flatmap(
    lambda columns: st.lists(st.lists(value, min_size=columns, max_size=columns), min_size=1, max_size=7)
)


@settings(max_examples=200, deadline=None)
@given(matrices, st.sampled_from(METHODS))
def test_no_label_is_given_twice_and_none_that_cannot_be(d, method):
    labels = assign_labels(torch.tensor(d, dtype=torch.float64), method)
    assert labels.shape == (len(d),)
    assert labels.dtype == torch.int64
    given = [c for c in labels.tolist() if c != -1]
    assert len(given) == len(set(given))
    assert all(math.isfinite(d[k][c]) for k, c in enumerate(labels.tolist()) if c != -1)
    by_hand = {"greedy": greedy_by_hand, "greedy_next": greedy_next_by_hand}
    if method in by_hand:
        assert labels.tolist() == by_hand[method](d)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 10_000))
def test_hungarian_is_the_best_of_all_permutations(k, categories, seed):
    d = torch.rand(k, categories, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    labels = assign_labels(d, "hungarian").tolist()
    pairs = min(k, categories)
    assert sum(c != -1 for c in labels) == pairs
    best = min(
        sum(float(d[r, c]) for r, c in zip(rows, columns, strict=True))
        for rows in itertools.combinations(range(k), pairs)
        for columns in itertools.permutations(range(categories), pairs)
    )
    assert sum(float(d[r, c]) for r, c in enumerate(labels) if c != -1) == pytest.approx(best)


@settings(max_examples=100, deadline=None)
@given(matrices)
def test_hungarian_makes_as_many_pairs_as_there_can_be(d):
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_bipartite_matching

    finite = torch.tensor(d, dtype=torch.float64).isfinite()
    most = int((maximum_bipartite_matching(csr_matrix(finite.int().numpy()), perm_type="column") >= 0).sum())
    assert int((assign_labels(torch.tensor(d, dtype=torch.float64), "hungarian") >= 0).sum()) == most


def test_hungarian_pays_any_price_to_avoid_what_cannot_be():
    assert assign_labels(torch.tensor([[0.0, 10.0], [10.0, math.inf]]), "hungarian").tolist() == [1, 0]


def test_the_three_methods_differ_as_they_say():
    d = torch.tensor([[1.0, 2.0, 9.0], [1.5, 1.9, 9.0], [3.0, 4.0, 3.5]])
    assert assign_labels(d, "greedy").tolist() == [0, -1, -1]  # the closest of all three is category 0
    assert assign_labels(d, "greedy_next").tolist() == [0, 1, 2]
    d = torch.tensor([[1.0, 1.1], [1.05, 9.0]])
    assert assign_labels(d, "greedy_next").tolist() == [0, 1]
    assert assign_labels(d, "hungarian").tolist() == [1, 0]


def test_more_clusters_name_more_categories_only_where_they_are_closest():
    """With as many clusters as categories, "greedy_next" names every one, however badly they fit; "greedy" does not."""
    d = torch.rand(80, 60, generator=torch.Generator().manual_seed(0))
    assert int((assign_labels(d, "greedy_next") >= 0).sum()) == 60
    assert int((assign_labels(d) >= 0).sum()) == len(d.argmin(1).unique()) < 60


@pytest.mark.parametrize("space", ["poincare", "euclidean"])
@pytest.mark.parametrize("block", [1, 10_000])
def test_anchor_distances_are_means_over_all_pairs(space, block, monkeypatch):
    monkeypatch.setattr("contrastbench.longtail.labels._BLOCK", block)
    points, anchors = expmap0(randn(60, 3)), expmap0(randn(11, 3, seed=1))
    categories = torch.tensor([2, 0, 4, 2, 2, 0, 4, 4, 4, 1, 2])
    clusters = HyperbolicKMeans(5, space=space, iterations=2).fit(points)
    found = anchor_distances(points.float().double(), clusters, anchors, categories, 6)
    assert found.shape == (5, 6)
    for k in range(5):
        for c in (0, 1, 2, 4):
            members, those = points[clusters.assignment == k].float().double(), anchors[categories == c]
            d = clusters.space.distance(members[:, None], those)
            assert float(found[k, c]) == pytest.approx(float(d.mean()), rel=1e-7)
    assert found[:, [3, 5]].isinf().all()


def test_clusters_of_planted_categories_get_their_names():
    points, truth = planted(6, 30, seed=4)
    order = torch.tensor([3, 1, 5, 0, 2, 4])  # the categories are numbered otherwise than the clusters
    clusters = HyperbolicKMeans(6, restarts=3).fit(points)
    first = [int((truth == order[c]).nonzero()[i]) for c in range(4) for i in range(3)]
    anchors = points[first]
    distances = anchor_distances(points, clusters, anchors, torch.arange(4).repeat_interleave(3))
    labels = assign_labels(distances)
    for k in range(6):
        planted_as = int(truth[clusters.assignment == k].mode().values)
        # the two that have no anchors are novel only if no cluster is left to be closest to: compare those that have
        if planted_as in order[:4].tolist():
            assert labels[k] == order.tolist().index(planted_as)
    assert int((labels >= 0).sum()) == 4


def test_categories_without_anchors_are_counted_and_never_given(caplog):
    points, _ = planted(4, 10)
    clusters = HyperbolicKMeans(4).fit(points)
    distances = anchor_distances(points, clusters, points[:2], torch.tensor([1, 3]), 5)
    assert "3 of 5 categories have no anchors" in caplog.text
    for method in METHODS:
        given = assign_labels(distances, method)
        assert set(given.tolist()) <= {-1, 1, 3}
        assert 1 <= int((given >= 0).sum()) <= 2


def test_an_empty_cluster_is_never_named():
    points = expmap0(randn(4, 2))
    clusters = Clusters(points.clone(), torch.tensor([0, 0, 2, 2]), 0.0, 1, HyperbolicKMeans(1).space)
    distances = anchor_distances(points, clusters, points, torch.arange(4))
    assert distances[[1, 3]].isinf().all()
    for method in METHODS:
        assert assign_labels(distances, method)[[1, 3]].tolist() == [-1, -1]
    assert float(distances[0, 1]) == pytest.approx(float(distance(points[0], points[1])) / 2)


def test_bad_input_is_named():
    points, _ = planted(3, 10)
    clusters = HyperbolicKMeans(3).fit(points)
    one = torch.zeros(1, dtype=torch.int64)
    with pytest.raises(InputError, match="are not those clustered: 30 of dimension 2"):
        anchor_distances(points[:5], clusters, points[:1], one)
    with pytest.raises(InputError, match=r"anchors: row 0 .* is not finite"):
        anchor_distances(points, clusters, points[:1] * math.nan, one)
    with pytest.raises(InputError, match=r"anchors: row 0 .* outside the ball"):
        anchor_distances(points, clusters, points[:1] * 99, one)
    for anchors, categories in ((points[:0], one[:0]), (points[:2], one), (torch.zeros(1, 3), one)):
        with pytest.raises(InputError, match="at least one anchor of dimension 2"):
            anchor_distances(points, clusters, anchors, categories)
    with pytest.raises(InputError, match=r"lie in 0\.\.0; 0\.\.-1 was expected"):
        anchor_distances(points, clusters, points[:1], one, 0)
    with pytest.raises(InputError, match=r"lie in -1\.\.-1"):
        anchor_distances(points, clusters, points[:1], one - 1)
    with pytest.raises(InputError, match="unknown method 'greed'; did you mean 'greedy'"):
        assign_labels(torch.zeros(1, 1), "greed")
    with pytest.raises(InputError, match="cluster 0 to category 1 is nan"):
        assign_labels(torch.tensor([[0.0, math.nan]]))
    with pytest.raises(InputError, match="cluster 1 to category 0 is -1"):
        assign_labels(torch.tensor([[0.0], [-1.0]]))
    with pytest.raises(InputError, match=r"floating \[k, C\]"):
        assign_labels(torch.zeros(3))
