import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from contrastbench.core.errors import InputError
from contrastbench.core.metrics import BoundaryIoU, EvaluatedImage
from contrastbench.core.metrics.boundary_iou import inner_band

VOID = 255
NAMES = ("road", "car", "sky")
LABELS = arrays(
    np.int64,
    array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=10),
    elements=st.sampled_from([0, 0, 0, 1, 2, VOID]),
)


def image(prediction, labels):
    return EvaluatedImage(torch.as_tensor(prediction).long(), torch.as_tensor(labels).long())


def loop_band(mask, distance):
    """The mask's pixels that have a pixel outside mask or image within ``distance`` in both directions."""
    height, width = mask.shape
    band = np.zeros_like(mask)
    for y, x in np.argwhere(mask):
        for v in range(y - distance, y + distance + 1):
            for u in range(x - distance, x + distance + 1):
                if not (0 <= v < height and 0 <= u < width) or not mask[v, u]:
                    band[y, x] = True
    return band


@settings(max_examples=60, deadline=None)
@given(labels=LABELS, distance=st.integers(1, 4), seed=st.integers(0, 99))
def test_counts_equal_a_loop_over_classes(labels, distance, seed):
    prediction = np.random.default_rng(seed).integers(0, 3, labels.shape)
    metric = BoundaryIoU(3, VOID, NAMES, distance=distance)

    metric.update(image(prediction, labels))

    for c in range(3):
        true = loop_band(labels == c, distance)
        predicted = loop_band((prediction == c) & (labels != VOID), distance)
        assert metric.counts[:, c].tolist() == [(true & predicted).sum(), true.sum(), predicted.sum()]


def test_the_band_is_what_eroding_takes_away():
    cv2 = pytest.importorskip("cv2")
    labels = torch.randint(0, 3, (6, 8), generator=torch.Generator().manual_seed(0)).repeat_interleave(9, 0)
    labels = labels.repeat_interleave(9, 1)
    for distance in (1, 3, 7):
        band = inner_band(labels, distance)
        for c in range(3):
            mask = (labels == c).numpy().astype(np.uint8)
            padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
            eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=distance)[1:-1, 1:-1]
            assert np.array_equal(band.numpy() & (mask > 0), (mask - eroded) > 0)


def test_by_hand():
    # a 6 x 6 car, predicted one pixel to the right
    labels, prediction = np.zeros((20, 20), int), np.zeros((20, 20), int)
    labels[5:11, 5:11] = 1
    prediction[5:11, 6:12] = 1
    metric = BoundaryIoU(3, VOID, NAMES, distance=1)
    metric.update(image(prediction, labels))
    # rings of 20 pixels; shared: 5 of the upper and 5 of the lower side
    assert metric.compute()["per_class"]["boundary_IoU"]["car"] == pytest.approx(100 * 10 / 30)
    assert metric.compute()["per_class"]["boundary_IoU"]["sky"] is None


def test_a_perfect_prediction_has_all_points_whatever_is_void():
    labels = torch.randint(0, 4, (20, 30), generator=torch.Generator().manual_seed(1))
    labels[labels == 3] = VOID
    metric = BoundaryIoU(3, VOID, NAMES)
    metric.update(EvaluatedImage(labels.clamp_max(2), labels))
    assert metric.compute()["boundary_IoU"] == 100


@pytest.mark.parametrize(("shape", "distance"), [((1024, 2048), 46), ((96, 192), 4), ((5, 5), 1)])
def test_the_default_distance_is_two_percent_of_the_diagonal(shape, distance):
    labels = torch.zeros(shape, dtype=torch.int64)
    metric, explicit = BoundaryIoU(1, VOID, NAMES[:1]), BoundaryIoU(1, VOID, NAMES[:1], distance=distance)
    for m in (metric, explicit):
        m.update(EvaluatedImage(labels, labels))
    assert torch.equal(metric.counts, explicit.counts)


def test_parts_merge_to_the_whole():
    draw = torch.Generator().manual_seed(2)
    samples = [image(*torch.randint(0, 3, (2, 9, 9), generator=draw)) for _ in range(3)]
    one, first, second = (BoundaryIoU(3, VOID, NAMES) for _ in range(3))
    for sample in samples:
        one.update(sample)
    first.update(samples[2])
    for sample in samples[:2]:
        second.update(sample)
    first.merge(second.state())
    assert first.compute() == one.compute()


def test_nothing_counted_gives_no_score():
    assert BoundaryIoU(3, VOID, NAMES).compute()["boundary_IoU"] is None


@pytest.mark.parametrize("options", [{"ratio": 0.0}, {"ratio": 2}, {"distance": 0}, {"distance": 1.5}])
def test_bad_distances_are_named(options):
    with pytest.raises(InputError, match="expected"):
        BoundaryIoU(3, VOID, NAMES, **options)
