"""The error analysis at the size of COCO val2017, and beside a plain dense formulation on a part of it.

    python packages/dcl/benchmarks/errors.py [--threads N] [--json FILE]

As many processes as threads; reading and checking the ground truth and the results is included.

Images are 480 x 640 with 7 instances on average in 80 categories; half of the predictions are disturbed copies of
instances, the others lie anywhere. All is drawn from a seed.
"""

from __future__ import annotations

import contextlib
import io
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from contrastbench.core.data.coco import decode, encode, read_ground_truth, read_results
from contrastbench.core.testing.bench import Case
from contrastbench.core.testing.bench.command import main
from contrastbench.dcl.errors import KINDS, analyse, split_errors

HEIGHT, WIDTH, CATEGORIES, INSTANCES = 480, 640, 80, 7
PART, WHOLE, PREDICTIONS = 50, 5000, 100


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


def part(device: str, small: bool) -> tuple[Any, Any]:
    """Return ground truth and results of as many images as the plain formulation has time for."""
    return draw(3, 20, 0, 1) if small else draw(PART, PREDICTIONS, 0, torch.get_num_threads())


def whole(device: str, small: bool) -> tuple[Any, Any]:
    """Return ground truth and results of as many images as COCO val2017 has."""
    return draw(3, 20, 0, 1) if small else draw(WHOLE, PREDICTIONS, 0, torch.get_num_threads())


def plain(inputs: tuple[Any, Any]) -> dict[str, float]:
    """The definition written down: every mask dense, every set of corrected results scored with COCOeval as it is."""
    ground_truth, results = inputs
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


def ours(inputs: tuple[Any, Any]) -> dict[str, float]:
    """Return AP and the gains of :func:`contrastbench.dcl.errors.analyse`, in one process."""
    return _analysed(*inputs, workers=1)


def ours_in_processes(inputs: tuple[Any, Any]) -> dict[str, float]:
    """The same in as many processes as there may be threads."""
    return _analysed(*inputs, workers=torch.get_num_threads())


def _analysed(ground_truth: Any, results: Any, workers: int) -> dict[str, float]:
    overall = analyse(ground_truth, results, workers=workers).overall
    assert overall.ap is not None
    return {"ap": overall.ap, **{kind: overall.delta_ap[kind] or 0.0 for kind in KINDS}}


CASES = (
    Case(
        f"error analysis, {PART} images with {PREDICTIONS} predictions each",
        part,
        {"plain, dense masks": plain, "analyse": ours},
        tolerance=1e-9,
        devices=("cpu",),
    ),
    Case(
        f"error analysis, {WHOLE:,} images with {PREDICTIONS} predictions each",
        whole,
        {"analyse, a process a thread": ours_in_processes},
        devices=("cpu",),
    ),
)

if __name__ == "__main__":
    sys.exit(main([__file__]))
