"""The error analysis at the size of COCO val2017, and beside a plain dense formulation on a part of it.

    python packages/dcl/benchmarks/errors.py [--images 5000] [--predictions 100] [--workers N] [--record]

Images are 480 x 640 with 7 instances on average in 80 categories; half of the predictions are disturbed copies of
instances, the others lie anywhere. All is drawn from a seed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from rich.console import Console
from rich.table import Table

from contrastbench.core.data.coco import decode, encode, read_ground_truth, read_results
from contrastbench.dcl.errors import KINDS, analyse, split_errors

HEIGHT, WIDTH, CATEGORIES, INSTANCES = 480, 640, 80, 7
RESULTS = Path(__file__).parent / "results"


def _outline(rng: np.random.Generator) -> np.ndarray:
    """Points ``[24, 2]`` of a blob; small ones are more frequent, as in COCO."""
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    radius = np.exp(rng.uniform(np.log(8), np.log(160))) * rng.uniform(0.6, 1.2, 24)
    centre, stretch = rng.uniform((0, 0), (WIDTH, HEIGHT)), rng.uniform(0.5, 1.0, 2)
    return centre + np.stack([np.cos(angle), np.sin(angle)], 1) * radius[:, None] * stretch


def _rle(points: np.ndarray) -> dict[str, Any]:
    inside = points.clip(0, (WIDTH, HEIGHT))
    rle = coco_mask.merge(coco_mask.frPyObjects([inside.ravel().tolist()], HEIGHT, WIDTH))
    return {"size": [HEIGHT, WIDTH], "counts": rle["counts"].decode("ascii")}


def draw_image(index: int, predictions: int, seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return annotations and results of one image."""
    rng = np.random.default_rng((seed, index))
    outlines = [_outline(rng) for _ in range(1 + rng.poisson(INSTANCES - 1))]
    categories = [int(c) for c in np.minimum(rng.zipf(1.4, len(outlines)), CATEGORIES)]
    instances, results = [], []
    for points, category in zip(outlines, categories, strict=True):
        instances.append({"image_id": index, "category_id": category, "segmentation": _rle(points)})
    for number in range(predictions):
        if number % 2 == 0:
            which = int(rng.integers(len(outlines)))
            points, category = outlines[which], categories[which]
            points = points.mean(0) + (points - points.mean(0)) * rng.uniform(0.7, 1.2) + rng.normal(0, 4, points.shape)
        else:
            points, category = _outline(rng), int(rng.integers(1, CATEGORIES + 1))
        score = float(rng.random())
        results.append({"image_id": index, "category_id": category, "segmentation": _rle(points), "score": score})
    # an object of which no pixel is in the image cannot be annotated
    return [a for a in instances if coco_mask.area(a["segmentation"]) > 0], results


def draw(images: int, predictions: int, seed: int, workers: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return ground truth and results of a whole set."""
    one = partial(draw_image, predictions=predictions, seed=seed)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        drawn = list(pool.map(one, range(1, images + 1), chunksize=32))
    annotations = [{"id": n, **a} for n, a in enumerate((a for one, _ in drawn for a in one), 1)]
    ground_truth = {
        "images": [{"id": i, "height": HEIGHT, "width": WIDTH} for i in range(1, images + 1)],
        "annotations": annotations,
        "categories": [{"id": c, "name": f"category {c}"} for c in range(1, CATEGORIES + 1)],
    }
    return ground_truth, [result for _, results in drawn for result in results]


def plain(ground_truth: Any, results: Any) -> dict[str, float]:
    """The definition written down: every mask dense, every set of corrected results scored with COCOeval as it is."""
    truth = read_ground_truth(ground_truth)
    results = read_results(results, truth)
    corrected: dict[str, list[dict[str, Any]]] = {kind: [dict(result) for result in results] for kind in KINDS}
    masks: dict[int, list[tuple[int, np.ndarray]]] = {}
    for a in truth["annotations"]:
        masks.setdefault(a["image_id"], []).append((a["category_id"], decode(a["segmentation"], HEIGHT, WIDTH)))
    for place, result in enumerate(results):
        instances = masks.get(result["image_id"], [])
        prediction = decode(result["segmentation"], HEIGHT, WIDTH)
        best, matched = 0.1, None
        for category, instance in instances:
            if category == result["category_id"]:
                iou = (prediction & instance).sum() / max(1, (prediction | instance).sum())
                if iou >= best:
                    best, matched = iou, instance
        if matched is None:
            continue
        foreground = np.logical_or.reduce([instance for _, instance in instances])
        for kind, error in zip(KINDS, split_errors(prediction, matched, foreground), strict=True):
            corrected[kind][place]["segmentation"] = encode(prediction ^ error)
    base = _coco_ap(truth, results)
    return {"ap": base, **{kind: _coco_ap(truth, corrected[kind]) - base for kind in KINDS}}


def _coco_ap(truth: dict[str, Any], results: list[dict[str, Any]]) -> float:
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes([dict(result) for result in results]), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return 100 * float(evaluation.stats[0])


def ours(ground_truth: Any, results: Any, workers: int = 1) -> dict[str, float]:
    """Return AP and the gains of :func:`contrastbench.dcl.errors.analyse`."""
    overall = analyse(ground_truth, results, workers=workers).overall
    assert overall.ap is not None
    return {"ap": overall.ap, **{kind: overall.delta_ap[kind] or 0.0 for kind in KINDS}}


class Cost(NamedTuple):
    """What a call takes: seconds by the clock, and of all processes' CPU time, which other jobs do not lengthen."""

    seconds: float
    cpu_seconds: float


def timed(function: Any, *arguments: Any) -> tuple[Cost, dict[str, float]]:
    """Return what a call takes, and its value."""
    start, cpu = time.perf_counter(), sum(os.times()[:4])
    value = function(*arguments)
    return Cost(time.perf_counter() - start, sum(os.times()[:4]) - cpu), value


def run(images: int, subset: int, predictions: int, workers: int, seed: int) -> dict[str, Any]:
    """Measure both; refuse to compare what does not agree."""
    subset = min(subset, images)
    ground_truth, results = draw(images, predictions, seed, workers)
    part = {
        **ground_truth,
        "images": ground_truth["images"][:subset],
        "annotations": [a for a in ground_truth["annotations"] if a["image_id"] <= subset],
    }
    part_results = [result for result in results if result["image_id"] <= subset]
    plain_cost, expected = timed(plain, part, part_results)
    subset_cost, value = timed(ours, part, part_results)
    difference = max(abs(value[key] - expected[key]) for key in expected)
    if difference > 1e-9:
        raise SystemExit(f"the two differ by {difference:.1e} points: no speed is worth comparing")

    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "truth.json"), Path(folder, "results.json")
        for file, content in zip(files, (ground_truth, results), strict=True):
            file.write_text(json.dumps(content))
        whole_cost, whole = timed(ours, *files, workers)
    return {
        "machine": {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(), "workers": workers},
        "versions": {name: version(name) for name in ("numpy", "pycocotools")},
        "images": images,
        "instances": len(ground_truth["annotations"]),
        "predictions": len(results),
        **whole_cost._asdict(),
        "images_per_second": images / whole_cost.seconds,
        "scores": whole,
        "subset": {
            "images": subset,
            "plain": plain_cost._asdict(),
            "analyse": subset_cost._asdict(),
            "speed_up_cpu_time": plain_cost.cpu_seconds / subset_cost.cpu_seconds,
            "largest_difference_points": difference,
        },
    }


def main() -> None:
    """Print what was measured; write the record where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--predictions", type=int, default=100, help="of each image")
    parser.add_argument("--subset", type=int, default=100, help="images for the plain formulation")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true", help=f"write the measurements to {RESULTS.name}/")
    options = parser.parse_args()
    result = run(options.images, options.subset, options.predictions, options.workers, options.seed)
    table = Table(title=f"{options.predictions} predictions an image, reading and checking the files included")
    for column in ("", "images", "processes", "seconds", "CPU seconds", "images/s"):
        table.add_column(column, justify="right" if column else "left")
    part = result["subset"]
    for name, images, processes, cost in (
        ("plain, dense masks", part["images"], 1, part["plain"]),
        ("analyse, the same images", part["images"], 1, part["analyse"]),
        ("analyse, all images", result["images"], options.workers, result),
    ):
        seconds = cost["seconds"]
        rate = f"{images / seconds:.1f}"
        table.add_row(name, f"{images:,}", str(processes), f"{seconds:.1f}", f"{cost['cpu_seconds']:.1f}", rate)
    console = Console()
    console.print(table)
    console.print(
        f"analyse: 1/{part['speed_up_cpu_time']:.0f} of the CPU time; the two agree to "
        f"{part['largest_difference_points']:.0e} points. All {result['images']:,} images: "
        f"{result['seconds'] / 60:.1f} minutes."
    )
    if options.record:
        RESULTS.mkdir(parents=True, exist_ok=True)
        name = f"errors-{result['images']}-images-{options.workers}-processes.json"
        (RESULTS / name).write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
