import copy
import math

import numpy as np
import pytest
import torch

from contrastbench.core.data.taxonomies import CITYSCAPES, CITYSCAPES_TRAIN_IDS
from contrastbench.core.errors import InputError
from contrastbench.core.metrics import EvaluatedImage, InstanceIoU

VOID = 255
NAMES = tuple(CITYSCAPES)
LABEL_IDS = np.array(list(CITYSCAPES_TRAIN_IDS))
THINGS = [24, 25, 26, 27, 28, 31, 32, 33]


def scene(rng, height=24, width=40):
    """Label ids and instance ids as Cityscapes has them: stuff, void, groups, things, caravans that are not scored."""
    labels = rng.choice([7, 8, 11, 21, 23, 4, 0], (height // 8, width // 8)).repeat(8, 0).repeat(8, 1)
    instances = labels.astype(np.int32)
    for number in range(rng.integers(0, 12)):
        kind = int(rng.choice([*THINGS, 29]))
        y, x = rng.integers(0, height - 4), rng.integers(0, width - 4)
        box = np.s_[y : y + rng.integers(1, 12), x : x + rng.integers(1, 16)]
        labels[box] = kind
        instances[box] = kind if number % 5 == 4 else kind * 1000 + number
    return labels.astype(np.uint8), instances


def predicted(rng, labels, train):
    """Right for about two thirds; anything elsewhere, void too."""
    guess = rng.integers(0, 19, labels.shape)
    return np.where((train != VOID) & (rng.random(labels.shape) < 0.65), train, guess)


def samples(seed, count):
    rng = np.random.default_rng(seed)
    lookup = np.full(256, VOID)
    lookup[LABEL_IDS] = np.arange(19)
    for _ in range(count):
        labels, instances = scene(rng)
        train = lookup[labels]
        yield labels, instances, train, predicted(rng, labels, train)


def as_image(instances, train, prediction):
    return EvaluatedImage(
        torch.from_numpy(prediction).long(), torch.from_numpy(train).long(), instances=torch.from_numpy(instances)
    )


@pytest.mark.parametrize(("seed", "count"), [(0, 4), (1, 1), (2, 2), (3, 1)])
def test_the_official_evaluation_gives_the_same(tmp_path, monkeypatch, seed, count):
    cv2 = pytest.importorskip("cv2")
    official = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    monkeypatch.setattr(np, "in1d", np.isin, raising=False)  # it uses a name that newer numpy dropped
    metric, predictions, truths = InstanceIoU(19, VOID, NAMES), [], []
    for i, (labels, instances, train, prediction) in enumerate(samples(seed, count)):
        stem = f"city_{i:06d}_000000"
        truths.append(str(tmp_path / f"{stem}_gtFine_labelIds.png"))
        predictions.append(str(tmp_path / f"{stem}_prediction.png"))
        cv2.imwrite(truths[-1], labels)
        cv2.imwrite(truths[-1].replace("labelIds", "instanceIds"), instances.astype(np.uint16))
        cv2.imwrite(predictions[-1], LABEL_IDS[prediction].astype(np.uint8))
        metric.update(as_image(instances, train, prediction))
    args = copy.copy(official.args)
    args.quiet, args.JSONOutput = True, False
    expected = official.evaluateImgLists(predictions, truths, args)

    result = metric.compute()

    def same(ours, theirs):
        assert (math.nan if ours is None else ours) == pytest.approx(100 * theirs, rel=1e-12, nan_ok=True)

    same(result["iIoU"], expected["averageScoreInstClasses"])
    same(result["iIoU_category"], expected["averageScoreInstCategories"])
    same(result["mIoU_category"], expected["averageScoreCategories"])
    for ours, theirs in (
        ("iIoU", "classInstScores"),
        ("iIoU_category", "categoryInstScores"),
        ("mIoU_category", "categoryScores"),
    ):
        for name, value in result["per_class"][ours].items():
            same(value, expected[theirs][name])
        scored = {name for name, value in expected[theirs].items() if not math.isnan(value)}
        assert scored <= set(result["per_class"][ours])
    assert result["iIoU"] > 0


def test_by_hand():
    # two cars of 4 and 12 pixels; half of the small one and none of the large one are missed; 2 pixels too many
    labels, instances, prediction = (np.zeros((4, 8), np.int64) for _ in range(3))
    labels[0, :4] = labels[1:3, :6] = 1
    instances[0, :4], instances[1:3, :6] = 5001, 5002
    prediction[0, :2] = prediction[1:3, :6] = 1
    prediction[3, :2] = 1
    metric = InstanceIoU(
        2,
        VOID,
        ("road", "car"),
        instance_classes={5: "car"},
        categories={"all": ["road", "car"]},
        average_sizes="measured",
    )
    metric.update(as_image(instances, labels, prediction))
    # the average car has 8 pixels: iTP = 8 / 4 * 2 + 8 / 12 * 12, iFN = 8 / 4 * 2, FP = 2
    result = metric.compute()
    assert result["iIoU"] == pytest.approx(100 * 12 / (12 + 2 + 4))
    assert result["mIoU_category"] == 100  # everything is in it
    assert result["iIoU_category"] is None  # a road has no instances


def test_measured_sizes_are_those_of_the_ground_truth():
    metrics = [InstanceIoU(19, VOID, NAMES, average_sizes=sizes) for sizes in ("measured", "cityscapes")]
    sizes = {}
    for _, instances, train, prediction in samples(5, 4):
        for metric in metrics:
            metric.update(as_image(instances, train, prediction))
        for i in np.unique(instances[instances >= 1000]):
            sizes.setdefault(i // 1000, []).append((instances == i).sum())
    given = {NAMES[CITYSCAPES_TRAIN_IDS[k]]: float(np.mean(v)) for k, v in sizes.items() if k in CITYSCAPES_TRAIN_IDS}
    by_hand = InstanceIoU(19, VOID, NAMES, average_sizes=dict.fromkeys(NAMES, 1.0) | given)
    by_hand.merge(metrics[0].state())
    measured, constants = (m.compute() for m in metrics)
    assert by_hand.compute()["per_class"]["iIoU"] == pytest.approx(measured["per_class"]["iIoU"], rel=1e-12)
    assert measured["iIoU"] != constants["iIoU"]
    assert measured["mIoU_category"] == constants["mIoU_category"]


def test_any_order_and_split_gives_the_same_to_the_bit():
    parts = [as_image(*s[1:]) for s in samples(6, 5)]
    one, first, second = (InstanceIoU(19, VOID, NAMES) for _ in range(3))
    for part in parts:
        one.update(part)
    for i in (4, 2):
        first.update(parts[i])
    for i in (1, 3, 0):
        second.update(parts[i])
    first.merge(second.state())
    assert first.compute() == one.compute()


def test_a_far_instance_counts_as_much_as_a_near_one():
    labels, instances = np.full((10, 40), 13), np.full((10, 40), 26001)
    instances[:, 30:] = 26002
    result = []
    for missed in (np.s_[:, :30], np.s_[:, 30:]):
        metric, prediction = InstanceIoU(19, VOID, NAMES), labels.copy()
        prediction[missed] = 0
        metric.update(as_image(instances, labels, prediction))
        result.append(metric.compute()["iIoU"])
    assert result == pytest.approx([50, 50])


def test_the_classes_that_are_there_make_the_categories():
    metric = InstanceIoU(3, VOID, ("road", "person", "car"))
    assert metric.with_instances == ("person", "car")
    assert metric.categories == {"flat": ("road",), "human": ("person",), "vehicle": ("car",)}
    assert metric.compute()["per_class"]["iIoU"] == {"person": None, "car": None}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": ("a", "b")}, "no class has instances"),
        ({"instance_classes": {26: "cars"}}, "did you mean 'car'"),
        ({"categories": {"vehicle": ["cra"]}}, "did you mean 'car'"),
        ({"average_sizes": "measure"}, "did you mean 'measured'"),
        ({"average_sizes": {"person": 2.0}}, "no average size of car"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(InputError, match=message):
        InstanceIoU(2, VOID, **({"classes": ("person", "car")} | options))


def test_instance_ids_must_be_there_at_the_labels_size():
    labels = torch.zeros(4, 4, dtype=torch.int64)
    for instances in (None, torch.zeros(2, 2, dtype=torch.int64)):
        with pytest.raises(InputError, match="needs instance ids of size \\[4, 4\\]"):
            InstanceIoU(19, VOID, NAMES).update(EvaluatedImage(labels, labels, instances=instances))
