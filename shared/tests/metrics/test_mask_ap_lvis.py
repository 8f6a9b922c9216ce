import copy
import json
import logging
import os
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contrastbench.core.data.coco import decode, encode, lvis_version, read_ground_truth, read_results, require_lvis
from contrastbench.core.data.coco.restricting import restricted, restricted_results
from contrastbench.core.data.instances import select_categories
from contrastbench.core.errors import InputError
from contrastbench.core.metrics.mask_ap import CocoAP, LvisAP, Outside
from contrastbench.core.metrics.mask_ap.lvis_ap import precision

lvis = pytest.importorskip("lvis", reason="the package lvis is not installed")

SIZE = 24
THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)


def square(row: int, column: int, side: int, height: int | None = None) -> dict[str, Any]:
    mask = np.zeros((SIZE, SIZE), bool)
    mask[row : row + (side if height is None else height), column : column + side] = True
    return encode(mask)


def truth() -> dict[str, Any]:
    """Image 1 shows a cup and two spoons, image 2 a spoon; image 1 has no fork, that of image 2 is not verified."""
    images = [
        {"id": 1, "height": SIZE, "width": SIZE, "neg_category_ids": [3], "not_exhaustive_category_ids": []},
        {"id": 2, "height": SIZE, "width": SIZE, "neg_category_ids": [], "not_exhaustive_category_ids": [2]},
        {"id": 3, "height": SIZE, "width": SIZE, "neg_category_ids": [1], "not_exhaustive_category_ids": []},
    ]
    shown = [(1, 1, square(0, 0, 8)), (1, 2, square(10, 0, 6)), (1, 2, square(10, 10, 6)), (2, 2, square(2, 2, 6))]
    return {
        "images": images,
        "annotations": [
            {"id": i, "image_id": image, "category_id": category, "segmentation": mask}
            for i, (image, category, mask) in enumerate(shown, 1)
        ],
        "categories": [
            {"id": 1, "name": "cup", "frequency": "r", "synset": "cup.n.01"},
            {"id": 2, "name": "spoon", "frequency": "f", "synset": "spoon.n.01"},
            {"id": 3, "name": "fork", "frequency": "c", "synset": "fork.n.01"},
        ],
    }


def perfect(ground_truth: dict[str, Any]) -> list[dict[str, Any]]:
    keys = ("image_id", "category_id", "segmentation")
    return [{**{key: entry[key] for key in keys}, "score": 0.5} for entry in ground_truth["annotations"]]


def found(image: int, category: int, mask: dict[str, Any], score: float = 0.9) -> dict[str, Any]:
    return {"image_id": image, "category_id": category, "segmentation": mask, "score": score}


def test_the_truth_scores_full_points(capsys: pytest.CaptureFixture[str]) -> None:
    assert LvisAP()(truth(), perfect(truth())) == {
        "AP_lvis": pytest.approx(100),
        "AP50_lvis": pytest.approx(100),
        "AP75_lvis": pytest.approx(100),
        "AP_r": pytest.approx(100),
        "AP_c": None,
        "AP_f": pytest.approx(100),
        "AP_s": pytest.approx(100),
        "AP_m": None,
        "AP_l": None,
        "per_class": {"AP_lvis": {"cup": pytest.approx(100), "spoon": pytest.approx(100), "fork": None}},
        "evaluation": "mask AP, LVIS API",
    }
    assert capsys.readouterr().out == ""


def test_nothing_found_scores_nothing() -> None:
    scores = LvisAP()(truth(), [])
    assert (scores["AP_lvis"], scores["AP_r"], scores["AP_c"]) == (0, 0, None)


@pytest.mark.parametrize(
    ("extra", "cup", "spoon"),
    [
        (found(2, 1, square(0, 0, 5)), 100, 100),  # cups of image 2 are unverified
        (found(3, 1, square(0, 0, 5)), 50, 100),  # image 3 is known to have none
        (found(1, 1, square(0, 12, 5)), 50, 100),  # image 1 shows one elsewhere
        (found(2, 2, square(15, 15, 5)), 100, 100),  # not all spoons of image 2 are annotated
        (found(1, 2, square(20, 20, 4)), 100, 75),  # first and wrong: 1 of 2, 2 of 3, then 3 of 4 are right
        (found(3, 2, square(0, 0, 5)), 100, 100),  # spoons of image 3 are unverified
    ],
)
def test_what_is_not_verified_is_not_wrong(extra: dict[str, Any], cup: float, spoon: float) -> None:
    scores = LvisAP()(truth(), [*perfect(truth()), extra])["per_class"]["AP_lvis"]
    assert (scores["cup"], scores["spoon"]) == (pytest.approx(cup), pytest.approx(spoon))


def test_the_limit_is_of_an_image_over_all_categories() -> None:
    crowded = [*perfect(truth()), *(found(1, 3, square(i, i, 3), 0.6) for i in range(3))]
    assert LvisAP(max_detections=6)(truth(), crowded)["AP_lvis"] == pytest.approx(100)
    cut = LvisAP(max_detections=3)(truth(), crowded)
    assert (cut["AP_r"], cut["evaluation"]) == (0, "mask AP, LVIS API, up to 3 results an image")
    assert cut["per_class"]["AP_lvis"]["spoon"] == pytest.approx(100 * 34 / 101)  # that of image 2 is left


def test_boxes_of_results_decide_nothing() -> None:
    results = [{**result, "bbox": [0, 0, 1, 1]} for result in perfect(truth())]
    assert LvisAP()(truth(), results) == LvisAP()(truth(), perfect(truth()))


def test_numpy_and_logging_are_left_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "lvis"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # an import of lvis adds one where there is none
    assert LvisAP()(truth(), perfect(truth()))["AP_lvis"] == pytest.approx(100)
    assert logging.getLogger().handlers == []
    assert not hasattr(np, "float")
    assert sys.modules["lvis.eval"].np is np


def test_nothing_handed_in_is_changed() -> None:
    ground_truth, results = truth(), perfect(truth())
    LvisAP()(ground_truth, results)
    assert (ground_truth, results) == (truth(), perfect(truth()))


def without(key: str, where: str) -> dict[str, Any]:
    ground_truth = truth()
    del ground_truth[where][1][key]
    return ground_truth


def changed(where: str, **values: Any) -> dict[str, Any]:
    ground_truth = truth()
    ground_truth[where][1].update(values)
    return ground_truth


@pytest.mark.parametrize(
    ("ground_truth", "message"),
    [
        (without("neg_category_ids", "images"), r"image 1 \(id 2\) has no 'neg_category_ids'; expected .*lvis_\*.json"),
        (without("not_exhaustive_category_ids", "images"), "has no 'not_exhaustive_category_ids'"),
        (without("frequency", "categories"), r"category 1 \(id 2\) has no 'frequency'; expected one of r, c, f"),
        (changed("categories", frequency="often"), "has frequency 'often'; expected one of r, c, f"),
        (changed("images", neg_category_ids=[7]), "names the category 7 in neg_category_ids.*v0.5 and v1 number"),
        (changed("images", neg_category_ids="7"), "has neg_category_ids '7'; expected a list of category ids"),
        (changed("annotations", iscrowd=1), "has iscrowd 1; expected 0: LVIS has no crowds"),
    ],
)
def test_ground_truth_of_another_kind_is_refused(ground_truth: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        LvisAP()(ground_truth, [])


def test_options_are_checked() -> None:
    with pytest.raises(InputError, match=r"version is 'v2'; expected 'v0\.5', 'v1' or none"):
        LvisAP(version="v2")
    with pytest.raises(InputError, match="max_detections is 0"):
        LvisAP(max_detections=0)
    with pytest.raises(InputError, match="of no known version of LVIS with 3 categories; expected LVIS v1"):
        LvisAP(version="v1")(truth(), [])


@pytest.mark.parametrize(
    ("places", "version"),
    [({"airplane": 4, "zucchini": 1230}, "v0.5"), ({"pillow": 804}, "v1"), ({"pillow": 4}, None), ({"cup": 1}, None)],
)
def test_the_version_is_told_by_ids(places: dict[str, int], version: str | None) -> None:
    categories = [{"id": place, "name": name} for name, place in places.items()]
    assert lvis_version({"categories": categories}) == version


def brute_force(ground_truth: dict[str, Any], results: list[dict[str, Any]]) -> dict[int, float | None]:
    """AP over all areas by category, from the definition: a loop over thresholds, images and results."""
    sizes = {image["id"]: (image["height"], image["width"]) for image in ground_truth["images"]}
    truths, founds, by_image = defaultdict(list), defaultdict(list), defaultdict(list)
    for entry in ground_truth["annotations"]:
        mask = decode(entry["segmentation"], *sizes[entry["image_id"]])
        truths[entry["category_id"], entry["image_id"]].append(mask)
    for result in results:
        by_image[result["image_id"]].append(result)
    for image, own in by_image.items():
        for result in sorted(own, key=lambda result: -result["score"])[:300]:
            mask = decode(result["segmentation"], *sizes[image])
            founds[result["category_id"], image].append((result["score"], mask))
    scores: dict[int, float | None] = {}
    for category in (c["id"] for c in ground_truth["categories"]):
        total = sum(len(truths[category, image]) for image in sizes)
        if not total:
            scores[category] = None
            continue
        averages = []
        for threshold in THRESHOLDS:
            verdicts = []
            for image in ground_truth["images"]:
                present = truths[category, image["id"]]
                if not present and category not in image["neg_category_ids"]:
                    continue
                free = list(range(len(present)))
                for score, mask in founds[category, image["id"]]:
                    overlap = [(np.sum(mask & present[i]) / np.sum(mask | present[i]), i) for i in free]
                    best = max(overlap, default=(0.0, -1), key=lambda pair: (pair[0], pair[1]))
                    if best[0] >= threshold:
                        free.remove(best[1])
                        verdicts.append((score, True))
                    elif category not in image["not_exhaustive_category_ids"]:
                        verdicts.append((score, False))
            verdicts.sort(key=lambda verdict: -verdict[0])
            right = np.cumsum([verdict for _, verdict in verdicts])
            recall, exact = right / total, right / np.arange(1, len(right) + 1)
            averages.append(np.mean([max(exact[recall >= r], default=0.0) for r in RECALLS]))
        scores[category] = 100 * float(np.mean(averages))
    return scores


def perturbed(ground_truth: dict[str, Any], seed: int, share: float) -> list[dict[str, Any]]:
    """Shifted, missed, doubled, misnamed and stray results."""
    rng = np.random.default_rng(seed)
    sizes = {image["id"]: (image["height"], image["width"]) for image in ground_truth["images"]}
    used = sorted({entry["category_id"] for entry in ground_truth["annotations"]})
    everything = sorted(category["id"] for category in ground_truth["categories"])
    results = []
    for entry in ground_truth["annotations"]:
        mask = decode(entry["segmentation"], *sizes[entry["image_id"]])
        for _ in range(rng.choice(3, p=[0.2, 0.6, 0.2])):
            shift = rng.integers(-3, 4, 2) if rng.random() < share else (0, 0)
            name = entry["category_id"] if rng.random() > 0.15 else int(rng.choice(used))
            moved = encode(np.roll(mask, shift, (0, 1)))
            results.append(found(entry["image_id"], name, moved, float(rng.random())))
    for image in ground_truth["images"]:
        listed = [*image["neg_category_ids"], *image["not_exhaustive_category_ids"], int(rng.choice(everything))]
        for name in listed:
            height, width = sizes[image["id"]]
            mask = np.zeros((height, width), bool)
            mask[height // 4 : height // 2, width // 4 : width // 2] = True
            results.append(found(image["id"], name, encode(mask), float(rng.random())))
    return results


def by_the_package(path: Path, results: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    monkeypatch.setattr(np, "float", float, raising=False)
    with pytest.warns(DeprecationWarning, match="warn"):
        evaluation = lvis.LVISEval(str(path), copy.deepcopy(results), "segm")
    evaluation.run()
    return dict(evaluation.get_results())


KEYS = {
    **{"AP_lvis": "AP", "AP50_lvis": "AP50", "AP75_lvis": "AP75"},
    **{f"AP_{letter}": f"AP{letter}" for letter in "rcfsml"},
}


def assert_equal(ours: dict[str, Any], theirs: dict[str, float]) -> None:
    for name, other in KEYS.items():
        assert (ours[name] is None) == (theirs[other] == -1)
        assert ours[name] is None or ours[name] == pytest.approx(100 * theirs[other], abs=1e-9), name


@pytest.mark.parametrize("seed", range(4))
def test_small_sets_equal_the_package_and_a_loop(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ground_truth = read_ground_truth(truth())
    results = perturbed(ground_truth, seed, share=0.8)
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(ground_truth))
    ours = LvisAP()(ground_truth, results)
    assert_equal(ours, by_the_package(path, results, monkeypatch))
    expected = brute_force(ground_truth, read_results(results, ground_truth))
    names = {category["id"]: category["name"] for category in ground_truth["categories"]}
    assert ours["per_class"]["AP_lvis"] == {names[k]: v if v is None else pytest.approx(v) for k, v in expected.items()}


@cache
def oracle() -> Path:
    root = os.environ.get("CONTRASTBENCH_TEST_DATA")
    if not root:
        pytest.skip("CONTRASTBENCH_TEST_DATA names no real data")
    return Path(root) / "oracles" / "lvis" / "lvis_val_100.json"


@cache
def photographs() -> dict[str, Any]:
    return read_ground_truth(oracle())


def test_lvis_given_as_results_scores_full_points() -> None:
    scores = LvisAP(version="v0.5")(photographs(), perfect(photographs()))
    assert {name: scores[name] for name in KEYS} == {name: pytest.approx(100) for name in KEYS}
    assert scores["evaluation"] == "mask AP, LVIS API on LVIS v0.5"
    assert sum(value is not None for value in scores["per_class"]["AP_lvis"].values()) == 190


def test_lvis_perturbed_equals_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    results = perturbed(photographs(), seed=0, share=0.5)
    ours = LvisAP()(photographs(), results)
    assert 20 < ours["AP_lvis"] < 80
    assert_equal(ours, by_the_package(oracle(), results, monkeypatch))


def test_lvis_perturbed_equals_a_loop() -> None:
    known = select_categories(photographs(), "coco")
    chosen = sorted({a["category_id"] for a in photographs()["annotations"]} - set(known))[:25]
    part = restricted(photographs(), chosen)
    results = restricted_results(perturbed(photographs(), seed=1, share=0.5), chosen)
    scores = precision(part, read_results(results, part))
    expected = brute_force(part, results)
    for place, number in enumerate(chosen):
        assert 100 * scores[:, :, place, 0].mean() == pytest.approx(expected[number]), number


def test_lvis_is_not_coco_and_v1_is_not_v0_5() -> None:
    with pytest.raises(InputError, match=r"LVIS v0\.5 with 1230 categories; expected LVIS v1"):
        require_lvis(photographs(), "v1")
    used = {entry["category_id"] for entry in photographs()["annotations"]}
    part = restricted(photographs(), used)  # COCO's evaluation takes its time over a thousand classes
    results = restricted_results(perturbed(photographs(), seed=2, share=0.5), used)
    federated, plain = LvisAP()(part, results)["AP_lvis"], CocoAP(300)(part, results)["AP_seg"]
    assert federated > plain + 0.1  # what is unverified counts against none


def test_the_scenes_export_is_evaluated(tmp_path: Path) -> None:
    from contrastbench.core.data.scenes import SceneSet
    from contrastbench.core.data.scenes.export_lvis import export_lvis

    export_lvis(SceneSet(seed=1, train=4, val=6, size=(48, 96)), tmp_path / "scenes")
    ground_truth = read_ground_truth(tmp_path / "scenes" / "annotations" / "lvis_val.json")
    scores = LvisAP()(ground_truth, perfect(ground_truth))
    assert scores["AP_lvis"] == pytest.approx(100)
    assert lvis_version(ground_truth) is None


def without_lists(ground_truth: dict[str, Any]) -> dict[str, Any]:
    kept = ("id", "height", "width")
    return {**ground_truth, "images": [{key: image[key] for key in kept} for image in ground_truth["images"]]}


def test_data_in_cocos_form_are_an_error_unless_they_may_be() -> None:
    coco = without_lists(truth())
    with pytest.raises(InputError, match="neg_category_ids"):
        LvisAP()(coco, perfect(coco))
    assert LvisAP(required=False)(coco, perfect(coco)) == {}
    assert LvisAP(required=False)(truth(), perfect(truth()))["AP_lvis"] == pytest.approx(100)


def test_outside_a_set_the_set_is_neither_truth_nor_result() -> None:
    evaluators = [{"type": "contrastbench.core.metrics.mask_ap.LvisAP"}]
    results = perfect(truth())
    scores = Outside({"frequency": "f"}, evaluators)(truth(), results)
    assert scores["long_tail"] == 2
    assert set(scores["per_class"]["AP_lvis"]) == {"cup", "fork"}
    # what the known spoons are taken for makes no difference
    wrong = [{**r, "score": 1.0} if r["category_id"] == 2 else r for r in results]
    assert Outside({"frequency": "f"}, evaluators)(truth(), wrong) == scores
    assert scores["AP_lvis"] == LvisAP()(restricted(truth(), {1, 3}), restricted_results(results, {1, 3}))["AP_lvis"]
    with pytest.raises(InputError, match="none is left"):
        Outside("all", evaluators)(truth(), results)
    with pytest.raises(InputError, match="no evaluator"):
        Outside("all", [])
