import math

import pytest
import torch
from contextrast_problem import CHANNELS, CLASSES, SIZES, objective, step_inputs, train, train_each
from torch.nn import functional as F

from contrastbench.contextrast import Contextrast
from contrastbench.contextrast.loss import pixel_anchor_loss
from contrastbench.core.errors import InputError
from contrastbench.core.testing import assert_close, run_ranks

CHOICES = [
    {},
    {"sampling": "semi_hard"},
    {"sampling": "random"},
    {"errors": "confused"},
    {"errors": "literal"},
    {"percent": 0},
    {"percent": 100},
    {"detach_top": False},
    {"high_weight": 0.0},
    {"high_weight": 1.0},
    {"batch_norm": True},
    {"negatives": 3, "minimum": 0},
]


def names(choice: dict) -> str:
    return ",".join(f"{k}={v}" for k, v in choice.items()) or "paper"


def near(labels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """The truth at a layer's stride: the first pixel of each cell."""
    stride = labels.shape[1] // size[0]
    return labels[:, ::stride, ::stride]


@pytest.mark.parametrize("detach_top", [True, False])
def test_the_loss_equals_a_loop_over_all_pixels(detach_top):
    """Every error is a negative and every pixel a positive: then nothing is left to chance (Eq. 1 and 3 to 7)."""
    module = objective(
        percent=100, positives=10_000, negatives=10_000, minimum=0, weight=0.5, detach_top=detach_top
    ).double()
    features, logits, labels, index = step_inputs(0)
    out = module(tuple(f.double() for f in features), logits.double(), labels, index)

    layers = []  # for each layer its pixels: class, predicted, embedding
    for feature, size, projector in zip(features, SIZES, module.projectors, strict=True):
        embedded = projector(feature.double().permute(0, 2, 3, 1).reshape(-1, feature.shape[1])).tolist()
        truth, predicted = near(labels, size).flatten().tolist(), near(logits.argmax(1), size).flatten().tolist()
        layers.append([p for p in zip(truth, predicted, embedded, strict=True) if p[0] != 255])

    def mean(vectors: list[list[float]]) -> list[float]:
        return [sum(column) / len(vectors) for column in zip(*vectors, strict=True)]

    def dot(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True))

    means = [{n: mean([v for g, _, v in layer if g == n]) for n in {g for g, _, _ in layer}} for layer in layers]
    assert 3 in means[0]
    assert 3 not in means[2]
    assert 4 not in means[0]
    total, anchors, pairs = 0.0, 0, 0
    for i, (layer, share) in enumerate(zip(layers, (0.1, 0.4, 1.0), strict=True)):
        losses = []
        for n, own in means[i].items():
            top = means[-1].get(n)
            anchor = own if top is None or i == 2 else [0.3 * a + 0.7 * b for a, b in zip(own, top, strict=True)]
            length = math.sqrt(dot(anchor, anchor))
            anchor = [a / length for a in anchor]
            negatives = [v for g, p, v in layer if g != n and p != g]
            below = sum(math.exp(dot(anchor, v) / 0.1) for v in negatives)
            terms = [math.log1p(below / math.exp(dot(anchor, v) / 0.1)) for g, _, v in layer if g == n]
            losses.append(sum(terms) / len(terms))
            pairs += len(negatives)
        anchors += len(losses)
        total += share * sum(losses) / len(losses)
    assert float(out["loss_contextrast"].detach()) == pytest.approx(0.5 * total, rel=1e-9)
    assert int(out["contextrast_anchors"]) == anchors
    assert int(out["contextrast_error_negatives"]) == pairs
    assert int(out["contextrast_random_negatives"]) == 0


@pytest.mark.parametrize("choice", CHOICES, ids=names)
def test_gradcheck(choice):
    features, logits, labels, index = step_inputs(0, batch=2)

    def loss(*x: torch.Tensor) -> torch.Tensor:
        return objective(temperature=0.5, **(choice | {"detach_top": False})).double()(
            x, logits.double(), labels, index
        )["loss_contextrast"]

    doubles = tuple(f.double().requires_grad_() for f in features)
    assert torch.autograd.gradcheck(loss, doubles, atol=1e-6, fast_mode=True)


@pytest.mark.parametrize("choice", CHOICES, ids=names)
def test_every_choice_trains_and_is_finite(choice):
    for temperature in (0.01, 1.0):
        result = train(choice | {"temperature": temperature}, 3)
        assert torch.isfinite(result["losses"]).all()
        assert torch.isfinite(result["grads"]).all()
        assert (result["inputs"].abs().sum(2) > 0).all()


@pytest.mark.parametrize("choice", CHOICES, ids=names)
def test_all_ignored_or_one_class_gives_a_connected_finite_loss(choice):
    features, logits, labels, index = step_inputs(0)
    for fill in (255, 1):
        module = objective(**choice)
        x = tuple(f.clone().requires_grad_() for f in features)
        out = module(x, logits, torch.full_like(labels, fill), index)
        out["loss_contextrast"].backward()
        if fill == 255 or choice.get("errors") != "literal":
            assert float(out["loss_contextrast"].detach()) == 0
        assert int(out["contextrast_anchors"]) == (0 if fill == 255 else 3)
        assert all(torch.isfinite(f.grad).all() for f in x)
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in module.parameters())


def negatives_of(module: Contextrast, labels: torch.Tensor, logits: torch.Tensor) -> dict[int, set[int]]:
    """The pixels each class's anchor is pushed from at stride 4, whatever its place in the batch."""
    truth = torch.where(near(labels, SIZES[0]) == 255, -1, near(labels, SIZES[0]))
    ties, draws = torch.rand(2, *truth.shape, generator=torch.Generator().manual_seed(0))
    anchors = truth[truth >= 0].unique()
    found = module.choose_negatives(truth, logits.argmax(1), ties, draws, anchors)
    return {int(c): set(found.pixels[row].tolist()) for c, row in zip(anchors, found.against, strict=True)}


def test_k_of_zero_is_contextual_contrastive_learning_alone():
    features, logits, labels, index = step_inputs(0)
    outputs = [
        objective(**choice)(features, logits, labels, index)
        for choice in ({"percent": 0}, {"sampling": "random"}, {"sampling": "semi_hard", "percent": 0})
    ]
    for out in outputs:
        assert torch.equal(out["loss_contextrast"], outputs[0]["loss_contextrast"])
        assert int(out["contextrast_error_negatives"]) == 0
        assert int(out["contextrast_random_negatives"]) > 0
    _, logits, labels, _ = step_inputs(0)
    assert all(len(row) == 20 for row in negatives_of(objective(percent=0), labels, logits).values())


def test_k_of_a_hundred_is_all_errors_however_they_are_sampled():
    _, logits, labels, _ = step_inputs(0)
    truth, predicted = near(labels, SIZES[0]).flatten(), logits.argmax(1).flatten()
    for sampling in ("bane", "semi_hard"):
        module = objective(sampling=sampling, percent=100, negatives=10_000, minimum=0)
        for c, row in negatives_of(module, labels, logits).items():
            errors = (truth != predicted) & (truth != 255) & (truth != c)
            assert row == set(torch.nonzero(errors).flatten().tolist())


def test_semi_hard_takes_as_many_errors_elsewhere():
    """A block of 5 x 5 errors with an edge of 16: half of them, at the edge or anywhere."""
    truth = torch.zeros(1, 32, 48, dtype=torch.int64)
    truth[:, :, 32:] = 1
    logits = F.one_hot(truth[:, ::4, ::4], CLASSES).permute(0, 3, 1, 2).float()
    logits[0, 2, 1:6, 1:6] = 2
    block = [(y, x) for y in range(1, 6) for x in range(1, 6)]
    edge = {12 * y + x for y, x in block if y in (1, 5) or x in (1, 5)}
    for sampling, inside in (("bane", False), ("semi_hard", True)):
        module = objective(sampling=sampling, percent=50, negatives=10_000, minimum=0)
        row = negatives_of(module, truth, logits)[1]
        assert len(row) == 13
        assert row <= {12 * y + x for y, x in block}
        assert bool(row - edge) == inside


def test_what_is_ignored_never_enters():
    """Poison the ignored pixels of every layer: nothing may change."""
    features, logits, labels, index = step_inputs(0)
    # without batch normalisation, whose statistics are of all pixels, as those of the network's own are
    for choice in ({}, {"sampling": "random"}, {"errors": "literal"}):
        clean = objective(batch_norm=False, **choice)(features, logits, labels, index)["loss_contextrast"]
        poisoned = tuple(
            torch.where((near(labels, size) == 255)[:, None], 1e4 * torch.randn_like(f), f)
            for f, size in zip(features, SIZES, strict=True)
        )
        x = tuple(f.requires_grad_() for f in poisoned)
        loss = objective(batch_norm=False, **choice)(x, logits, labels, index)["loss_contextrast"]
        assert_close(loss, clean)
        loss.backward()
        for f, size in zip(x, SIZES, strict=True):
            assert not f.grad.permute(0, 2, 3, 1)[near(labels, size) == 255].any()


@pytest.mark.parametrize(("errors", "own"), [("literal", True), ("union", False), ("confused", False)])
def test_eq_6_as_printed_pushes_pixels_from_their_own_anchor(errors, own):
    """Section 3.3 wants erroneous pixels "close to the anchor of the true class"; Eq. 6 as printed does the reverse."""
    truth = torch.zeros(1, *SIZES[0], dtype=torch.int64)
    truth[:, :, 6:] = 1
    predicted = truth.clone()
    predicted[:, 2:5, 2:5] = 1  # a part of class 0 that is taken for 1
    module = objective(errors=errors, percent=100, negatives=10_000, minimum=0)
    found = module.choose_negatives(truth, predicted, *torch.rand(2, *truth.shape), torch.tensor([0, 1]))
    assert found.against.sum(1).tolist() == ([9, 0] if own else [0, 9])
    generator = torch.Generator().manual_seed(0)
    pixels = F.normalize(torch.randn(9, 4, generator=generator), dim=1).requires_grad_()
    anchors, positives = torch.eye(2, 4), F.normalize(torch.randn(2, 4, generator=generator), dim=1)
    loss = pixel_anchor_loss(anchors, positives, torch.tensor([0, 1]), pixels, found.against, 0.1)
    (grad,) = torch.autograd.grad(loss.sum(), pixels)
    # what a step against the gradient does to each pixel's similarity with the anchors of classes 0 and 1
    change = -grad @ anchors.T
    assert bool((change[:, 0] < 0).all()) == own
    assert bool((change[:, 1] < 0).all()) != own


def test_the_last_layer_is_the_last_tapped_and_lower_ones_meet_its_anchors():
    features, logits, labels, index = step_inputs(0)
    for weights, expected in (((1.0, 0.0, 0.0), False), ((0.0, 0.0, 1.0), True)):
        x = tuple(f.clone().requires_grad_() for f in features)
        objective(layer_weights=weights)(x, logits, labels, index)["loss_contextrast"].backward()
        assert bool(x[2].grad.any()) == expected  # detached where it is mixed in
        assert bool(x[0].grad.any()) != expected
    modules = [objective(layer_weights=(1.0, 0, 0), high_weight=high) for high in (0.0, 0.7)]
    alone, mixed = (module(features, logits, labels, index)["loss_contextrast"] for module in modules)
    assert not torch.equal(alone, mixed)


def test_logits_of_another_stride_are_brought_to_every_layer():
    features, logits, labels, index = step_inputs(0)
    whole = F.interpolate(logits, scale_factor=4, mode="nearest")
    a, b = (objective()(features, x, labels, index)["loss_contextrast"] for x in (logits, whole))
    assert torch.equal(a, b)
    coarse = objective()(features, logits[..., ::4, ::4], labels, index)["loss_contextrast"]  # coarser than two layers
    assert torch.isfinite(coarse)


def test_no_gradient_reaches_the_logits():
    features, logits, labels, index = step_inputs(0)
    logits.requires_grad_()
    x = tuple(f.requires_grad_() for f in features)
    objective()(x, logits, labels, index)["loss_contextrast"].backward()
    assert logits.grad is None


class FirstChannels(torch.nn.Module):
    """Embeddings that autocast does not touch."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows[:, :5]


def test_autocast_keeps_anchors_and_loss_in_float32():
    # The same embeddings with and without autocast: then everything behind them must be equal to the bit.
    features, logits, labels, index = step_inputs(0)
    features = tuple(F.normalize(f, dim=1) for f in features)
    modules = objective(temperature=0.01), objective(temperature=0.01)
    for module in modules:
        for projector in module.projectors:
            projector.layers = FirstChannels()
    outside = modules[0](features, logits, labels, index)["loss_contextrast"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = modules[1](features, logits, labels, index)["loss_contextrast"]
    assert inside.dtype == torch.float32
    assert torch.equal(inside, outside)


RANK_CHOICES = [
    {},
    {"detach_top": False},
    {"sampling": "random"},
    {"errors": "confused"},
    {"positives": 2, "negatives": 3, "minimum": 1},
]


@pytest.fixture(scope="module")
def two_ranks() -> list[list[dict]]:
    return run_ranks(2, train_each, RANK_CHOICES, 3)


@pytest.mark.parametrize("case", range(len(RANK_CHOICES)), ids=[names(c) for c in RANK_CHOICES])
def test_two_ranks_are_one(case, two_ranks):
    """The same anchors, samples, loss and gradients as one rank with the joint batch; class 3 is on one rank alone."""
    one, two = train(RANK_CHOICES[case], 3), [results[case] for results in two_ranks]
    assert torch.equal(two[0]["losses"], two[1]["losses"])
    assert_close(two[0]["losses"], one["losses"])
    for r in range(2):
        assert torch.equal(two[r]["counts"], one["counts"])
        torch.testing.assert_close(two[r]["grads"], one["grads"], rtol=1e-5, atol=1e-6)
    together = torch.cat([two[0]["inputs"], two[1]["inputs"]], 1)
    torch.testing.assert_close(together, one["inputs"], rtol=1e-4, atol=1e-7)


def test_the_same_seed_and_step_give_the_same_loss_and_others_another():
    features, logits, labels, index = step_inputs(0)

    def value(module: Contextrast) -> float:
        return float(module(features, logits, labels, index)["loss_contextrast"].detach())

    first, second, third = objective(), objective(), objective()
    third.seed = 1
    assert value(first) == value(second)
    assert value(first) == value(second)  # and the step is counted on
    assert value(objective()) != value(first)
    assert value(third) != value(objective())
    resumed = objective(seed=5)
    resumed.load_state_dict(first.state_dict())
    assert int(resumed.step) == 3
    assert value(resumed) == value(first)


def test_the_papers_numbers():
    module = Contextrast((48, 96, 192, 384), 19)
    assert module.layer_weights == (0.1, 0.4, 0.7, 1.0)  # lambda_{4 -> 1} = 1.0, 0.7, 0.4, 0.1
    assert (module.weight, module.high_weight, module.percent) == (0.1, 0.7, 50)
    assert [tuple(p.layers[-1].weight.shape) for p in module.projectors] == [(256, c) for c in (48, 96, 192, 384)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampling": "semihard"}, "did you mean 'semi_hard'"),
        ({"errors": "litteral"}, "did you mean 'literal'"),
        ({"layer_weights": (1.0, 0.7)}, "layer_weights has 2 numbers and 3 layers are tapped"),
        ({"layer_weights": (1.0, 0.7, -1)}, r"layer_weights\[2\] is -1; expected a number of 0 or more"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"high_weight": 1.5}, "high_weight is 1.5; expected a number from 0 to 1"),
        ({"percent": 101}, "percent is 101; expected a number from 0 to 100"),
        ({"positives": 0}, "positives is 0; expected a whole number of 1 or more"),
        ({"negatives": 2.5}, "negatives is 2.5"),
        ({"minimum": 21}, "minimum is 21; expected a whole number from 0 to 20"),
        ({"weight": "much"}, "weight is 'much'"),
    ],
)
def test_bad_choices_are_named(options, message):
    with pytest.raises(InputError, match=message):
        objective(**options)


def test_another_number_of_feature_maps_is_named():
    features, logits, labels, index = step_inputs(0)
    with pytest.raises(InputError, match="1 feature maps came in; in_channels named 3"):
        objective()(features[:1], logits, labels, index)


def test_every_layer_has_its_own_projector():
    module = objective()
    assert [p.layers[0].in_features for p in module.projectors] == list(CHANNELS)
    assert module.num_classes == CLASSES
