import pytest
import torch
from pixel_contrast_problem import CHANNELS, CLASSES, IMAGES, objective, step_inputs, train

from contrastbench.core.errors import InputError
from contrastbench.core.testing import assert_close, loop_infonce, run_ranks
from contrastbench.pixel_contrast import RELEASED, PixelContrast

CHOICES = [
    {},
    {"memory": "pixel"},
    {"memory": "region"},
    {"memory": "none"},
    {"contrast": "intra", "memory": "none"},
    {"anchors": "random", "pairs": "random"},
    {"pairs": "hardest"},
    {"pairs": "all"},
    RELEASED | {"warmup": 0, "max_views": 3},
]


def names(choice: dict) -> str:
    return ",".join(f"{k}={v}" for k, v in choice.items()) or "paper"


@pytest.mark.parametrize("contrast", ["inter", "intra"])
def test_the_loss_equals_a_loop_over_all_pixels(contrast):
    module = objective(
        contrast=contrast, memory="none", anchors="random", pairs="all", anchors_per_class=1000, weight=0.7
    ).double()
    features, logits, labels, index = step_inputs(0)
    features, logits = features.double(), logits.double()
    value = module((features,), logits, labels, index)["loss_contrast"]

    embeddings = module.projection(features.permute(0, 2, 3, 1).reshape(-1, CHANNELS)).tolist()
    pixels = [
        (b, int(labels[b, 4 * y, 4 * x]), embeddings[(b * 6 + y) * 8 + x])
        for b in range(4)
        for y in range(6)
        for x in range(8)
    ]
    pixels = [p for p in pixels if p[1] != 255]
    losses = []
    for i, (image, c, anchor) in enumerate(pixels):
        others = [p for j, p in enumerate(pixels) if j != i and (contrast == "inter" or p[0] == image)]
        positives = [p[2] for p in others if p[1] == c]
        if positives:
            losses.append(loop_infonce(anchor, positives, [p[2] for p in others if p[1] != c], 0.1))
    assert float(value.detach()) == pytest.approx(0.7 * sum(losses) / len(losses), rel=1e-9)


@pytest.mark.parametrize("memory", ["none", "both"])
@pytest.mark.parametrize("pairs", ["all", "semi_hard"])
def test_gradcheck(memory, pairs):
    features, logits, labels, index = step_inputs(0, batch=2)

    def loss(x: torch.Tensor) -> torch.Tensor:
        module = objective(memory=memory, pairs=pairs, temperature=0.5).double()
        for step in (1, 2):  # something in the memory
            module((step_inputs(step)[0].double(),), *step_inputs(step)[1:])
        return module((x,), logits.double(), labels, index)["loss_contrast"]

    assert torch.autograd.gradcheck(loss, features.double().requires_grad_(), atol=1e-6, fast_mode=True)


@pytest.mark.parametrize("choice", CHOICES, ids=names)
def test_every_choice_trains_and_is_finite(choice):
    for temperature in (0.01, 1.0):
        result = train(choice | {"temperature": temperature}, 4)
        assert torch.isfinite(result["losses"]).all()
        assert torch.isfinite(result["grads"]).all()
        assert result["grads"].abs().sum() > 0


@pytest.mark.parametrize("choice", CHOICES, ids=names)
def test_all_ignored_or_one_class_gives_a_connected_finite_loss(choice):
    features, logits, labels, index = step_inputs(0)
    for fill in (255, 1):
        module = objective(**choice)
        x = features.clone().requires_grad_()
        out = module((x,), logits, torch.full_like(labels, fill), index)
        out["loss_contrast"].backward()
        assert float(out["loss_contrast"].detach()) == 0
        assert torch.isfinite(x.grad).all()
        assert all(p.grad is not None for p in module.projection.parameters())


def test_no_hard_anchor_falls_back_to_random_ones():
    features, _, labels, index = step_inputs(0)
    near = labels[:, ::4, ::4].clamp_max(CLASSES)
    right = torch.nn.functional.one_hot(near, CLASSES + 1)[..., :CLASSES].permute(0, 3, 1, 2).float()
    out = objective()((features,), right, labels, index)
    assert float(out["contrast_anchors"]) == 18  # three classes there, six anchors each
    assert float(out["loss_contrast"].detach()) > 0


def test_autocast_keeps_loss_choice_and_memory_in_float32():
    # The same embeddings with and without autocast: then everything behind them must be equal to the bit.
    features, logits, labels, index = step_inputs(0)
    modules = objective(temperature=0.01), objective(temperature=0.01)
    for module in modules:
        module.projection.layers = torch.nn.Identity()
        module.queue = type(module.queue)(CLASSES, 10, CHANNELS)
        module.regions = type(module.regions)(CLASSES, IMAGES, CHANNELS)
    for _ in range(2):
        outside = modules[0]((features,), logits, labels, index)["loss_contrast"]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            inside = modules[1]((features,), logits, labels, index)["loss_contrast"]
        assert inside.dtype == torch.float32
        assert torch.isfinite(inside)
        assert torch.equal(inside, outside)
    for a, b in zip(modules[0].buffers(), modules[1].buffers(), strict=True):
        assert torch.equal(a, b)


def test_warm_up_computes_nothing_and_fills_the_memory():
    # The released code multiplied by zero, so that a nan reached the weights all the same.
    module = objective(warmup=2)
    for step in range(3):
        features, logits, labels, index = step_inputs(step)
        out = module((features,), logits, labels, index)
        assert (float(out["contrast_anchors"]) == 0) == (step < 2)
        assert (float(out["loss_contrast"].detach()) == 0) == (step < 2)
    assert module.queue.count[0] > 0
    broken = objective(warmup=2, memory="none")
    features, logits, labels, index = step_inputs(0)
    assert float(broken((features * torch.nan,), logits, labels, index)["loss_contrast"].detach()) == 0


def test_the_base_temperature_scales_the_loss():
    inputs = step_inputs(0)
    plain = objective()((inputs[0],), *inputs[1:])["loss_contrast"]
    scaled = objective(base_temperature=0.07)((inputs[0],), *inputs[1:])["loss_contrast"]
    assert_close(scaled, plain * (0.1 / 0.07))


def test_inter_image_contrast_meets_other_images_and_intra_does_not():
    features, logits, labels, index = step_inputs(0)
    for contrast, touched in (("intra", False), ("inter", True)):
        x = features.clone().requires_grad_()
        module = objective(contrast=contrast, memory="none", pairs="all")
        only_last = labels.clone()
        only_last[:-1][only_last[:-1] != 0] = 255  # others hold class 0 alone: nothing to contrast within
        module((x,), logits, only_last, index)["loss_contrast"].backward()
        assert bool(x.grad[:-1].abs().sum() > 0) == touched


def test_the_papers_sizes():
    module = PixelContrast((720,), 19, 40)
    assert module.queue.keys.shape == (19, 400, 256)  # |C| x T, T = 10 N
    assert module.regions.keys.shape == (19, 40, 256)  # |C| x N
    assert (module.positives, module.negatives, module.pixels_per_image) == (1024, 2048, 10)
    assert (module.temperature, module.weight, module.anchor_sampler.per_class) == (0.1, 1.0, 50)


def test_a_saved_state_goes_on_as_if_undisturbed():
    first, second = objective(), objective(seed=1)
    for step in range(4):
        if step == 2:
            second.load_state_dict(first.state_dict())
        features, logits, labels, index = step_inputs(step)
        a = first((features,), logits, labels, index)["loss_contrast"]
        b = second((features,), logits, labels, index)["loss_contrast"]
        assert torch.equal(a, b) == (step >= 2)
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory": "pixels"}, "did you mean 'pixel'"),
        ({"pairs": "semihard"}, "did you mean 'semi_hard'"),
        ({"contrast": "intra"}, "set memory='none'"),
        ({"temperature": 0.0}, "temperature is 0.0; expected a number above 0"),
        ({"temperature": "abc"}, "temperature is 'abc'"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"weight": -1}, "weight is -1; expected a number of 0 or more"),
        ({"positives": 0}, "positives is 0; expected a whole number above 0"),
        ({"queue_length": 2.5}, "queue_length is 2.5"),
        ({"warmup": -1}, "warmup is -1; expected a whole number of 0 or more"),
    ],
)
def test_bad_choices_are_named(options, message):
    with pytest.raises(InputError, match=message):
        objective(**options)


@pytest.mark.parametrize(
    "choice",
    [
        {},
        {"memory": "none"},
        {"pairs": "all"},
        {"pairs": "random", "anchors": "random"},
        CHOICES[-1],
        {"memory": "none", "anchors_per_class": 1},  # without a positive, on either rank
    ],
    ids=names,
)
def test_two_ranks_are_one(choice):
    """Bank, loss, counts and gradient of one rank with the joint batch. Issue 2.2.8: each rank overwrote the others."""
    one = train(choice, 4)
    two = run_ranks(2, train, choice, 4)
    assert torch.equal(two[0]["losses"], two[1]["losses"])
    assert (two[0]["losses"] - one["losses"]).abs().max() < 1e-5
    assert_close(two[0]["grads"], one["grads"])
    assert two[0]["counts"] == two[1]["counts"] == one["counts"]
    for name, tensor in one["state"].items():
        for r in range(2):
            torch.testing.assert_close(two[r]["state"][name], tensor, msg=lambda m, name=name: f"{name}: {m}")


def test_images_are_told_apart_by_index_alone():
    # a batch is drawn with the same index twice at the seam of two epochs
    features, logits, labels, _ = step_inputs(0)
    module = objective()
    module((features,), logits, labels, torch.tensor([1, 1, 0, IMAGES - 1]))
    assert module.regions.held.any(0).tolist() == [True, True, False, False, False, True]
