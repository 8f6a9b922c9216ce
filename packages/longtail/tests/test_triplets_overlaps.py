"""Intersections of masks, dense or from run lengths, against sets of pixels."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from triplet_problem import random_masks

from contrastbench.core.errors import InputError
from contrastbench.longtail import mask_intersections, rle_intersections
from contrastbench.longtail.overlaps import containment, intersection_over_union


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 8), st.integers(0, 10**6), st.sampled_from([(1, 1), (3, 5), (7, 300)]))
def test_intersections_are_those_of_the_sets_of_pixels(count: int, seed: int, size: tuple[int, int]) -> None:
    encode = pytest.importorskip("contrastbench.core.data.coco").encode
    pytest.importorskip("pycocotools")
    generator = torch.Generator().manual_seed(seed)
    density = torch.rand(count, 1, 1, generator=generator) ** 3
    masks = torch.rand(count, *size, generator=generator) < density

    sets = [set(mask.flatten().nonzero().flatten().tolist()) for mask in masks]
    expected = torch.tensor([[len(a & b) for b in sets] for a in sets], dtype=torch.int64).reshape(count, count)
    assert torch.equal(mask_intersections(masks), expected)
    assert torch.equal(rle_intersections([encode(mask.numpy()) for mask in masks]), expected)

    iou, inside = intersection_over_union(expected), containment(expected)
    for i, a in enumerate(sets):
        for j, b in enumerate(sets):
            assert float(iou[i, j]) == len(a & b) / max(1, len(a | b))
            assert float(inside[i, j]) == len(a & b) / max(1, len(b))


def test_counts_beyond_float32_and_under_autocast_are_exact() -> None:
    masks = torch.ones(2, 4097, 4097, dtype=torch.bool)
    masks[1, 0, 0] = False
    with torch.autocast("cpu", dtype=torch.bfloat16):
        counted = mask_intersections(masks)
    assert counted.tolist() == [[4097**2, 4097**2 - 1], [4097**2 - 1, 4097**2 - 1]]


def test_masks_that_are_none() -> None:
    with pytest.raises(InputError, match=r"torch\.float32"):
        mask_intersections(random_masks(2, 0).float())
    with pytest.raises(InputError, match=r"expected torch\.bool \[n, H, W\]"):
        mask_intersections(random_masks(2, 0)[0])
