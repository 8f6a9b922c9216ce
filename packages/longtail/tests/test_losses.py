"""The losses against loops in plain Python floats; Eq. 3 as printed; limits; one rank or two."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from triplet_problem import DIM, SIZES, batch, loop_distance, points, take_part, take_parts

from contrastbench.core.errors import InputError
from contrastbench.core.testing import assert_close, run_ranks
from contrastbench.longtail import RELEASED, TripletLoss, Triplets, TripletSampler
from contrastbench.longtail.geometry import space_named
from contrastbench.longtail.losses import hierarchical_terms, mask_terms, object_terms

SPACES = ["poincare", "euclidean"]


def drawn(**options: Any) -> Triplets:
    return TripletSampler(**options)(batch(), range(len(SIZES)), 0)


def tables() -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings of foreground, whole box and background of every proposal."""
    return points("foreground"), points("full"), points("background")


def losses(
    module: TripletLoss, triplets: Triplets, foreground: Tensor, full: Tensor, background: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    out = module(foreground, full[triplets.mask], background[triplets.mask], triplets)
    return out["loss_mask"], out["loss_object"], out["loss_hierarchical"]


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("options", [{}, RELEASED["triplets"]], ids=["paper", "released"])
def test_losses_equal_a_loop_over_the_triplets(space: str, reduction: str, options: dict[str, Any]) -> None:
    triplets, margin = drawn(**options), 0.7
    foreground, full, background = (table.tolist() for table in tables())

    def d(x: list[float], y: list[float]) -> float:
        return loop_distance(x, y, space)

    sums = [0.0, 0.0, 0.0]
    for j in triplets.mask.tolist():
        sums[0] += max(0.0, margin - d(full[j], background[j]) + d(full[j], foreground[j]))
    for a, p, n in zip(triplets.anchor.tolist(), triplets.positive.tolist(), triplets.negative.tolist(), strict=True):
        sums[1] += max(0.0, margin - d(foreground[a], foreground[n]) + d(foreground[a], foreground[p]))
    origin = [0.0] * DIM
    for p, c in zip(triplets.parent.tolist(), triplets.child.tolist(), strict=True):
        sums[2] += max(0.0, margin - d(foreground[c], origin) + d(foreground[p], origin))

    module = TripletLoss(margin=margin, mask_weight=0.3, object_weight=0.5, space=space, reduction=reduction)
    counts = [len(triplets.mask), len(triplets.anchor), len(triplets.parent)]
    assert min(counts) > 3
    values = losses(module, triplets, *tables())
    for value, total, weight, count in zip(values, sums, (0.3, 0.5, 1), counts, strict=True):
        expected = weight * total / (count if reduction == "mean" else 1)
        assert value.dtype == torch.float64
        assert float(value) == pytest.approx(expected, rel=1e-9)
        assert float(value) > 0


@pytest.mark.parametrize("space", SPACES)
def test_gradcheck(space: str) -> None:
    module, triplets = TripletLoss(space=space, margin=0.6), drawn()
    inputs = [table.requires_grad_() for table in tables()]
    assert torch.autograd.gradcheck(lambda *t: losses(module, triplets, *t), inputs, atol=1e-7)


def test_the_defaults_are_the_paper_s() -> None:
    """Section 4.1 and Eq. 5: alpha, beta and gamma 0.2, the hierarchical loss as it is; the mean over triplets."""
    triplets, one = drawn(), TripletLoss(margin=0.2, mask_weight=1, object_weight=1, hierarchical_weight=1)
    weighted = losses(TripletLoss(), triplets, *tables())
    for value, plain, weight in zip(weighted, losses(one, triplets, *tables()), (0.2, 0.2, 1), strict=True):
        assert_close(value, plain * weight)


def test_a_smaller_ball_scales_distances() -> None:
    """With c = 4 the ball has half the radius, and a distance half of what it is at twice the place with c = 1."""
    triplets = drawn()
    half = losses(TripletLoss(c=4.0, margin=0.25), triplets, *(table / 2 for table in tables()))
    for a, b in zip(half, losses(TripletLoss(margin=0.5), triplets, *tables()), strict=True):
        assert_close(a, b / 2)


def descend(literal: bool) -> tuple[float, float]:
    """Minimise Eq. 3 over three points; return how far the anchor then is from the positive and from the negative."""
    distance = space_named("poincare").distance
    places = torch.tensor([[0.1, 0.0], [0.0, 0.2], [-0.2, 0.1]], dtype=torch.float64)
    for _ in range(300):
        anchor, positive, negative = places.requires_grad_()
        if literal:
            positive, negative = negative, positive
        loss = object_terms(anchor, positive, negative, 0.2, distance)
        (grad,) = torch.autograd.grad(loss.sum(), places)
        places = (places - 0.01 * grad).detach()
    anchor, positive, negative = places
    return float(distance(anchor, positive)), float(distance(anchor, negative))


def test_equation_3_as_printed_drives_the_positive_away() -> None:
    """Its signs are the reverse of what the text says, and of Eq. 1; the loss here is as the text has it."""
    positive, negative = descend(literal=False)
    assert negative > positive + 0.19
    positive, negative = descend(literal=True)
    assert positive > negative + 0.19

    # The printed form, number by number, is ours with positive and negative exchanged.
    x, y, z = [0.1, 0.2], [0.3, -0.1], [-0.5, 0.4]
    printed = max(0.0, 0.2 - loop_distance(x, y) + loop_distance(x, z))
    a, p, n = (torch.tensor([point], dtype=torch.float64) for point in (x, y, z))
    distance = space_named("poincare").distance
    assert float(object_terms(a, n, p, 0.2, distance)) == pytest.approx(printed)
    assert float(object_terms(a, p, n, 0.2, distance)) != pytest.approx(printed)


def test_each_loss_moves_points_as_the_text_says() -> None:
    distance = space_named("poincare").distance
    near, far = torch.tensor([[0.1, 0.0]]).double(), torch.tensor([[0.6, 0.0]]).double()
    origin = torch.zeros(1, 2).double()
    assert float(mask_terms(origin, near, far, 0.2, distance)) == 0
    assert float(mask_terms(origin, far, near, 0.2, distance)) > 1
    assert float(object_terms(origin, near, far, 0.2, distance)) == 0
    assert float(object_terms(origin, far, near, 0.2, distance)) > 1
    # The parent is the one nearer to the origin.
    assert float(hierarchical_terms(near, far, 0.2, distance)) == 0
    assert float(hierarchical_terms(far, near, 0.2, distance)) > 1


@pytest.mark.parametrize("space", SPACES)
def test_no_triplets_give_a_zero_connected_to_the_graph(space: str) -> None:
    empty = torch.zeros(0, dtype=torch.int64)
    triplets, module = Triplets(*[empty] * 6), TripletLoss(space=space)
    for count in (0, 4):
        foreground = torch.full((count, 2), 0.1, requires_grad=True)
        crops = torch.zeros(0, 2, requires_grad=True)
        out = module(foreground, crops, crops * 1, triplets)
        total = out["loss_mask"] + out["loss_object"] + out["loss_hierarchical"]
        assert float(total.detach()) == 0
        total.backward()
        assert torch.equal(foreground.grad, torch.zeros_like(foreground))
        assert crops.grad is not None
        assert [float(out[name]) for name in ("mask_triplets", "object_triplets", "hierarchical_pairs")] == [0, 0, 0]


@pytest.mark.parametrize("space", SPACES)
def test_all_points_at_the_origin_have_a_loss_and_finite_gradients(space: str) -> None:
    """Where the released code starts from, within 1e-4."""
    triplets = drawn()
    inputs = [torch.zeros(sum(SIZES), DIM).requires_grad_() for _ in range(3)]
    values = losses(TripletLoss(space=space), triplets, *inputs)
    assert_close(torch.stack(values), torch.tensor([0.04, 0.04, 0.2], dtype=torch.float64), dtype=torch.float64)
    torch.stack(values).sum().backward()
    assert all(torch.isfinite(table.grad).all() for table in inputs)

    inputs = [(1e-6 * table).requires_grad_() for table in tables()]
    torch.stack(losses(TripletLoss(space=space), triplets, *inputs)).sum().backward()
    assert all(torch.isfinite(table.grad).all() and table.grad.abs().max() > 1e-3 for table in inputs)


def test_points_near_the_border_are_compared_in_float64_under_autocast() -> None:
    triplets = drawn()
    inputs = [(table / table.norm(dim=1, keepdim=True) * (1 - 1e-5)).requires_grad_() for table in tables()]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = losses(TripletLoss(margin=30), triplets, *inputs)
    for a, b in zip(inside, losses(TripletLoss(margin=30), triplets, *inputs), strict=True):
        assert a.dtype == torch.float64
        assert torch.equal(a, b)
    torch.stack(inside).sum().backward()
    assert all(torch.isfinite(table.grad).all() for table in inputs)


CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"negatives_from": "image"}, {"space": "euclidean"}),
    ({"positives": 2, "negatives": 5, "children": 3, "mask_proposals": 4}, {"margin": 0.7}),
    (RELEASED["triplets"], RELEASED["losses"]),
]


def test_two_ranks_draw_and_lose_what_one_does() -> None:
    """Also where one of them has a single proposal, or no image at all."""
    splits = (1, 3, 4)
    ranks = run_ranks(2, take_parts, CASES, splits)
    for case, (options, loss) in enumerate(CASES):
        one = take_part(options, loss, 0)
        assert one["counts"].min() > 0
        for place in range(len(splits)):
            two = [r[case * len(splits) + place] for r in ranks]
            rows = torch.cat([part["triplets"] for part in two])
            assert sorted(rows.tolist()) == sorted(one["triplets"].tolist())
            assert torch.equal(two[0]["counts"], one["counts"])
            assert_close(two[0]["losses"], one["losses"])
            assert_close(two[0]["grads"], one["grads"])
            assert one["grads"].abs().sum() > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"margin": -0.1}, "margin is -0.1"),
        ({"mask_weight": float("nan")}, "mask_weight is nan"),
        ({"object_weight": "1"}, "object_weight is '1'"),
        ({"c": 0}, "c is 0"),
        ({"space": "poincaré"}, "did you mean 'poincare'"),
        ({"reduction": "none"}, "unknown reduction"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TripletLoss(**options)


def test_embeddings_that_do_not_fit() -> None:
    triplets, (foreground, full, background) = drawn(mask_proposals=2), tables()
    count = len(triplets.mask)
    module = TripletLoss()
    with pytest.raises(InputError, match=rf"full boxes are \[21, 3\]; expected \[{count}, 3\]"):
        module(foreground, full, background[:count], triplets)
    with pytest.raises(InputError, match=r"backgrounds are \[\d+, 2\]"):
        module(foreground, full[:count], background[:count, :2], triplets)
    with pytest.raises(InputError, match=r"expected \[P, D\]"):
        module(foreground[0], full[:count], background[:count], triplets)
