import importlib
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from written_instances import annotation, ground_truth, result, square

from contrastbench.core.data.coco import decode, encode
from contrastbench.core.data.instances import scenes
from contrastbench.core.data.instances.cityscapes import THINGS, VOID, instances_of
from contrastbench.core.errors import InputError
from contrastbench.core.metrics.mask_ap import CityscapesAP
from contrastbench.core.metrics.mask_ap.cityscapes_ap import average_precision


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """Return the evaluation script of Cityscapes, made to run under the numpy that is installed."""
    pytest.importorskip("cityscapesscripts", reason="cityscapesscripts is not installed")
    monkeypatch.chdir(tmp_path)
    # numpy 2.4 dropped this name; the script has not followed.
    monkeypatch.setattr(np, "in1d", lambda a, b: np.isin(a, b).ravel(), raising=False)
    return importlib.import_module("cityscapesscripts.evaluation.evalInstanceLevelSemanticLabeling")


def official_scores(
    script: ModuleType, folder: Path, maps: list[np.ndarray], results: list[dict[str, Any]], min_region: int
) -> dict[str, Any]:
    """Write maps and results as Cityscapes has them, and return what its script computes."""
    folder.mkdir(parents=True, exist_ok=True)
    truths, predictions = [], []
    for image, ids in enumerate(maps, 1):
        truths.append(str(folder / f"{image}_gtFine_instanceIds.png"))
        Image.fromarray(ids.astype(np.uint16)).save(truths[-1])
        lines = []
        for index, entry in enumerate(results):
            if entry["image_id"] == image:
                mask = decode(entry["segmentation"], *ids.shape)
                Image.fromarray(mask.astype(np.uint8) * 255).save(folder / f"{image}_{index}.png")
                lines.append(f"{image}_{index}.png {entry['category_id']} {entry['score']!r}\n")
        predictions.append(str(folder / f"{image}.txt"))
        Path(predictions[-1]).write_text("".join(lines))
    args = script.CArgs()
    args.__dict__.update(script.args.__dict__, quiet=True, predictionPath=str(folder))
    args.minRegionSizes = np.array([min_region, 1000, 1000])
    script.setInstanceLabels(args)
    truth = script.instances2dict(truths)
    scores = script.evaluateMatches(script.matchGtWithPreds(predictions, truths, truth, args), args)
    return script.computeAverages(scores, args)


def coco_of(maps: list[np.ndarray]) -> dict[str, Any]:
    images, annotations = [], []
    for number, ids in enumerate(maps, 1):
        size = {"height": ids.shape[0], "width": ids.shape[1]}
        images.append({"id": number, **size, "void": encode(np.isin(ids, VOID))})
        for entry in instances_of(ids):
            annotations.append({"id": len(annotations) + 1, "image_id": number, **entry})
    categories = [{"id": number, "name": name} for number, name in THINGS.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


def assert_same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours["AP_cityscapes"] == pytest.approx(100 * theirs["allAp"], abs=1e-6)
    assert ours["AP50_cityscapes"] == pytest.approx(100 * theirs["allAp50%"], abs=1e-6)
    for name, score in ours["per_class"]["AP_cityscapes"].items():
        expected = theirs["classes"][name]["ap"]
        assert (score is None) == bool(np.isnan(expected))
        assert score is None or score == pytest.approx(100 * expected, abs=1e-6)


def random_town(rng: np.random.Generator, size: tuple[int, int] = (40, 60)) -> np.ndarray:
    """Return a map of instance ids with rectangles over each other: instances, groups, void, other classes."""
    ids = np.full(size, 7, np.int64)
    for number in range(rng.integers(4, 14)):
        label = rng.choice([24, 26, 26, 33])
        kinds = [1000 * label + number, 1000 * label + number, label, rng.choice([0, 4, 29]), 29000 + number]
        value = rng.choice(kinds, p=[0.4, 0.25, 0.15, 0.15, 0.05])
        paint(ids, rng, value)
    return ids


def paint(ids: np.ndarray, rng: np.random.Generator, value: Any) -> None:
    top, left = rng.integers(0, ids.shape[0] - 3), rng.integers(0, ids.shape[1] - 3)
    ids[top : top + rng.integers(2, 18), left : left + rng.integers(2, 24)] = value


def random_results(rng: np.random.Generator, maps: list[np.ndarray]) -> list[dict[str, Any]]:
    """Return results that are shifted instances, doubles of them, groups, and rectangles anywhere; scores repeat."""
    results = []
    for image, ids in enumerate(maps, 1):
        for value in np.unique(ids[(ids >= 24)]):
            label = int(value if value < 1000 else value // 1000)
            for _ in range(rng.integers(0, 3)):
                mask = np.roll(ids == value, tuple(rng.integers(-1, 2, 2)), (0, 1))
                if rng.random() < 0.3:
                    mask &= rng.random(ids.shape) < 0.8
                category = label if label in THINGS and rng.random() < 0.9 else 24
                results.append(result(image, category, mask, float(rng.choice([0.2, 0.5, 0.5, rng.random()]))))
        for _ in range(3):
            mask = np.zeros(ids.shape, bool)
            paint(mask, rng, True)
            results.append(result(image, int(rng.choice([24, 26, 33])), mask, float(rng.random())))
        results.append(result(image, 26, np.zeros(ids.shape, bool), 1.0))  # an empty mask is no result
    return results


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("min_region", [0, 30, 100])
def test_same_as_the_script_of_cityscapes(official: ModuleType, tmp_path: Path, seed: int, min_region: int) -> None:
    rng = np.random.default_rng(seed)
    maps = [random_town(rng) for _ in range(5)]
    results = random_results(rng, maps)

    theirs = official_scores(official, tmp_path / "files", maps, results, min_region)

    assert_same(CityscapesAP(min_region)(coco_of(maps), results), theirs)


def test_same_on_the_scenes(official: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTRASTBENCH_CACHE", str(tmp_path / "cache"))
    source = scenes(seed=3, train=1, val=6, layout="cityscapes")
    maps = []
    for image in source.val["images"]:
        name = image["file_name"].replace("_leftImg8bit", "_gtFine_instanceIds")
        with Image.open(source.root / "gtFine" / "val" / name) as picture:
            maps.append(np.asarray(picture))
    results = random_results(np.random.default_rng(0), maps)

    ours = CityscapesAP(20)(source.val, results)

    assert 0 < ours["AP_cityscapes"] < 100
    assert_same(ours, official_scores(official, tmp_path / "files", maps, results, 20))


def perfect() -> list[dict[str, Any]]:
    keys = ("image_id", "category_id", "segmentation")
    return [{**{key: entry[key] for key in keys}, "score": 0.9} for entry in ground_truth()["annotations"]]


def test_the_truth_scores_full_points() -> None:
    assert CityscapesAP(10)(ground_truth(), perfect()) == {
        "AP_cityscapes": pytest.approx(100),
        "AP50_cityscapes": pytest.approx(100),
        "per_class": {"AP_cityscapes": {"square": pytest.approx(100), "tile": pytest.approx(100)}},
        "evaluation": "mask AP, Cityscapes style, regions from 10 pixels",
    }


def test_instances_that_are_too_small_are_not_to_be_found() -> None:
    scores = CityscapesAP(50)(ground_truth(), perfect())

    assert scores["per_class"]["AP_cityscapes"] == {"square": pytest.approx(100), "tile": None}
    nothing = CityscapesAP()(ground_truth(), perfect())
    assert (nothing["AP_cityscapes"], nothing["AP50_cityscapes"]) == (None, None)
    assert nothing["evaluation"] == "mask AP, Cityscapes style"


def test_nothing_found_scores_nothing() -> None:
    assert CityscapesAP(0)(ground_truth(), [])["AP_cityscapes"] == 0


def test_all_results_ignored_score_nothing() -> None:
    truth = ground_truth()
    truth["images"][1]["void"] = encode(square(0, 0, 20))

    # Where every result is ignored the script of Cityscapes itself fails.
    assert CityscapesAP(0)(truth, [result(2, 5, square(1, 1, 6))])["per_class"]["AP_cityscapes"]["tile"] == 0


def test_results_on_void_and_groups_are_ignored() -> None:
    truth = ground_truth()
    stray = result(2, 5, square(14, 14, 6), 0.99)
    wrong = CityscapesAP(0)(truth, [*perfect(), stray])["per_class"]["AP_cityscapes"]["tile"]
    assert wrong == pytest.approx(25)  # precision 1, 0, 1/2 at recall 0, 0, 1

    truth["annotations"].append(annotation(9, 2, 5, square(12, 12, 10), crowd=1))
    assert CityscapesAP(0)(truth, [*perfect(), stray])["AP_cityscapes"] == pytest.approx(100)
    truth["annotations"][-1]["category_id"] = 2
    assert CityscapesAP(0)(truth, [*perfect(), stray])["per_class"]["AP_cityscapes"]["tile"] == wrong


def test_the_second_result_on_an_instance_is_wrong() -> None:
    double = [*perfect(), result(1, 5, square(12, 20, 6), 0.95)]

    # The better score is right: precision 1 and recall 1 come first, then the double.
    assert CityscapesAP(0)(ground_truth(), double)["per_class"]["AP_cityscapes"]["tile"] == pytest.approx(100)


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.3, 0.5, 0.9]), st.booleans()), max_size=12), st.integers(0, 4))
@settings(deadline=None)
def test_area_is_that_of_the_curve(found: list[tuple[float, bool]], missed: int) -> None:
    instances = sum(right for _, right in found) + missed + 1
    points = [(0.0, 1.0)]
    for threshold in sorted({score for score, _ in found}, reverse=True):
        rights = [right for score, right in found if score >= threshold]
        points.append((sum(rights) / instances, sum(rights) / len(rights)))
    area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(points))

    scores = np.array([score for score, _ in found], float)
    assert average_precision(scores, np.array([r for _, r in found], bool), instances) == pytest.approx(area)


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="min_region is -1"):
        CityscapesAP(-1)
    with pytest.raises(InputError, match="names the category_id 9"):
        CityscapesAP()(ground_truth(), [result(1, 9, square(0, 0, 2))])
