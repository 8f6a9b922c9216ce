"""Ground truth at the size its images are resized to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from contrastbench.core.data.coco.ground_truth import image_sizes
from contrastbench.core.data.coco.masks import Segmentation, as_text, decode, encode, to_rle


def resized(ground_truth: Mapping[str, Any], height: int, width: int) -> dict[str, Any]:
    """Return ground truth for images that are all brought to one size.

    A pixel of the new mask is the old pixel its centre falls into ("nearest-exact" in ``torch.nn.functional``).
    Boxes and areas are those of the new masks. An object without a pixel left is left out, as nothing could find it.

    Args:
        ground_truth: from :func:`read_ground_truth`.
        height: of every image, afterwards.
        width: of every image, afterwards.

    Returns:
        A COCO dict with compressed run lengths. Ids are kept. ``ground_truth`` itself is not changed.
    """
    from pycocotools import mask as mask_api

    sizes = image_sizes(ground_truth)
    new = (height, width)
    images = [{**image, "height": height, "width": width} for image in ground_truth["images"]]
    for image in images:
        if "void" in image:
            image["void"] = _resized(image["void"], sizes[image["id"]], new)
    annotations = []
    for annotation in ground_truth["annotations"]:
        rle = _resized(annotation["segmentation"], sizes[annotation["image_id"]], new)
        area = int(mask_api.area(rle))
        if area:
            box = mask_api.toBbox(rle).tolist()
            annotations.append({**annotation, "segmentation": rle, "bbox": box, "area": area})
    return {**ground_truth, "images": images, "annotations": annotations}


def resize_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return a mask ``[H, W]`` at another size, each pixel the old one that its centre falls into."""
    return mask[np.ix_(_nearest(mask.shape[0], height), _nearest(mask.shape[1], width))]


def _nearest(old: int, new: int) -> np.ndarray:
    return (2 * np.arange(new) + 1) * old // (2 * new)  # floor((i + 1/2) old / new), without rounding


def _resized(segmentation: Segmentation, old: tuple[int, int], new: tuple[int, int]) -> dict[str, Any]:
    if old == new:
        return as_text(to_rle(segmentation, *old))
    return encode(resize_mask(decode(segmentation, *old), *new))
