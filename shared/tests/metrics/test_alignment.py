import math

import pytest
import torch
from torch.nn import functional as F

from contrastbench.core.errors import InputError
from contrastbench.core.metrics import AlignmentUniformity, EvaluatedImage
from contrastbench.core.metrics.alignment import nearest_labels

VOID = 255
NAMES = tuple("abcdef")


def image(features, labels, index=0):
    """Features ``[n, D]`` with labels ``[n]`` as one row of pixels."""
    return EvaluatedImage(torch.zeros_like(labels[None]), labels[None], index, features.T[:, None])


def drawn(seed, classes=4, dim=5, count=60, spread=0.3):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, dim, generator=torch.Generator().manual_seed(99))
    labels = torch.randint(0, classes, (count,), generator=generator)
    features = centres[labels] + spread * torch.randn(count, dim, generator=generator)
    labels[torch.rand(count, generator=generator) < 0.1] = VOID
    return features, labels


def loop_scores(features, labels, classes):
    """A and the distances between centres, one pair at a time."""
    unit = F.normalize(features.double(), dim=1)
    within, centres = [], []
    for c in range(classes):
        own = unit[labels == c]
        pairs = [float((own[i] - own[j]).norm()) for i in range(len(own)) for j in range(i)]
        if pairs:
            within.append(sum(pairs) / len(pairs))
        if len(own):
            centres.append(F.normalize(own.mean(0), dim=0))
    distances = [[float((a - b).norm()) for b in centres] for a in centres]
    return sum(within) / len(within), distances


def test_planted_clusters_have_the_known_values():
    # six classes on the axes, two pixels of each at 45 degrees to either side within a plane of their own
    axes = torch.eye(12)
    features, labels = [], []
    for c in range(6):
        features += [axes[2 * c] + axes[2 * c + 1], axes[2 * c] - axes[2 * c + 1]]
        labels += [c, c]
    metric = AlignmentUniformity(6, VOID, NAMES)
    metric.update(image(3.0 * torch.stack(features), torch.tensor(labels)))

    result = metric.compute()

    assert result["A"] == pytest.approx(math.sqrt(2))  # 90 degrees apart
    for name in ("U", "U_3", "U_5"):
        assert result[name] == pytest.approx(math.sqrt(2))  # the axes themselves
    assert result["per_class"]["A"]["a"] == pytest.approx(math.sqrt(2))


def test_the_bound_of_uniformity_is_reached_by_a_simplex():
    count = 6
    simplex = torch.eye(count) - 1 / count
    metric = AlignmentUniformity(count, VOID, NAMES)
    metric.update(image(simplex.repeat(2, 1), torch.arange(count).repeat(2)))
    result = metric.compute()
    assert result["U"] == pytest.approx(math.sqrt(2 * count / (count - 1)))
    assert result["A"] == pytest.approx(0, abs=1e-6)


def test_scores_equal_a_loop():
    features, labels = drawn(0)
    metric = AlignmentUniformity(4, VOID, NAMES[:4], neighbours=[1, 3])
    metric.update(image(features, labels))

    result = metric.compute()

    alignment, distances = loop_scores(features, labels, 4)
    assert result["A"] == pytest.approx(alignment, rel=1e-6)
    others = [sorted(row)[1:] for row in distances]
    assert result["U"] == pytest.approx(sum(map(sum, others)) / 12, rel=1e-6)
    assert result["U_3"] == pytest.approx(result["U"], rel=1e-9)  # all there are
    assert result["U_1"] == pytest.approx(sum(row[0] for row in others) / 4, rel=1e-6)
    assert result["U_1"] < result["U"]


def test_any_order_and_split_gives_the_same_sample_and_scores():
    samples = [image(*drawn(seed), seed) for seed in range(6)]

    def measured(*parts):
        metrics = [AlignmentUniformity(4, VOID, NAMES[:4], samples=20) for _ in parts]
        for metric, part in zip(metrics, parts, strict=True):
            for i in part:
                metric.update(samples[i])
        for other in metrics[1:]:
            metrics[0].merge(other.state())
        return metrics[0]

    one = measured(range(6))
    for parts in ([[5, 1, 3], [0, 4, 2]], [[], [2, 0, 1, 3, 5, 4]], [[5], [4, 3, 2, 1, 0], []]):
        other = measured(*parts)
        for name, value in one.sampled.items():
            assert torch.equal(other.sampled[name], value)
        assert other.compute()["A"] == one.compute()["A"]
        assert other.compute()["U"] == pytest.approx(one.compute()["U"], rel=1e-12)
    assert torch.bincount(one.sampled["labels"]).tolist() == [20] * 4


def test_the_sample_is_even_over_images_and_depends_on_the_seed():
    many = torch.zeros(400, dtype=torch.int64)
    metrics = [AlignmentUniformity(1, VOID, NAMES[:1], samples=200, seed=seed) for seed in (0, 1)]
    for metric in metrics:
        for index in range(10):
            features = torch.zeros(400, 10)
            features[:, index] = 1
            metric.update(image(features, many, index))
    of_image = metrics[0].sampled["features"].sum(0)
    assert of_image.sum() == 200
    assert of_image.min() > 5  # 20 expected of each image
    assert of_image.max() < 40
    assert not torch.equal(of_image, metrics[1].sampled["features"].sum(0))


def test_centres_are_of_all_pixels_and_alignment_of_the_sample():
    features, labels = drawn(3, count=500)
    small, whole = (AlignmentUniformity(4, VOID, NAMES[:4], samples=n) for n in (10, 1000))
    for metric in (small, whole):
        metric.update(image(features, labels))
    assert small.compute()["U"] == whole.compute()["U"]
    assert small.compute()["A"] != whole.compute()["A"]
    assert small.compute()["A"] == pytest.approx(whole.compute()["A"], rel=0.3)


@pytest.mark.parametrize("size", [(4, 8), (3, 5), (8, 16), (1, 1)])
def test_labels_are_those_of_the_nearest_pixels(size):
    labels = torch.arange(16 * 24).view(16, 24)
    expected = F.interpolate(labels[None, None].double(), size=size, mode="nearest")[0, 0].long()
    assert torch.equal(nearest_labels(labels, size), expected)


def test_absent_classes_have_no_part_and_too_few_no_value():
    metric = AlignmentUniformity(6, VOID, NAMES)
    assert metric.compute() == {
        "A": None,
        "U": None,
        "U_3": None,
        "U_5": None,
        "per_class": {"A": dict.fromkeys(NAMES)},
    }
    metric.update(image(torch.eye(3), torch.tensor([1, 4, VOID])))
    result = metric.compute()
    assert result["A"] is None  # one pixel of a class has no pair
    assert result["U"] == pytest.approx(math.sqrt(2))
    assert result["U_3"] is None


def test_bad_input_is_named():
    with pytest.raises(InputError, match="two pixels"):
        AlignmentUniformity(2, VOID, NAMES[:2], samples=1)
    with pytest.raises(InputError, match="neighbours is \\[0\\]"):
        AlignmentUniformity(2, VOID, NAMES[:2], neighbours=[0])
    labels = torch.zeros(2, 2, dtype=torch.int64)
    with pytest.raises(InputError, match="gives no features"):
        AlignmentUniformity(2, VOID, NAMES[:2]).update(EvaluatedImage(labels, labels))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_features_that_are_not_finite_are_named(value):
    features, labels = drawn(0)
    features[3, 1] = value
    labels[3] = 0
    with pytest.raises(InputError, match="features of validation image 7 are not finite"):
        AlignmentUniformity(4, VOID, NAMES[:4]).update(image(features, labels, 7))
