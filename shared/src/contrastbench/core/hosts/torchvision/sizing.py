"""Bringing images and masks to another size."""

from __future__ import annotations

import cv2
import numpy as np

from contrastbench.core.data.coco import resize_mask
from contrastbench.core.hosts.resolution import Size


def resize_image(image: np.ndarray, size: Size) -> np.ndarray:
    """Return an image ``[H, W, 3]`` (uint8) at a size: by area where it shrinks, else linearly."""
    if image.shape[:2] == size:
        return image
    shrinks = size[0] <= image.shape[0] and size[1] <= image.shape[1]
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def resize_masks(masks: np.ndarray, size: Size) -> np.ndarray:
    """Return masks ``[N, H, W]`` (bool) at a size, as ground truth is resized for evaluation."""
    if masks.shape[1:] == size:
        return masks
    return np.stack([resize_mask(mask, *size) for mask in masks]) if len(masks) else np.zeros((0, *size), bool)
