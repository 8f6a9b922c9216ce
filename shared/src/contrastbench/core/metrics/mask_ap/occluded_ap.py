"""Average precision on the images in which objects hide each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contrastbench.core.data.instances.occlusion import occluded, occluded_images
from contrastbench.core.metrics.mask_ap.coco_ap import CocoAP


class OccludedAP:
    """COCO's average precision on the occluded part of a set, such as COCO-OCC of val2017 (DCL, Table 6).

    Args:
        overlap: least overlap of two boxes in an image, as of
            :func:`~contrastbench.core.data.instances.occlusion.occluded`.
        measure: of the overlap, ``"iou"`` or ``"smaller"``.
    """

    def __init__(self, overlap: float = 0.2, measure: str = "iou") -> None:
        self.overlap, self.measure = overlap, measure
        self.precision = CocoAP()

    def __call__(self, ground_truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the scores of the results on occluded images.

        Args:
            ground_truth: a COCO dict.
            results: COCO results with masks.

        Returns:
            What :class:`CocoAP` returns without its classes, each number's name led by ``occluded_``;
            ``occluded_images``, how many images these are; ``evaluation``, with the rule. No number where no image
            is occluded.

        Raises:
            InputError: ground truth or results are not as they must be, or the rule is impossible.
        """
        rule = f"overlap of boxes ({self.measure}) of {self.overlap} or more"
        kept = occluded_images(ground_truth, self.overlap, self.measure)
        if not kept:
            return {"occluded_images": 0, "evaluation": f"no image with {rule}"}
        part = occluded(ground_truth, self.overlap, self.measure)
        said = self.precision(part, [result for result in results if result["image_id"] in kept])
        numbers = {f"occluded_{name}": said[name] for name in said if name not in ("per_class", "evaluation")}
        measured = f"occluded: {said['evaluation']} on {len(kept)} of {len(ground_truth['images'])} images, {rule}"
        return {**numbers, "occluded_images": len(kept), "evaluation": measured}
