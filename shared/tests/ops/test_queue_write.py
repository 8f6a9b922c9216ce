import pytest
import torch
from torch import Tensor

from contrastbench.core.errors import InputError
from contrastbench.core.ops.queue_write import queue_write
from contrastbench.core.testing.kernels import check_op, compiles_for_gpu, kernel_device, poisoned, spread_out

# C, T, D, n: one of everything; what divides nothing; several rings' worth; several tiles of keys and dimensions
SHAPES = [(1, 1, 1, 1), (4, 5, 3, 7), (3, 4, 5, 40), (2, 100, 130, 150), (6, 3, 4, 0)]


def problem(shape: tuple[int, int, int, int], generator: torch.Generator) -> list[Tensor]:
    num_classes, length, dim, number = shape
    return [
        torch.randn(num_classes, length, dim, generator=generator),
        torch.randint(length, (num_classes,), generator=generator),
        torch.randint(length + 1, (num_classes,), generator=generator),
        torch.randn(number, dim, generator=generator),
        torch.randint(-1, num_classes + 1, (number,), generator=generator),
    ]


def loop(rings: Tensor, pointer: Tensor, count: Tensor, keys: Tensor, classes: Tensor) -> list[Tensor]:
    """One key after another."""
    rings, pointer, count = rings.clone(), pointer.clone(), count.clone()
    for key, c in zip(keys, classes.tolist(), strict=True):
        if 0 <= c < len(rings):
            rings[c, pointer[c]] = key
            pointer[c] = (pointer[c] + 1) % rings.shape[1]
            count[c] = min(int(count[c]) + 1, rings.shape[1])
    return [rings, pointer, count]


@pytest.fixture(params=["reference", "triton"])
def impl(request):
    if request.param == "triton":
        pytest.importorskip("triton")
    return request.param


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_a_loop_bit_for_bit(shape, impl, generator):
    inputs = problem(shape, generator)
    expected = loop(*inputs)
    rings, *rest = (t.to(kernel_device()) for t in inputs)
    with poisoned():
        written = queue_write(rings, *rest, impl=impl)
    for found, e in zip([rings, *written], expected, strict=True):
        assert torch.equal(found.cpu(), e)
    for t, before in zip(rest, inputs[1:], strict=True):
        assert torch.equal(t.cpu(), before)  # the rings alone are written


@pytest.mark.parametrize("ring_dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("key_dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_keys_take_the_type_of_the_rings(ring_dtype, key_dtype, impl, generator):
    rings, pointer, count, keys, classes = (t.to(kernel_device()) for t in problem(SHAPES[1], generator))
    rings, keys = rings.to(ring_dtype), keys.to(key_dtype)
    expected = loop(rings, pointer, count, keys.to(ring_dtype), classes)
    queue_write(rings, pointer, count, keys, classes, impl=impl)
    assert torch.equal(rings, expected[0])


def test_gaps_between_elements(impl, generator):
    inputs = problem(SHAPES[2], generator)
    expected = loop(*inputs)
    rings, *rest = (spread_out(t.to(kernel_device())) for t in inputs)
    written = queue_write(rings, *rest, impl=impl)
    for found, e in zip([rings, *written], expected, strict=True):
        assert torch.equal(found.cpu(), e)


def test_keys_leave_no_gradient(impl, generator):
    rings, pointer, count, keys, classes = (t.to(kernel_device()) for t in problem(SHAPES[1], generator))
    keys.requires_grad_()
    written = queue_write(rings, pointer, count, keys * 2, classes, impl=impl)
    assert not any(t.requires_grad for t in (rings, *written))


def test_autograd_sees_that_the_rings_were_written(impl, generator):
    rings, pointer, count, keys, classes = (t.to(kernel_device()) for t in problem(SHAPES[1], generator))
    weight = torch.ones_like(rings, requires_grad=True)
    product = (rings * weight).sum()
    queue_write(rings, pointer, count, keys, classes, impl=impl)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.backward()


def test_the_op_is_what_torch_expects(generator):
    kernels = pytest.importorskip("contrastbench.core.ops.queue_write.triton", exc_type=ImportError)
    check_op(kernels._queue_write, *(t.to(kernel_device()) for t in problem(SHAPES[1], generator)))


def test_compiles_as_one_graph(generator):
    pytest.importorskip("triton")
    inputs = problem(SHAPES[1], generator)
    rings, *rest = (t.to(kernel_device()) for t in inputs)

    def write(rings: Tensor, *rest: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return (*queue_write(rings, *rest, impl="triton"), rings + 1)

    pointer, count, after = torch.compile(write, fullgraph=True, backend="aot_eager")(rings, *rest)
    expected = loop(*inputs)
    for found, e in zip([rings, pointer, count, after], [*expected, expected[0] + 1], strict=True):
        assert torch.equal(found.cpu(), e)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_the_kernel_compiles_for_a_gpu(dtype):
    kernels = pytest.importorskip("contrastbench.core.ops.queue_write.triton", exc_type=ImportError)
    numbers = ["number", "length", "dim", "ring_stride_c", "ring_stride_t", "key_stride_n"]
    words = ["pointer", "count", "new_pointer", "new_count", "classes"]
    ones = ["ring_stride_d", "key_stride_d", "pointer_stride", "count_stride", "class_stride"]
    found = compiles_for_gpu(
        kernels._write_kernel,
        {
            **dict.fromkeys(["rings", "keys"], f"*{dtype}"),
            **dict.fromkeys(words, "*i64"),
            **dict.fromkeys(numbers, "i32"),
        },
        {**dict.fromkeys(ones, 1), "KEYS": kernels._KEYS, "DIMS": 64},
        divisible=["dim", "ring_stride_c", "ring_stride_t", "key_stride_n"],
    )
    assert found.stack == 0


def test_bad_input_is_named(generator):
    rings, pointer, count, keys, classes = problem(SHAPES[1], generator)
    with pytest.raises(InputError, match=r"keys are \[n, 3\]"):
        queue_write(rings, pointer, count, keys[:, :2], classes)
    with pytest.raises(InputError, match=r"classes \[n\]"):
        queue_write(rings, pointer, count, keys, classes[1:])
    with pytest.raises(InputError, match=r"pointer and count \[C\]"):
        queue_write(rings, pointer[1:], count, keys, classes)
    with pytest.raises(InputError, match="T of 1 or more"):
        queue_write(rings[:, :0], pointer, count, keys, classes)
    with pytest.raises(InputError, match="carry no gradient"):
        queue_write(rings.requires_grad_(), pointer, count, keys, classes)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU")
@pytest.mark.parametrize("shape", [(19, 2975, 256, 1520), (171, 100, 256, 40_000), (2, 50_000, 720, 120_000)])
def test_on_a_gpu_at_the_sizes_of_a_queue(shape, generator):
    rings, *rest = (t.cuda() for t in problem(shape, generator))
    expected = rings.clone()
    for found, e in zip(queue_write(rings, *rest), queue_write(expected, *rest, impl="reference"), strict=True):
        assert torch.equal(found, e)
    assert torch.equal(rings, expected)
