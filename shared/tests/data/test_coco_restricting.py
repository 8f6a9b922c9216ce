import copy
import os
from pathlib import Path

import pytest
from written_instances import ground_truth, result, square

from contrastbench.core.data.coco import read_ground_truth, read_results, restricted, restricted_results
from contrastbench.core.data.instances import select_categories
from contrastbench.core.errors import InputError
from contrastbench.core.metrics.mask_ap import CocoAP


def test_images_stay_and_the_rest_goes() -> None:
    truth = read_ground_truth(ground_truth())
    before = copy.deepcopy(truth)
    kept = truth["annotations"][0]["category_id"]
    part = restricted(truth, [kept])
    assert [image["id"] for image in part["images"]] == [image["id"] for image in truth["images"]]
    assert {entry["category_id"] for entry in part["annotations"]} == {kept}
    assert [category["id"] for category in part["categories"]] == [kept]
    assert truth == before
    assert read_ground_truth(part) == part


def test_lists_of_lvis_are_restricted() -> None:
    truth = read_ground_truth(ground_truth())
    ids = [category["id"] for category in truth["categories"]]
    for image in truth["images"]:
        image.update(neg_category_ids=list(ids), not_exhaustive_category_ids=list(ids))
    for image in restricted(truth, ids[:1])["images"]:
        assert (image["neg_category_ids"], image["not_exhaustive_category_ids"]) == (ids[:1], ids[:1])


def test_scores_of_a_part_are_those_of_its_classes() -> None:
    truth = read_ground_truth(ground_truth())
    keys = ("image_id", "category_id", "segmentation")
    results = [{**{key: entry[key] for key in keys}, "score": 0.5} for entry in truth["annotations"][1:]]
    results += [result(3, category["id"], square(0, 0, 3)) for category in truth["categories"]]
    whole = CocoAP()(truth, results)["per_class"]["AP_seg"]
    for category in truth["categories"]:
        part = restricted(truth, [category["id"]])
        own = restricted_results(read_results(results, truth), [category["id"]])
        assert CocoAP()(part, own)["per_class"]["AP_seg"] == {category["name"]: whole[category["name"]]}
        assert len(own) < len(results)


def test_what_cannot_be_measured_is_refused() -> None:
    truth = read_ground_truth(ground_truth())
    with pytest.raises(InputError, match="the category 99 is not in the ground truth"):
        restricted(truth, [99])
    truth["categories"].append({"id": 50, "name": "absent"})
    with pytest.raises(InputError, match="none of the 1 categories has an annotation in these"):
        restricted(truth, {50})


def test_voc_and_the_rest_of_coco() -> None:
    root = os.environ.get("CONTRASTBENCH_TEST_DATA")
    if not root:
        pytest.skip("CONTRASTBENCH_TEST_DATA names no real data")
    (path,) = (Path(root) / "coco128").rglob("instances*.json")
    truth = read_ground_truth(path)
    voc = select_categories(truth, "voc")
    rest = {category["id"] for category in truth["categories"]} - set(voc)
    assert (len(voc), len(rest)) == (20, 60)
    parts = [restricted(truth, ids)["annotations"] for ids in (voc, rest)]
    assert sum(map(len, parts)) == len(truth["annotations"])
    assert min(map(len, parts)) > 0
