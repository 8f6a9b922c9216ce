"""The embedding: its layers, the ball, what is trained, and a few steps of all parts together."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from triplet_problem import random_masks

from contrastbench.core.errors import InputError
from contrastbench.core.testing import assert_close
from contrastbench.longtail import RELEASED, Crops, MaskEmbedding, TripletLoss, TripletSampler, mask_intersections
from contrastbench.longtail.geometry import distance, expmap0


def encoder(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def embedding(seed: int = 0, **options: Any) -> MaskEmbedding:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return MaskEmbedding(encoder(), 6, **options)


def crops(count: int = 5) -> Tensor:
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("options", "widths"),
    [
        ({}, [6, 256, 64, 2]),
        (RELEASED["embedding"], [6, 256, 256]),
        ({"hidden": (256,), "ball_dim": 64}, [6, 256, 64]),
        ({"hidden": (), "ball_dim": 5}, [6, 5]),
    ],
)
@pytest.mark.parametrize("c", [1.0, 0.05, 4.0])
def test_layers_and_the_exponential_map(options: dict[str, Any], widths: list[int], c: float) -> None:
    module = embedding(**options, c=c)
    linear = [layer for layer in module.layers if isinstance(layer, nn.Linear)]
    assert [linear[0].in_features, *(layer.out_features for layer in linear)] == widths
    z = module(crops())
    assert z.shape == (5, widths[-1])
    assert z.dtype == torch.float64
    assert (z.norm(dim=1) < 1 / c**0.5).all()

    x = module.encoder(crops())
    for layer in linear[:-1]:
        x = layer(x).relu()
    v = linear[-1](x).double()
    length = v.norm(dim=1, keepdim=True)
    # A vector of length r goes to the distance 2 r from the origin.
    assert_close(z, v / length * (c**0.5 * length).tanh() / c**0.5, dtype=torch.float32)


def test_euclidean_space_takes_the_vectors_as_they_are() -> None:
    z = embedding(space="euclidean")(crops())
    assert z.dtype == torch.float64
    assert_close(embedding()(crops()), expmap0(z))


def test_the_released_weights_start_at_the_origin() -> None:
    module = embedding(**RELEASED["embedding"])
    weights = torch.cat([p.detach().flatten() for p in module.layers.parameters()])
    assert 0.9e-4 < float(weights.abs().max()) <= 1e-4
    assert abs(float(weights.mean())) < 1e-6
    with torch.no_grad():
        assert float(module(crops()).norm(dim=1).max()) < 0.01
        assert float(embedding()(crops()).norm(dim=1).max()) > 0.05


@pytest.mark.parametrize("freeze", [True, False])
def test_a_frozen_encoder_keeps_its_weights_and_follows_the_crops(freeze: bool) -> None:
    module = embedding(freeze_encoder=freeze)
    before = [p.clone() for p in module.encoder.parameters()]
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    module(crops()).square().sum().backward()
    optimizer.step()
    same = [torch.equal(a, b) for a, b in zip(before, module.encoder.parameters(), strict=True)]
    assert same == [freeze] * len(same)
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in list(module.layers.parameters())[-2:])
    assert float(module.encoder[1].num_batches_tracked) == 1
    with torch.no_grad():
        assert not module(crops()).requires_grad


def test_features_of_any_size_stay_in_the_ball_with_finite_gradients() -> None:
    module = embedding()
    for scale in (0.0, 1e-20, 1e4, 1e15):
        features = (torch.ones(3, 6) * scale).requires_grad_()
        module.encoder = nn.Identity()
        z = module(features)
        assert torch.isfinite(z).all()
        assert (z.norm(dim=1) <= 1 - 0.99e-5).all()
        distance(z, torch.zeros_like(z)).sum().backward()
        assert torch.isfinite(features.grad).all()
        assert all(torch.isfinite(p.grad).all() for p in module.layers.parameters())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_under_autocast_only_the_encoder_is_in_half_precision(dtype: torch.dtype) -> None:
    module = embedding()
    seen: list[torch.dtype] = []
    module.encoder.register_forward_hook(lambda _, __, out: seen.append(out.dtype))
    with torch.autocast("cpu", dtype=dtype):
        inside = module(crops())
    assert seen == [dtype]
    assert inside.dtype == torch.float64
    assert_close(inside, module(crops()), dtype=torch.bfloat16)


def test_no_crops() -> None:
    module = embedding().eval()
    z = module(crops(0))
    assert z.shape == (0, 2)
    z.sum().backward()
    assert all(p.grad is not None for p in module.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"space": "sphere"}, "unknown space 'sphere'"),
        ({"ball_dim": 0}, "ball_dim is 0"),
        ({"hidden": (256, 6.4)}, "hidden is 6.4"),
        ({"c": -1}, "c is -1"),
        ({"initial": 0}, "initial is 0"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        MaskEmbedding(encoder(), 6, **options)


@pytest.mark.parametrize("space", ["poincare", "euclidean"])
def test_all_parts_together_learn(space: str) -> None:
    """From proposals to losses, as a trainer puts them together; what is learnt is what was asked for."""
    masks = random_masks(12, 3, side=24)
    boxes = torch.tensor([[4.0, 4.0, 16.0, 14.0]]).expand(12, 4)
    picture = torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(0))
    parts = Crops(size=8).parts(picture, boxes, masks)
    pairs = [mask_intersections(masks)]
    module, sampler, loss = embedding(space=space), TripletSampler(), TripletLoss(space=space)
    optimizer = torch.optim.Adam(module.parameters(), lr=3e-3)
    values = []
    for step in range(60):
        drawn = sampler(pairs, [0], step)
        n, m = len(masks), len(drawn.mask)
        z = module(torch.cat([parts.foreground, parts.full[drawn.mask], parts.background[drawn.mask]]))
        out = loss(*z.split([n, m, m]), drawn)
        total = out["loss_mask"] + out["loss_object"] + out["loss_hierarchical"]
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        values.append(float(total.detach()))
    assert sum(values[-10:]) < 0.4 * sum(values[:10]), values
