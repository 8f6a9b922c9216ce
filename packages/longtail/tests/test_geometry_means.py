"""Means: midpoints, planted centres, a vanishing gradient, and the ends of the ball."""

from __future__ import annotations

import math

import pytest
import torch
from other_ball import geoopt_ball

from contrastbench.core.errors import InputError
from contrastbench.longtail.geometry import (
    MARGIN,
    PoincareBall,
    clip_to_ball,
    distance,
    einstein_midpoint,
    expmap0,
    frechet_mean,
    geodesic,
    mobius_add,
)
from contrastbench.longtail.geometry.means import group_means, group_midpoints

BOTH = pytest.mark.parametrize("mean", [frechet_mean, einstein_midpoint])


def randn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def close(a, b, c=1.0, within=1e-6):
    assert float(distance(a, b, c).max()) <= within


@BOTH
@pytest.mark.parametrize("c", [0.05, 1.0, 3.0])
@pytest.mark.parametrize("dim", [2, 64])
def test_of_two_points_it_is_the_geodesic_midpoint(mean, c, dim):
    for seed in range(5):
        x, y = expmap0(randn(2, dim, seed=seed) / math.sqrt(dim * c), c)
        close(mean(torch.stack([x, y]), c=c), geodesic(x, y, 0.5, c), c)


@BOTH
def test_of_two_points_at_the_boundary(mean):
    angles = torch.tensor([0.0, 0.5, 3.0], dtype=torch.float64)
    edge = torch.stack([angles.cos(), angles.sin()], 1) * (1 - MARGIN)
    for a, b in ((0, 1), (0, 2)):
        close(mean(edge[[a, b]]), geodesic(edge[a], edge[b], 0.5))
    inner = edge[0] * 0.2
    close(frechet_mean(torch.stack([edge[0], inner])), geodesic(edge[0], inner, 0.5))


@BOTH
def test_of_one_point_or_copies_of_it_it_is_that_point(mean):
    for norm in (0.0, 1e-15, 1e-3, 0.5, 0.999, 1 - MARGIN):
        x = torch.tensor([[norm * 0.6, norm * 0.8]], dtype=torch.float64)
        close(mean(x), x, within=1e-9)
        close(mean(x.expand(7, 2)), x, within=1e-9)


@BOTH
@pytest.mark.parametrize("where", [0.0, 0.9, 0.9999])
def test_of_a_planted_cluster_it_is_its_centre(mean, where):
    """Points symmetric about the centre: whatever minimises a sum of distances lies there."""
    centre = torch.tensor([where, 0.0, 0.0], dtype=torch.float64)
    around = expmap0(randn(50, 3) * 0.7)
    close(mean(mobius_add(centre, torch.cat([around, -around]))), centre)


@pytest.mark.parametrize("c", [0.05, 1.0, 3.0])
@pytest.mark.parametrize("spread", [0.01, 1.0, 3.0])
def test_the_gradient_vanishes_at_the_frechet_mean(c, spread):
    """By geoopt's logarithm, and even for points spread over the whole ball, where log/exp iterations run away."""
    x = clip_to_ball(expmap0(randn(200, 2) * spread / math.sqrt(c), c), c)
    weights = torch.rand(200, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    manifold = geoopt_ball(c)
    mean = frechet_mean(x, weights, c)
    towards = (manifold.logmap(mean.expand_as(x), x) * weights[:, None]).sum(0) / weights.sum()
    assert float(manifold.norm(mean, towards)) <= 2e-6


def test_nothing_near_has_a_smaller_sum_of_squares():
    x = expmap0(randn(100, 2) * 1.5)
    mean = frechet_mean(x, tolerance=1e-9)
    least = distance(x, mean).square().sum()
    for step in randn(20, 2, seed=3):
        aside = mobius_add(mean, expmap0(step / step.norm() * 1e-3))
        assert distance(x, aside).square().sum() > least


def test_the_einstein_midpoint_is_geoopts():
    x = expmap0(randn(30, 4) * 0.6)
    weights = torch.rand(30, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    close(einstein_midpoint(x, weights), geoopt_ball(1.0).weighted_midpoint(x, weights), within=1e-9)


def test_both_agree_for_tight_clusters_and_not_for_wide_ones():
    centre = torch.tensor([0.5, 0.3], dtype=torch.float64)
    tight, wide = (mobius_add(centre, expmap0(randn(40, 2) * spread)) for spread in (1e-3, 1.5))
    close(frechet_mean(tight), einstein_midpoint(tight), within=1e-5)
    assert distance(frechet_mean(wide), einstein_midpoint(wide)) > 1e-2


def test_translations_carry_means_along():
    x, by = expmap0(randn(40, 2)), torch.tensor([0.99, -0.1], dtype=torch.float64)
    for mean in (frechet_mean, einstein_midpoint):
        close(mean(mobius_add(by, x)), mobius_add(by, mean(x)), within=5e-6)


def test_weights_count_as_copies():
    x = expmap0(randn(4, 3))
    copies = x.repeat_interleave(torch.tensor([1, 2, 3, 0]), 0)
    for mean in (frechet_mean, einstein_midpoint):
        close(mean(x, torch.tensor([1, 2, 3, 0])), mean(copies))


@pytest.mark.parametrize("means", [group_means, group_midpoints])
def test_groups_are_averaged_as_if_alone(means):
    x = expmap0(randn(300, 3))
    group = torch.randint(5, (300,), generator=torch.Generator().manual_seed(0)) * 2  # odd ones are empty
    found = means(x, group, 11)
    single = frechet_mean if means is group_means else einstein_midpoint
    for g in range(0, 10, 2):
        close(found[g], single(x[group == g]), within=3e-6)
    assert torch.equal(found[1::2], torch.zeros(5, 3).double())
    assert torch.equal(found[10], torch.zeros(3).double())


def test_points_closer_to_the_boundary_than_any_map_puts_them():
    x = torch.tensor([[1 - 6e-8, 0.0], [0.0, 1 - 6e-8]], dtype=torch.float32)
    for mean in (frechet_mean, einstein_midpoint):
        close(mean(x[:1]), x[:1], within=1e-7)
        found = mean(x)
        torch.testing.assert_close(distance(found, x[0]), distance(found, x[1]), rtol=1e-6, atol=0)


@BOTH
def test_bad_input_is_named(mean):
    x = expmap0(randn(4, 2))
    with pytest.raises(InputError, match="at least one"):
        mean(x[:0])
    with pytest.raises(InputError, match=r"one a point was expected: \(4,\)"):
        mean(x, torch.ones(3))
    for weights in ([1.0, -1, 1, 1], [0.0, 0, 0, 0], [1.0, math.nan, 1, 1], [math.inf, 1, 1, 1]):
        with pytest.raises(InputError, match="not all zero"):
            mean(x, torch.tensor(weights))
    with pytest.raises(InputError, match="minus the curvature"):
        mean(x, c=0.0)
    with pytest.raises(InputError, match="unknown centroid 'frechett'; did you mean 'frechet'"):
        PoincareBall(centroid="frechett")
