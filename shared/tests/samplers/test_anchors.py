import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from contrastbench.core.samplers import (
    PerImageAnchors,
    RandomAnchors,
    SegmentationAwareAnchors,
    first_per_group,
)


@st.composite
def pixels(draw):
    n = draw(st.integers(0, 60))
    classes = draw(st.lists(st.integers(-1, 3), min_size=n, max_size=n))
    wrong = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    order = draw(st.permutations(range(n)))
    return (
        torch.tensor(classes, dtype=torch.int64),
        torch.tensor(wrong, dtype=torch.bool),
        torch.tensor(order, dtype=torch.float32) / max(n, 1),
    )


@given(pixels(), st.integers(0, 7))
def test_first_per_group_equals_sorting_each_group(problem, k):
    classes, _, draws = problem
    expected = []
    for c in sorted({c for c in classes.tolist() if c >= 0}):
        members = [i for i, member in enumerate(classes.tolist()) if member == c]
        expected += sorted(members, key=lambda i: float(draws[i]))[:k]
    assert first_per_group(classes, draws, k).tolist() == expected


@given(pixels(), st.integers(1, 8))
def test_anchors_are_distinct_labelled_pixels_up_to_the_cap(problem, per_class):
    classes, wrong, draws = problem
    for sampler in (RandomAnchors(per_class), SegmentationAwareAnchors(per_class)):
        chosen = sampler(classes, wrong, draws)
        assert len(chosen.unique()) == len(chosen)
        for c in range(4):
            available = int((classes == c).sum())
            assert int((classes[chosen] == c).sum()) == min(available, per_class)
        assert (classes[chosen] >= 0).all()
        assert classes[chosen].tolist() == sorted(classes[chosen].tolist())


@given(pixels(), st.integers(1, 4))
def test_half_of_the_anchors_are_hard_where_there_are_enough(problem, half):
    classes, wrong, draws = problem
    chosen = SegmentationAwareAnchors(2 * half)(classes, wrong, draws)
    for c in range(4):
        hard = int((wrong & (classes == c)).sum())
        assert int((wrong[chosen] & (classes[chosen] == c)).sum()) >= min(hard, half)


def test_the_random_half_is_drawn_from_all_other_pixels():
    # one mistaken pixel in ten: 2 of 4 anchors are drawn for that, the others are mistaken as seldom as pixels are
    generator = torch.Generator().manual_seed(0)
    classes = torch.zeros(1000, dtype=torch.int64)
    wrong = torch.arange(1000) < 100
    extra = 0
    for _ in range(500):
        chosen = SegmentationAwareAnchors(4)(classes, wrong, torch.rand(1000, generator=generator))
        extra += int(wrong[chosen].sum()) - 2
    assert extra / 1000 == pytest.approx(0.1, abs=0.04)


@given(pixels(), st.integers(0, 6), st.integers(1, 40))
def test_released_anchors_share_the_cap_among_pairs(problem, max_views, max_samples):
    classes, wrong, draws = problem
    images = torch.arange(len(classes)) % 2
    chosen = PerImageAnchors(max_samples, max_views)(classes, wrong, draws, images)
    pairs = [(i, c) for i in range(2) for c in range(4)]
    sizes = {p: int(((images == p[0]) & (classes == p[1])).sum()) for p in pairs}
    large = [p for p in pairs if sizes[p] > max_views]
    views = min(max_samples // len(large), max_views) if large else 0
    for pair in pairs:
        member = (images[chosen] == pair[0]) & (classes[chosen] == pair[1])
        assert int(member.sum()) == (views if pair in large else 0)
        if pair in large:
            mistaken = int(((images == pair[0]) & (classes == pair[1]) & wrong).sum())
            correct = sizes[pair] - mistaken
            hard = int(wrong[chosen][member].sum())
            assert hard == min(mistaken, max(views // 2, views - correct))


def test_every_pixel_of_a_class_is_as_likely_to_be_an_anchor():
    generator = torch.Generator().manual_seed(1)
    classes = torch.zeros(10, dtype=torch.int64)
    counts = torch.zeros(10)
    for _ in range(4000):
        counts[RandomAnchors(3)(classes, classes > 0, torch.rand(10, generator=generator))] += 1
    # binomial, 4000 draws at 0.3: five standard deviations
    assert (counts / 4000 - 0.3).abs().max() < 5 * (0.3 * 0.7 / 4000) ** 0.5
