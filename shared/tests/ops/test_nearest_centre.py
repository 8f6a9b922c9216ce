import math

import pytest
import torch
from torch import Tensor

from contrastbench.core.errors import InputError
from contrastbench.core.ops.nearest_centre import nearest_centre
from contrastbench.core.testing import assert_close
from contrastbench.core.testing.kernels import check_op, compiles_for_gpu, kernel_device, poisoned, spread_out

FAST = ["screened", "triton"]
DEVICE = kernel_device()
# in the interpreter, numpy warns of the infinities that kernels leave to float64
INFINITIES = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@pytest.fixture(autouse=True)
def _needs_triton(request):
    if "triton" in request.node.name:
        pytest.importorskip("triton", reason="Triton is not installed")


def ball(n: int, dim: int, generator: torch.Generator, reach: float = 2.0, c: float = 1.0) -> Tensor:
    """Points at distances of about twice ``reach`` from the origin."""
    v = torch.randn(n, dim, dtype=torch.float64, generator=generator) * (reach / dim**0.5)
    norm = v.norm(dim=1, keepdim=True)
    return (v * (norm.tanh() / norm) * (1 - 1e-5) / math.sqrt(c)).to(DEVICE)


def check(points: Tensor, centres: Tensor, c: float | None, impl: str, chunk: int | None = None) -> None:
    """Assert that an implementation gives the very centre and distance of the reference."""
    expected = nearest_centre(points, centres, c, impl="reference")
    with poisoned():
        index, distances = nearest_centre(points, centres, c, impl=impl, chunk=chunk)
    assert (index.dtype, distances.dtype) == (torch.int64, torch.float64)
    assert torch.equal(index, expected[0])
    assert_close(distances, expected[1])


def loop(x: list[float], y: list[float], c: float | None) -> float:
    gap = math.fsum((a - b) ** 2 for a, b in zip(x, y, strict=True))
    if c is None:
        return math.sqrt(gap)
    room = (1 - c * math.fsum(a * a for a in x)) * (1 - c * math.fsum(b * b for b in y))
    return math.acosh(1 + 2 * c * gap / room) / math.sqrt(c)


@pytest.mark.parametrize("c", [None, 0.3, 1.0])
def test_the_reference_equals_a_loop(c, generator):
    points, centres = (ball(n, 3, generator, c=c or 1.0) for n in (19, 7))
    index, distances = nearest_centre(points, centres, c, impl="reference", chunk=5)
    for x, at, d in zip(points.tolist(), index.tolist(), distances.tolist(), strict=True):
        every = [loop(x, y, c) for y in centres.tolist()]
        assert at == min(range(7), key=every.__getitem__)
        assert d == pytest.approx(min(every), rel=1e-9)


@pytest.mark.parametrize("impl", FAST)
@pytest.mark.parametrize("c", [None, 0.3, 1.0])
@pytest.mark.parametrize(
    ("dim", "n", "k"), [(1, 33, 5), (2, 67, 50), (3, 16, 16), (4, 35, 1), (5, 40, 33), (37, 21, 19)]
)
def test_is_the_reference(impl, c, dim, n, k, generator):
    check(ball(n, dim, generator, c=c or 1.0), ball(k, dim, generator, c=c or 1.0), c, impl)


@pytest.mark.parametrize("impl", FAST)
@pytest.mark.parametrize("dim", [2, 6])
@pytest.mark.parametrize(("room", "gap"), [(0.5, 1e-8), (1e-5, 1e-2), (1e-5, 1e-6), (1e-5, 1e-11), (1e-7, 1e-2)])
def test_near_the_boundary_and_close_together(impl, dim, room, gap, generator):
    base = torch.nn.functional.normalize(torch.randn(1, dim, dtype=torch.float64, generator=generator))
    noise = torch.randn(60, dim, dtype=torch.float64, generator=generator)
    around = (base * (1 - room) + 0.3 * gap * room * noise).to(DEVICE)
    check(around[:40], around[40:], 1.0, impl)


@INFINITIES
@pytest.mark.parametrize("impl", FAST)
@pytest.mark.parametrize("dim", [2, 6])
@pytest.mark.parametrize(("scale", "shift"), [(1e-9, 1e3), (1e-30, 0.0), (1e12, 0.0), (1e30, 1.0), (1.0, 1e9)])
def test_euclidean_at_any_scale(impl, dim, scale, shift, generator):
    at = torch.randn(60, dim, dtype=torch.float64, generator=generator).to(DEVICE) * scale + shift
    check(at[:40], at[40:], None, impl)


@pytest.mark.parametrize("impl", ["reference", *FAST])
@pytest.mark.parametrize("dim", [2, 6])
def test_of_equal_centres_the_first_is_taken(impl, dim, generator):
    centres = ball(7, dim, generator).repeat(3, 1)
    index, distances = nearest_centre(centres, centres, impl=impl)
    assert index.tolist() == list(range(7)) * 3
    assert not distances.any()


@pytest.mark.parametrize("impl", FAST)
@pytest.mark.parametrize("dim", [2, 6])
def test_distances_that_only_rounding_makes_equal(impl, dim):
    """Each centre is nearer than the one before by two roundings of a float64, which a distance of 33 hides."""
    point, centres = torch.zeros(1, dim).double().to(DEVICE), torch.zeros(300, dim).double().to(DEVICE)
    point[0, 0] = 1 - 1e-14
    centres[:, 0] = torch.arange(300) * 2.0**-52
    assert nearest_centre(point, centres, impl="reference")[0] < 299
    check(point, centres, 1.0, impl)
    check(point, centres.flip(0), 1.0, impl)


@pytest.mark.parametrize("dim", [2, 4, 6, 64])
def test_the_triton_kernel_leaves_few_points_open(dim, generator, monkeypatch):
    from contrastbench.core.ops.nearest_centre import screened

    left = []
    decide = screened.nearest_centre
    monkeypatch.setattr(screened, "nearest_centre", lambda x, *rest: left.append(len(x)) or decide(x, *rest))
    nearest_centre(ball(400, dim, generator), ball(40, dim, generator), impl="triton")
    assert sum(left) <= 2


@pytest.mark.parametrize("impl", FAST)
@pytest.mark.parametrize("dim", [2, 6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_strides_types_and_chunks(impl, dim, dtype, generator):
    points, centres = ball(45, dim, generator, reach=0.5), ball(18, dim, generator, reach=0.5)
    check(spread_out(points), spread_out(centres), 1.0, impl)
    check(points.to(dtype), centres.to(dtype), 1.0, impl)
    check(points.T.contiguous().T, centres, 1.0, impl, chunk=16)
    check(points[:0], centres, 1.0, impl)


@INFINITIES
@pytest.mark.parametrize("impl", ["reference", *FAST])
@pytest.mark.parametrize("dim", [2, 6])
def test_what_is_not_finite_or_not_in_the_ball_has_no_distance(impl, dim, generator):
    points, centres = ball(20, dim, generator), ball(9, dim, generator)
    points[3, 0], points[5, 1], points[7] = math.nan, math.inf, 2.0
    index, distances = nearest_centre(points, centres, impl=impl)
    assert distances.isnan().nonzero()[:, 0].tolist() == [3, 5, 7]
    kept = [i for i in range(20) if i not in (3, 5, 7)]
    assert torch.equal(index[kept], nearest_centre(points[kept], centres, impl="reference")[0])
    assert ((index >= 0) & (index < 9)).all()


@pytest.mark.parametrize("dim", [2, 6])
def test_the_triton_op_keeps_torchs_rules(dim, generator):
    pytest.importorskip("triton", reason="Triton is not installed")
    import contrastbench.core.ops.nearest_centre.triton  # noqa: F401

    points, centres = ball(20, dim, generator), ball(9, dim, generator)
    check_op(torch.ops.contrastbench.nearest_centre.default, points, centres, 1.0, None)
    check_op(torch.ops.contrastbench.nearest_centre.default, points, centres, None, 7)
    compiled = torch.compile(
        lambda x, y: torch.ops.contrastbench.nearest_centre(x * 0.5, y, 1.0, None), backend="aot_eager", fullgraph=True
    )
    expected = nearest_centre(points * 0.5, centres, impl="reference")
    for actual, wanted in zip(compiled(points, centres), expected, strict=True):
        torch.testing.assert_close(actual, wanted)


def test_the_public_function_compiles_whole(generator):
    pytest.importorskip("triton", reason="Triton is not installed")
    points, centres = ball(20, 2, generator), ball(9, 2, generator)
    compiled = torch.compile(lambda x, y: nearest_centre(x, y, impl="triton"), backend="aot_eager", fullgraph=True)
    for actual, wanted in zip(compiled(points, centres), nearest_centre(points, centres), strict=True):
        torch.testing.assert_close(actual, wanted)


@pytest.mark.slow
def test_the_triton_kernels_compile_for_a_gpu():
    pytest.importorskip("triton", reason="Triton is not installed")
    from contrastbench.core.ops.nearest_centre import triton as kernels

    sizes = {"index_ptr": "*i64", "n": "i32", "columns": "i32", "table_ptr": "*fp32"}
    found = compiles_for_gpu(
        kernels.differences_kernel,
        {**sizes, "points_ptr": "*fp64", "bounds_ptr": "*fp32", "stride_n": "i32"},
        {"stride_d": 1, "LIMIT": 2.0**60, "DIM": 2, "BLOCK_N": 64, "BLOCK_K": 32},
        divisible=["columns"],
    )
    assert found.stack == 0
    found = compiles_for_gpu(
        kernels.products_kernel,
        {**sizes, "points_ptr": "*fp32", "norms_ptr": "*fp32", "products_ptr": "*fp32", "dim": "i32"},
        {"LIMIT": 2.0**60, "BLOCK_N": 64, "BLOCK_K": 64, "BLOCK_D": 16},
        divisible=["columns", "dim"],
        warps=8,
    )
    assert found.stack == 0


def test_bad_input_is_named(generator):
    points, centres = ball(4, 2, generator), ball(3, 2, generator)
    with pytest.raises(InputError, match="did you mean 'screened'"):
        nearest_centre(points, centres, impl="screen")
    with pytest.raises(InputError, match=r"points: a floating tensor \[n, D\].*int64 \[4, 2\]"):
        nearest_centre(points.long(), centres)
    with pytest.raises(InputError, match="points have 2 dimensions and centres 1"):
        nearest_centre(points, centres[:, :1])
    with pytest.raises(InputError, match="no centres"):
        nearest_centre(points, centres[:0])
    with pytest.raises(InputError, match="c is 0"):
        nearest_centre(points, centres, 0)
    with pytest.raises(InputError, match="chunk is 0"):
        nearest_centre(points, centres, chunk=0)
    with pytest.raises(InputError, match=r"points are on '.*' and centres on 'meta'"):
        nearest_centre(points, centres.to("meta"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU")
@pytest.mark.parametrize("dim", [1, 2, 3, 4, 5, 64, 256])
@pytest.mark.parametrize("c", [None, 1.0])
def test_a_gpu_gives_the_reference(dim, c, generator):
    points, centres = ball(100_003, dim, generator), ball(1500, dim, generator)
    for impl in FAST:
        check(points, centres, c, impl)
    centres[700:720] = centres[:20]  # and where many points are left open
    check(torch.cat([points[:10_000], centres]), centres, c, "triton")
