import copy
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from written_instances import ground_truth, result, square

from contrastbench.core.data.coco import decode, encode, read_ground_truth, read_results, to_rle
from contrastbench.core.errors import InputError

TRUTH = read_ground_truth(ground_truth())


def results() -> list[dict[str, Any]]:
    return [result(1, 2, square(3, 3, 8), 0.9), result(3, 5, square(0, 0, 5), 0.2)]


def test_what_is_right_comes_back_whole(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results()))

    assert read_results(path, TRUTH) == read_results(str(path), TRUTH) == read_results(results(), TRUTH) == results()


def test_nothing_found_is_fine() -> None:
    assert read_results([], TRUTH) == []


def test_other_encodings_become_compressed_text() -> None:
    mask = square(3, 3, 8)
    given = [
        {**results()[0], "segmentation": to_rle(encode(mask), 24, 32)},
        {**results()[0], "segmentation": [[3, 3, 11, 3, 11, 11, 3, 11]], "bbox": [3, 3, 8, 8]},
        {**results()[0], "segmentation": {"size": (24, 32), "counts": [0, 768]}, "score": np.float32(0.5)},
    ]
    before = copy.deepcopy(given)

    read = read_results(given, TRUTH)

    assert given == before
    assert [entry["segmentation"] for entry in read[:2]] == [encode(mask)] * 2
    assert decode(read[2]["segmentation"], 24, 32).all()
    json.dumps([entry["segmentation"] for entry in read])


def test_progress_is_told() -> None:
    calls: list[tuple[int, int]] = []

    read_results(results(), TRUTH, lambda done, total: calls.append((done, total)))

    assert calls == [(2, 2)]


@pytest.mark.parametrize("content", [{}, ground_truth(), "results", 7])
def test_what_is_no_list_is_refused(tmp_path: Path, content: object) -> None:
    path = tmp_path / "predictions.json"
    path.write_text(json.dumps(content))

    with pytest.raises(InputError, match=r"predictions\.json' are not COCO results: expected a list"):
        read_results(path, TRUTH)


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("[{]")

    with pytest.raises(InputError, match=r"no file '.*nowhere\.json'; expected COCO results"):
        read_results(tmp_path / "nowhere.json", TRUTH)
    with pytest.raises(InputError, match=r"broken\.json' is not JSON"):
        read_results(tmp_path / "broken.json", TRUTH)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 9}, "result 1 names the image_id 9, and there is no such image in the ground truth"),
        ({"image_id": "3"}, "result 1 has image_id '3'; expected the id of image"),
        ({"category_id": 1}, "result 1 names the category_id 1, and there is no such category in the ground truth"),
        ({"score": None}, "result 1 has score None; expected a finite number"),
        ({"score": "0.5"}, "result 1 has score '0.5'"),
        ({"score": float("nan")}, "result 1 has score nan"),
        ({"score": float("inf")}, "result 1 has score inf"),
        ({"segmentation": encode(square(0, 0, 2, 48, 64))}, r"result 1 .*size \[48, 64\]; expected .*\[24, 32\]"),
        ({"segmentation": {"size": [24, 32], "counts": "zz"}}, "result 1 has a segmentation that does not decode"),
        ({"segmentation": {"size": [24, 32], "counts": "55"}}, "result 1 .*they make 10"),
        ({"segmentation": {"counts": "55"}}, "result 1 .*'size' and 'counts'"),
        ({"segmentation": None}, "result 1 has segmentation None"),
        ({"bbox": [1, 2, 3]}, r"result 1 has bbox \[1, 2, 3\]"),
        ({"bbox": [1, 2, 3, float("nan")]}, "result 1 has bbox .*finite"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    given = results()
    given[1].update(change)
    path = tmp_path / "results.json"
    path.write_text(json.dumps(given))

    with pytest.raises(InputError, match=rf"'{path}': {message}"):
        read_results(path, TRUTH)
    with pytest.raises(InputError, match=f"the results: {message}"):
        read_results(given, TRUTH)


@pytest.mark.parametrize("key", ["image_id", "category_id", "segmentation", "score"])
def test_missing_keys_are_named(key: str) -> None:
    given = results()
    del given[1][key]

    with pytest.raises(InputError, match=f"result 1 has no '{key}'"):
        read_results(given, TRUTH)


def test_entry_that_is_none_is_named() -> None:
    with pytest.raises(InputError, match="result 0 is no JSON object"):
        read_results([3], TRUTH)  # type: ignore[list-item]


@pytest.mark.parametrize("bad", [0, 4999, 9000, 9999])
def test_the_bad_one_of_many_is_found(bad: int) -> None:
    given = [results()[0] for _ in range(10_000)]
    counts = given[0]["segmentation"]["counts"]
    given[bad] = {**given[bad], "segmentation": {"size": [24, 32], "counts": counts + "1"}}

    with pytest.raises(InputError, match=f"result {bad} has a segmentation that does not decode"):
        read_results(given, TRUTH)


@pytest.mark.skipif("CONTRASTBENCH_TEST_DATA" not in os.environ, reason="CONTRASTBENCH_TEST_DATA names no real data")
def test_real_results_are_accepted() -> None:
    folder = Path(os.environ["CONTRASTBENCH_TEST_DATA"]) / "oracles" / "coco-ap"
    truth = read_ground_truth(folder / "instances_val2014_100.json")

    assert len(read_results(folder / "instances_val2014_fakesegm100_results.json", truth)) == 734
