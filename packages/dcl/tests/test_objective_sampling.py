"""Sampled pixels lie where they should, each as likely as any other."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contrastbench.dcl.sampling import draws_needed, roi_draws, sample_pixels


def sampled(masks: torch.Tensor, count: int, replacement: bool, seed: int = 0) -> torch.Tensor:
    images = torch.zeros(len(masks), dtype=torch.int64)
    draws = roi_draws(images, draws_needed(masks[0].numel(), count, replacement), seed, 0)
    return sample_pixels(masks, draws, count, replacement)


@st.composite
def valid_masks(draw: st.DrawFn) -> tuple[torch.Tensor, int]:
    """Masks ``[n, h, w]`` with at least K pixels inside and outside, and K."""
    height, width = draw(st.integers(2, 7)), draw(st.integers(1, 7))
    count = draw(st.integers(1, height * width // 2))
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        area = draw(st.integers(count, height * width - count))
        order = draw(st.permutations(range(height * width)))
        rows.append(torch.tensor(order).view(height, width) < area)
    return torch.stack(rows), count


@settings(max_examples=60, deadline=None)
@given(valid_masks(), st.booleans(), st.integers(0, 2**40))
def test_anchors_and_positives_lie_inside_and_negatives_outside(problem, replacement, seed):
    masks, count = problem
    pixels = sampled(masks, count, replacement, seed)
    assert pixels.shape == (len(masks), 3, count)
    inside = masks.flatten(1)[:, None].expand(-1, 3, -1).gather(2, pixels)
    assert inside[:, :2].all()
    assert not inside[:, 2].any()
    if not replacement:
        assert all(len(set(s)) == count for roi in pixels.tolist() for s in roi)


@settings(max_examples=60, deadline=None)
@given(valid_masks(), st.sampled_from([0.0, 1 - 2**-24]))
def test_the_ends_of_the_unit_interval_are_the_first_and_the_last_pixel(problem, end):
    masks, count = problem
    pixels = sample_pixels(masks, torch.full((len(masks), 3 * count), end), count, True)
    for mask, (anchors, positives, negatives) in zip(masks.flatten(1), pixels, strict=True):
        place = 0 if end == 0 else -1
        assert (anchors == mask.nonzero()[place]).all()
        assert (positives == mask.nonzero()[place]).all()
        assert (negatives == (~mask).nonzero()[place]).all()


@pytest.mark.parametrize("replacement", [True, False])
def test_every_pixel_is_as_likely_as_any_other(replacement):
    # 5 pixels inside and 7 outside, four of each set, 6,000 times
    mask = torch.tensor([[1, 0, 1, 0], [0, 0, 0, 1], [1, 0, 1, 0]]).bool()
    pixels = sampled(mask.expand(6000, 3, 4), 4, replacement)
    for number, region in enumerate((mask, mask, ~mask)):
        counts = pixels[:, number].flatten().bincount(minlength=12)[region.flatten()]
        mean = 24000 / len(counts)
        # beyond four standard deviations of a count with replacement: once in thousands of such tests
        assert (counts - mean).abs().max() < 4 * mean**0.5, counts


@pytest.mark.parametrize("replacement", [True, False])
def test_anchors_and_positives_are_independent_and_an_anchor_may_meet_itself(replacement):
    """Discrepancy 4: two draws of one set. Of 5 pixels a positive is the anchor's own pixel in one case of 5."""
    mask = torch.arange(12).view(1, 3, 4) < 5
    pixels = sampled(mask.expand(6000, 3, 4), 3, replacement)
    itself = (pixels[:, 0, :, None] == pixels[:, 1, None, :]).float().mean()
    assert float(itself) == pytest.approx(0.2, abs=0.01)
    twice = (pixels[:, 0].sort(1).values.diff(dim=1) == 0).any(1).float().mean()
    assert (float(twice) == 0) == (not replacement)


def test_the_rois_of_an_image_draw_the_same_whatever_else_is_in_the_batch():
    images = torch.tensor([4, 4, 4, 7, 7, 2])
    together = roi_draws(images, 5, 0, 0)
    apart = torch.cat([roi_draws(part, 5, 0, 0) for part in images.split([3, 3])])
    assert torch.equal(together, apart)
    assert together.unique().numel() == together.numel()
    assert not torch.equal(together, roi_draws(images, 5, 0, 1))
    assert not torch.equal(together, roi_draws(images, 5, 1, 0))
    assert roi_draws(images[:0], 5, 0, 0).shape == (0, 5)
