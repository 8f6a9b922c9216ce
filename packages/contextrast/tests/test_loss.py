import math

import pytest
import torch
from torch.nn import functional as F

from contrastbench.contextrast.loss import pixel_anchor_loss


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def problem(generator: torch.Generator, anchors: int = 4, positives: int = 13, negatives: int = 11):
    """Float64, unit vectors; the second anchor has no negative, the third no positive."""

    def unit(n: int) -> torch.Tensor:
        return F.normalize(torch.randn(n, 6, generator=generator, dtype=torch.float64), dim=1).requires_grad_()

    owner = torch.randint(anchors, (positives,), generator=generator)
    owner[owner == 2] = 0
    against = torch.rand(anchors, negatives, generator=generator) < 0.6
    against[1] = False
    return unit(anchors), unit(positives), owner, unit(negatives), against


def loop(anchors, positives, owner, negatives, against, temperature):
    """Eq. 3 and 4 as they are printed, one number at a time."""
    losses = []
    for n, anchor in enumerate(anchors.tolist()):

        def similarity(v, a=anchor):
            return sum(x * y for x, y in zip(a, v, strict=True)) / temperature

        below = sum(
            math.exp(similarity(v)) for v, use in zip(negatives.tolist(), against[n].tolist(), strict=True) if use
        )
        terms = []
        for v, o in zip(positives.tolist(), owner.tolist(), strict=True):
            if o == n:
                terms.append(-math.log(math.exp(similarity(v)) / (math.exp(similarity(v)) + below)))
        losses.append(sum(terms) / len(terms) if terms else 0.0)
    return losses


@pytest.mark.parametrize("temperature", [0.07, 0.1, 1.0])
def test_equals_a_loop_in_float64(temperature, generator):
    inputs = problem(generator)
    expected = loop(*inputs, temperature)
    assert expected[1] == expected[2] == 0 < expected[0]
    assert pixel_anchor_loss(*inputs, temperature).tolist() == pytest.approx(expected, rel=1e-12)


def test_gradcheck(generator):
    anchors, positives, owner, negatives, against = problem(generator)
    assert torch.autograd.gradcheck(
        lambda a, p, n: pixel_anchor_loss(a, p, owner, n, against, 0.5), (anchors, positives, negatives)
    )


@pytest.mark.parametrize(("positives", "negatives"), [(0, 5), (5, 0), (0, 0)])
def test_nothing_to_compare_with_is_zero_and_connected(positives, negatives, generator):
    inputs = problem(generator, positives=positives, negatives=negatives)
    loss = pixel_anchor_loss(*inputs, 0.1)
    loss.sum().backward()
    assert loss.tolist() == [0] * 4
    assert torch.isfinite(inputs[0].grad).all()


def test_finite_at_any_temperature_and_in_float32_under_autocast(generator):
    anchors, positives, owner, negatives, against = problem(generator)
    single = [x.detach().float().requires_grad_() for x in (anchors, positives, negatives)]
    for temperature in (0.001, 0.1, 10.0):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = pixel_anchor_loss(single[0], single[1], owner, single[2], against, temperature)
        assert loss.dtype == torch.float32
        exact = pixel_anchor_loss(anchors, positives, owner, negatives, against, temperature)
        torch.testing.assert_close(loss.double(), exact, rtol=1e-4, atol=1e-4)
        for grad in torch.autograd.grad(loss.sum(), single):
            assert torch.isfinite(grad).all()


def test_it_draws_positives_near_and_pushes_negatives_away(generator):
    anchors, positives, owner, negatives, against = problem(generator)
    against[:] = True
    pixel_anchor_loss(anchors.detach(), positives, owner, negatives, against, 0.1).sum().backward()
    pull = -(positives.grad * anchors.detach()[owner]).sum(1)
    assert (pull > 0).all()
    # against one anchor alone, so that no other's push is mixed in
    negatives.grad = None
    pixel_anchor_loss(
        anchors.detach()[:1], positives[owner == 0], owner[owner == 0], negatives, against[:1], 0.1
    ).sum().backward()
    push = -(negatives.grad * anchors.detach()[0]).sum(1)
    assert (push < 0).all()
