import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from contrastbench.core.errors import InputError
from contrastbench.core.metrics import BoundaryMeanIoU, EvaluatedImage, confusion, mean_iou
from contrastbench.core.metrics.boundary_miou import semantic_boundary, squared_distance

VOID = 255
NAMES = ("road", "car", "sky")
LABELS = arrays(
    np.int64,
    array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9),
    elements=st.sampled_from([0, 0, 0, 1, 2, VOID]),
)


def image(prediction, labels, index=0):
    return EvaluatedImage(torch.as_tensor(prediction).long(), torch.as_tensor(labels).long(), index)


def loop_boundary(labels, void_edges):
    height, width = labels.shape
    found = set()
    for y in range(height):
        for x in range(width):
            for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if not (0 <= v < height and 0 <= u < width) or labels[v, u] == labels[y, x]:
                    continue
                if void_edges or VOID not in (labels[v, u], labels[y, x]):
                    found.add((y, x))
    return found


def loop_band(labels, radius, void_edges):
    boundary = loop_boundary(labels, void_edges)
    return np.array(
        [
            [any(math.hypot(y - v, x - u) <= radius for v, u in boundary) for x in range(labels.shape[1])]
            for y in range(labels.shape[0])
        ]
    )


@settings(max_examples=60, deadline=None)
@given(labels=LABELS, radius=st.integers(1, 6), void_edges=st.booleans(), seed=st.integers(0, 99))
def test_the_band_and_its_counts_equal_a_loop(labels, radius, void_edges, seed):
    prediction = np.random.default_rng(seed).integers(0, 3, labels.shape)
    metric = BoundaryMeanIoU(3, VOID, NAMES, radii=[radius], void_edges=void_edges)

    metric.update(image(prediction, labels))

    band = loop_band(labels, radius, void_edges)
    expected = np.zeros((3, 3), int)
    for true, predicted in zip(labels[band], prediction[band], strict=True):
        if true != VOID:
            expected[true, predicted] += 1
    assert metric.matrices[0].tolist() == expected.tolist()


def test_distances_are_exact_within_the_limit():
    mask = torch.rand(23, 31, generator=torch.Generator().manual_seed(0)) < 0.01
    ys, xs = torch.nonzero(mask, as_tuple=True)
    every = (torch.arange(23)[:, None, None] - ys) ** 2 + (torch.arange(31)[None, :, None] - xs) ** 2
    expected = every.min(-1).values
    for limit in (1, 5, 40):
        distance = squared_distance(mask, limit)
        near = expected <= limit**2
        assert near.any()
        assert torch.equal(distance[near].long(), expected[near])
        assert (distance[~near] > limit**2).all()


def test_by_hand():
    # road left, car right, their boundary between columns 9 and 10; the prediction puts it two pixels to the right
    labels = np.zeros((4, 20), int)
    labels[:, 10:] = 1
    prediction = np.zeros((4, 20), int)
    prediction[:, 12:] = 1
    metric = BoundaryMeanIoU(3, VOID, NAMES)
    metric.update(image(prediction, labels))

    result = metric.compute()

    # 6 columns of each class lie in the band of 5: 0..5 pixels from the boundary column
    assert result["per_class"]["B_mIoU_5px"]["road"] == pytest.approx(100 * 6 / 8)
    assert result["per_class"]["B_mIoU_5px"]["car"] == pytest.approx(100 * 4 / 6)
    assert result["per_class"]["B_mIoU_5px"]["sky"] is None
    assert result["B_mIoU_5px"] == pytest.approx((75 + 400 / 6) / 2)
    assert result["per_class"]["B_mIoU_7px"]["car"] == pytest.approx(100 * 6 / 8)
    assert sorted(result) == ["B_mIoU_10px", "B_mIoU_5px", "B_mIoU_7px", "per_class"]


def test_a_band_over_everything_is_mean_iou():
    rng = np.random.default_rng(1)
    labels, prediction = rng.integers(0, 3, (12, 15)), rng.integers(0, 3, (12, 15))
    metric = BoundaryMeanIoU(3, VOID, NAMES, radii=[30])
    metric.update(image(prediction, labels))
    whole = mean_iou(confusion(torch.from_numpy(prediction), torch.from_numpy(labels), 3, VOID))
    assert metric.compute()["B_mIoU_30px"] == whole.miou


def test_an_edge_towards_void_is_a_boundary_only_when_asked_for():
    labels = torch.tensor([[0, 0, VOID, 1]])
    assert semantic_boundary(labels, VOID).tolist() == [[False] * 4]
    assert semantic_boundary(labels, VOID, void_edges=True).tolist() == [[False, True, True, True]]


def test_any_split_merges_to_the_same():
    rng = np.random.default_rng(2)
    samples = [image(rng.integers(0, 3, (9, 8)), rng.choice([0, 1, 2, VOID], (9, 8)), i) for i in range(5)]
    one, first, second = (BoundaryMeanIoU(3, VOID, NAMES, radii=[2]) for _ in range(3))
    for sample in samples:
        one.update(sample)
    for i in (4, 1):
        first.update(samples[i])
    for i in (3, 0, 2):
        second.update(samples[i])
    first.merge(second.state())
    assert first.compute() == one.compute()


def test_no_boundary_gives_no_score():
    metric = BoundaryMeanIoU(3, VOID, NAMES, radii=[2])
    metric.update(image(np.zeros((3, 3)), np.ones((3, 3))))
    assert metric.compute()["B_mIoU_2px"] is None


@pytest.mark.parametrize("radii", [[], [0], [2.5], [True]])
def test_bad_radii_are_named(radii):
    with pytest.raises(InputError, match="expected whole numbers of pixels above 0"):
        BoundaryMeanIoU(3, VOID, NAMES, radii=radii)
