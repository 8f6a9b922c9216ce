"""Any source of instances as what torchvision's detectors train on and are evaluated on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from contrastbench.core.data.coco import decode
from contrastbench.core.data.instances import InstanceSource
from contrastbench.core.data.pictures import read_image
from contrastbench.core.errors import InputError
from contrastbench.core.hosts.resolution import Size
from contrastbench.core.hosts.torchvision.augment import Augmentation
from contrastbench.core.hosts.torchvision.sizing import resize_image, resize_masks

MEMORY = 2 * 2**30
"""Bytes of decoded images and masks that a dataset keeps; a larger one decodes at every access."""

Sample = tuple[Tensor, dict[str, Tensor]]
"""An image ``[3, H, W]`` (float32, 0 to 1), and its instances: ``boxes`` ``[N, 4]`` (float32; left, top, right and
bottom edge), ``labels`` ``[N]`` (int64, from 1), ``masks`` ``[N, H, W]`` (uint8)."""


class Pictures(Dataset[Tensor]):
    """The images of a split, ``[3, H, W]`` (float32, 0 to 1) each.

    Args:
        source: the source.
        split: ``"train"`` or ``"val"``.
        size: height and width that all are brought to; None for their own.
    """

    def __init__(self, source: InstanceSource, split: str, size: Size | None = None) -> None:
        self.source, self.split, self.size = source, split, size
        self.images: list[Mapping[str, Any]] = list(source.ground_truth(split)["images"])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return as_tensor(self.read(index))

    def read(self, index: int) -> np.ndarray:
        """Return an image as ``[H, W, 3]`` (uint8).

        Raises:
            InputError: it does not decode, or is not of the size that the annotations say.
        """
        image = self.images[index]
        path = self.source.image_path(self.split, image)
        pixels = read_image(path)
        if pixels.shape[:2] != (image["height"], image["width"]):
            raise InputError(
                f"the image '{path}' is {pixels.shape[0]}x{pixels.shape[1]} and its annotations say "
                f"{image['height']}x{image['width']}; restore this file from the copy that was annotated"
            )
        return resize_image(pixels, self.size or (image["height"], image["width"]))


class Instances(Dataset[Sample]):
    """The images of a split with their instances. Small sets are decoded and resized once and kept in memory.

    Crowds are left out, and so are instances of which a view shows nothing. An image without instances is a sample
    like others.

    Args:
        pictures: the images.
        augmentation: of each image, or None for the images as they are.
    """

    def __init__(self, pictures: Pictures, augmentation: Augmentation | None = None) -> None:
        self.pictures, self.augmentation = pictures, augmentation
        self._of_image: dict[Any, list[Mapping[str, Any]]] = {image["id"]: [] for image in pictures.images}
        for annotation in pictures.source.ground_truth(pictures.split)["annotations"]:
            if not annotation.get("iscrowd", 0):
                self._of_image[annotation["image_id"]].append(annotation)
        self._labels = {category: place for place, category in enumerate(pictures.source.category_ids, 1)}
        needed = sum(self._bytes(image) for image in pictures.images)
        self._kept: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] | None = {} if needed <= MEMORY else None

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Sample:
        image, masks, labels = self._decoded(index)
        if self.augmentation is not None:
            image, masks = self.augmentation(image, masks)
        visible = masks.any((1, 2))
        masks, labels = masks[visible], labels[visible]
        target = {
            "boxes": torch.from_numpy(boxes_of(masks)),
            "labels": torch.from_numpy(labels),
            "masks": torch.from_numpy(np.ascontiguousarray(masks).view(np.uint8)),
        }
        return as_tensor(image), target

    def _bytes(self, image: Mapping[str, Any]) -> int:
        height, width = self.pictures.size or (image["height"], image["width"])
        return height * width * (3 + len(self._of_image[image["id"]]))

    def _decoded(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return image ``[H, W, 3]`` (uint8), masks ``[N, H, W]`` (bool) and labels ``[N]`` (int64)."""
        if self._kept is None:
            return self._decode(index)
        if index not in self._kept:
            self._kept[index] = self._decode(index)
        return self._kept[index]

    def _decode(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        image = self.pictures.images[index]
        shape = (image["height"], image["width"])
        annotations = self._of_image[image["id"]]
        masks = np.zeros((len(annotations), *shape), bool)
        for mask, annotation in zip(masks, annotations, strict=True):
            mask[:] = decode(annotation["segmentation"], *shape)
        labels = np.array([self._labels[a["category_id"]] for a in annotations], np.int64)
        return self.pictures.read(index), resize_masks(masks, self.pictures.size or shape), labels


def as_tensor(image: np.ndarray) -> Tensor:
    """Return an image ``[H, W, 3]`` (uint8) as ``[3, H, W]`` (float32, 0 to 1)."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float().div(255)


def boxes_of(masks: np.ndarray) -> np.ndarray:
    """Return the boxes ``[N, 4]`` (float32; left, top, right, bottom edge) of masks ``[N, H, W]``, none empty."""
    boxes = np.empty((len(masks), 4), np.float32)
    for place, axis in enumerate((1, 2)):
        covered = np.asarray(masks.any(axis))
        boxes[:, place] = covered.argmax(1)
        boxes[:, place + 2] = covered.shape[1] - covered[:, ::-1].argmax(1)
    return boxes
