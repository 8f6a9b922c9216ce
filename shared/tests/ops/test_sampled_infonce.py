import pytest
import torch
from torch.nn import functional as F

from contrastbench.core.errors import InputError
from contrastbench.core.ops.sampled_infonce import reference, sampled_infonce
from contrastbench.core.testing import assert_close, loop_infonce


def unit(*shape: int, generator: torch.Generator, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=generator, dtype=dtype), dim=-1)


def problem(generator: torch.Generator, dtype: torch.dtype = torch.float64):
    """Nine anchors; a table that learns and two that do not; rows with gaps, without positives, without negatives."""
    anchors = unit(9, 5, generator=generator, dtype=dtype).requires_grad_()
    tables = [unit(n, 5, generator=generator, dtype=dtype) for n in (9, 20, 3)]
    tables[0].requires_grad_()
    positives = torch.randint(-1, 32, (9, 4), generator=generator)
    negatives = torch.randint(-1, 32, (9, 6), generator=generator)
    positives[2], negatives[3] = -1, -1
    positives[4], negatives[4] = -1, -1
    return anchors, tables, positives, negatives


@pytest.mark.parametrize("impl", ["reference", "chunked"])
def test_equals_a_loop_in_float64(impl, generator):
    anchors, tables, positives, negatives = problem(generator)
    keys = torch.cat(tables).tolist()
    value = sampled_infonce(anchors, tables, positives, negatives, 0.2, impl=impl)
    for i, x in enumerate(anchors.tolist()):
        expected = loop_infonce(
            x,
            [keys[j] for j in positives[i].tolist() if j >= 0],
            [keys[j] for j in negatives[i].tolist() if j >= 0],
            0.2,
        )
        assert float(value[i].detach()) == pytest.approx(expected, rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_chunked_equals_reference_with_every_gradient(dtype, generator, monkeypatch):
    monkeypatch.setattr("contrastbench.core.ops.sampled_infonce.chunked._CHUNK_PAIRS", 7)
    anchors, tables, positives, negatives = problem(generator, dtype)
    weight = torch.randn(len(anchors), generator=generator, dtype=dtype)
    results = []
    for impl in ("reference", "chunked"):
        value = sampled_infonce(anchors, tables, positives, negatives, 0.1, impl=impl)
        results.append((value, *torch.autograd.grad((value * weight).sum(), (anchors, tables[0]))))
    for actual, expected in zip(results[1], results[0], strict=True):
        assert_close(actual, expected)


def test_chunked_takes_tables_of_any_precision(generator):
    anchors, tables, positives, negatives = problem(generator, torch.float32)
    tables = [tables[0], tables[1].half(), tables[2].double()]
    value = sampled_infonce(anchors, tables, positives, negatives, 0.1)
    assert_close(
        value, reference.sampled_infonce(anchors.double(), tables, positives, negatives, 0.1), dtype=value.dtype
    )


@pytest.mark.parametrize("impl", ["reference", "chunked"])
def test_gradcheck(impl, generator):
    anchors, tables, positives, negatives = problem(generator)
    assert torch.autograd.gradcheck(
        lambda x, k: sampled_infonce(x, [k, *tables[1:]], positives, negatives, 0.5, impl=impl), (anchors, tables[0])
    )


@pytest.mark.parametrize("which", [0, 1])
def test_a_second_derivative_is_refused(which, generator):
    anchors, tables, positives, negatives = problem(generator)
    of = (anchors, tables[0])[which]
    value = sampled_infonce(anchors, tables, positives, negatives, 0.1, impl="chunked").sum()
    (grad,) = torch.autograd.grad(value, of, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(grad.square().sum() + value, of)


def test_a_bank_may_be_written_before_the_backward_pass(generator):
    anchors, tables, positives, negatives = problem(generator)
    (expected,) = torch.autograd.grad(sampled_infonce(anchors, tables, positives, negatives, 0.1).sum(), anchors)
    value = sampled_infonce(anchors, tables, positives, negatives, 0.1).sum()
    tables[1].fill_(torch.nan)
    (actual,) = torch.autograd.grad(value, anchors)
    assert torch.equal(actual, expected)


@pytest.mark.parametrize("temperature", [0.01, 1.0])
def test_finite_at_any_temperature(temperature, generator):
    anchors, tables, positives, negatives = problem(generator, torch.float32)
    value = sampled_infonce(anchors, tables, positives, negatives, temperature)
    grads = torch.autograd.grad(value.sum(), (anchors, tables[0]))
    assert torch.isfinite(value).all()
    assert all(torch.isfinite(g).all() for g in grads)


def test_nothing_to_contrast_is_zero_and_connected(generator):
    anchors = unit(0, 5, generator=generator).requires_grad_()
    index = torch.empty(0, 4, dtype=torch.int64)
    value = sampled_infonce(anchors, [unit(3, 5, generator=generator)], index, index, 0.1).sum()
    value.backward()
    assert float(value.detach()) == 0
    assert anchors.grad is not None


def test_bad_input_is_named(generator):
    anchors, tables, positives, negatives = problem(generator)
    with pytest.raises(InputError, match="did you mean 'chunked'"):
        sampled_infonce(anchors, tables, positives, negatives, 0.1, impl="chunkd")
    with pytest.raises(InputError, match="a row an anchor"):
        sampled_infonce(anchors, tables, positives[:3], negatives, 0.1)
    with pytest.raises(InputError, match="temperature"):
        sampled_infonce(anchors, tables, positives, negatives, -1.0)
    with pytest.raises(InputError, match=r"'triton'.*float64"):
        sampled_infonce(anchors, tables, positives, negatives, 0.1, impl="triton")
