"""Delta-APs that are known in closed form, and AP against the COCO API."""

import contextlib
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from coco_cases import HEIGHT, WIDTH, found, rectangle, truth
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from contrastbench.core.data.coco import decode, encode
from contrastbench.core.errors import InputError
from contrastbench.dcl.errors import KINDS, MaskErrors, analyse, analysis, split_errors
from contrastbench.dcl.errors.scoring import scored

SQUARE, LEFT_HALF, TOO_WIDE = rectangle(10, 10, 20, 20), rectangle(10, 10, 20, 10), rectangle(10, 10, 20, 40)
RIGHT_OF_IT = rectangle(10, 30, 20, 20)
FAR = rectangle(40, 60, 10, 10)


def gains(*arguments, **options) -> tuple[float, float, float, float]:
    overall = analyse(*arguments, **options).overall
    return (overall.ap, *(overall.delta_ap[kind] for kind in KINDS))


def test_a_perfect_prediction_has_nothing_to_gain() -> None:
    assert gains(truth((1, SQUARE)), found((1, SQUARE))) == pytest.approx((100, 0, 0, 0))


def test_a_missing_half_is_all_fn() -> None:
    # IoU 0.5 counts at the first of the ten thresholds only
    report = analyse(truth((1, SQUARE)), found((1, LEFT_HALF)))
    assert report.overall.ap == pytest.approx(10)
    assert report.overall.delta_ap == pytest.approx({"ffp": 0, "bfp": 0, "fn": 90})
    assert report.matches == ((0, 0, 0, 0, 200),)
    assert (report.predictions, report.matched, report.unmatched, report.beyond_limit) == (1, 1, 0, 0)


def test_spilling_onto_background_is_all_bfp() -> None:
    assert gains(truth((1, SQUARE)), found((1, TOO_WIDE))) == pytest.approx((10, 0, 90, 0))


@pytest.mark.parametrize("neighbour", [1, 2])
def test_spilling_onto_another_instance_is_all_ffp_of_whatever_category(neighbour: int) -> None:
    ground_truth = truth((neighbour, RIGHT_OF_IT), (1, SQUARE))
    report = analyse(ground_truth, found((1, TOO_WIDE)))
    if neighbour == 1:
        # both instances of one class, one found: recall 1/2 reaches the first 51 of 101 points
        expected = (10 * 51 / 101, 90 * 51 / 101, 0, 0)
        assert report.per_class["person"].ap is None
        assert report.per_class["person"].delta_ap == dict.fromkeys(KINDS)
    else:
        expected = (5, 45, 0, 0)
        assert report.per_class["car"].delta_ap == pytest.approx({"ffp": 90, "bfp": 0, "fn": 0})
        assert report.per_class["person"].ap == 0
    assert (report.overall.ap, *report.overall.delta_ap.values()) == pytest.approx(expected)


def test_each_kind_is_corrected_by_itself() -> None:
    # 400 px: 100 missing, 100 on another instance, 100 on background. IoU 300/600; without fFP or bFP 300/500,
    # with the missing ones 400/600.
    prediction = rectangle(10, 15, 20, 15) | rectangle(10, 30, 20, 5) | rectangle(30, 10, 5, 20)
    ground_truth = truth((2, RIGHT_OF_IT), (1, SQUARE))
    report = analyse(ground_truth, found((1, prediction)))
    assert report.matches == ((0, 1, 100, 100, 100),)
    # thresholds reached: 0.50; 0.50 to 0.60; 0.50 to 0.65
    assert report.per_class["car"].ap == pytest.approx(10)
    assert report.per_class["car"].delta_ap == pytest.approx({"ffp": 20, "bfp": 20, "fn": 30})


def test_a_pixel_on_the_matched_instance_is_right_even_where_another_overlaps_it() -> None:
    ground_truth = truth((1, TOO_WIDE), (2, RIGHT_OF_IT))
    report = analyse(ground_truth, found((1, TOO_WIDE), (2, RIGHT_OF_IT)))
    assert report.pixels() == dict.fromkeys(KINDS, 0)
    assert report.overall.delta_ap == pytest.approx(dict.fromkeys(KINDS, 0))


def test_pixels_on_crowd_regions_are_left_alone() -> None:
    ground_truth = truth((1, SQUARE), (1, RIGHT_OF_IT, 1, 1))
    report = analyse(ground_truth, found((1, TOO_WIDE)))
    assert report.pixels() == dict.fromkeys(KINDS, 0)
    published = analyse(ground_truth, found((1, TOO_WIDE)), unmatched="last")
    assert published.pixels() == {"ffp": 0, "bfp": 400, "fn": 0}


def test_nothing_is_matched_to_a_crowd_region() -> None:
    report = analyse(truth((1, SQUARE), (1, RIGHT_OF_IT, 1, 1)), found((1, RIGHT_OF_IT)))
    assert (report.matched, report.unmatched) == (0, 1)


def test_unmatched_predictions_are_left_alone_unlike_in_the_published_tool() -> None:
    ground_truth = truth((2, SQUARE), (1, FAR))
    stray = found((2, rectangle(10, 40, 20, 20)))  # far from the person it should be
    assert gains(ground_truth, stray) == pytest.approx((0, 0, 0, 0))
    # there it is given the last instance in the order of categories, the person, whole
    published = analyse(ground_truth, stray, unmatched="last")
    assert published.per_class["person"].delta_ap == pytest.approx({"ffp": 0, "bfp": 0, "fn": 10})
    assert (published.matched, published.unmatched_rule) == (0, "last")


def test_the_published_tool_also_clips_unmatched_predictions_to_the_foreground() -> None:
    # touches one of the instance's columns of 20: IoU 20/780, and 20/400 once clipped: unmatched throughout
    ground_truth = truth((1, SQUARE))
    stray = found((1, rectangle(10, 29, 20, 20)))
    report = analyse(ground_truth, stray, unmatched="last")
    assert (report.unmatched, report.overall.delta_ap["bfp"]) == (1, 0)
    # its union with the instance covers 400 of 780
    assert report.overall.delta_ap["fn"] == pytest.approx(10)
    assert gains(ground_truth, stray) == pytest.approx((0, 0, 0, 0))


def test_images_without_instances_or_predictions() -> None:
    ground_truth = truth((1, SQUARE), (1, SQUARE, 2))
    ground_truth["images"].append({"id": 7, "height": HEIGHT, "width": WIDTH, "file_name": "7.png"})
    results = found((1, LEFT_HALF, 0.9, 1), (1, LEFT_HALF, 0.8, 7))
    for unmatched in ("leave", "last"):
        report = analyse(ground_truth, results, unmatched=unmatched)
        assert (report.predictions, report.matched) == (2, 1)
        assert report.overall.delta_ap["fn"] == pytest.approx(90 * 51 / 101)
    report = analyse(ground_truth, [])
    assert (report.overall.ap, report.predictions) == (0, 0)


def test_what_the_evaluation_does_not_look_at_is_not_counted() -> None:
    results = found(*((1, LEFT_HALF, 0.5 + 0.001 * (i % 2)) for i in range(130)), (2, FAR))
    report = analyse(truth((1, SQUARE)), results)
    assert (report.predictions, report.beyond_limit) == (101, 30)
    kept = scored(results)
    assert kept == sorted(kept)
    # of equal scores, the first
    assert set(range(130)) - set(kept) == {i for i in range(130) if i % 2 == 0 and i >= 70}


def random_set(seed: int, images: int = 9) -> tuple[dict, list]:
    rng = np.random.default_rng(seed)

    def box() -> np.ndarray:
        return rectangle(*rng.integers(0, (HEIGHT - 30, WIDTH - 30)), *rng.integers(8, 30, 2))

    shapes = [(int(c), box(), i, int(rng.random() < 0.1)) for i in range(1, images + 1) for c in rng.integers(1, 4, 4)]
    ground_truth = truth(*shapes, categories=("car", "person", "tree"))
    results = []
    for category, mask, image, _ in shapes:
        shifted = np.roll(mask, rng.integers(-6, 7, 2), (0, 1))
        results.append((category, shifted, float(rng.integers(1, 10)) / 10, image))
        results.append((int(rng.integers(1, 4)), box(), float(rng.integers(1, 6)) / 10, image))
    rng.shuffle(ground_truth["images"])
    return ground_truth, found(*results)


def coco_ap(ground_truth: dict, results: list) -> float:
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = json.loads(json.dumps(ground_truth))
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(json.loads(json.dumps(results))), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return 100 * evaluation.stats[0]


@pytest.mark.parametrize("seed", range(3))
def test_ap_and_every_corrected_ap_are_those_of_the_coco_api_on_dense_masks(seed: int, monkeypatch) -> None:
    monkeypatch.setattr(analysis, "IMAGES_A_PART", 4)  # several parts, the last not full
    ground_truth, results = random_set(seed)
    report = analyse(ground_truth, results)
    base = coco_ap(ground_truth, results)
    assert report.overall.ap == pytest.approx(base, abs=1e-9)
    assert 0 < report.unmatched < report.predictions

    def dense(segmentation: dict) -> np.ndarray:
        return decode(segmentation, HEIGHT, WIDTH)

    for k, kind in enumerate(KINDS):
        corrected = [dict(result) for result in results]
        for entry in report.matches:
            target = ground_truth["annotations"][entry.annotation]
            here = [a for a in ground_truth["annotations"] if a["image_id"] == target["image_id"]]
            blank = np.zeros((HEIGHT, WIDTH), bool)
            foreground, crowd = (
                np.logical_or.reduce([blank, *(dense(a["segmentation"]) for a in here if a["iscrowd"] == flag)])
                for flag in (0, 1)
            )
            mask = dense(results[entry.result]["segmentation"])
            error = split_errors(mask, dense(target["segmentation"]), foreground, crowd)[k]
            assert error.sum() == getattr(entry, kind)
            corrected[entry.result]["segmentation"] = encode(mask ^ error)
        assert report.overall.delta_ap[kind] == pytest.approx(coco_ap(ground_truth, corrected) - base, abs=1e-9)


def test_the_report_is_the_same_however_the_images_are_divided(monkeypatch) -> None:
    ground_truth, results = random_set(5)
    whole = analyse(ground_truth, results)
    monkeypatch.setattr(analysis, "IMAGES_A_PART", 2)
    assert analyse(ground_truth, results) == whole


def test_the_report_is_the_same_in_several_processes(monkeypatch) -> None:
    monkeypatch.setattr(analysis, "IMAGES_A_PART", 5)
    monkeypatch.setattr(analysis, "IMAGES_A_WORKER", 4)
    ground_truth, results = random_set(6)
    seen: list[tuple[int, int]] = []
    report = analyse(ground_truth, results, workers=2, progress=lambda *step: seen.append(step))
    assert report == analyse(ground_truth, results)
    assert seen == [(5, 9), (9, 9)]


def test_ap_of_the_published_example_is_the_published_one() -> None:
    folder = os.environ.get("CONTRASTBENCH_TEST_DATA")
    if not folder:
        pytest.skip("CONTRASTBENCH_TEST_DATA is not set: the COCO API's example is not at hand")
    example = Path(folder) / "oracles" / "coco-ap"
    ground_truth = example / "instances_val2014_100.json"
    results = example / "instances_val2014_fakesegm100_results.json"
    report = analyse(ground_truth, results)
    expected = coco_ap(json.loads(ground_truth.read_text()), json.loads(results.read_text()))
    assert report.overall.ap == pytest.approx(expected, abs=1e-9)
    assert f"{report.overall.ap / 100:.3f}" == "0.320"
    assert all(gain > -0.5 for gain in report.overall.delta_ap.values())
    # the rule for unmatched predictions matters
    assert analyse(ground_truth, results, unmatched="last").overall.delta_ap != report.overall.delta_ap


def test_the_evaluator_gives_metrics_for_a_run() -> None:
    ground_truth, results = truth((2, RIGHT_OF_IT), (1, SQUARE)), found((1, LEFT_HALF), (2, RIGHT_OF_IT))
    metrics = MaskErrors()(ground_truth, results)
    assert metrics["delta_ap_fn"] == pytest.approx(45)
    assert metrics["delta_ap_ffp"] == metrics["delta_ap_bfp"] == pytest.approx(0)
    assert metrics["per_class"]["delta_ap_fn"] == pytest.approx({"car": 90, "person": 0})
    assert set(metrics) == {"delta_ap_ffp", "delta_ap_bfp", "delta_ap_fn", "per_class", "evaluation"}
    assert metrics["evaluation"] != MaskErrors(unmatched="last")(ground_truth, results)["evaluation"]


def test_an_unknown_rule_is_named() -> None:
    with pytest.raises(InputError, match="unknown rule for unmatched predictions 'lst'; did you mean 'last'"):
        MaskErrors(unmatched="lst")
    with pytest.raises(InputError, match="did you mean 'leave'"):
        analyse(truth((1, SQUARE)), [], unmatched="leaf")
