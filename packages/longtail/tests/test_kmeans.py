"""K-means: planted clusters, the invariants of the algorithm, the ends of its range, and what it refuses."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import adjusted_rand_index, planted

from contrastbench.core.draws import generator
from contrastbench.core.errors import InputError
from contrastbench.longtail.geometry import Euclidean, PoincareBall, distance, expmap0, frechet_mean
from contrastbench.longtail.kmeans import HyperbolicKMeans, _fill_empty, plus_plus

SPACES = pytest.mark.parametrize("space", ["poincare", "euclidean"])
MODES = pytest.mark.parametrize(
    "options",
    [{}, {"centroid": "einstein"}, {"space": "euclidean"}, {"batch_size": 64, "iterations": 40}],
    ids=["frechet", "einstein", "euclidean", "mini-batch"],
)


def randn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def check_consistent(clusters, points, k):
    """Every point is in the cluster of its nearest centre, and the inertia is the sum over all of them."""
    assert clusters.assignment.shape == points.shape[:1]
    assert clusters.centres.shape == (k, points.shape[1])
    assert int(clusters.sizes.sum()) == len(points)
    direct = clusters.space.distance(points[:, None], clusters.centres)
    least = direct.min(1).values
    own = direct.gather(1, clusters.assignment[:, None])[:, 0]
    torch.testing.assert_close(own, least, rtol=1e-10, atol=0)
    assert clusters.inertia == pytest.approx(float(own.square().sum()), rel=1e-9)


def test_the_index_that_judges_is_right():
    a = torch.tensor([0, 0, 1, 1, 2, 2])
    assert adjusted_rand_index(a, a) == 1
    assert adjusted_rand_index(a, (a + 1) % 3) == 1
    # worked by hand: 2 pairs in common, 3 x 4 of 15 expected
    assert adjusted_rand_index(a, torch.tensor([0, 0, 1, 1, 1, 0])) == pytest.approx((2 - 1.2) / (4.5 - 1.2))
    unrelated = torch.randint(5, (2, 2000), generator=torch.Generator().manual_seed(0))
    assert abs(adjusted_rand_index(*unrelated)) < 0.01


@MODES
@pytest.mark.parametrize("seed", range(3))
def test_planted_clusters_are_recovered(options, seed):
    points, truth = planted(8, 40, seed=seed)
    clusters = HyperbolicKMeans(8, restarts=3, seed=seed, **options).fit(points)
    assert adjusted_rand_index(clusters.assignment, truth) > 0.95
    check_consistent(clusters, points, 8)


@pytest.mark.parametrize("c", [0.1, 2.0])
def test_planted_clusters_are_recovered_at_other_curvatures_and_dimensions(c):
    points, truth = planted(12, 30, dim=16, seed=5)
    clusters = HyperbolicKMeans(12, c=c, restarts=2).fit(points / math.sqrt(c))
    assert adjusted_rand_index(clusters.assignment, truth) > 0.95
    unit = HyperbolicKMeans(12, restarts=2).fit(points)
    assert clusters.inertia * c == pytest.approx(unit.inertia, rel=1e-6)


@SPACES
def test_moving_the_centres_never_raises_the_inertia(space):
    points = expmap0(randn(300, 2))
    inertias = [HyperbolicKMeans(9, space=space, iterations=i, seed=3).fit(points).inertia for i in range(1, 12)]
    assert all(b <= a * (1 + 1e-9) for a, b in itertools.pairwise(inertias))
    assert inertias[-1] < inertias[0]


def test_centres_are_the_frechet_means_of_their_members():
    points = expmap0(randn(300, 2))
    clusters = HyperbolicKMeans(7).fit(points)
    for k, centre in enumerate(clusters.centres):
        assert distance(centre, frechet_mean(points[clusters.assignment == k])) < 5e-6


@MODES
def test_the_same_seed_gives_the_same_clusters(options):
    points = expmap0(randn(400, 3)).float()
    one, two, other = (HyperbolicKMeans(11, restarts=2, seed=s, **options).fit(points) for s in (4, 4, 5))
    assert torch.equal(one.centres, two.centres)
    assert torch.equal(one.assignment, two.assignment)
    assert one.inertia == two.inertia
    assert not torch.equal(one.centres, other.centres)


def test_more_restarts_are_never_worse():
    points = expmap0(randn(300, 2))
    inertias = [HyperbolicKMeans(12, restarts=r, iterations=5).fit(points).inertia for r in (1, 2, 6)]
    assert inertias == sorted(inertias, reverse=True)
    assert inertias[-1] < inertias[0]


@MODES
def test_one_cluster_and_as_many_as_points(options):
    points = expmap0(randn(30, 3))
    one = HyperbolicKMeans(1, **options).fit(points)
    assert one.assignment.tolist() == [0] * 30
    if not options:
        assert distance(one.centres[0], frechet_mean(points)) < 2e-6
    every = HyperbolicKMeans(30, **options).fit(points)
    assert sorted(every.assignment.tolist()) == list(range(30))
    assert every.inertia == pytest.approx(0, abs=1e-12)


@MODES
def test_duplicates_leave_only_as_many_clusters_empty_as_they_must(options, caplog):
    points = expmap0(randn(5, 2)).repeat_interleave(torch.tensor([6, 1, 3, 9, 2]), 0)
    clusters = HyperbolicKMeans(8, **options).fit(points)
    check_consistent(clusters, points, 8)
    assert int((clusters.sizes > 0).sum()) == 5
    assert clusters.inertia == pytest.approx(0, abs=1e-12)
    assert clusters.iterations < 40
    assert "3 of 8 clusters are empty" in caplog.text
    same = HyperbolicKMeans(2, **options).fit(points[:1].expand(9, 2))
    assert len(same.assignment.unique()) == 1
    assert same.inertia == pytest.approx(0, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 40),
    st.data(),
    st.floats(-12, 0.7),
    st.sampled_from(["poincare", "euclidean"]),
    st.sampled_from([None, 5]),
)
def test_no_point_is_lost(n, data, exponent, space, batch_size):
    k = data.draw(st.integers(1, n))
    copies = data.draw(st.integers(1, 3))
    points = expmap0(randn(n, 2, seed=n) * 10**exponent).repeat(copies, 1)
    clusters = HyperbolicKMeans(k, space=space, batch_size=batch_size, iterations=10).fit(points)
    check_consistent(clusters, points, k)
    assert (clusters.sizes > 0).all()
    # copies of a point stay together
    assert torch.equal(clusters.assignment, clusters.assignment[:n].repeat(copies))


def test_an_empty_cluster_takes_the_farthest_point_that_can_be_spared():
    points = torch.tensor([[0.0, 0], [0.1, 0], [0.9, 0], [0.2, 0], [-0.9, 0]], dtype=torch.float64)
    centres = torch.tensor([[0.0, 0], [0.3, 0.3], [-0.8, 0], [0.3, -0.3]], dtype=torch.float64)
    index = torch.tensor([0, 0, 0, 0, 2])
    distances = distance(points, centres[index])
    assert distances.argmax() == 2
    assert distances.argsort(descending=True)[1] == 4  # farther than the others, and alone in its cluster
    assert _fill_empty(points, centres, index, distances) == 2
    assert index.tolist() == [0, 0, 1, 3, 2]
    assert torch.equal(centres[1], points[2])
    assert torch.equal(centres[3], points[3])
    assert distances[[2, 3]].tolist() == [0, 0]
    assert _fill_empty(points, centres, index, distances) == 0
    # where all points lie on centres, an empty one can gain nothing
    assert _fill_empty(points[:2], centres, torch.zeros(2, dtype=torch.int64), torch.zeros(2).double()) == 0


@pytest.mark.parametrize("batch_size", [None, 100])
def test_clusters_lost_at_the_start_are_found_again(batch_size, monkeypatch):
    """All seeds but one so far out that no point is near."""

    def far_out(points, k, space, draw):
        return torch.cat([points[:1], torch.full((k - 1, 2), 0.7071, dtype=torch.float64)])

    monkeypatch.setattr("contrastbench.longtail.kmeans.plus_plus", far_out)
    points, _ = planted(6, 40)
    clusters = HyperbolicKMeans(6, batch_size=batch_size).fit(points)
    check_consistent(clusters, points, 6)
    assert (clusters.sizes > 0).all()
    if batch_size is None:
        assert clusters.iterations < 100
        for k, centre in enumerate(clusters.centres):
            assert distance(centre, frechet_mean(points[clusters.assignment == k])) < 5e-6


@pytest.mark.parametrize("space", [PoincareBall(), Euclidean()], ids=["poincare", "euclidean"])
def test_seeds_are_distinct_points_drawn_by_squared_distance(space):
    points = expmap0(randn(20, 2)).repeat(3, 1)
    seeds = plus_plus(points, 20, space, generator(0))
    assert len(seeds.unique(dim=0)) == 20
    # one point far from a heap of others is among two seeds, unless it is drawn too rarely
    heap = torch.cat([expmap0(randn(200, 2) * 1e-3), torch.tensor([[0.99, 0.0]], dtype=torch.float64)])
    hit = [bool((plus_plus(heap, 2, space, generator(seed)) == heap[-1]).all(1).any()) for seed in range(20)]
    assert all(hit)


def test_mini_batches_come_close_to_all_at_once():
    points, _ = planted(10, 300, seed=2)
    full = HyperbolicKMeans(10, restarts=2).fit(points)
    batches = HyperbolicKMeans(10, restarts=2, batch_size=256).fit(points)
    assert full.inertia <= batches.inertia < 1.1 * full.inertia


def test_float32_is_clustered_in_float64():
    points = expmap0(randn(100, 2)).float()
    one, two = HyperbolicKMeans(6).fit(points), HyperbolicKMeans(6).fit(points.double())
    assert one.centres.dtype == torch.float64
    assert torch.equal(one.centres, two.centres)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("batch_size", [None, 512])
def test_on_a_gpu(batch_size):
    points, truth = planted(8, 400)
    clusters = HyperbolicKMeans(8, restarts=2, batch_size=batch_size).fit(points.cuda())
    assert clusters.assignment.is_cuda
    assert adjusted_rand_index(clusters.assignment.cpu(), truth) > 0.95


def test_bad_input_is_named():
    points = expmap0(randn(9, 2))
    with pytest.raises(InputError, match="10 clusters of 9 points; ask for at most as many"):
        HyperbolicKMeans(10).fit(points)
    with pytest.raises(InputError, match="1 clusters of 0 points"):
        HyperbolicKMeans(1).fit(points[:0])
    broken = points.clone()
    broken[3, 0] = math.nan
    for space in ("poincare", "euclidean"):
        with pytest.raises(InputError, match=r"points: row 3 \(norm nan\) is not finite"):
            HyperbolicKMeans(2, space=space).fit(broken)
    far = points.clone()
    far[7] = 2.0
    with pytest.raises(InputError, match=r"points: row 7 \(norm 2.828.*outside the ball of radius 1"):
        HyperbolicKMeans(2).fit(far)
    HyperbolicKMeans(2, space="euclidean").fit(far)
    for wrong in ({"k": 0}, {"k": 2.5}, {"restarts": 0}, {"batch_size": 0}, {"iterations": -1}, {"k": None}):
        with pytest.raises(InputError, match="expected a whole number of 1 or more"):
            HyperbolicKMeans(**{"k": 2, **wrong})
    with pytest.raises(InputError, match="tolerance is 0"):
        HyperbolicKMeans(2, tolerance=0)
    with pytest.raises(InputError, match="unknown space 'poincar'; did you mean 'poincare'"):
        HyperbolicKMeans(2, space="poincar")
    with pytest.raises(InputError, match="unknown centroid"):
        HyperbolicKMeans(2, centroid="mean")
    with pytest.raises(InputError, match="c is -1"):
        HyperbolicKMeans(2, c=-1).fit(points)
