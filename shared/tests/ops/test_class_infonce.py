import pytest
import torch
from torch.nn import functional as F

from contrastbench.core.errors import InputError
from contrastbench.core.ops.class_infonce import negative_logsumexp, positive_terms
from contrastbench.core.testing import assert_close, loop_infonce

# anchors, dimensions, keys of each class: odd sizes, empty classes, one class alone, nothing at all
CASES = {
    "odd": (13, 7, [5, 0, 11, 3]),
    "one class": (4, 8, [9]),
    "first class empty": (6, 3, [0, 4]),
    "no keys": (3, 5, [0, 0]),
    "many chunks": (700, 4, [2100, 1700]),
    "no anchors": (0, 4, [3, 3]),
}


def problem(case: str, generator: torch.Generator, dtype: torch.dtype = torch.float64):
    anchors, dim, sizes = CASES[case]
    x = F.normalize(torch.randn(anchors, dim, generator=generator, dtype=dtype), dim=1).requires_grad_()
    labels = torch.randint(len(sizes), (anchors,), generator=generator)
    keys = [F.normalize(torch.randn(n, dim, generator=generator, dtype=dtype), dim=1) for n in sizes]
    return x, labels, keys


def loss(x, labels, keys, temperature, impl):
    z = negative_logsumexp(x, labels, keys, temperature, impl=impl)
    return positive_terms(x, labels, keys, z, temperature, impl=impl)


@pytest.mark.parametrize("impl", ["reference", "blockwise"])
@pytest.mark.parametrize("case", [c for c in CASES if c != "many chunks"])
def test_equals_a_loop_in_float64(case, impl, generator):
    x, labels, keys = problem(case, generator)
    total = loss(x, labels, keys, 0.3, impl)
    for i, c in enumerate(labels.tolist()):
        positives = keys[c].tolist()
        negatives = [k for other, block in enumerate(keys) if other != c for k in block.tolist()]
        expected = loop_infonce(x[i].tolist(), positives, negatives, 0.3) * len(positives)
        assert float(total[i].detach()) == pytest.approx(expected, rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("case", CASES)
def test_blockwise_equals_reference_with_gradients(case, dtype, generator):
    x, labels, keys = problem(case, generator, dtype)
    weight = torch.randn(len(x), generator=generator, dtype=dtype)
    results = []
    for impl in ("reference", "blockwise"):
        value = loss(x, labels, keys, 0.1, impl)
        results.append((value, *torch.autograd.grad((value * weight).sum(), x)))
    for actual, expected in zip(results[1], results[0], strict=True):
        assert_close(actual, expected)


@pytest.mark.parametrize("impl", ["reference", "blockwise"])
def test_gradcheck(impl, generator):
    x, labels, keys = problem("odd", generator)
    assert torch.autograd.gradcheck(lambda x: negative_logsumexp(x, labels, keys, 0.5, impl=impl), x)
    z = torch.randn(len(x), generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, z: positive_terms(x, labels, keys, z, 0.5, impl=impl), (x, z))


def test_a_second_derivative_raises(generator):
    x, labels, keys = problem("odd", generator)
    z = torch.randn(len(x), generator=generator, dtype=torch.float64, requires_grad=True)
    for value in (
        negative_logsumexp(x, labels, keys, 0.1, impl="blockwise"),
        positive_terms(x, labels, keys, z, 0.1, impl="blockwise"),
    ):
        (grad,) = torch.autograd.grad(value.sum(), x, create_graph=True)
        with pytest.raises(RuntimeError, match="no second derivative"):
            torch.autograd.grad(grad.square().sum() + x.square().sum(), x)


@pytest.mark.parametrize("temperature", [0.01, 0.07, 1.0])
def test_finite_and_precise_at_any_temperature(temperature, generator):
    x, labels, keys = problem("odd", generator, torch.float32)
    value = loss(x, labels, keys, temperature, "blockwise")
    (grad,) = torch.autograd.grad(value.sum(), x)
    assert torch.isfinite(grad).all()
    exact = loss(x.double(), labels, [k.double() for k in keys], temperature, "reference")
    assert_close(value, exact)


def test_accumulates_in_float32_under_autocast(generator):
    x, labels, keys = problem("odd", generator, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss(x, labels, keys, 0.1, None)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, loss(x, labels, keys, 0.1, None))


def test_takes_noncontiguous_keys_and_unsorted_labels(generator):
    x, labels, keys = problem("odd", generator)
    strided = [torch.stack([k, k], dim=2)[..., 0] for k in keys]
    assert not strided[0].is_contiguous()
    order = torch.randperm(len(x), generator=generator)
    straight = loss(x, labels, keys, 0.1, "blockwise")
    assert_close(loss(x[order], labels[order], strided, 0.1, "blockwise"), straight[order])


def test_bad_input_is_named(generator):
    x, labels, keys = problem("odd", generator)
    with pytest.raises(InputError, match="did you mean 'blockwise'"):
        negative_logsumexp(x, labels, keys, 0.1, impl="blokwise")
    with pytest.raises(InputError, match="no implementation 'triton'"):
        negative_logsumexp(x, labels, keys, 0.1, impl="triton")  # float64
    with pytest.raises(InputError, match="temperature"):
        negative_logsumexp(x, labels, keys, 0.0)
    with pytest.raises(InputError, match="keys of class 1"):
        negative_logsumexp(x, labels, [keys[0], keys[1][:, :2], *keys[2:]], 0.1)
    with pytest.raises(InputError, match="one block of keys a class"):
        negative_logsumexp(x, labels + 10, keys, 0.1)
    with pytest.raises(InputError, match="detach"):
        negative_logsumexp(x, labels, [k.clone().requires_grad_() for k in keys], 0.1)
