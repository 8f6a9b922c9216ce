import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from contrastbench.core.errors import InputError
from contrastbench.core.ops.distance_transform import distance_transform

IMPLEMENTATIONS = ["reference", "opencv"]


@pytest.fixture(autouse=True)
def _needs_opencv(request):
    if "opencv" in request.node.name:
        pytest.importorskip("cv2", reason="OpenCV is not installed; pip install './shared[data]'")


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
    actual = distance_transform(torch.from_numpy(mask)[None, None], border_is_edge=border_is_edge, impl=impl)
    assert actual.dtype == torch.float32
    np.testing.assert_allclose(actual[0, 0].numpy(), loop(mask, border_is_edge), rtol=2e-7)


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
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
    assert torch.equal(distance_transform(mask, impl=impl)[0, 0], expected)
    # a region that the border cuts off: the border is no edge unless it is said to be
    strip = torch.tensor([1, 1, 1, 0]).bool().expand(1, 1, 1, 4)
    assert distance_transform(strip, impl=impl).flatten().tolist() == [3, 2, 1, 0]
    assert distance_transform(strip, impl=impl, border_is_edge=True).flatten().tolist() == [1, 1, 1, 0]


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
def test_empty_full_and_one_pixel(impl):
    masks = torch.zeros(1, 3, 5, 7, dtype=torch.bool)
    masks[0, 1] = True
    masks[0, 2, 0, 6] = True
    empty, full, one = distance_transform(masks, impl=impl)[0]
    assert not empty.any()
    assert torch.isinf(full).all()
    assert torch.equal(one, masks[0, 2].float())
    bordered = distance_transform(masks, impl=impl, border_is_edge=True)[0, 1]
    assert bordered[2].tolist() == [1, 2, 3, 3, 3, 2, 1]


@pytest.mark.parametrize("impl", IMPLEMENTATIONS)
@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 0, 4, 4), (1, 1, 0, 4)])
def test_nothing_to_do(impl, shape):
    assert distance_transform(torch.zeros(shape, dtype=torch.bool), impl=impl).shape == shape


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
    with pytest.raises(ValueError, match=r"masks are \[B, C, H, W\]"):
        distance_transform(torch.zeros(2, 2))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU")
@pytest.mark.parametrize("impl", [None, *IMPLEMENTATIONS])
def test_a_gpu_gets_its_distances_back(impl, generator):
    masks = torch.rand(2, 3, 20, 30, generator=generator) < 0.8
    actual = distance_transform(masks.cuda(), impl=impl)
    assert actual.is_cuda
    torch.testing.assert_close(actual.cpu(), distance_transform(masks, impl="reference"), rtol=2e-7, atol=0)
