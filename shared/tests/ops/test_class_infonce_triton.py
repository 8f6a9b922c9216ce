"""The kernels against the reference: in Triton's interpreter where there is no GPU."""

import pytest
import torch
from torch.nn import functional as F

pytest.importorskip("triton")

from contrastbench.core.errors import InputError
from contrastbench.core.ops.class_infonce import negative_logsumexp, positive_terms
from contrastbench.core.ops.class_infonce import triton as implementation
from contrastbench.core.ops.class_infonce.blocks import locate, spans
from contrastbench.core.testing import assert_close
from contrastbench.core.testing.kernels import check_op, compiles_for_gpu, kernel_device, poisoned, spread_out

DEVICE = kernel_device()
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
# anchors, dimensions, keys of each class. In the interpreter a tile is 16 anchors and 16 keys, and 6 programs share.
CASES = {
    "odd": (37, 40, [50, 0, 33, 3]),
    "one class": (4, 8, [19]),
    "first class empty": (18, 3, [0, 40]),
    "no keys": (3, 5, [0, 0]),
    "fewer keys than programs": (5, 16, [1, 2]),
    "more anchors than programs": (130, 16, [20, 7]),
    "no anchors": (0, 4, [3, 3]),
}


def problem(anchors, dim, sizes, generator, dtype=torch.float32):
    x = F.normalize(torch.randn(anchors, dim, generator=generator), dim=1).to(DEVICE).requires_grad_()
    labels = torch.randint(len(sizes), (anchors,), generator=generator).to(DEVICE)
    keys = [F.normalize(torch.randn(n, dim, generator=generator), dim=1).to(DEVICE, dtype) for n in sizes]
    return x, labels, keys


def values_and_gradients(x, labels, keys, temperature, impl, weight):
    """Return both ops' values and every gradient of each; Z enters the second on its own, some of it -inf."""
    log_negatives = negative_logsumexp(x, labels, keys, temperature, impl=impl)
    (to_x,) = torch.autograd.grad(log_negatives, x, weight)
    z = torch.linspace(-2, 8, len(x), device=x.device).requires_grad_()
    terms = positive_terms(x, labels, keys, z, temperature, impl=impl)
    pull, slope = torch.autograd.grad(terms, (x, z), weight)
    return log_negatives, to_x, terms, pull, slope


def assert_equals_reference(x, labels, keys, temperature, dtype):
    weight = torch.linspace(-1, 2, len(x), device=x.device)
    expected = values_and_gradients(x, labels, keys, temperature, "reference", weight)
    with poisoned():
        actual = values_and_gradients(x, labels, keys, temperature, "triton", weight)
    for a, e in zip(actual, expected, strict=True):
        assert a.dtype == torch.float32
        assert torch.equal(torch.isneginf(a), torch.isneginf(e))
        assert_close(a, e, dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES)
def test_equals_reference_with_every_gradient(case, dtype, generator):
    assert_equals_reference(*problem(*CASES[case], generator, dtype), 0.1, dtype)


@pytest.mark.parametrize("temperature", [0.01, 0.07, 1.0])
def test_finite_and_precise_at_any_temperature(temperature, generator):
    x, labels, keys = problem(*CASES["odd"], generator)
    z = negative_logsumexp(x, labels, keys, temperature, impl="triton")
    value = positive_terms(x, labels, keys, z, temperature, impl="triton")
    (grad,) = torch.autograd.grad(value.sum(), x)
    assert torch.isfinite(grad).all()
    wide = x.double(), labels, [k.double() for k in keys]
    exact = negative_logsumexp(*wide, temperature, impl="reference")
    assert_close(z, exact)
    assert_close(value, positive_terms(*wide, exact, temperature, impl="reference"))


def test_a_tiny_term_keeps_its_digits(generator):
    """Softplus of -30 is 1e-13; the logarithm of 1 + 1e-13 in float32 is 0."""
    x, labels, keys = problem(20, 8, [17, 17], generator)
    z = torch.full((len(x),), -30.0, device=DEVICE)
    value = positive_terms(x, labels, keys, z, 1.0, impl="triton")
    exact = positive_terms(x.double(), labels, [k.double() for k in keys], z.double(), 1.0, impl="reference")
    assert float(exact.detach().max()) < 1e-10
    assert_close(value, exact)


def test_an_anchor_without_negatives_gets_no_gradient_and_breaks_none(generator):
    x, labels, keys = problem(20, 8, [33], generator)
    z = negative_logsumexp(x, labels, keys, 0.1, impl="triton")
    value = positive_terms(x, labels, keys, z, 0.1, impl="triton")
    (grad,) = torch.autograd.grad(value.sum(), x)
    assert torch.isneginf(z).all()
    assert torch.equal(value, torch.zeros_like(value))
    assert torch.equal(grad, torch.zeros_like(grad))


@pytest.mark.parametrize("dtype", DTYPES)
def test_reads_a_bank_where_it_lies(dtype, generator):
    """Views of one storage ``[C, T, D]``, part of each class written; the rest would show."""
    x, labels, keys = problem(*CASES["odd"], generator, dtype)
    bank = torch.full((len(keys), 60, 48), torch.nan, dtype=dtype, device=DEVICE)
    for c, k in enumerate(keys):
        bank[c, : len(k), : k.shape[1]] = k
    views = [bank[c, : len(k), : k.shape[1]] for c, k in enumerate(keys)]
    assert locate(views, 16).aligned
    assert_equals_reference(x, labels, views, 0.1, dtype)


def test_takes_noncontiguous_tensors_and_keys_of_several_types(generator):
    x, labels, keys = problem(*CASES["odd"], generator)
    assert_equals_reference(spread_out(x), spread_out(labels), [spread_out(k) for k in keys], 0.1, torch.float32)
    mixed = [keys[0].bfloat16(), keys[1], keys[2], keys[3].half()]
    assert_equals_reference(x, labels, mixed, 0.1, torch.float32)
    unaligned = [torch.cat([k.new_zeros(1, 40), k])[1:, 1:] for k in keys]
    assert_equals_reference(x[:, 1:].detach().requires_grad_(), labels, unaligned, 0.1, torch.float32)


def test_the_same_twice(generator):
    x, labels, keys = problem(*CASES["odd"], generator)
    assert torch.equal(
        negative_logsumexp(x, labels, keys, 0.1, impl="triton"),
        negative_logsumexp(x, labels, keys, 0.1, impl="triton"),
    )


@pytest.mark.parametrize("case", ["first class empty", "no anchors"])
def test_torch_accepts_the_ops(case, generator):
    x, labels, keys = problem(*CASES[case], generator)
    check_op(torch.ops.contrastbench.class_infonce_negatives.default, x, labels, keys, 0.1)
    z = torch.zeros(len(x), device=DEVICE, requires_grad=True)
    check_op(torch.ops.contrastbench.class_infonce_positives.default, x, z, labels, keys, 0.1)
    check_op(torch.ops.contrastbench.class_infonce_scale.default, z.detach(), x.detach())


def test_compiles_into_one_graph(generator):
    x, labels, keys = problem(*CASES["odd"], generator)

    def loss(x, labels, keys):
        z = negative_logsumexp(x, labels, keys, 0.1, impl="triton")
        return positive_terms(x, labels, keys, z, 0.1, impl="triton").sum()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    expected, actual = loss(x, labels, keys), compiled(x, labels, keys)
    assert_close(actual, expected)
    assert_close(*(torch.autograd.grad(value, x)[0] for value in (actual, expected)))


def test_a_second_derivative_raises(generator):
    x, labels, keys = problem(*CASES["odd"], generator)
    z = negative_logsumexp(x, labels, keys, 0.1, impl="triton")
    (grad,) = torch.autograd.grad(z.sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="class_infonce_scale"):
        torch.autograd.grad(grad.sum() + x.square().sum(), x)


def test_what_does_not_fit_is_named(generator):
    x, labels, keys = problem(4, 257, [3, 3], generator)
    with pytest.raises(InputError, match="at most 256 dimensions, not 257"):
        negative_logsumexp(x, labels, keys, 0.1, impl="triton")
    with pytest.raises(InputError, match="float64"):
        negative_logsumexp(x.double(), labels, keys, 0.1, impl="triton")
    with pytest.raises(InputError, match=r"several devices|a tensor is on 'meta'"):
        negative_logsumexp(x[:, :9], labels, [k[:, :9].to("meta") for k in keys], 0.1, impl="triton")


@pytest.mark.parametrize("parts", [1, 2, 5, 9])
def test_spans_share_out_every_tile_once(parts):
    sizes = [5, 0, 0, 9, 1, 0]
    table = locate([torch.zeros(n, 16) for n in sizes], 2).table
    tiles = [(c, tile) for c, size in enumerate(sizes) for tile in range((size + 1) // 2)]
    seen = []
    plan = spans(table, len(tiles), parts)
    for start, stop, first, last in zip(*(plan[i::4] for i in range(4)), strict=True):
        assert 0 <= start <= stop
        seen += [(c, t) for c, t in tiles[start:stop] if first <= c < last]
    assert seen == tiles


NEGATIVES = {"anchors_ptr": "*fp32", "order_ptr": "*i64", "labels_ptr": "*i64", "keys_ptr": "*", "blocks_ptr": "*i64",
             "spans_ptr": "*i64", "peak_ptr": "*fp32", "total_ptr": "*fp32", "mean_ptr": "*fp32", "num_anchors": "i32",
             "dim": "i32", "scale": "fp32"}  # fmt: skip
POSITIVES = {"anchors_ptr": "*fp32", "log_negatives_ptr": "*fp32", "order_ptr": "*i64", "labels_ptr": "*i64",
             "keys_ptr": "*", "blocks_ptr": "*i64", "total_ptr": "*fp32", "slope_ptr": "*fp32", "pull_ptr": "*fp32",
             "num_anchors": "i32", "num_classes": "i32", "dim": "i32", "inverse_temperature": "fp32"}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kernel", "dtype", "precision", "stack", "capability"),
    [
        # What bytes of stack there are belong to the first load of the anchors; the loops hold all in registers,
        ("negatives_kernel", torch.bfloat16, "highest", 512, 90),
        ("negatives_kernel", torch.bfloat16, "highest", 512, 89),
        ("positives_kernel", torch.bfloat16, "highest", 512, 90),
        ("positives_kernel", torch.bfloat16, "highest", 512, 89),
        ("negatives_kernel", torch.float16, "highest", 512, 90),
        ("negatives_kernel", torch.float32, "highest", 0, 90),
        ("positives_kernel", torch.float32, "highest", 0, 90),
        # but for those with three products for one.
        ("negatives_kernel", torch.float32, "high", 1536, 90),
    ],
)
def test_compiles_for_a_gpu_at_the_papers_size(kernel, dtype, precision, stack, capability, monkeypatch):
    monkeypatch.setattr(implementation, "interpreted", lambda: False)
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: precision)
    shared = {90: 232_448, 89: 101_376}[capability]
    tile, padded, dot = implementation.tiles(dtype, 256, 128 if kernel == "negatives_kernel" else 64, shared)
    signature = dict(NEGATIVES if kernel == "negatives_kernel" else POSITIVES)
    signature["keys_ptr"] = {torch.bfloat16: "*bf16", torch.float16: "*fp16", torch.float32: "*fp32"}[dtype]
    constants = {"BLOCK_A": tile.anchors, "BLOCK_M": tile.keys, "BLOCK_D": padded, "BLOCK_K": tile.inner}
    constants |= {"ALIGNED": True, "LIFT": 15 if dtype == torch.float16 else 0, "PRECISION": dot, "WIDEN": False}
    if kernel == "positives_kernel":
        constants["LIFT"] = 2.0 ** constants["LIFT"]
    footprint = compiles_for_gpu(
        getattr(implementation, kernel),
        signature,
        constants,
        divisible=["dim"],
        capability=capability,
        warps=tile.warps,
        stages=tile.stages,
    )
    assert footprint.shared <= shared
    assert footprint.stack <= stack


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [64, 200, 256])
def test_equals_reference_on_a_gpu(dtype, dim, generator):
    sizes = [3001, 0, 517, 64, 1, 2048]
    assert_equals_reference(*problem(517, dim, sizes, generator, dtype), 0.07, dtype)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_reads_beyond_two_to_the_31_elements(generator):
    """A bank of 9 GB: distances between classes, and within one, do not fit 32 bits."""
    bank = torch.zeros(18_000_000, 256, dtype=torch.bfloat16, device="cuda")
    bank[-1000:] = F.normalize(torch.randn(1000, 256, generator=generator), dim=1).to(bank)
    x, labels, near = problem(70, 256, [1000, 1000], generator, torch.bfloat16)
    bank[:1000] = near[0]
    assert_equals_reference(x, labels, [bank[:1000], bank[-1000:]], 0.1, torch.bfloat16)
    # At this temperature the thousand at either end outweigh the zeros between.
    one_class = x, torch.zeros_like(labels), [near[1], bank], 0.01
    expected = negative_logsumexp(*one_class, impl="blockwise")
    assert_close(negative_logsumexp(*one_class, impl="triton"), expected, dtype=torch.bfloat16)
    assert float((expected - negative_logsumexp(*one_class[:2], [near[1], bank[:-1000]], 0.01)).min()) > 0
