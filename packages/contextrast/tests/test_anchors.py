import pytest
import torch
from torch.nn import functional as F

from contrastbench.contextrast.anchors import ClassMeans, class_means, mix_anchors
from contrastbench.contextrast.projection import Projector
from contrastbench.core.testing import assert_close


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def brute_force(embeddings: torch.Tensor, classes: torch.Tensor, num_classes: int) -> list[torch.Tensor | None]:
    out: list[torch.Tensor | None] = []
    for n in range(num_classes):
        members = [v for v, g in zip(embeddings, classes.tolist(), strict=True) if g == n]
        out.append(sum(members) / len(members) if members else None)
    return out


def test_means_equal_a_loop_with_classes_that_are_not_there(generator):
    embeddings = F.normalize(torch.randn(30, 6, generator=generator, dtype=torch.float64), dim=1).requires_grad_()
    classes = torch.randint(-1, 4, (30,), generator=generator)
    classes[classes == 2] = 0  # class 2 is nowhere, -1 counts for nothing, 4 never was
    found = class_means(embeddings, classes, 5)
    expected = brute_force(embeddings, classes, 5)
    assert found.present.tolist() == [e is not None for e in expected] == [True, True, False, True, False]
    for mean, e in zip(found.means, expected, strict=True):
        assert_close(mean, torch.zeros(6) if e is None else e)
    weight = torch.randn(5, 6, generator=generator, dtype=torch.float64)
    (actual,) = torch.autograd.grad((found.means * weight).sum(), embeddings)
    loss = sum((w * e).sum() for w, e in zip(weight, expected, strict=True) if e is not None)
    assert_close(actual, torch.autograd.grad(loss, embeddings)[0])


def test_a_class_in_some_images_only_is_averaged_over_those(generator):
    embeddings = F.normalize(torch.randn(12, 4, generator=generator), dim=1)
    classes = torch.tensor([0] * 6 + [1] * 3 + [0] * 3)  # two images of six pixels
    found = class_means(embeddings, classes, 2)
    assert_close(found.means[1], embeddings[6:9].mean(0))
    assert_close(found.means[0], torch.cat([embeddings[:6], embeddings[9:]]).mean(0))


def layers(generator: torch.Generator) -> list[ClassMeans]:
    """Two layers of four classes: the last lacks class 1, the first lacks class 2, none has class 3."""
    low = torch.randn(4, 5, generator=generator, dtype=torch.float64)
    high = torch.randn(4, 5, generator=generator, dtype=torch.float64)
    there = torch.tensor([True, True, False, False]), torch.tensor([True, False, True, False])
    return [
        ClassMeans((mean * present[:, None]).requires_grad_(), present)
        for mean, present in zip((low, high), there, strict=True)
    ]


@pytest.mark.parametrize("high_weight", [0.0, 0.3, 0.7, 1.0])
def test_mixing(high_weight, generator):
    low, high = layers(generator)
    mixed = mix_anchors([low, high], 1 - high_weight, high_weight, detach_top=True)
    assert_close(mixed[0].means[0], F.normalize((1 - high_weight) * low.means[0] + high_weight * high.means[0], dim=0))
    assert_close(mixed[0].means[1], F.normalize(low.means[1], dim=0))  # too small for the last layer
    assert_close(mixed[1].means, F.normalize(high.means, dim=1))  # the last layer's are not updated
    for found, layer in zip(mixed, (low, high), strict=True):
        assert torch.equal(found.present, layer.present)
        assert_close(found.means[layer.present].norm(dim=1), torch.ones(2))


@pytest.mark.parametrize("detach_top", [True, False])
def test_gradients_reach_the_last_layer_only_where_asked_for(detach_top, generator):
    low, high = layers(generator)
    mixed = mix_anchors([low, high], 0.3, 0.7, detach_top)
    weight = torch.randn(5, generator=generator, dtype=torch.float64)
    (mixed[0].means[0] @ weight).backward()
    assert low.means.grad[0].abs().sum() > 0
    assert (high.means.grad is None) == detach_top
    (mixed[1].means[0] @ weight).backward()
    assert high.means.grad[0].abs().sum() > 0


def test_embeddings_have_unit_length_and_float32_under_autocast(generator):
    rows = torch.randn(10, 6, generator=generator)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        embeddings = Projector(6, 8)(rows)
        found = class_means(embeddings, torch.zeros(10, dtype=torch.int64), 2)
    assert embeddings.dtype == found.means.dtype == torch.float32
    assert_close(embeddings.norm(dim=1), torch.ones(10))
    assert_close(found.means[0], embeddings.mean(0))  # and not of rounded ones
