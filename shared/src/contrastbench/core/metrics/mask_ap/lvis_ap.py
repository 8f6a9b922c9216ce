"""Average precision of masks as the LVIS API computes it: federated, with rare, common and frequent categories."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from contrastbench.core.data.coco import read_ground_truth, read_results
from contrastbench.core.data.coco.lvis import FREQUENCIES, lvis_version, require_lvis
from contrastbench.core.errors import InputError

_log = logging.getLogger(__name__)


class LvisAP:
    """LVIS's average precision, in points (Gupta et al., CVPR 2019, section 3).

    As COCO's, but for what federated annotation asks: of an image, only the results count that are of categories
    annotated there or named in its ``neg_category_ids``, and those of its ``not_exhaustive_category_ids`` are right
    or ignored, never wrong. Computed by the package ``lvis``.

    Args:
        version: of LVIS that the ground truth must be, ``"v0.5"`` or ``"v1"``; None for any data in LVIS's form.
        max_detections: results that count an image, those of the highest scores over all categories.
        required: whether data that are not in LVIS's form are an error; if not, there is no score of them.

    Raises:
        InputError: an unknown version, or ``max_detections`` is not a whole number of 1 or more.
    """

    def __init__(self, version: str | None = None, max_detections: int = 300, required: bool = True) -> None:
        if isinstance(max_detections, bool) or not isinstance(max_detections, int) or max_detections < 1:
            raise InputError(f"LvisAP: max_detections is {max_detections}; expected a whole number, 1 or more")
        if version not in (None, "v0.5", "v1"):
            raise InputError(f"LvisAP: version is {version!r}; expected 'v0.5', 'v1' or none")
        self.version, self.max_detections, self.required = version, max_detections, required

    def __call__(self, ground_truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the scores of results.

        Args:
            ground_truth: a COCO dict with LVIS's fields (``neg_category_ids`` and ``not_exhaustive_category_ids`` of
                images, ``frequency`` of categories).
            results: COCO results with masks. Their boxes, if any, are not looked at: a result's area is its mask's.

        Returns:
            Points, 0 to 100, or None where there is nothing to find: ``AP_lvis``, ``AP50_lvis``, ``AP75_lvis``; means
            over the rare, common and frequent categories ``AP_r``, ``AP_c``, ``AP_f``; by area (up to 32^2 pixels, up
            to 96^2, above) ``AP_s``, ``AP_m``, ``AP_l``; ``per_class`` ``{"AP_lvis": {name: points}}``;
            ``evaluation``, how it was done.

        Raises:
            InputError: ground truth or results are not as they must be, not in LVIS's form, or of another version of
                it; or the package ``lvis`` is not installed.
        """
        truth = read_ground_truth(ground_truth)
        if not self.required and not any("neg_category_ids" in image for image in truth["images"]):
            return {}
        require_lvis(truth, self.version)
        found = read_results(results, truth)
        categories = sorted(truth["categories"], key=lambda category: category["id"])
        scores = precision(truth, found, self.max_detections)
        group = np.array([category["frequency"] for category in categories])
        version = lvis_version(truth)
        limit = "" if self.max_detections == 300 else f", up to {self.max_detections} results an image"
        return {
            "AP_lvis": _points(scores[..., 0]),
            "AP50_lvis": _points(scores[0, ..., 0]),
            "AP75_lvis": _points(scores[5, ..., 0]),
            **{f"AP_{letter}": _points(scores[:, :, group == letter, 0]) for letter in FREQUENCIES},
            **{f"AP_{size}": _points(scores[..., place]) for place, size in enumerate("sml", 1)},
            "per_class": {"AP_lvis": {c["name"]: _points(scores[:, :, k, 0]) for k, c in enumerate(categories)}},
            "evaluation": f"mask AP, LVIS API{f' on LVIS {version}' if version else ''}{limit}",
        }


def precision(
    ground_truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]], max_detections: int = 300
) -> np.ndarray:
    """Return the interpolated precision of checked results.

    Args:
        ground_truth: from ``read_ground_truth``, in LVIS's form.
        results: from ``read_results``.
        max_detections: results that count an image.

    Returns:
        float64 ``[10, 101, classes, 4]``: IoU threshold, recall, class in ascending order of category ids, range of
        areas (all, small, medium, large). -1 where there is nothing to find.

    Raises:
        InputError: the package ``lvis`` is not installed.
    """
    from pycocotools import mask

    lvis = _lvis()
    shared = {"images": ground_truth["images"], "categories": ground_truth["categories"]}
    # LVISEval writes into annotations, and takes a match with an id of 0 for none: copies, numbered from 1.
    annotations = [{**a, "id": i} for i, a in enumerate(ground_truth["annotations"], 1)]
    truth = _index(lvis.LVIS, {**shared, "annotations": annotations})
    kept = lvis.LVISResults.limit_dets_per_image(None, list(results), max_detections)
    detections = [{**r, "id": i, "area": int(mask.area(r["segmentation"]))} for i, r in enumerate(kept, 1)]
    evaluation = lvis.LVISEval(truth, _index(lvis.LVISResults, {**shared, "annotations": detections}), "segm")
    # Categories without an annotation have nothing to find; of LVIS's they are most, and each costs as much as others.
    ids = np.array(evaluation.params.cat_ids)
    annotated = np.isin(ids, [a["category_id"] for a in annotations])
    evaluation.params.cat_ids = ids[annotated].tolist()
    with _older_numpy(lvis.eval):
        evaluation.evaluate()
        evaluation.accumulate()
    scores = evaluation.eval["precision"]
    whole = np.full((*scores.shape[:2], len(ids), scores.shape[3]), -1.0)
    whole[:, :, annotated] = scores
    return whole


def _lvis() -> Any:
    """Return the package ``lvis``; its import must not set up the logging of whoever runs this."""
    root = logging.getLogger()
    before = list(root.handlers), root.level
    try:
        import lvis
    except ModuleNotFoundError as error:
        raise InputError("LVIS's average precision needs the package lvis; install it: pip install lvis") from error
    finally:
        root.handlers[:], level = before
        root.setLevel(level)
    return lvis


def _index(kind: Any, dataset: Mapping[str, Any]) -> Any:
    """Return a data set of ``lvis`` made of what is in memory: its constructors read files, or copy everything."""
    index = kind.__new__(kind)
    index.logger, index.dataset = _log, dataset
    index._create_index()
    return index


class _OlderNumpy:
    """numpy with the name ``float``, which numpy 1.24 removed and lvis 0.5.3 still uses."""

    float = float

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


@contextlib.contextmanager
def _older_numpy(module: Any) -> Iterator[None]:
    """Let one module see an older numpy, and no other module."""
    module.np = _OlderNumpy()
    try:
        yield
    finally:
        module.np = np


def _points(values: np.ndarray) -> float | None:
    defined = values[values > -1]
    return 100 * float(defined.mean()) if defined.size else None
