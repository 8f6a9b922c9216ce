"""The screened product against the direct distance, above all where it cancels."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from other_ball import geoopt_ball

from contrastbench.core.errors import InputError
from contrastbench.longtail.geometry import (
    Euclidean,
    PoincareBall,
    distance,
    expmap0,
    nearest_centre,
    pairwise_distance,
)


def randn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def unit(n, dim, seed=0):
    v = randn(n, dim, seed=seed)
    return v / v.norm(dim=1, keepdim=True)


def brute(points, centres, c=1.0):
    d = distance(points[:, None], centres, c)
    return d, d.min(1)


@pytest.mark.parametrize("c", [0.05, 1.0, 3.0])
@pytest.mark.parametrize("dim", [1, 2, 64])
@pytest.mark.parametrize("chunk", [None, 7])
def test_agrees_with_the_direct_form_and_with_geoopt(c, dim, chunk):
    x = expmap0(randn(101, dim) / math.sqrt(c * dim), c)
    y = expmap0(randn(17, dim, seed=1) / math.sqrt(c * dim), c)
    index, found = nearest_centre(x, y, c, chunk)
    d, (least, which) = brute(x, y, c)
    assert torch.equal(index, which)
    torch.testing.assert_close(found, least, rtol=1e-12, atol=0)
    assert torch.equal(index, geoopt_ball(c).dist(x[:, None], y).argmin(1))
    torch.testing.assert_close(pairwise_distance(x, y, c), d, rtol=1e-7, atol=0)


@pytest.mark.parametrize("gap", [1e-2, 1e-5, 1e-8, 1e-11])
@pytest.mark.parametrize("room", [0.5, 1e-2, 1e-5])
def test_near_the_boundary_and_close_together(gap, room):
    """Where |x|^2 - 2xy + |y|^2 loses all its digits, the choice is still the direct one."""
    base = unit(1, 3) * (1 - room)
    spread = gap * room
    x = base + spread * randn(200, 3, seed=1) * 0.3
    y = base + spread * randn(30, 3, seed=2) * 0.3
    index, found = nearest_centre(x, y)
    d, (least, which) = brute(x, y)
    assert torch.equal(index, which)
    assert torch.equal(found, least)
    torch.testing.assert_close(pairwise_distance(x, y), d, rtol=1e-7, atol=0)


def test_at_norms_from_nothing_to_the_boundary():
    norms = torch.cat([torch.logspace(-15, -0.1, 150), 1 - torch.logspace(-5, -0.5, 150)]).double()[:, None]
    x, y = unit(300, 2) * norms, (unit(300, 2, seed=4) * norms.flip(0))[::7]
    index, found = nearest_centre(x, y)
    d, (least, _) = brute(x, y)
    torch.testing.assert_close(found, least, rtol=1e-10, atol=0)
    torch.testing.assert_close(d.gather(1, index[:, None])[:, 0], least, rtol=1e-10, atol=0)
    torch.testing.assert_close(pairwise_distance(x, y), d, rtol=1e-7, atol=0)


def test_float32_points_are_compared_in_float64():
    x, y = expmap0(randn(50, 2)).float(), expmap0(randn(9, 2, seed=1)).float()
    index, found = nearest_centre(x, y)
    _, (least, which) = brute(x.double(), y.double())
    assert found.dtype == torch.float64
    assert torch.equal(index, which)
    torch.testing.assert_close(found, least, rtol=1e-12, atol=0)


def test_of_equal_centres_the_first_is_taken():
    y = expmap0(randn(5, 2)).repeat(4, 1)
    index, found = nearest_centre(y, y)
    assert index.tolist() == list(range(5)) * 4
    assert found.tolist() == [0.0] * 20


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 20),
    st.integers(1, 12),
    st.integers(1, 4),
    st.integers(0, 10_000),
    st.floats(-14, 0.9),
)
def test_any_scale_gives_the_direct_choice(n, k, dim, seed, exponent):
    """All points about one place, at any scale: the screen may never drop the best."""
    base = randn(1, dim, seed=seed)
    x = expmap0(base + randn(n, dim, seed=seed + 1) * 10**exponent)
    y = expmap0(base + randn(k, dim, seed=seed + 2) * 10**exponent)
    _, found = nearest_centre(x, y)
    _, (least, _) = brute(x, y)
    torch.testing.assert_close(found, least, rtol=1e-10, atol=1e-300)


def test_euclidean_space_is_the_same_with_straight_lines():
    space = Euclidean()
    for scale, shift in ((1.0, 0.0), (1e-9, 1e3), (1e5, 0.0)):
        x, y = randn(80, 3) * scale + shift, randn(11, 3, seed=1) * scale + shift
        direct = torch.linalg.vector_norm(x[:, None] - y, dim=-1)
        index, found = space.nearest(x, y)
        assert torch.equal(index, direct.argmin(1))
        torch.testing.assert_close(found, direct.min(1).values, rtol=1e-12, atol=0)
        torch.testing.assert_close(space.pairwise(x, y), direct, rtol=1e-7, atol=0)
    group = torch.arange(80) % 7
    expected = torch.stack([x[group == g].mean(0) for g in range(7)])
    torch.testing.assert_close(space.means(x, group, 7), expected)
    torch.testing.assert_close(space.between(x, x.flip(0), torch.tensor([[0.25]])), 0.75 * x + 0.25 * x.flip(0))


def test_bad_points_are_named_by_row():
    y = expmap0(randn(3, 2))
    x = expmap0(randn(9, 2))
    x[4, 1], x[6, 0] = math.nan, math.inf
    with pytest.raises(InputError, match=r"points: row 4 .* is not finite.*2 of 9 rows"):
        nearest_centre(x, y)
    x = expmap0(randn(9, 2))
    x[5] = torch.tensor([0.0, 1.0])
    with pytest.raises(InputError, match=r"points: row 5 \(norm 1\) is outside the ball of radius 1; .*1 of 9 rows"):
        nearest_centre(x, y)
    with pytest.raises(InputError, match=r"centres: row 0 .* outside the ball of radius 0.5"):
        nearest_centre(x[:3] * 0.1, torch.full((1, 2), 0.4), c=4.0)
    with pytest.raises(InputError, match=r"points: a floating tensor of shape \[n, D\]"):
        nearest_centre(torch.zeros(3, 2, dtype=torch.int64), y)
    PoincareBall().check(x[:0], "points")  # none is not wrong by itself
