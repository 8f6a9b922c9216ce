import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from contrastbench.core.errors import InputError
from contrastbench.core.ops.distance_transform import distance_transform
from contrastbench.core.testing.kernels import check_op, compiles_for_gpu, kernel_device, poisoned, spread_out

CPU_IMPLEMENTATIONS = ["reference", "opencv"]
IMPLEMENTATIONS = [*CPU_IMPLEMENTATIONS, "triton"]
# What divides nothing; one row, one column; several tiles of the kernels in each direction
SHAPES = [(2, 3, 5, 7), (1, 2, 33, 17), (1, 1, 1, 9), (1, 2, 9, 1), (1, 1, 70, 150), (1, 1, 2, 300)]


@pytest.fixture(autouse=True)
def _needs_its_library(request):
    if "opencv" in request.node.name:
        pytest.importorskip("cv2", reason="OpenCV is not installed; pip install './shared[data]'")
    if "triton" in request.node.name or "kernel" in request.node.name:
        pytest.importorskip("triton")


def on_kernel_device(masks: torch.Tensor, impl: str) -> torch.Tensor:
    return masks.to(kernel_device()) if impl == "triton" else masks


def loop(mask: np.ndarray, border_is_edge: bool) -> np.ndarray:
    """Every distance to every pixel outside, one at a time."""
    mask = np.pad(mask, int(border_is_edge))
    outside = np.argwhere(~mask).tolist()
    out = np.zeros(mask.shape)
    for y, x in np.argwhere(mask).tolist():
        out[y, x] = min((math.hypot(y - v, x - u) for v, u in outside), default=math.inf)
    return out[1:-1, 1:-1] if border_is_edge else out


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
@pytest.mark.parametrize("border_is_edge", [False, True])
@settings(max_examples=60, deadline=None)
@given(mask=arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_equals_a_loop(impl, border_is_edge, mask):
    masks = on_kernel_device(torch.from_numpy(mask)[None, None], impl)
    actual = distance_transform(masks, border_is_edge=border_is_edge, impl=impl).cpu()
    assert actual.dtype == torch.float32
    np.testing.assert_allclose(actual[0, 0].numpy(), loop(mask, border_is_edge), rtol=2e-7)


@pytest.mark.parametrize("impl", CPU_IMPLEMENTATIONS)
@settings(max_examples=40, deadline=None)
@given(
    masks=arrays.arrays(
        bool,
        st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 40), st.integers(1, 40)),
        elements=st.booleans(),
        fill=st.booleans(),  # large parts alike: regions, not noise
    )
)
def test_equals_scipy_to_the_rounding_of_float32(impl, masks):
    ndimage = pytest.importorskip("scipy.ndimage", reason="scipy is not installed")
    actual = distance_transform(torch.from_numpy(masks), impl=impl).numpy()
    for index in np.ndindex(masks.shape[:2]):
        if masks[index].all():  # scipy measures to a pixel that is not there
            assert np.isinf(actual[index]).all()
        else:
            np.testing.assert_allclose(actual[index], ndimage.distance_transform_edt(masks[index]), rtol=2e-7)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.98, 0.9999])
def test_opencv_equals_the_reference_at_the_size_of_a_feature_map(share, generator):
    masks = torch.rand(1, 3, 128, 96, generator=generator) < share
    expected = distance_transform(masks, impl="reference")
    torch.testing.assert_close(distance_transform(masks, impl="opencv"), expected, rtol=2e-7, atol=0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("border_is_edge", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.9, 0.999, 1.0])
def test_the_kernel_equals_the_reference_bit_for_bit(shape, border_is_edge, share, generator):
    masks = torch.rand(shape, generator=generator) < share
    expected = distance_transform(masks, border_is_edge=border_is_edge, impl="reference")
    with poisoned():
        actual = distance_transform(masks.to(kernel_device()), border_is_edge=border_is_edge, impl="triton")
    assert torch.equal(actual.cpu(), expected)


def test_the_kernel_takes_squares_that_float32_does_not_hold():
    masks = torch.ones(1, 1, 4100, 3, dtype=torch.bool)
    masks[..., 0, 1] = False
    actual = distance_transform(masks.to(kernel_device()), impl="triton").cpu()
    down = torch.arange(4100, dtype=torch.float64)
    beside = (down.square() + 1).sqrt()
    assert torch.equal(actual[0, 0], torch.stack([beside, down, beside], 1).float())


def test_the_kernel_takes_masks_as_they_lie(generator):
    masks = torch.rand(2, 3, 20, 13, generator=generator) < 0.8
    expected = distance_transform(masks, impl="reference")
    for laid in (spread_out(masks), masks.transpose(2, 3).contiguous().transpose(2, 3), masks.int()):
        assert torch.equal(distance_transform(laid.to(kernel_device()), impl="triton").cpu(), expected)
    one = masks[:1, :1].to(kernel_device())
    actual = distance_transform(one.expand(2, 3, -1, -1), impl="triton").cpu()
    assert torch.equal(actual, expected[:1, :1].expand(2, 3, -1, -1))


@pytest.mark.parametrize("border_is_edge", [False, True])
def test_the_kernel_is_an_op_that_compiles_as_one_graph(border_is_edge, generator):
    from contrastbench.core.ops.distance_transform import triton as kernels

    masks = (torch.rand(1, 2, 9, 7, generator=generator) < 0.8).to(kernel_device())
    check_op(kernels._distance_transform, masks, border_is_edge)

    def distances(masks: torch.Tensor) -> torch.Tensor:
        return distance_transform(masks, border_is_edge=border_is_edge, impl="triton")

    compiled = torch.compile(distances, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(masks), distances(masks))


@pytest.mark.parametrize(("border_is_edge", "wide"), [(False, False), (True, True)])
def test_the_kernels_compile_for_a_gpu(border_is_edge, wide):
    from contrastbench.core.ops.distance_transform import triton as kernels

    size = {"height": "i32", "width": "i32"}
    constants = {"BORDER_IS_EDGE": border_is_edge, "FAR": kernels._FAR}
    strides = dict.fromkeys(["channels", "stride_b", "stride_c", "stride_h"], "i32")
    columns = compiles_for_gpu(
        kernels._columns_kernel,
        {"masks": "*u8", "columns": "*i16", **size, **strides},
        {**constants, "stride_w": 1, "ROWS": 16, "COLS": 64},
        divisible=list(size),
    )
    rows = compiles_for_gpu(
        kernels._rows_kernel,
        {"columns": "*i16", "distances": "*fp32", **size},
        {**constants, "WIDE": wide, "ROWS": 1, "COLS": 128, "STEP": 8},
        divisible=list(size),
        warps=1,
    )
    assert columns.stack == rows.stack == 0


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_hand_drawn(impl):
    mask = torch.tensor(
        [
            [0, 0, 0, 0, 0, 0],
            [0, 1, 1, 1, 0, 0],
            [0, 1, 1, 1, 0, 1],
            [0, 1, 1, 1, 0, 1],
            [0, 0, 0, 0, 0, 1],
        ]
    )[None, None]
    expected = torch.tensor(
        [
            [0, 0, 0, 0, 0, 0],
            [0, 1, 1, 1, 0, 0],
            [0, 1, 2, 1, 0, 1],
            [0, 1, 1, 1, 0, 1],
            [0, 0, 0, 0, 0, 1],
        ]
    ).float()
    mask = on_kernel_device(mask, impl)
    assert torch.equal(distance_transform(mask, impl=impl)[0, 0].cpu(), expected)
    # a region that the border cuts off: the border is no edge unless it is said to be
    strip = on_kernel_device(torch.tensor([1, 1, 1, 0]).bool().expand(1, 1, 1, 4), impl)
    assert distance_transform(strip, impl=impl).flatten().tolist() == [3, 2, 1, 0]
    assert distance_transform(strip, impl=impl, border_is_edge=True).flatten().tolist() == [1, 1, 1, 0]


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_empty_full_and_one_pixel(impl):
    masks = torch.zeros(1, 3, 5, 7, dtype=torch.bool)
    masks[0, 1] = True
    masks[0, 2, 0, 6] = True
    masks = on_kernel_device(masks, impl)
    empty, full, one = distance_transform(masks, impl=impl)[0]
    assert not empty.any()
    assert torch.isinf(full).all()
    assert torch.equal(one, masks[0, 2].float())
    bordered = distance_transform(masks, impl=impl, border_is_edge=True)[0, 1]
    assert bordered[2].tolist() == [1, 2, 3, 3, 3, 2, 1]


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 0, 4, 4), (1, 1, 0, 4)])
def test_nothing_to_do(impl, shape):
    masks = on_kernel_device(torch.zeros(shape, dtype=torch.bool), impl)
    assert distance_transform(masks, impl=impl).shape == shape


def test_planes_do_not_meet_and_numbers_are_masks(generator):
    masks = torch.randint(0, 3, (2, 3, 11, 8), generator=generator)
    together = distance_transform(masks)
    for b in range(2):
        for c in range(3):
            assert torch.equal(together[b, c], distance_transform(masks[b, c].bool()[None, None])[0, 0])
    strided = masks.permute(0, 1, 3, 2)
    assert torch.equal(distance_transform(strided), together.permute(0, 1, 3, 2))


def test_bad_input_is_named():
    with pytest.raises(InputError, match="did you mean 'opencv'"):
        distance_transform(torch.zeros(1, 1, 2, 2), impl="open_cv")
    with pytest.raises(InputError, match=r"masks are \[B, C, H, W\]"):
        distance_transform(torch.zeros(2, 2))
    with pytest.raises(InputError, match=r"at most 16,384 pixels"):
        distance_transform(torch.zeros(1, 1, 1, 16385), impl="triton")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU")
@pytest.mark.parametrize("impl", [None, *IMPLEMENTATIONS])
def test_a_gpu_gets_its_distances_back(impl, generator):
    masks = torch.rand(2, 3, 20, 30, generator=generator) < 0.8
    actual = distance_transform(masks.cuda(), impl=impl)
    assert actual.is_cuda
    torch.testing.assert_close(actual.cpu(), distance_transform(masks, impl="reference"), rtol=2e-7, atol=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU")
@pytest.mark.parametrize("shape", [(8, 19, 128, 256), (1, 2, 1024, 2048), (1, 1, 5003, 4099), (3, 5, 97, 513)])
@pytest.mark.parametrize("border_is_edge", [False, True])
@pytest.mark.parametrize("regions", [True, False])
def test_the_kernel_on_a_gpu_equals_scipy(shape, border_is_edge, regions, generator):
    ndimage = pytest.importorskip("scipy.ndimage", reason="scipy is not installed")
    masks = torch.rand(shape, generator=generator) < 0.99
    if regions:
        masks = masks[..., ::32, ::32].repeat_interleave(32, 2).repeat_interleave(32, 3)[..., : shape[2], : shape[3]]
    masks[..., 0, 0] = False  # scipy measures to a pixel that is not there where there is no outside
    actual = distance_transform(masks.cuda(), border_is_edge=border_is_edge, impl="triton").cpu()
    for index in np.ndindex(shape[:2]):
        plane = np.pad(masks[index].numpy(), int(border_is_edge))
        expected = torch.from_numpy(ndimage.distance_transform_edt(plane)).float()
        assert torch.equal(actual[index], expected[1:-1, 1:-1] if border_is_edge else expected)
