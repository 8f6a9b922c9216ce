"""The kernels of sampled_infonce: in Triton's interpreter, through the compiler, and on a GPU where there is one."""

import pytest
import torch
from torch.nn import functional as F

pytest.importorskip("triton")

from contrastbench.core.errors import InputError
from contrastbench.core.ops.sampled_infonce import reference, sampled_infonce, triton
from contrastbench.core.testing import assert_close
from contrastbench.core.testing.kernels import check_op, compiles_for_gpu, kernel_device, poisoned, spread_out

DEVICE = kernel_device()


def unit(rows: int, dim: int, dtype: torch.dtype, generator: torch.Generator) -> torch.Tensor:
    return F.normalize(torch.randn(rows, dim, generator=generator), dim=1).to(DEVICE, dtype)


def problem(
    generator, *, amount=7, dim=5, sizes=(7, 20, 3), dtypes=(torch.float32,) * 3, columns=(5, 11), learning=(0,)
):
    """Tables of which some learn; indices with gaps and repeats; anchors without positives, negatives, or both."""
    anchors = unit(amount, dim, torch.float32, generator).requires_grad_()
    tables = [unit(n, dim, dtype, generator) for n, dtype in zip(sizes, dtypes, strict=True)]
    for i in learning:
        tables[i].requires_grad_()
    draws = [torch.randint(-1, sum(sizes), (amount, n), generator=generator) for n in columns]
    draws[0][2], draws[1][3] = -1, -1
    draws[0][4], draws[1][4] = -1, -1
    if min(columns) > 2:
        for draw in draws:
            draw[1, 2] = draw[1, 0]
    return anchors, tables, *(draw.to(DEVICE) for draw in draws)


def outcome(impl, anchors, tables, positives, negatives, temperature=0.1):
    value = sampled_infonce(anchors, tables, positives, negatives, temperature, impl=impl)
    weight = torch.linspace(-1, 2, len(anchors), device=value.device)
    learning = [table for table in tables if table.requires_grad]
    return value.detach(), *torch.autograd.grad((value * weight).sum(), (anchors, *learning))


def expected_of(anchors, tables, positives, negatives, temperature=0.1):
    """Return the reference's value and gradients in float64, from the same numbers."""
    anchors = anchors.detach().double().requires_grad_()
    tables = [table.detach().double().requires_grad_(table.requires_grad) for table in tables]
    value = reference.sampled_infonce(anchors, tables, positives, negatives, temperature)
    weight = torch.linspace(-1, 2, len(anchors), device=value.device)
    learning = [table for table in tables if table.requires_grad]
    return value.detach(), *torch.autograd.grad((value * weight).sum(), (anchors, *learning))


def assert_equal_to_reference(case, temperature=0.1):
    expected = expected_of(*case, temperature)
    for actual, wanted in zip(outcome("triton", *case, temperature), expected, strict=True):
        assert_close(actual, wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("dim", "columns"), [(5, (5, 11)), (16, (1, 1)), (33, (3, 7))])
def test_equals_the_reference_with_every_gradient(dim, columns, dtype, generator, monkeypatch):
    monkeypatch.setattr(triton, "_TILE", 128)  # several tiles a row
    case = problem(generator, dim=dim, columns=columns, dtypes=(dtype, torch.float32, dtype), learning=(0, 1))
    with poisoned():
        assert_equal_to_reference(case)


@pytest.mark.parametrize("temperature", [0.01, 1.0])
def test_few_anchors_are_split_over_programs(temperature, generator, monkeypatch):
    monkeypatch.setattr(triton, "_TILE", 64)
    monkeypatch.setattr(triton, "_LEAST", 4)
    case = problem(generator, amount=5, columns=(9, 15), learning=(2,))
    assert triton._splits(5, 15) == 4
    with poisoned():
        assert_equal_to_reference(case, temperature)


def test_a_loss_near_zero_keeps_its_digits(generator):
    anchors = F.normalize(torch.randn(4, 8, generator=generator), dim=1).to(DEVICE).requires_grad_()
    tables = [torch.cat([anchors.detach(), -anchors.detach()])]
    positives = torch.arange(4, device=DEVICE)[:, None]
    case = (anchors, tables, positives, positives + 4)
    value, gradient = outcome("triton", *case, 0.12)
    expected = expected_of(*case, 0.12)
    assert float(expected[0].max()) < 1e-6
    assert_close(value, expected[0])
    assert_close(gradient, expected[1])


def test_a_bank_may_be_written_before_the_backward_pass(generator):
    anchors, tables, positives, negatives = problem(generator)
    value = sampled_infonce(anchors, tables, positives, negatives, 0.1, impl="triton").sum()
    expected = torch.autograd.grad(value, (anchors, tables[0]), retain_graph=True)
    tables[1].fill_(torch.nan)
    actual = torch.autograd.grad(value, (anchors, tables[0]))
    assert all(map(torch.equal, actual, expected))


def test_a_half_precision_bank_is_not_copied(generator, monkeypatch):
    anchors, tables, positives, negatives = problem(generator, dtypes=(torch.float32, torch.float16, torch.bfloat16))
    given = []
    monkeypatch.setattr(triton, "_forward", lambda _, keys, *rest: given.extend(keys) or [anchors.sum(1)])
    sampled_infonce(anchors, tables, positives, negatives, 0.1, impl="triton")
    assert all(a is b for a, b in zip(given, tables, strict=True))


def test_only_the_keys_may_learn(generator):
    anchors, tables, positives, negatives = problem(generator)
    (expected,) = torch.autograd.grad(
        sampled_infonce(anchors, tables, positives, negatives, 0.1, impl="reference").sum(), tables[:1]
    )
    value = sampled_infonce(anchors.detach(), tables, positives, negatives, 0.1, impl="triton").sum()
    assert_close(torch.autograd.grad(value, tables[0])[0], expected)
    with torch.no_grad():
        assert torch.equal(sampled_infonce(anchors, tables, positives, negatives, 0.1, impl="triton").sum(), value)


def test_the_gradient_to_the_keys_is_split_where_they_are_few(generator, monkeypatch):
    monkeypatch.setattr(triton, "_TILE", 64)
    monkeypatch.setattr(triton, "_LEAST", 8)
    case = problem(generator, amount=9, sizes=(2, 1), dtypes=(torch.float16, torch.float32), learning=(0, 1))
    assert triton._splits(2, 9 * 16 // 2) > 1
    with poisoned():
        assert_equal_to_reference(case)


def test_not_contiguous(generator):
    anchors, tables, positives, negatives = problem(generator, learning=(0, 1))
    apart = [spread_out(table) for table in tables]
    turned = apart[1].detach().T.contiguous().T.requires_grad_()
    assert_equal_to_reference(
        (spread_out(anchors), [apart[0], turned, apart[2]], spread_out(positives), spread_out(negatives))
    )


@pytest.mark.parametrize(
    ("amount", "columns", "sizes"), [(0, (3, 4), (3,)), (6, (0, 4), (3,)), (6, (4, 0), (3,)), (6, (4, 5), (3, 0))]
)
def test_empty(amount, columns, sizes, generator):
    anchors = unit(amount, 5, torch.float32, generator).requires_grad_()
    tables = [unit(n, 5, torch.float32, generator).requires_grad_() for n in sizes]
    index = [torch.randint(-1, 3, (amount, n), generator=generator).to(DEVICE) for n in columns]
    with poisoned():
        value, *gradients = outcome("triton", anchors, tables, *index)
    expected = outcome("chunked", anchors, tables, *index)
    for actual, wanted in zip((value, *gradients), expected, strict=True):
        assert_close(actual, wanted)


def test_no_table_is_zero_and_connected(generator):
    anchors = unit(3, 5, torch.float32, generator).requires_grad_()
    none = torch.full((3, 2), -1, device=DEVICE)
    value = sampled_infonce(anchors, [], none, none, 0.1, impl="triton")
    assert torch.equal(value, torch.zeros_like(value))
    assert torch.equal(torch.autograd.grad(value.sum(), anchors)[0], torch.zeros_like(anchors))


def test_the_same_bits_every_time(generator):
    case = problem(generator, learning=(0, 1, 2))
    first, second = (outcome("triton", *case) for _ in range(2))
    assert all(map(torch.equal, first, second))


def test_registered_as_it_should_be(generator):
    anchors, tables, positives, negatives = problem(generator, amount=5)
    check_op(torch.ops.contrastbench.sampled_infonce, anchors, tables, positives, negatives, 0.1, True)
    frozen = [table.detach() for table in tables]
    check_op(torch.ops.contrastbench.sampled_infonce, anchors, frozen, positives, negatives, 0.1, False)
    weight = torch.ones(positives.shape, device=DEVICE)
    check_op(torch.ops.contrastbench.sampled_infonce_to_keys, frozen[0][:5], weight, positives, 2, 9, torch.float16)


def test_compiles_as_one_graph(generator):
    case = problem(generator, learning=(0, 2))
    anchors, tables, positives, negatives = case

    def loss(anchors, tables, positives, negatives):
        return sampled_infonce(anchors, tables, positives, negatives, 0.1, impl="triton") * 2

    torch._dynamo.reset()
    value = torch.compile(loss, fullgraph=True, backend="aot_eager")(anchors, tables, positives, negatives)
    inputs = (anchors, tables[0], tables[2])
    actual = torch.autograd.grad(value.sum(), inputs)
    plain = loss(anchors, tables, positives, negatives)
    assert torch.equal(value, plain)
    assert all(map(torch.equal, actual, torch.autograd.grad(plain.sum(), inputs)))


def test_under_autocast_it_is_still_float32(generator):
    anchors, tables, positives, negatives = problem(generator)
    expected = sampled_infonce(anchors, tables, positives, negatives, 0.1, impl="triton")
    with torch.autocast(DEVICE.type, torch.bfloat16):
        assert torch.equal(sampled_infonce(anchors, tables, positives, negatives, 0.1, impl="triton"), expected)


@pytest.mark.parametrize("which", [0, 1])
def test_a_second_derivative_is_refused(which, generator):
    anchors, tables, positives, negatives = problem(generator)
    inputs = [anchors.detach(), tables[0].detach()]
    inputs[which].requires_grad_()
    value = sampled_infonce(inputs[0], [inputs[1], *tables[1:]], positives, negatives, 0.1, impl="triton").sum()
    (gradient,) = torch.autograd.grad(value, inputs[which], create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(gradient.square().sum() + value, inputs[which])


def test_the_best_on_a_cpu_is_not_the_kernel(generator):
    anchors, tables, positives, negatives = (
        x.cpu() if isinstance(x, torch.Tensor) else [t.detach().cpu() for t in x] for x in problem(generator)
    )
    chosen = sampled_infonce(anchors, tables, positives, negatives, 0.1)
    assert torch.equal(chosen, sampled_infonce(anchors, tables, positives, negatives, 0.1, impl="chunked"))


def test_too_many_dimensions_are_named():
    none = torch.full((1, 1), -1, device=DEVICE)
    with pytest.raises(InputError, match="4,096 dimensions, not 5000"):
        sampled_infonce(torch.ones(1, 5000, device=DEVICE), [], none, none, 0.1, impl="triton")


INTEGERS = ("count", "columns", "kept_stride", "share", "part", "parts", "key_stride")
OUTPUTS = {
    "_negatives": ("kept", "log_sums", "means"),
    "_positives": ("log_negatives", "kept", "terms", "pulls", "pulled"),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kernel", "dtype"),
    [("_negatives", "fp32"), ("_negatives", "bf16"), ("_positives", "fp32"), ("_positives", "fp16")],
)
def test_the_compiler_takes_the_kernels(kernel, dtype):
    constants = {**triton._tile(256), "KEEP": True, "dim_stride": 1}
    warps = constants.pop("num_warps")
    signature = {
        **{"anchors": "*fp32", "keys": f"*{dtype}", "index": "*i64", "first": "i64", "scale": "fp32"},
        **dict.fromkeys(OUTPUTS[kernel], "*fp32"),
        **dict.fromkeys(INTEGERS, "i32"),
    }
    cost = compiles_for_gpu(getattr(triton, kernel), signature, constants, divisible=["key_stride"], warps=warps)
    # 16 programs or more on a multiprocessor, each of one warp, hide the latency of reading keys at random.
    assert cost.registers <= 128
    assert cost.stack == 0


@pytest.mark.slow
@pytest.mark.parametrize("dim", [256, 4096])
def test_the_compiler_takes_the_sum_by_key(dim):
    constants = triton._tile(dim)
    warps = constants.pop("num_warps")
    signature = {
        "anchors": "*fp32",
        "weight": "*fp32",
        "order": "*i64",
        "bounds": "*i64",
        "out": "*fp16",
        "columns": "i32",
    }
    assert compiles_for_gpu(triton._sum_by_key, signature, constants, warps=warps).stack == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("amount", "dim", "columns"), [(950, 256, (1024, 2048)), (19, 200, (300, 5000)), (64, 1024, (64, 128))]
)
def test_on_a_gpu(amount, dim, columns, dtype, generator):
    case = problem(
        generator,
        amount=amount,
        dim=dim,
        sizes=(amount, 20_000),
        dtypes=(torch.float32, dtype),
        columns=columns,
        learning=(0,),
    )
    expected = outcome("chunked", *case)
    for actual, wanted in zip(outcome("triton", *case), expected, strict=True):
        assert_close(actual, wanted)
    chosen = sampled_infonce(*case, 0.1)
    assert torch.equal(chosen, sampled_infonce(*case, 0.1, impl="triton"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_table_past_two_to_the_31_elements_on_a_gpu(generator):
    rows = 2**31 // 256 + 1000
    if torch.cuda.mem_get_info()[0] < 6 * 2**30:
        pytest.skip("needs 6 GB of GPU memory")
    table = torch.zeros(rows, 256, dtype=torch.float16, device=DEVICE)
    table[-8:] = unit(8, 256, torch.float16, generator)
    anchors = unit(4, 256, torch.float32, generator).requires_grad_()
    index = torch.arange(8, device=DEVICE).view(2, 4).repeat(2, 1)
    actual = outcome("triton", anchors, [table], rows - 8 + index, rows - 8 + index.flip(1))
    expected = expected_of(anchors, [table[-8:]], index, index.flip(1))
    for got, wanted in zip(actual, expected, strict=True):
        assert_close(got, wanted)
