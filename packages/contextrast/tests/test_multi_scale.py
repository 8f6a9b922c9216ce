import math

import pytest
import torch
from baseline_problem import CHANNELS, CLASSES, SIZES, objective, step_inputs, train_each
from torch import nn
from torch.nn import functional as F

from contrastbench.contextrast.baselines import MultiScaleContrast
from contrastbench.contextrast.labels import classes_at
from contrastbench.core.errors import InputError
from contrastbench.core.testing import assert_close, loop_infonce, run_ranks

HALVES = torch.tensor([[0, 1], [2, 1]])
"""The classes of two images' left and right halves: the same number of pixels of each class at any scale."""


def balanced(seed=0):
    generator = torch.Generator().manual_seed(seed)
    sizes = ((4, 6), (2, 4), (2, 2))
    features = tuple(
        torch.randn(2, c, *size, generator=generator, dtype=torch.float64)
        for c, size in zip(CHANNELS, sizes, strict=False)
    )
    labels = HALVES[:, None].repeat_interleave(8, 1).repeat_interleave(12, 2)
    return features, torch.zeros(2, CLASSES, 4, 6), labels, torch.arange(2)


def balanced_objective(**options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        # at the middle scale 4 pixels of a pair, at the coarsest 2: two views of each, everywhere
        return MultiScaleContrast(CHANNELS[:3], CLASSES, dim=8, min_pixels=1, **options).double()


def loop_embeddings(module, features):
    """For each scale its embeddings and classes, through torch's own batch normalisation."""
    scales = []
    for projector, feature in zip(module.projectors, features, strict=True):
        rows = feature.permute(0, 2, 3, 1).reshape(-1, feature.shape[1])
        norm = nn.BatchNorm1d(rows.shape[1]).double()
        hidden = norm(torch.relu(rows @ projector.first.weight.T))
        embedded = F.normalize(hidden @ projector.second.weight.T + projector.second.bias, dim=1).tolist()
        width = feature.shape[3]
        halves = [
            [int(HALVES[b, 2 * x // width])] for b in range(2) for _ in range(feature.shape[2]) for x in range(width)
        ]
        scales.append((embedded, [c for (c,) in halves]))
    return scales


def loop_loss(anchors, keys, itself):
    losses = []
    for i, (anchor, c) in enumerate(zip(*anchors, strict=True)):
        others = [(k, d) for j, (k, d) in enumerate(zip(*keys, strict=True)) if not (itself and i == j)]
        positives = [k for k, d in others if d == c]
        if positives:
            losses.append(loop_infonce(anchor, positives, [k for k, d in others if d != c], 0.1))
    return sum(losses) / len(losses)


def test_the_losses_equal_a_loop_over_all_pixels():
    features, logits, labels, index = balanced()
    module = balanced_objective(weight=0.3)
    out = module(features, logits, labels, index)
    scales = loop_embeddings(module, features)
    within = [loop_loss(scale, scale, True) for scale in scales]
    across = [loop_loss(scales[0], scale, False) for scale in scales[1:]]

    expected = 0.3 * (within[0] + 0.7 * within[1] + 0.4 * within[2])
    assert float(out["loss_multi_scale"].detach()) == pytest.approx(expected, rel=1e-9)
    assert float(out["loss_cross_scale"].detach()) == pytest.approx(0.3 * sum(across), rel=1e-9)
    assert float(out["contrast_anchors"]) == 48 + 16 + 8
    assert float(out["contrast_no_positive"]) == 0


def test_gradcheck():
    features, logits, labels, index = balanced()

    def total(*maps):
        out = balanced_objective(temperature=0.5)(maps, logits, labels, index)
        return out["loss_multi_scale"] + out["loss_cross_scale"]

    assert torch.autograd.gradcheck(total, [f.requires_grad_() for f in features], atol=1e-6, fast_mode=True)


def test_the_cross_scale_terms_join_the_finest_scale_and_the_two_coarsest():
    features, logits, labels, index = step_inputs(1)
    features = tuple(f.requires_grad_() for f in features)
    out = objective("multi_scale", scale_weights=[0, 0, 0, 0])(features, logits, labels, index)
    assert float(out["loss_multi_scale"].detach()) == 0
    out["loss_cross_scale"].backward()
    assert [bool(f.grad is not None and f.grad.abs().sum() > 0) for f in features] == [True, False, True, True]
    assert "loss_cross_scale" not in objective("multi_scale", cross_weight=0)(features, logits, labels, index)


def test_the_finest_scale_weighs_most():
    assert objective("multi_scale").scale_weights == (1.0, 0.7, 0.4, 0.1)
    assert balanced_objective().scale_weights == (1.0, 0.7, 0.4)


def sampled(labels, size=SIZES[0], **options):
    """How many anchors of each image and class are chosen, ``[B, C]``."""
    module = objective("multi_scale", **options)
    classes = classes_at(labels, size, CLASSES, 255).flatten(1)
    chosen = module._chosen(classes, torch.rand(classes.shape, generator=torch.Generator().manual_seed(0)))
    assert len(chosen.unique()) == len(chosen)
    images = chosen // classes.shape[1]
    assert (classes.flatten()[chosen] >= 0).all()
    return torch.bincount(images * CLASSES + classes.flatten()[chosen], minlength=len(labels) * CLASSES).view(
        -1, CLASSES
    )


def test_each_class_and_image_gives_as_many_as_the_scarcest():
    labels = torch.full((2, 8, 12), 255)
    labels[0, :3], labels[0, 3, :7], labels[0, 4, :2] = 0, 1, 3
    labels[1, :5], labels[1, 5, :9] = 1, 2
    plenty = {"max_views": 1000, "max_samples": 1000}
    assert sampled(labels, min_pixels=3, **plenty).tolist() == [[7, 7, 0, 0], [0, 7, 7, 0]]
    assert sampled(labels, min_pixels=2, **plenty).tolist() == [[2, 2, 0, 2], [0, 2, 2, 0]]
    assert sampled(labels, min_pixels=3, max_views=5, max_samples=1000).sum() == 4 * 5
    assert sampled(labels, min_pixels=3, max_views=1000, max_samples=15).sum() == 4 * 3
    assert sampled(torch.full_like(labels, 255)).sum() == 0


def test_who_is_drawn_depends_on_image_step_and_seed_alone():
    features, logits, labels, index = step_inputs(1)

    def value(order, steps=1, seed=0):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            module = MultiScaleContrast(CHANNELS, CLASSES, dim=8, min_pixels=2, max_views=2, seed=seed)
        for _ in range(steps):
            out = module(tuple(f[order] for f in features), logits[order], labels[order], index[order])
        return out["loss_multi_scale"].detach()

    same, turned = torch.arange(4), torch.tensor([2, 0, 3, 1])
    assert_close(value(turned), value(same))
    assert abs(float(value(same, steps=2) - value(same))) > 1e-4
    assert abs(float(value(same, seed=1) - value(same))) > 1e-4


@pytest.mark.parametrize("fill", [255, 1])
def test_all_void_or_one_class_gives_a_connected_zero(fill):
    features, logits, labels, index = step_inputs(0)
    module = objective("multi_scale")
    features = tuple(f.requires_grad_() for f in features)
    out = module(features, logits, torch.full_like(labels, fill), index)
    (out["loss_multi_scale"] + out["loss_cross_scale"]).backward()
    assert float(out["loss_multi_scale"].detach()) == float(out["loss_cross_scale"].detach()) == 0
    assert all(torch.isfinite(f.grad).all() for f in features)
    assert all(p.grad is not None for p in module.parameters())
    assert (float(out["contrast_anchors"]) == 0) == (fill == 255)


def test_anchors_without_a_positive_are_counted():
    features, logits, labels, index = step_inputs(0, batch=1)
    labels = torch.full_like(labels, 255)
    labels[:, :8, :8], labels[:, 24:, 40:] = 0, 1  # one pixel each at the middle scales, four at the finest
    out = objective("multi_scale", min_pixels=1, max_views=100, max_samples=1000)(features, logits, labels, index)
    assert float(out["contrast_anchors"]) == 2 * (4 + 1 + 1) + 1
    assert float(out["contrast_no_positive"]) == 2 * (1 + 1) + 1
    assert math.isfinite(float(out["loss_multi_scale"].detach()))


def test_autocast_keeps_the_losses_in_float32():
    features, logits, labels, index = step_inputs(1)
    outside = objective("multi_scale", temperature=0.01)(features, logits, labels, index)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = objective("multi_scale", temperature=0.01)(features, logits, labels, index)
    for name in ("loss_multi_scale", "loss_cross_scale"):
        assert inside[name].dtype == torch.float32
        assert_close(inside[name], outside[name], dtype=torch.bfloat16)


def test_two_ranks_are_one():
    """Caps are of the global batch: the released code drew 10,000 on each rank, of however many images."""
    choices = [{}, {"max_samples": 1000, "max_views": 1000}, {"cross_weight": 0.0}]
    ranks = run_ranks(2, train_each, "multi_scale", choices, 3)
    for one, *two in zip(train_each("multi_scale", choices, 3), *ranks, strict=True):
        assert one["grads"].abs().sum() > 0
        for result in two:
            assert_close(result["losses"], one["losses"])
            assert_close(result["grads"], one["grads"])
            assert result["counts"] == one["counts"]


@pytest.mark.parametrize(
    ("channels", "options", "message"),
    [
        ((4,), {}, "taps=\\[0,1,2,3\\]"),
        ((4,) * 5, {}, "set scale_weights"),
        ((4, 4), {"scale_weights": [1, 1, 1]}, "3 entries and there are 2 scales"),
        ((4, 4), {"temperature": 0}, "temperature is 0"),
        ((4, 4), {"temperature": "warm"}, "temperature is 'warm'"),
        ((4, 4), {"weight": -1}, "weight is -1; expected a number of 0 or more"),
        ((4, 4), {"scale_weights": [1, math.nan]}, r"scale_weights\[1\] is nan"),
        ((4, 4), {"max_views": 2.5}, "max_views is 2.5; expected a whole number"),
    ],
)
def test_bad_options_are_named(channels, options, message):
    with pytest.raises(InputError, match=message):
        MultiScaleContrast(channels, CLASSES, **options)
