import pytest
import torch

from contrastbench.core.errors import InputError
from contrastbench.core.ops.group_sums import group_sums
from contrastbench.core.testing import assert_close
from contrastbench.core.testing.kernels import check_op, compiles_for_gpu, kernel_device, poisoned, spread_out

IMPLEMENTATIONS = ["reference", "bags", "triton"]
DEVICE = kernel_device()


@pytest.fixture(autouse=True)
def _needs_triton(request):
    if "triton" in request.node.name:
        pytest.importorskip("triton", reason="Triton is not installed")


def problem(n, dim, groups, generator, dtype=torch.float64):
    """Values, the groups of their rows, and the order that brings these together; odd groups are empty."""
    values = torch.randn(n, dim, dtype=torch.float64, generator=generator).to(DEVICE, dtype)
    group = torch.randint(0, (groups + 1) // 2, (n,), generator=generator).to(DEVICE) * 2
    rows = group.argsort(stable=True)
    sizes = torch.bincount(group, minlength=groups)
    weights = torch.rand(n, dtype=torch.float64, generator=generator).to(DEVICE)
    return values, group, rows, sizes.cumsum(0) - sizes, weights


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
@pytest.mark.parametrize(("n", "dim", "groups"), [(1, 1, 1), (63, 2, 5), (300, 2, 3), (257, 5, 40), (130, 67, 3)])
def test_equals_a_loop_over_members(impl, n, dim, groups, generator):
    values, group, rows, offsets, weights = problem(n, dim, groups, generator)
    for weight in (weights, None):
        expected = torch.zeros(groups, dim, dtype=torch.float64)
        for i, g in enumerate(group.tolist()):
            expected[g] += values[i].cpu() * (1 if weight is None else float(weight[i]))
        with poisoned():
            ordered = None if weight is None else weight[rows]
            actual = group_sums(values, offsets, rows, ordered, impl=impl)
            in_place = group_sums(values[rows], offsets, None, ordered, impl=impl)
        assert actual.dtype == torch.float64
        assert_close(actual.cpu(), expected)
        assert_close(in_place.cpu(), expected)
        assert not actual[1::2].any()


@pytest.mark.parametrize("impl", ["bags", "triton"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_narrow_types_are_summed_in_float32(impl, dtype, generator):
    values, _, rows, offsets, weights = problem(200, 3, 4, generator, dtype)
    expected = group_sums(values.double(), offsets, rows, weights[rows], impl="reference")
    actual = group_sums(values, offsets, rows, weights[rows], impl=impl)
    assert actual.dtype == torch.float32
    assert_close(actual, expected)


@pytest.mark.parametrize("impl", ["bags", "triton"])
def test_strides_and_some_of_the_rows(impl, generator):
    values, _, rows, offsets, weights = problem(90, 6, 4, generator)
    expected = group_sums(values, offsets, rows, weights, impl="reference")
    for other in (spread_out(values), values.T.contiguous().T):
        assert_close(group_sums(other, offsets, rows, weights, impl=impl), expected)
    wide = torch.stack([rows, rows], 1)[:, 0]
    assert_close(group_sums(values, offsets, wide, weights, impl=impl), expected)
    start = torch.tensor([0, 0, 4, 4, 7], device=DEVICE)
    few = group_sums(values, start, rows[:9], impl=impl)
    assert_close(few, group_sums(values, start, rows[:9], impl="reference"))
    assert not few[[0, 2]].any()


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_nothing_to_sum(impl):
    none = torch.zeros(0, 2, dtype=torch.float64, device=DEVICE)
    start = torch.zeros(3, dtype=torch.int64, device=DEVICE)
    assert group_sums(none, start, impl=impl).tolist() == [[0.0, 0.0]] * 3
    assert group_sums(none, start[:0], impl=impl).shape == (0, 2)
    assert group_sums(none[:, :0], start, impl=impl).shape == (3, 0)
    assert group_sums(none + 1, start, start[:0], impl=impl).tolist() == [[0.0, 0.0]] * 3


def test_triton_gives_the_same_bits_every_time(generator):
    values, _, rows, offsets, weights = problem(300, 2, 3, generator)
    first = group_sums(values, offsets, rows, weights, impl="triton")
    assert torch.equal(first, group_sums(values, offsets, rows, weights, impl="triton"))


def test_the_triton_op_keeps_torchs_rules(generator):
    pytest.importorskip("triton", reason="Triton is not installed")
    import contrastbench.core.ops.group_sums.triton  # noqa: F401

    values, _, rows, offsets, weights = problem(70, 3, 5, generator)
    op = torch.ops.contrastbench.group_sums
    check_op(op.default, values, offsets, rows, weights)
    check_op(op.default, values.bfloat16(), offsets, None, None)
    compiled = torch.compile(
        lambda x: group_sums(x * 2, offsets, rows, weights, impl="triton"), backend="aot_eager", fullgraph=True
    )
    assert_close(compiled(values), group_sums(values * 2, offsets, rows, weights, impl="reference"))


@pytest.mark.slow
def test_the_triton_kernels_compile_for_a_gpu():
    pytest.importorskip("triton", reason="Triton is not installed")
    from contrastbench.core.ops.group_sums import triton as kernels

    places = {"starts_ptr": "*i64", "ends_ptr": "*i64", "rows_ptr": "*i64", "dim": "i32", "stride_n": "i32"}
    found = compiles_for_gpu(
        kernels.pieces_kernel,
        {"values_ptr": "*fp64", "weights_ptr": "*fp64", "partial_ptr": "*fp64", **places},
        {"stride_d": 1, "HAS_ROWS": True, "HAS_WEIGHTS": True, "PIECE": 1024, "BLOCK_M": 512, "BLOCK_D": 2},
    )
    assert found.stack == 0
    compiles_for_gpu(
        kernels.groups_kernel,
        {"partial_ptr": "*fp64", "upto_ptr": "*i64", "counts_ptr": "*i64", "out_ptr": "*fp64", "dim": "i32"},
        {"BLOCK_P": 16, "BLOCK_D": 2},
    )


def test_bad_input_is_named(generator):
    values, _, rows, offsets, weights = problem(9, 2, 3, generator)
    with pytest.raises(InputError, match="did you mean 'bags'"):
        group_sums(values, offsets, rows, impl="bag")
    with pytest.raises(InputError, match=r"values: a floating tensor \[n, D\]"):
        group_sums(rows, offsets)
    with pytest.raises(InputError, match="rows: int64 in one dimension"):
        group_sums(values, offsets, rows.int())
    with pytest.raises(InputError, match=r"weights: floating \[9\] was expected"):
        group_sums(values, offsets, rows, weights[:4])
    with pytest.raises(InputError, match="weights are on 'meta'"):
        group_sums(values, offsets, rows, weights.to("meta"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU")
@pytest.mark.parametrize("dim", [1, 2, 64])
def test_a_gpu_sums_alike(dim, generator):
    values, group, rows, offsets, weights = problem(300_007, dim, 1500, generator)
    group[: len(group) // 2] = 4  # one group of half of all
    rows = group.argsort(stable=True)
    sizes = torch.bincount(group, minlength=1500)
    offsets = sizes.cumsum(0) - sizes
    expected = group_sums(values, offsets, rows, weights[rows], impl="bags")
    actual = group_sums(values, offsets, rows, weights[rows], impl="triton")
    assert_close(actual, expected)
    assert torch.equal(actual, group_sums(values, offsets, rows, weights[rows], impl="triton"))
