import json
import os
from pathlib import Path

import numpy as np
import pytest
from written_instances import annotation, ground_truth, result, square

from contrastbench.core.data.coco import read_ground_truth, read_results
from contrastbench.core.errors import InputError
from contrastbench.core.metrics.mask_ap import CocoAP
from contrastbench.core.metrics.mask_ap.coco_ap import precision

real_data = pytest.mark.skipif(
    "CONTRASTBENCH_TEST_DATA" not in os.environ, reason="CONTRASTBENCH_TEST_DATA names no real data"
)


def perfect() -> list[dict]:
    keys = ("image_id", "category_id", "segmentation")
    return [{**{key: entry[key] for key in keys}, "score": 0.9} for entry in ground_truth()["annotations"]]


def test_the_truth_scores_full_points(capsys: pytest.CaptureFixture[str]) -> None:
    scores = CocoAP()(ground_truth(), perfect())

    assert scores == {
        "AP_box": pytest.approx(100),
        "AP_seg": pytest.approx(100),
        "AP50": pytest.approx(100),
        "AP75": pytest.approx(100),
        "AP_S": pytest.approx(100),
        "AP_M": None,
        "AP_L": None,
        "per_class": {"AP_seg": {"square": pytest.approx(100), "tile": pytest.approx(100)}},
        "evaluation": "mask AP, COCO API",
    }
    assert capsys.readouterr().out == ""


def test_nothing_found_scores_nothing() -> None:
    scores = CocoAP()(ground_truth(), [])

    assert (scores["AP_seg"], scores["AP_box"], scores["AP_L"]) == (0, 0, None)


def test_class_without_instances_has_no_score() -> None:
    truth = ground_truth()
    truth["categories"].append({"id": 1, "name": "absent"})

    scores = CocoAP()(truth, [*perfect(), result(1, 1, square(0, 0, 4))])

    assert scores["per_class"]["AP_seg"] == {"absent": None, "square": pytest.approx(100), "tile": pytest.approx(100)}
    assert scores["AP_seg"] == pytest.approx(100)


def test_overlap_decides_over_the_thresholds() -> None:
    # A square of 8 found as 8 x 7: IoU 0.875, right at 0.50 to 0.85, eight of ten thresholds.
    results = []
    for number in (1, 2, 3):
        mask = square(2 + number, 3, 8)
        mask[2 + number] = False
        results.append(result(number, 2, mask))

    scores = CocoAP()(ground_truth(), results)

    assert scores["per_class"]["AP_seg"]["square"] == pytest.approx(80)
    assert scores["AP50"] == scores["AP75"] == pytest.approx(50)  # the tile is not found


def test_boxes_are_those_of_the_masks_unless_given() -> None:
    wrong = [{**entry, "bbox": [0, 0, 1, 1]} for entry in perfect()]

    assert CocoAP()(ground_truth(), wrong)["AP_box"] == 0
    assert CocoAP()(ground_truth(), wrong)["AP_seg"] == pytest.approx(100)


def test_area_ranges_are_of_masks_also_where_boxes_are_given() -> None:
    # A false mask of 20 pixels in a large box must not count among the large ones.
    big = np.zeros((200, 200), bool)
    big[10:120, 10:120] = True
    thin = np.zeros((200, 200), bool)
    thin[150, 150:170] = True
    truth = {
        "images": [{"id": 1, "height": 200, "width": 200}],
        "annotations": [annotation(1, 1, 1, big)],
        "categories": [{"id": 1, "name": "thing"}],
    }
    results = [{**result(1, 1, thin, 0.99), "bbox": [0, 0, 190, 190]}, result(1, 1, big, 0.5)]

    scores = CocoAP()(truth, results)

    assert scores["AP_L"] == pytest.approx(100)
    assert scores["AP_seg"] == pytest.approx(50, abs=0.5)


def test_ids_from_zero_count() -> None:
    truth = ground_truth()
    for entry in truth["annotations"]:
        entry["id"] -= 1

    assert CocoAP()(truth, perfect())["AP_seg"] == pytest.approx(100)


def test_what_lies_on_a_crowd_is_ignored() -> None:
    truth = ground_truth()
    truth["annotations"].append(annotation(9, 2, 5, square(10, 10, 12), crowd=1))

    scores = CocoAP()(truth, [*perfect(), result(2, 5, square(12, 12, 4), 0.99)])

    assert scores["AP_seg"] == pytest.approx(100)


def test_limit_of_detections() -> None:
    results = [result(1, 5, square(0, 0, 3), 0.9), result(1, 5, square(12, 20, 6), 0.5)]

    assert CocoAP(1)(ground_truth(), results)["per_class"]["AP_seg"]["tile"] == 0
    assert CocoAP(2)(ground_truth(), results)["per_class"]["AP_seg"]["tile"] == pytest.approx(50, abs=0.5)
    with pytest.raises(InputError, match="max_detections is 0"):
        CocoAP(0)


def test_nothing_given_is_changed() -> None:
    truth, results = ground_truth(), perfect()

    CocoAP()(truth, results)

    assert truth == ground_truth()
    assert results == perfect()


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="the results: result 0 names the image_id 9"):
        CocoAP()(ground_truth(), [result(9, 2, square(0, 0, 2))])
    with pytest.raises(InputError, match="is empty"):
        CocoAP()({**ground_truth(), "annotations": []}, [])


@real_data
def test_published_figures_for_masks() -> None:
    folder = Path(os.environ["CONTRASTBENCH_TEST_DATA"]) / "oracles" / "coco-ap"
    truth = read_ground_truth(folder / "instances_val2014_100.json")
    results = read_results(folder / "instances_val2014_fakesegm100_results.json", truth)

    scores = CocoAP()(truth, results)

    published = {"AP_seg": 32.0, "AP50": 56.2, "AP75": 29.9, "AP_S": 38.7, "AP_M": 31.0, "AP_L": 32.7}
    assert {key: round(scores[key], 1) for key in published} == published


@real_data
def test_published_figures_for_boxes() -> None:
    folder = Path(os.environ["CONTRASTBENCH_TEST_DATA"]) / "oracles" / "coco-ap"
    truth = read_ground_truth(folder / "instances_val2014_100.json")
    results = json.loads((folder / "instances_val2014_fakebbox100_results.json").read_text())

    values = precision(truth, results, "bbox")

    ranges = [values[..., area] for area in range(4)]
    means = [100 * part[part > -1].mean() for part in (*ranges, values[0, ..., 0], values[5, ..., 0])]
    assert [round(mean, 1) for mean in means] == [50.5, 58.6, 51.9, 50.1, 69.7, 57.3]
