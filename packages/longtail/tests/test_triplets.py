"""Triplets against their definitions, one pair of masks at a time, and how they are distributed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from triplet_problem import SIZES, batch, random_masks

from contrastbench.core.errors import InputError
from contrastbench.longtail import RELEASED, TripletSampler, mask_intersections

CHOICES: list[dict[str, Any]] = [
    {},
    {"negatives_from": "image"},
    {"positives": 2, "negatives": 5, "children": 3, "mask_proposals": 4},
    RELEASED["triplets"],
]


def names(choice: dict[str, Any]) -> str:
    return ",".join(f"{k}={v}" for k, v in choice.items()) or "paper"


def pixels(mask: Tensor) -> set[tuple[int, ...]]:
    return {tuple(place) for place in mask.nonzero().tolist()}


@st.composite
def stacks(draw: st.DrawFn) -> Tensor:
    """Masks of one image, so small that empty, equal, nested and disjoint ones are common."""
    count = draw(st.integers(0, 7))
    rows = draw(st.lists(st.integers(0, 2**6 - 1), min_size=count, max_size=count))
    bits = torch.tensor([[(row >> place) & 1 for place in range(6)] for row in rows], dtype=torch.bool)
    return bits.reshape(count, 2, 3)


@st.composite
def samplers(draw: st.DrawFn) -> TripletSampler:
    few = st.one_of(st.none(), st.integers(0, 3))
    share = st.sampled_from([0.0, 0.2, 0.4, 0.5, 2 / 3, 0.95, 1.0])
    return TripletSampler(
        mask_proposals=draw(few),
        positive_iou=draw(share),
        positives=draw(few),
        negatives=draw(st.integers(0, 4)),
        negatives_from=draw(st.sampled_from(["batch", "image"])),
        disjoint=draw(st.booleans()),
        containment=draw(share),
        area_ratio=draw(share),
        children=draw(few),
    )


@settings(max_examples=150, deadline=None)
@given(st.lists(stacks(), min_size=0, max_size=3), samplers(), st.integers(0, 2**40))
def test_triplets_keep_to_their_definitions(images: list[Tensor], sampler: TripletSampler, step: int) -> None:
    drawn = sampler([mask_intersections(masks) for masks in images], range(len(images)), step)
    sets = [pixels(mask) for masks in images for mask in masks]
    of_image = [place for place, masks in enumerate(images) for _ in masks]
    there = {place for place, one in enumerate(sets) if one}

    def those(count: int | None, of: set[int]) -> int:
        return len(of) if count is None else min(count, len(of))

    for place, _ in enumerate(images):
        mine = [i for i in drawn.mask.tolist() if of_image[i] == place]
        own = {i for i in there if of_image[i] == place}
        assert len(set(mine)) == len(mine) == those(sampler.mask_proposals, own)
        assert set(mine) <= own

    positives: dict[int, set[int]] = {i: set() for i in range(len(sets))}
    negatives: dict[tuple[int, int], list[int]] = {}
    for a, p, n in zip(drawn.anchor.tolist(), drawn.positive.tolist(), drawn.negative.tolist(), strict=True):
        positives[a].add(p)
        negatives.setdefault((a, p), []).append(n)
    children: dict[int, list[int]] = {i: [] for i in range(len(sets))}
    for parent, child in zip(drawn.parent.tolist(), drawn.child.tolist(), strict=True):
        children[parent].append(child)

    for i, anchor in enumerate(sets):
        same = {j for j in there if of_image[j] == of_image[i] and i in there}
        like = {j for j in same - {i} if len(anchor & sets[j]) / len(anchor | sets[j]) > sampler.positive_iou}
        unlike = {j for j in same - {i} if not sampler.disjoint or not anchor & sets[j]}
        if sampler.negatives_from == "batch":
            unlike |= {j for j in there if of_image[j] != of_image[i]}
        expected = those(sampler.positives, like) if unlike and sampler.negatives else 0
        assert len(positives[i]) == expected
        assert positives[i] <= like
        for p in positives[i]:
            assert len(set(negatives[i, p])) == len(negatives[i, p]) == min(sampler.negatives, len(unlike))
            assert set(negatives[i, p]) <= unlike
        inside = {
            j
            for j in same
            if len(sets[j] & anchor) / len(sets[j]) >= sampler.containment
            and len(sets[j]) <= sampler.area_ratio * len(anchor)
            and len(sets[j]) < len(anchor)
        }
        assert len(set(children[i])) == len(children[i]) == those(sampler.children, inside)
        assert set(children[i]) <= inside


def test_the_thresholds_are_the_paper_s() -> None:
    """IoU above, not at, 0.4; 95 % inside, and at most half as large, are enough."""

    def strip(*ranges: tuple[int, int]) -> Tensor:
        masks = torch.zeros(len(ranges), 1, 200, dtype=torch.bool)
        for mask, (low, high) in zip(masks, ranges, strict=True):
            mask[0, low:high] = True
        return mask_intersections(masks)

    every = TripletSampler(positives=None, children=None)
    # 8 of 20 in common is 0.4; 9 of 21 is more. The last is there to be a negative.
    exactly = every([strip((0, 14), (6, 20), (100, 101))], [0], 0)
    above = every([strip((0, 15), (6, 21), (100, 101))], [0], 0)
    assert exactly.anchor.tolist() == []
    assert list(zip(above.anchor.tolist(), above.positive.tolist(), strict=True)) == [(0, 1), (1, 0)]
    # 19 of 20 inside, of 40: a child. One less inside, or one less around, and it is none.
    for parent, child, found in [((0, 40), (21, 41), True), ((0, 40), (22, 42), False), ((1, 40), (20, 40), False)]:
        assert (every([strip(parent, child)], [0], 0).child.tolist() == [1]) == found


def test_three_terms_for_each_anchor() -> None:
    """Section 4.1: one positive and three negatives for each anchor."""
    drawn = TripletSampler()(batch(), range(4), 0)
    assert len(drawn.anchor) > 6
    assert set(Counter(drawn.anchor.tolist()).values()) == {3}
    assert all(len(set(drawn.positive[drawn.anchor == a].tolist())) == 1 for a in drawn.anchor.unique())


@pytest.mark.parametrize("count", range(4))
@pytest.mark.parametrize("choice", CHOICES, ids=names)
def test_an_image_with_few_proposals_or_none_is_fine(choice: dict[str, Any], count: int) -> None:
    """The released code crashes on an image with fewer than ten."""
    drawn = TripletSampler(**choice)([mask_intersections(random_masks(count, 5) | True)], [0], 0)
    assert drawn.mask.tolist() == list(range(count))
    assert all(places.dtype == torch.int64 for places in drawn)
    assert TripletSampler(**choice)([], [], 0).mask.tolist() == []


def uniform(seen: Counter[Any], candidates: set[Any], share: float, draws: int) -> None:
    """Each candidate comes as often as the others, within five standard deviations of a binomial."""
    assert set(seen) == candidates
    deviation = (draws * share * (1 - share)) ** 0.5
    assert all(abs(count - draws * share) < 5 * deviation for count in seen.values()), seen


def test_every_candidate_is_as_likely_as_the_others() -> None:
    # Three alike, two elsewhere, in a batch with another image of two: of the first, 2 positives and 4 negatives.
    masks = torch.zeros(5, 1, 12, dtype=torch.bool)
    masks[0, 0, :6], masks[1, 0, 1:6], masks[2, 0, :5], masks[3, 0, 8:10], masks[4, 0, 10:] = (True,) * 5
    # and one within the first, besides: three children
    masks = torch.cat([masks, torch.zeros(3, 1, 12, dtype=torch.bool)])
    masks[5, 0, 0], masks[6, 0, 1], masks[7, 0, 2] = (True,) * 3
    pairs = [mask_intersections(masks), mask_intersections(masks[:2])]
    sampler, draws = TripletSampler(negatives=2, mask_proposals=2), 1500
    positive, negative, child, mask = Counter(), Counter(), Counter(), Counter()
    both, independent = Counter(), Counter()
    for step in range(draws):
        drawn = sampler(pairs, [3, 4], step)
        first = drawn.anchor == 0
        positive.update(drawn.positive[first][:1].tolist())
        negative.update(drawn.negative[first].tolist())
        both.update([tuple(sorted(drawn.negative[first].tolist()))])
        child.update(drawn.child[drawn.parent == 0].tolist())
        independent.update(
            zip(drawn.positive[first][:1].tolist(), drawn.child[drawn.parent == 0].tolist(), strict=True)
        )
        mask.update(i for i in drawn.mask.tolist() if i < 8)
    uniform(positive, {1, 2}, 1 / 2, draws)
    uniform(negative, {3, 4, 8, 9}, 2 / 4, draws)
    uniform(both, {(3, 4), (3, 8), (3, 9), (4, 8), (4, 9), (8, 9)}, 1 / 6, draws)
    uniform(child, {5, 6, 7}, 1 / 3, draws)
    uniform(independent, {(p, c) for p in (1, 2) for c in (5, 6, 7)}, 1 / 6, draws)
    uniform(mask, set(range(8)), 2 / 8, draws)


def test_draws_belong_to_seed_step_and_image_and_to_one_loss_each() -> None:
    def drawn(step: int = 0, images: tuple[int, ...] = (0, 1, 2, 3), **options: Any) -> Any:
        return TripletSampler(**{"mask_proposals": 3} | options)(batch(), images, step)

    def same(a: Any, b: Any, *fields: str) -> bool:
        return all(torch.equal(getattr(a, field), getattr(b, field)) for field in fields)

    again, fields = drawn(), drawn()._fields
    assert same(drawn(), again, *fields)
    for other in (drawn(step=1), drawn(seed=1), drawn(images=(9, 8, 7, 6))):
        assert not same(other, again, *fields)
    assert same(drawn(children=None), again, "mask", "anchor", "positive", "negative")
    assert same(drawn(mask_proposals=None, positives=None), again, "parent", "child")
    assert same(drawn(negatives_from="image", disjoint=False, positives=None), again, "mask", "parent", "child")
    # An image draws the same from whatever batch it is in, but for negatives of other images.
    alone = TripletSampler(mask_proposals=3)(batch()[3:], [3], 0)
    start = sum(SIZES[:3])
    assert torch.equal(alone.child + start, again.child[again.parent >= start])
    assert torch.equal(alone.mask + start, again.mask[again.mask >= start])


def test_draws_near_1_and_large_counts_stay_in_range() -> None:
    from contrastbench.longtail.triplets import _distinct

    top = torch.full((4, 3), 1 - 2**-24)
    counts = torch.tensor([0, 2, 3, 2**40])
    assert _distinct(top, counts).tolist()[:3] == [[-1, -1, -1], [1, 0, -1], [2, 1, 0]]
    assert 0 < int(_distinct(top, counts)[3, 0]) < 2**40


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"negatives_from": "bank"}, "unknown source of negatives"),
        ({"negatives": None}, "negatives is None"),
        ({"positives": -1}, "positives is -1"),
        ({"mask_proposals": 2.5}, "mask_proposals is 2.5"),
        ({"positive_iou": 40}, "positive_iou is 40"),
        ({"area_ratio": True}, "area_ratio is True"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TripletSampler(**options)


def test_inputs_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="4 images have intersections and 1 a place"):
        TripletSampler()(batch(), [0], 0)
    with pytest.raises(InputError, match=r"intersections of image 5 are torch.float32 \[2, 3\]"):
        TripletSampler()([torch.zeros(2, 3)], [5], 0)
