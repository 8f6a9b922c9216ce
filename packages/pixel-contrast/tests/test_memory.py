"""The memory as the objective fills it. Each test names the defect of the authors' code it would have caught."""

import pytest
import torch
from pixel_contrast_problem import CHANNELS, CLASSES, objective, step_inputs
from torch.nn import functional as F

from contrastbench.core.testing import assert_close


def embeddings_by_pixel(module, features):
    """Every pixel's embedding ``[B, h, w, D]``."""
    batch, _, height, width = features.shape
    rows = features.permute(0, 2, 3, 1).reshape(-1, CHANNELS)
    return module.projection(rows).view(batch, height, width, -1).detach()


@pytest.mark.parametrize("stride", [1, 4])
def test_every_queued_key_is_a_pixel_of_its_class(stride):
    """Issues 65 (top-left pixels under every label), 28 (labels at another stride) and 35 (no class 0)."""
    module = objective(queue_length=100)
    features, logits, labels, index = step_inputs(3)
    near = labels[:, ::4, ::4]
    labels = near.repeat_interleave(stride, 1).repeat_interleave(stride, 2)
    module((features,), logits, labels, index)
    embeddings = embeddings_by_pixel(module, features)
    for c in range(CLASSES):
        keys = module.queue.keys[c, module.queue.held[c]]
        # V pixels of each image that has the class, distinct ones
        per_image = [(near[b] == c).sum().clamp_max(3) for b in range(len(near))]
        assert len(keys) == sum(per_image) > 0
        members = embeddings[near == c]
        match = keys @ members.T > 1 - 1e-5  # unit vectors
        assert match.any(1).all()
        assert (match.float().argmax(1).unique().numel()) == len(keys)


def test_a_class_that_is_absent_holds_nothing():
    """Section 2.2.7: slots began as random vectors that counted."""
    module = objective()
    features, logits, labels, index = step_inputs(0)
    assert not (labels == 2).any()
    module((features,), logits, labels, index)
    assert module.queue.count[2] == 0
    assert not module.regions.held[2].any()


def test_regions_are_means_of_their_pixels_at_their_images():
    """Section 2.2.9: the region memory was a queue, and issue 28: its means took other pixels."""
    module = objective()
    features, logits, labels, index = step_inputs(3)
    module((features,), logits, labels, index)
    embeddings, near = embeddings_by_pixel(module, features), labels[:, ::4, ::4]
    for b, image in enumerate(index.tolist()):
        for c in range(CLASSES):
            members = embeddings[b][near[b] == c]
            assert bool(module.regions.held[c, image]) == bool(len(members))
            if len(members):
                assert_close(module.regions.keys[c, image], F.normalize(members.mean(0), dim=0))
    assert module.regions.held.any(0).sum() == len(index)


def test_only_written_slots_are_contrasted_with():
    """Issue 35 (a zero block labelled 0) and section 2.2.7 (random vectors): poison what is not written."""
    clean, poisoned = objective(), objective()
    for step in range(3):
        inputs = step_inputs(step)
        for bank in (poisoned.queue, poisoned.regions):
            bank.keys[~bank.held] = torch.nan
        a = clean((inputs[0],), *inputs[1:])["loss_contrast"]
        b = poisoned((inputs[0],), *inputs[1:])["loss_contrast"]
        assert torch.equal(a, b)


def test_no_key_of_the_memory_is_barred_by_its_position():
    """Issues 16 and 55: column i of the queue was dropped from anchor i's positives."""
    module = objective(memory="pixel", pairs="all", anchors="random", anchors_per_class=1)
    features, logits, labels, index = step_inputs(3)
    module((features,), logits, labels, index)
    # the same key in every slot: each anchor sees it count times, whichever anchor it is
    module.queue.keys[:] = F.normalize(torch.ones(8), dim=0)
    module.queue.count[:] = 10
    rows = F.normalize(torch.randn(CLASSES, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    classes = torch.arange(CLASSES)
    loss, counted = module._loss(rows, classes, torch.zeros(CLASSES, dtype=torch.int64), 5)
    key = module.queue.keys[0, 0]
    for i in range(CLASSES):
        others = torch.cat([rows[classes != i], key.expand(30, -1)]) @ rows[i] / 0.1
        expected = F.softplus(others.logsumexp(0) - key @ rows[i] / 0.1)
        assert_close(loss[i], expected)
    assert counted.all()


def test_hard_sampling_is_on_with_a_memory():
    """Section 2.2.6: with a memory, one view an anchor switched it off."""
    features, _, labels, _ = step_inputs(3)
    near = labels[:, ::4, ::4]
    right = F.one_hot(near.clamp_max(CLASSES), CLASSES + 1)[..., :CLASSES].permute(0, 3, 1, 2).float()
    # three pixels of class 0 are mistaken: all three must be anchors
    mistaken = torch.nonzero(near == 0)[:3]
    for b, y, x in mistaken.tolist():
        right[b, 0, y, x], right[b, 1, y, x] = 0, 1
    module = objective()
    pixels = module._pixels(features, right, labels)
    for seed in range(5):
        draws = torch.rand(len(pixels.classes), generator=torch.Generator().manual_seed(seed))
        chosen = set(module._anchors(pixels, draws).tolist())
        assert {(b * 6 + y) * 8 + x for b, y, x in mistaken.tolist()} <= chosen
