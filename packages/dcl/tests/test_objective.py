"""The objective against loops over its pairs, at its limits, and over ranks."""

from __future__ import annotations

import math

import pytest
import torch
from dcl_problem import CHANNELS, SIDE, loop_loss, objective, step_inputs, train

from contrastbench.core.errors import InputError
from contrastbench.core.testing import assert_close, run_ranks
from contrastbench.dcl import PAPER, RELEASED, DenseContrast, dense_infonce

CHOICES = [{}, PAPER, RELEASED | {"max_rois": 5}, {"learnable": False}, {"reduction": "sum"}]


def names(choice: dict) -> str:
    return ",".join(f"{k}={v}" for k, v in choice.items()) or "defaults"


def loss(module: DenseContrast, features: torch.Tensor, step: int = 0, **replaced) -> torch.Tensor:
    _, masks, classes, images = step_inputs(step)
    return module(features, replaced.get("masks", masks), classes, replaced.get("images", images))["loss_dcl"]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
@pytest.mark.parametrize("choice", CHOICES, ids=names)
def test_loss_and_gradients_equal_a_loop_over_rois_and_pairs(choice, layout):
    module = objective(**choice, weight=0.7).double()
    features, masks, _, images = step_inputs()
    x = features.double().contiguous(memory_format=layout).requires_grad_()
    rois, pixels = module.sample(masks, images)

    # Every pixel projected before sampling, as the paper's figure has it: layers on pixels commute with choosing them.
    rows = x.permute(0, 2, 3, 1).reshape(len(x), SIDE * SIDE, CHANNELS)
    embeddings = module.projection(rows)
    chosen = torch.stack([torch.stack([embeddings[r, p] for p in sets]) for r, sets in zip(rois, pixels, strict=True)])
    sums = loop_loss(chosen, module.temperature)
    expected = 0.7 * (sums.sum() if module.reduction == "sum" else sums.mean() / 9)

    value = loss(module, x)
    inputs = [x, *module.projection.parameters()]
    assert_close(value, expected)
    grads = torch.autograd.grad(value, inputs)
    assert grads[0].is_contiguous(memory_format=layout)
    for a, b in zip(grads, torch.autograd.grad(expected, inputs), strict=True):
        assert_close(a, b)


@pytest.mark.parametrize("choice", CHOICES, ids=names)
def test_gradcheck(choice):
    features = step_inputs()[0].double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: loss(objective(**choice, temperature=0.5).double(), x), features, atol=1e-6, fast_mode=True
    )


def test_the_mean_is_over_pairs_and_then_over_valid_rois():
    """Discrepancy 1: with the sums of Eq. 3 and 4 the same weight would be K * K times the RoIs as strong."""
    features = step_inputs()[0]
    mean, total = loss(objective(), features), loss(objective(reduction="sum"), features)
    assert_close(total, mean * 9 * 10)


def test_counts_and_the_rois_without_enough_pixels():
    features, masks, classes, images = step_inputs()
    out = objective()(features, masks, classes, images)
    assert (float(out["dcl_rois"]), float(out["dcl_valid_rois"])) == (12, 10)
    # What is left out has no part in the loss, whatever it holds.
    features = features.clone()
    features[[0, 4]] = torch.nan
    assert torch.equal(objective()(features, masks, classes, images)["loss_dcl"], out["loss_dcl"])


@pytest.mark.parametrize(("strict", "valid"), [(False, [2, 3, 4]), (True, [3])])
def test_the_paper_takes_rois_with_exactly_k_pixels_and_the_released_code_does_not(strict, valid):
    """Discrepancy 2: |M_i| >= K in the paper, > K in the code; the same outside the mask."""
    k = 8
    areas = [0, k - 1, k, 18, 36 - k, 36 - k + 1, 36]
    masks = torch.stack([torch.arange(36).view(6, 6) < a for a in areas])
    chosen = objective(strict=strict, samples=k).sample(masks, torch.zeros(7, dtype=torch.int64))
    assert chosen.rois.tolist() == valid


def test_max_rois_are_drawn_from_all_and_not_the_first_ones():
    """Discrepancy 5: the released code keeps the first 100 in order, so that later RoIs are never trained on."""
    _, masks, _, images = step_inputs()
    module = objective(max_rois=5)
    seen: dict[int, int] = {}
    for step in range(300):
        module.step.fill_(step)
        rois = module.sample(masks, images).rois.tolist()
        assert len(rois) == 5
        for r in rois:
            seen[r] = seen.get(r, 0) + 1
    assert set(seen) == {1, 2, 3, 5, 6, 7, 8, 9, 10, 11}
    # 300 draws of 5 from 10: 150 each, standard deviation 8.7
    assert all(abs(count - 150) < 45 for count in seen.values()), seen
    assert len(objective(max_rois=50).sample(masks, images).rois) == 10


def test_a_cap_leaves_the_pixels_of_the_kept_rois_alone():
    _, masks, _, images = step_inputs()
    everyone, some = objective().sample(masks, images), objective(max_rois=4).sample(masks, images)
    places = [everyone.rois.tolist().index(r) for r in some.rois.tolist()]
    assert torch.equal(everyone.pixels[places], some.pixels)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("choice", [{}, {"learnable": False}], ids=names)
def test_negatives_far_nearer_than_the_positives_stay_finite_in_half_precision(dtype, choice):
    """The released code subtracts the largest positive only: e^(2 / tau) overflows half precision, at tau 0.01 any."""
    features, masks, classes, images = step_inputs()
    # The anchors' own direction outside the mask, opposite directions inside: every negative beats every positive.
    direction = torch.ones(CHANNELS)
    flipped = torch.rand(masks.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    sign = torch.where(masks & flipped, -1.0, 1.0)
    x = (sign[:, None] * direction[:, None, None] * 200 + features).to(dtype).requires_grad_()
    module = objective(temperature=0.01, **choice)
    with torch.autocast("cpu", dtype=dtype):
        inside = module(x, masks, classes, images)["loss_dcl"]
    inside.backward()
    assert inside.dtype == torch.float32
    assert torch.isfinite(inside)
    assert float(inside.detach()) > 20
    assert torch.isfinite(x.grad).all()
    # To the bit what it is without autocast: only the features were rounded, before they came.
    assert torch.equal(objective(temperature=0.01, **choice)(x, masks, classes, images)["loss_dcl"], inside)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_module_in_half_precision_still_compares_in_float32(dtype):
    features = step_inputs()[0].to(dtype)
    value = loss(objective().to(dtype), features)
    assert value.dtype == torch.float32
    assert_close(value, loss(objective(), features.float()), dtype=torch.bfloat16)


@pytest.mark.parametrize("temperature", [0.01, 0.07])
def test_negatives_alike_and_positives_opposite_give_the_closed_form(temperature):
    anchors = torch.rand(2, 4, 1, generator=torch.Generator().manual_seed(0)) * torch.ones(8)
    value = dense_infonce(anchors, -anchors, anchors, temperature)
    assert_close(value, torch.full((2,), 2 / temperature + math.log(4)))
    assert_close(dense_infonce(anchors.half(), -anchors.half(), anchors.half(), temperature), value)


def test_pixels_without_any_activation_have_no_gradient():
    # What a ReLU leaves may be zero in all channels; a plain division would make its gradient 1e12 times too large.
    features = torch.zeros_like(step_inputs()[0]).requires_grad_()
    value = loss(objective(learnable=False), features)
    value.backward()
    assert float(value.detach()) == pytest.approx(1.2 * math.log(1 + 3), rel=1e-6)
    assert features.grad.abs().max() == 0


@pytest.mark.parametrize("choice", CHOICES, ids=names)
@pytest.mark.parametrize("case", ["no roi", "no valid roi"])
def test_without_a_valid_roi_the_loss_is_a_zero_connected_to_everything(choice, case):
    features, masks, classes, images = step_inputs(rois=0 if case == "no roi" else 12)
    x = features.requires_grad_()
    module = objective(**choice)
    out = module(x, torch.zeros_like(masks), classes, images)
    out["loss_dcl"].backward()
    assert float(out["loss_dcl"].detach()) == 0
    assert float(out["dcl_valid_rois"]) == 0
    assert float(out["dcl_rois"]) == len(masks)
    assert x.grad is not None
    assert not x.grad.any()
    # Data-parallel training waits for every parameter's gradient.
    assert all(p.grad is not None and not p.grad.any() for p in module.projection.parameters())


def test_an_infinite_feature_outside_the_loss_does_not_reach_it():
    """A zero made as 0 x sum(features) is nan where the sum overflows."""
    features, masks, *rest = step_inputs()
    out = objective()(torch.full_like(features, 1e38), torch.zeros_like(masks), *rest)
    assert float(out["loss_dcl"].detach()) == 0


def test_only_what_is_sampled_is_projected():
    module = objective()
    seen = []
    module.projection.layers[0].register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape))
    loss(module, step_inputs()[0])
    assert seen == [(10, 3, 3, CHANNELS)]


def test_a_saved_state_goes_on_as_if_undisturbed():
    first, second = objective(), objective(seed=1)
    for step in range(4):
        if step == 2:
            second.load_state_dict(first.state_dict())
        features = step_inputs(step)[0]
        assert torch.equal(loss(first, features, step), loss(second, features, step)) == (step >= 2)


def test_steps_seeds_and_images_draw_differently_and_reproducibly():
    _, masks, _, images = step_inputs()
    module = objective()
    first = module.sample(masks, images)
    assert torch.equal(first.pixels, module.sample(masks, images).pixels)
    module.step += 1
    assert not torch.equal(first.pixels, module.sample(masks, images).pixels)
    other = DenseContrast(CHANNELS, seed=1, samples=3)
    assert not torch.equal(first.pixels, other.sample(masks, images).pixels)
    same_image = (torch.arange(36).view(6, 6) < 18).expand(6, -1, -1)
    pixels = objective().sample(same_image, torch.arange(6) // 3).pixels.tolist()
    assert len({str(p) for p in pixels}) == 6


@pytest.mark.parametrize("choice", [*CHOICES, {"max_rois": 1}], ids=names)
def test_two_ranks_are_one(choice):
    """Same loss, counts and gradient as one rank with the joint batch, whose images the ranks share unevenly."""
    one = train(choice, 3)
    two = run_ranks(2, train, choice, 3)
    for part in two:
        assert torch.equal(part["counts"], one["counts"])
        for name in ("losses", "features", "weights"):
            assert_close(part[name], one[name])


@pytest.mark.parametrize("choice", [{}, {"max_rois": 4}], ids=names)
def test_a_rank_without_rois_takes_part(choice):
    one = train(choice, 2)
    two = run_ranks(2, train, choice, 2, 12)
    for part in two:
        assert torch.equal(part["counts"], one["counts"])
        for name in ("losses", "features", "weights"):
            assert_close(part[name], one[name])


def test_the_papers_sizes():
    module = DenseContrast(256, 80)
    assert (module.samples, module.temperature, module.weight, module.max_rois) == (32, 0.07, 1.2, None)
    shapes = {name: tuple(p.shape) for name, p in module.projection.named_parameters()}
    assert shapes == {
        "layers.0.weight": (256, 256),
        "layers.0.bias": (256,),
        "layers.2.weight": (256, 256),
        "layers.2.bias": (256,),
    }


def test_the_loss_falls_when_a_network_may_follow_it():
    features = step_inputs()[0].clone().requires_grad_()
    module = objective(weight=1)
    optimizer = torch.optim.Adam([features, *module.parameters()], lr=0.05)
    values = []
    for _ in range(60):
        optimizer.zero_grad()
        value = loss(module, features)
        value.backward()
        optimizer.step()
        values.append(float(value.detach()))
    assert values[-1] < 0.3 * values[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduction": "sums"}, "did you mean 'sum'"),
        ({"temperature": 0.0}, "temperature is 0.0; expected a number above 0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"weight": -1}, "weight is -1; expected a number of 0 or more"),
        ({"samples": 0}, "samples is 0; expected a whole number above 0"),
        ({"samples": 2.5}, "samples is 2.5"),
        ({"max_rois": 0}, "max_rois is 0"),
        ({"dim": True}, "dim is True"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(InputError, match=message):
        objective(**options)


def test_inputs_that_do_not_fit_are_named():
    features, masks, classes, images = step_inputs()
    module = objective()
    with pytest.raises(InputError, match=r"in_channels says \[N, 5, S, S\]"):
        module(features[:, :4], masks, classes, images)
    with pytest.raises(InputError, match="at the features' resolution"):
        module(features, masks[:, :4], classes, images)
    with pytest.raises(InputError, match="at the features' resolution"):
        module(features, masks, classes, images[:3])
    with pytest.raises(InputError, match="expected torch"):
        module(features, masks.float(), classes, images)
    with pytest.raises(InputError, match="samples is 32, but a RoI of 36 pixels"):
        objective(samples=32)(features, masks, classes, images)
