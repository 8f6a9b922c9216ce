import math

import pytest
import torch

from contrastbench.core.errors import InputError
from contrastbench.core.metrics import confusion, mean_iou


def test_counts_pixels_by_true_and_predicted_class() -> None:
    labels = torch.tensor([[0, 0, 1], [2, 255, 1]])
    prediction = torch.tensor([[0, 1, 1], [0, 2, 1]])

    matrix = confusion(prediction, labels, num_classes=3, ignore_index=255)

    assert matrix.tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 0]]


def test_scores_by_hand() -> None:
    scores = mean_iou(torch.tensor([[3, 1], [2, 4]]))

    assert scores.iou == pytest.approx((100 * 3 / 6, 100 * 4 / 7))
    assert scores.accuracy == pytest.approx((75.0, 100 * 4 / 6))
    assert scores.miou == pytest.approx((50 + 400 / 7) / 2)


def test_class_nowhere_is_left_out_and_class_only_predicted_stays_in() -> None:
    # class 1 is only predicted, class 2 is nowhere
    scores = mean_iou(torch.tensor([[8, 2, 0], [0, 0, 0], [0, 0, 0]]))

    assert scores.miou == pytest.approx((80 + 0) / 2)
    assert math.isnan(scores.iou[2])
    assert scores.mean_accuracy == pytest.approx(80)
    assert math.isnan(scores.accuracy[1])


def test_everything_ignored_has_no_score() -> None:
    labels = torch.full((4, 4), 255)

    scores = mean_iou(confusion(torch.zeros(4, 4, dtype=torch.int64), labels, 3, 255))

    assert math.isnan(scores.miou)


@pytest.mark.parametrize(("prediction", "label", "named"), [(0, 3, "label is 3"), (-1, 2, "prediction is -1")])
def test_what_is_no_class_is_named(prediction: int, label: int, named: str) -> None:
    with pytest.raises(InputError, match=named):
        confusion(torch.tensor([0, prediction]), torch.tensor([255, label]), 3, 255)
