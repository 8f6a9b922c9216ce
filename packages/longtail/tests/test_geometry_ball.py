"""Distances and maps against closed forms in a hundred digits, against geoopt, and at the ends of the range."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf
from other_ball import geoopt_ball

from contrastbench.core.testing.tolerances import assert_close
from contrastbench.longtail.geometry import (
    MARGIN,
    clip_to_ball,
    distance,
    expmap0,
    geodesic,
    logmap0,
    mobius_add,
)

CURVATURES = (0.05, 1.0, 3.0)


def directions(n, dim, seed):
    v = torch.randn(n, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return v / v.norm(dim=1, keepdim=True)


def inside(n, dim, c=1.0, seed=0, largest=0.95):
    radii = torch.rand(n, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + 1))
    return directions(n, dim, seed) * radii * largest / math.sqrt(c)


def log_uniform(n, dim, seed, dtype=torch.float64):
    """Norms from 1e-15 to 1/2, and the other half as far from the boundary as 1/2 down to what the type can hold."""
    u = torch.rand(n, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    small = 10 ** (math.log10(0.5) * u - 15 * (1 - u))
    nearest = 1e-6 if dtype == torch.float32 else MARGIN
    large = 1 - 10 ** (math.log10(0.5) * u + math.log10(nearest) * (1 - u))
    norms = torch.where(torch.arange(n)[:, None] % 2 == 0, small, large)
    return (directions(n, dim, seed) * norms).to(dtype)


def exact_distance(x, y, c):
    """Eq. 2, in a hundred digits."""
    with mp.workdps(100):
        x, y = [mpf(v) for v in x.double().tolist()], [mpf(v) for v in y.double().tolist()]
        gap = sum((a - b) ** 2 for a, b in zip(x, y, strict=True))
        rooms = (1 - mpf(c) * sum(a * a for a in x)) * (1 - mpf(c) * sum(b * b for b in y))
        return float(mp.acosh(1 + 2 * mpf(c) * gap / rooms) / mp.sqrt(c))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_distance_is_eq_2_at_all_norms(dtype):
    x, y = log_uniform(60, 3, 0, dtype), log_uniform(60, 3, 1, dtype)
    near = x * (1 - 1e-7)  # close pairs, near the boundary too
    for a, b in ((x, y), (x, x.flip(0)), (x, near)):
        expected = torch.tensor([exact_distance(p, q, 1.0) for p, q in zip(a, b, strict=True)], dtype=torch.float64)
        found = distance(a, b)
        assert found.dtype == torch.float64
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("c", CURVATURES)
def test_distance_closed_forms(c):
    r = torch.tensor([1e-12, 0.1, 0.5, 0.99, 1 - MARGIN], dtype=torch.float64) / math.sqrt(c)
    x = torch.stack([r, torch.zeros_like(r)], 1)
    from_origin = 2 * torch.atanh(math.sqrt(c) * r) / math.sqrt(c)
    torch.testing.assert_close(distance(x, torch.zeros(2), c), from_origin, rtol=1e-10, atol=0)
    torch.testing.assert_close(distance(x, -x, c), 2 * from_origin, rtol=1e-10, atol=0)
    torch.testing.assert_close(distance(x, x[0], c)[1:], (from_origin - from_origin[0])[1:], rtol=1e-10, atol=0)
    assert distance(x, x, c).tolist() == [0] * len(x)


@pytest.mark.parametrize("c", CURVATURES)
@pytest.mark.parametrize("dim", [1, 2, 64])
def test_agrees_with_geoopt(c, dim):
    x, y = inside(40, dim, c, 0), inside(40, dim, c, 5)
    other = geoopt_ball(c)
    assert_close(distance(x, y, c), other.dist(x, y))
    assert_close(mobius_add(x, y, c), other.mobius_add(x, y))
    assert_close(logmap0(x, c), other.logmap0(x))
    assert_close(expmap0(logmap0(x, c), c), other.expmap0(other.logmap0(x)))
    assert_close(expmap0(logmap0(x, c), c), x)
    assert_close(geodesic(x, y, 0.3, c), other.geodesic(torch.tensor(0.3, dtype=torch.float64), x, y))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_at_all_norms(dtype):
    x = torch.cat([log_uniform(200, 4, 0, dtype), torch.zeros(2, 4, dtype=dtype)]).requires_grad_()
    others = [log_uniform(202, 4, 1, dtype), x.detach().clone(), (x * (1 - 1e-6)).detach(), torch.zeros(4, dtype=dtype)]
    for y in others:
        y = y.requires_grad_()
        for gradient in torch.autograd.grad(distance(x, y).sum(), [x, y]):
            assert gradient.dtype == dtype
            assert gradient.isfinite().all()
    # tangent vectors far beyond where tanh is 1 in float64
    v = (x.detach() * torch.logspace(-3, 4, len(x), dtype=torch.float64)[:, None]).to(dtype).requires_grad_()
    origin = torch.zeros(4)
    for leaf, value in (
        (v, expmap0(v)),
        (v, distance(expmap0(v), origin)),
        (x, logmap0(x)),
        (x, mobius_add(x, x)),
        (x, geodesic(x, x.detach().flip(0), 0.5)),
        (x, clip_to_ball(x, margin=0.5)),
    ):
        (gradient,) = torch.autograd.grad(value.sum(), leaf, retain_graph=True)
        assert gradient.dtype == dtype
        assert gradient.isfinite().all()


def test_gradients_are_right():
    x, y = inside(5, 3, seed=2).requires_grad_(), inside(5, 3, seed=3).requires_grad_()
    assert torch.autograd.gradcheck(distance, (x, y))
    assert torch.autograd.gradcheck(mobius_add, (x, y))
    assert torch.autograd.gradcheck(expmap0, (x,))
    assert torch.autograd.gradcheck(logmap0, (x,))
    origin = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(expmap0, (origin,))
    # close to the origin the ball is flat, with lengths doubled
    tiny = torch.tensor([[1e-15, 0.0]], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(distance(tiny, torch.zeros(2)).sum(), tiny)
    torch.testing.assert_close(gradient, torch.tensor([[2.0, 0.0]], dtype=torch.float64))


def test_expmap0_stays_inside_and_keeps_length():
    v = directions(50, 2, 0) * torch.logspace(-15, 5, 50, dtype=torch.float64)[:, None]
    x = expmap0(v)
    assert (x.norm(dim=1) <= 1 - MARGIN + 1e-12).all()
    short = v.norm(dim=1) < 6
    torch.testing.assert_close(distance(x, torch.zeros(2))[short], 2 * v.norm(dim=1)[short], rtol=1e-9, atol=0)


@pytest.mark.parametrize("c", CURVATURES)
def test_clip_moves_only_what_lies_too_far_out(c):
    x = torch.tensor([[0.0, 0.0], [0.3, 0.4], [3.0, 4.0], [0.0, 1.0]], dtype=torch.float64) / math.sqrt(c)
    clipped = clip_to_ball(x, c)
    assert torch.equal(clipped[:2], x[:2])
    torch.testing.assert_close(clipped[2:].norm(dim=1) * math.sqrt(c), torch.full((2,), 1 - MARGIN).double())
    torch.testing.assert_close(clipped[2] / clipped[2].norm(), torch.tensor([0.6, 0.8], dtype=torch.float64))


def test_a_point_outside_gives_nan_and_no_false_number():
    out = torch.tensor([[1.5, 0.0]])
    assert distance(out, torch.zeros(2)).isnan().all()
    assert distance(out, 2 * out).isnan().all()


coordinate = st.floats(-1, 1, allow_nan=False, width=64)
radius = st.one_of(st.floats(1e-15, 1 - MARGIN), st.floats(-15, -0.01).map(lambda e: 10**e), st.just(0.0))


@st.composite
def point(draw, dim=3):
    v = torch.tensor(draw(st.lists(coordinate, min_size=dim, max_size=dim)), dtype=torch.float64)
    norm = v.norm()
    return v / norm * draw(radius) if norm > 1e-3 else torch.zeros(dim, dtype=torch.float64)


@settings(max_examples=200, deadline=None)
@given(point(), point(), point())
def test_distance_is_a_metric_that_translations_keep(x, y, z):
    d = distance
    assert d(x, y) == d(y, x)
    assert d(x, z) <= (d(x, y) + d(y, z)) * (1 + 1e-9) + 1e-14
    # near the boundary, a translated point is known to 1e-16 / 1e-5 of its distance to it, twice over
    if max(map(float, (x.norm(), y.norm(), z.norm()))) < 0.999:
        torch.testing.assert_close(d(mobius_add(z, x), mobius_add(z, y)), d(x, y), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("c", CURVATURES)
def test_geodesic_divides_the_distance(c):
    x = clip_to_ball(log_uniform(60, 3, 4) / math.sqrt(c), c)
    y = clip_to_ball(log_uniform(60, 3, 9) / math.sqrt(c), c)
    whole = distance(x, y, c)
    # the way across the ball is 24 long, and float64 knows where it ends to 1e-16 e^24 / 4 of a distance
    for t in (0.0, 0.25, 0.5, 1.0):
        between = geodesic(x, y, t, c)
        torch.testing.assert_close(distance(x, between, c), t * whole, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(distance(between, y, c), (1 - t) * whole, rtol=1e-6, atol=1e-6)
