import pytest
import torch
from torch import Tensor

from contrastbench.core.errors import InputError
from contrastbench.core.ops.class_means import class_means, class_sums
from contrastbench.core.testing import assert_close
from contrastbench.core.testing.kernels import check_op, compiles_for_gpu, kernel_device, poisoned, spread_out

# B, H, W, D, C: one of everything; what divides nothing; several parts to add up; several blocks of dimensions
SHAPES = [(1, 1, 1, 1, 1), (2, 3, 5, 7, 4), (3, 9, 4, 33, 2), (1, 40, 40, 3, 5), (2, 5, 7, 130, 19)]


def problem(shape: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype = torch.float32):
    batch, height, width, dim, num_classes = shape
    embeddings = torch.randn(batch, height, width, dim, generator=generator, dtype=torch.float64).to(dtype)
    labels = torch.randint(-1, num_classes + 1, (batch, height, width), generator=generator)
    labels[labels == num_classes] = 255
    return embeddings.requires_grad_(), labels, num_classes


def loop(embeddings: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Every pixel, one at a time."""
    sums = torch.zeros(len(embeddings), num_classes, embeddings.shape[-1], dtype=torch.float64)
    counts = torch.zeros(len(embeddings), num_classes, dtype=torch.int64)
    for b, y, x in torch.cartesian_prod(*(torch.arange(size) for size in labels.shape)).tolist():
        if 0 <= (c := int(labels[b, y, x])) < num_classes:
            sums[b, c] += embeddings[b, y, x].detach()
            counts[b, c] += 1
    return sums, counts


@pytest.fixture(params=["reference", "triton"])
def impl(request):
    if request.param == "triton":
        pytest.importorskip("triton")
    return request.param


@pytest.mark.parametrize("shape", SHAPES[:3])
def test_equals_a_loop(shape, impl, generator):
    embeddings, labels, num_classes = problem(shape, generator)
    expected, counts = loop(embeddings, labels, num_classes)
    device = kernel_device()
    found = class_sums(embeddings.to(device), labels.to(device), num_classes, impl=impl)
    assert_close(found.sums.cpu(), expected)
    assert torch.equal(found.counts.cpu(), counts)
    means = class_means(embeddings.to(device), labels.to(device), num_classes, impl=impl)
    assert_close(means.means.cpu(), expected / counts.clamp_min(1)[..., None])
    assert torch.equal(means.counts.cpu(), counts)


def test_gradients_of_the_reference(generator):
    embeddings, labels, num_classes = problem(SHAPES[1], generator, torch.float64)
    assert torch.autograd.gradcheck(lambda e: class_means(e, labels, num_classes).means, embeddings)
    rows = embeddings.detach().flatten(0, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda e: class_means(e, labels.flatten(), num_classes).means, rows)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("form", ["channels last", "channels first", "rows"])
def test_the_kernel_equals_the_reference(shape, dtype, form, generator):
    pytest.importorskip("triton")
    embeddings, labels, num_classes = problem(shape, generator, dtype)
    if form == "channels first":
        embeddings = embeddings.detach().movedim(-1, 1).contiguous()
    elif form == "rows":
        embeddings, labels = embeddings.detach().flatten(0, 2), labels.flatten()
    embeddings, labels = embeddings.detach().to(kernel_device()).requires_grad_(), labels.to(kernel_device())
    flags = {"channels_first": form == "channels first"}
    expected = class_sums(embeddings, labels, num_classes, impl="reference", **flags)
    weight = torch.randn(expected.sums.shape, generator=generator).to(kernel_device())
    (expected_grad,) = torch.autograd.grad((expected.sums * weight).sum(), embeddings)
    with poisoned():
        found = class_sums(embeddings, labels, num_classes, impl="triton", **flags)
        (grad,) = torch.autograd.grad((found.sums * weight).sum(), embeddings)
    assert found.sums.dtype == torch.float32
    assert_close(found.sums, expected.sums)
    assert torch.equal(found.counts, expected.counts)
    assert grad.dtype == dtype
    assert_close(grad, expected_grad)


def test_gaps_between_elements(impl, generator):
    embeddings, labels, num_classes = problem(SHAPES[1], generator)
    expected = class_sums(embeddings, labels, num_classes)
    wide, wide_labels = spread_out(embeddings.detach().to(kernel_device())), spread_out(labels.to(kernel_device()))
    found = class_sums(wide.requires_grad_(), wide_labels, num_classes, impl=impl)
    assert_close(found.sums.cpu(), expected.sums)
    assert torch.equal(found.counts.cpu(), expected.counts)
    # The same gradient everywhere, as an expanded tensor.
    (grad,) = torch.autograd.grad(found.sums.sum(), wide)
    known = (labels >= 0) & (labels < num_classes)
    assert torch.equal(grad.cpu(), known[..., None].float().expand_as(grad))


def test_second_derivatives(generator):
    pytest.importorskip("triton")
    embeddings, labels, num_classes = problem(SHAPES[1], generator)
    embeddings, labels = embeddings.detach().to(kernel_device()).requires_grad_(), labels.to(kernel_device())
    weight = torch.randn(embeddings.shape, generator=generator).to(kernel_device())

    def second(impl: str) -> Tensor:
        sums = class_sums(embeddings, labels, num_classes, impl=impl).sums
        (grad,) = torch.autograd.grad(sums.pow(3).sum(), embeddings, create_graph=True)
        return torch.autograd.grad((grad * weight).sum(), embeddings)[0]

    assert_close(second("triton"), second("reference"))


@pytest.mark.parametrize("shape", [(0, 2, 2, 3), (2, 0, 2, 3), (2, 2, 2, 0)])
def test_nothing_to_do(shape, impl):
    labels = torch.ones(shape[:3], dtype=torch.int64, device=kernel_device())
    embeddings = torch.ones(shape, device=kernel_device(), requires_grad=True)
    with poisoned():
        found = class_means(embeddings, labels, 3, impl=impl)
        (grad,) = torch.autograd.grad(found.means.sum(), embeddings)
    assert found.means.shape == (shape[0], 3, shape[3])
    assert not found.means.any()
    assert found.counts.tolist() == [[0, shape[1] * shape[2], 0]] * shape[0]
    assert grad.shape == shape


def test_what_is_ignored_may_be_anything(generator):
    pytest.importorskip("triton")
    embeddings, labels, num_classes = problem(SHAPES[1], generator)
    device = kernel_device()
    expected = class_sums(embeddings, labels, num_classes).sums
    ignored = (labels < 0) | (labels >= num_classes)
    embeddings = embeddings.detach().masked_fill(ignored[..., None], torch.nan)
    # A label that is 0 in its lower 32 bits is outside as well.
    labels = labels.masked_fill(labels == 255, 1 << 32)
    assert_close(class_sums(embeddings.to(device), labels.to(device), num_classes, impl="triton").sums.cpu(), expected)


def test_autocast_leaves_the_sums_alone(impl, generator):
    embeddings, labels, num_classes = problem(SHAPES[1], generator)
    embeddings, labels = embeddings.detach().to(kernel_device()), labels.to(kernel_device())
    with torch.autocast(embeddings.device.type, dtype=torch.bfloat16):
        found = class_sums(embeddings, labels, num_classes, impl=impl)
    assert torch.equal(found.sums, class_sums(embeddings, labels, num_classes, impl=impl).sums)


@pytest.mark.parametrize("channels_first", [False, True])
def test_the_ops_are_what_torch_expects(channels_first, generator):
    kernels = pytest.importorskip("contrastbench.core.ops.class_means.triton", exc_type=ImportError)
    device = kernel_device()
    embeddings = torch.randn(2, 6, 5, generator=generator).to(device).requires_grad_()
    labels = torch.randint(-1, 4, (2, 5 if channels_first else 6), generator=generator).to(device)
    check_op(kernels._class_sums, embeddings, labels, 3, channels_first)
    grad = torch.randn(2, 3, 5, generator=generator).to(device).requires_grad_()
    check_op(kernels._class_sums_backward, grad, labels, channels_first, torch.float32)


def test_compiles_as_one_graph(impl, generator):
    embeddings, labels, num_classes = problem(SHAPES[1], generator)
    embeddings, labels = embeddings.detach().to(kernel_device()).requires_grad_(), labels.to(kernel_device())

    def means(e: Tensor) -> Tensor:
        return class_means(e, labels, num_classes, impl=impl).means.square().sum()

    value = torch.compile(means, fullgraph=True, backend="aot_eager")(embeddings)
    assert_close(value, means(embeddings))
    assert_close(torch.autograd.grad(value, embeddings)[0], torch.autograd.grad(means(embeddings), embeddings)[0])


@pytest.mark.parametrize(("dtype", "contiguous"), [("bf16", "stride_d"), ("fp32", "stride_n")])
def test_the_kernels_compile_for_a_gpu(dtype, contiguous):
    kernels = pytest.importorskip("contrastbench.core.ops.class_means.triton", exc_type=ImportError)
    strided = "stride_n" if contiguous == "stride_d" else "stride_d"
    numbers = ["pixels", "dim", "classes", strided, "label_stride_b"]
    constants = {contiguous: 1, "label_stride_n": 1, "PIXELS": 32, "DIMS": 128}
    types = {"labels": "*i64", **dict.fromkeys(numbers, "i32")}
    found = compiles_for_gpu(
        kernels._sums_kernel,
        types
        | {"embeddings": f"*{dtype}", "sums": "*fp32", "counts": "*i32"}
        | dict.fromkeys(["blocks", "splits", "pixels_of_split", "stride_b"], "i32"),
        constants,
        divisible=["pixels", "dim", strided],
    )
    assert found.stack == 0
    found = compiles_for_gpu(
        kernels._deal_kernel,
        types | {"grad_sums": "*fp32", "grad": f"*{dtype}"},
        constants,
        divisible=["pixels", "dim", strided],
    )
    assert found.stack == 0


def test_bad_input_is_named():
    embeddings, labels = torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, dtype=torch.int64)
    with pytest.raises(InputError, match="one a pixel"):
        class_sums(embeddings, labels[:, :1], 2)
    with pytest.raises(InputError, match="one a pixel"):
        class_sums(embeddings, labels, 2, channels_first=True)
    with pytest.raises(InputError, match=r"\[B, H, W, D\] or \[n, D\]"):
        class_sums(embeddings[0], labels[0], 2)
    with pytest.raises(InputError, match="whole numbers"):
        class_sums(embeddings, labels.float(), 2)
    with pytest.raises(InputError, match="num_classes is 1 or more"):
        class_sums(embeddings, labels, 0)
    with pytest.raises(InputError, match="unknown implementation of class_means"):
        class_sums(embeddings, labels, 2, impl="tritone")
    if kernel_device().type == "cpu":
        pytest.importorskip("triton")
        with pytest.raises(InputError, match="float64"):
            class_sums(embeddings.double(), labels, 2, impl="triton")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU")
@pytest.mark.parametrize("shape", [(8, 128, 256, 256, 19), (1, 513, 300, 100, 171), (2, 96, 97, 720, 150)])
@pytest.mark.parametrize("regions", [True, False])
def test_on_a_gpu_at_the_sizes_of_feature_maps(shape, regions, generator):
    batch, height, width, dim, num_classes = shape
    embeddings = torch.randn(batch, height, width, dim, generator=generator).cuda().requires_grad_()
    labels = torch.randint(-1, num_classes, (batch, height, width), generator=generator).cuda()
    if regions:
        labels = labels[:, ::16, ::16].repeat_interleave(16, 1).repeat_interleave(16, 2)[:, :height, :width]
    expected = class_sums(embeddings.double(), labels, num_classes, impl="reference")
    found = class_sums(embeddings, labels, num_classes)
    assert_close(found.sums, expected.sums)
    assert torch.equal(found.counts, expected.counts)
    assert torch.equal(found.sums, class_sums(embeddings, labels, num_classes).sums)  # bit for bit, each time
    weight = torch.randn(found.sums.shape, generator=generator).cuda()
    (grad,) = torch.autograd.grad((found.sums * weight).sum(), embeddings)
    assert_close(grad, torch.autograd.grad((expected.sums * weight).sum(), embeddings)[0])
