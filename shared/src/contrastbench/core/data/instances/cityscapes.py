"""Cityscapes: its maps of instance ids, turned into COCO annotations once."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from contrastbench.core.data.cache import cache_dir, write_whole
from contrastbench.core.data.coco import encode, encode_regions, read_ground_truth
from contrastbench.core.data.instances.content import Progress, content_name
from contrastbench.core.data.instances.source import SPLITS, InstanceSource, instance_source
from contrastbench.core.data.pictures import read_labels
from contrastbench.core.data.sources.files import list_images, root_folder
from contrastbench.core.errors import InputError

THINGS = {
    24: "person",
    25: "rider",
    26: "car",
    27: "truck",
    28: "bus",
    31: "train",
    32: "motorcycle",
    33: "bicycle",
}
"""The classes whose instances Cityscapes evaluates, by label id, which is their category id here."""

VOID = (0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30)
"""The label ids that Cityscapes evaluates nowhere. A map of instance ids has the plain id where it does not count."""

_CONVERSION = 1  # goes up when the same files are to give other annotations


def cityscapes(root: str | Path | None = None, progress: Progress | None = None) -> InstanceSource:
    """Return Cityscapes as it is distributed, with the eight classes whose instances it evaluates.

    In a map of instance ids, ``label id * 1000 + number`` is an instance; the plain label id of such a class is a group
    that was not told apart, one crowd annotation a class and image here. Pixels of a label that is evaluated nowhere
    are the image's ``void``. The annotations are written to the cache folder, named by the content of the maps, so
    that they are made once.

    Args:
        root: folder with ``leftImg8bit/{train,val}/<city>`` and ``gtFine/{train,val}/<city>``.
        progress: called with maps read and maps in all, when annotations are made.

    Raises:
        InputError: a folder or a map is missing, or a map does not decode.
    """
    tree = "leftImg8bit/{train,val}/<city>/*_leftImg8bit.png gtFine/{train,val}/<city>/*_gtFine_instanceIds.png"
    folder = root_folder("Cityscapes", root, tree)
    image_root = {split: folder / "leftImg8bit" / split for split in SPLITS}
    truth = {split: read_ground_truth(_converted(folder, split, progress)) for split in SPLITS}
    return instance_source("cityscapes", folder, truth["train"], truth["val"], image_root)


def instances_of(ids: np.ndarray) -> list[dict[str, Any]]:
    """Return the annotations that a map of Cityscapes instance ids holds, without ids.

    Args:
        ids: ``[H, W]``, integers.

    Returns:
        ``category_id``, ``iscrowd``, ``segmentation``, ``bbox`` and ``area`` of each, in ascending order of their ids
        in the map.
    """
    from pycocotools import mask

    annotations = []
    # All that is of no interest becomes one region, so that its many runs are not encoded.
    label = np.where(ids < 1000, ids, ids // 1000)
    for value, rle in encode_regions(np.where(np.isin(label, list(THINGS)), ids, 0)).items():
        if value:
            annotations.append(
                {
                    "category_id": value if value < 1000 else value // 1000,
                    "iscrowd": int(value < 1000),
                    "segmentation": rle,
                    "bbox": mask.toBbox(rle).tolist(),
                    "area": int(mask.area(rle)),
                }
            )
    return annotations


def _converted(folder: Path, split: str, progress: Progress | None) -> Path:
    maps = _maps(folder, split)
    name = content_name(f"cityscapes instances {_CONVERSION}".encode(), maps, lambda name, path: None)
    file = cache_dir() / "instances" / f"cityscapes-{split}-{name}.json"
    if not file.is_file():
        write_whole(file, json.dumps(_convert(maps, progress), separators=(",", ":")))
    return file


def _maps(folder: Path, split: str) -> dict[str, Path]:
    """Return the map of each image of a split by the image's name."""
    images = list_images(folder / "leftImg8bit" / split, "*/*_leftImg8bit", "Cityscapes")
    maps = {
        image.relative_to(folder / "leftImg8bit" / split).as_posix(): folder
        / "gtFine"
        / split
        / image.parent.name
        / f"{image.stem.removesuffix('_leftImg8bit')}_gtFine_instanceIds.png"
        for image in images
    }
    missing = [path for path in maps.values() if not path.is_file()]
    if missing:
        raise InputError(
            f"Cityscapes in '{folder}' is incomplete: {len(missing)} images of {split} have no map of instance ids, "
            f"first '{missing[0]}'; data.root must name the folder of a whole copy"
        )
    return maps


def _convert(maps: dict[str, Path], progress: Progress | None) -> dict[str, Any]:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        for number, (name, (image, found)) in enumerate(zip(maps, pool.map(_read, maps.values()), strict=True), 1):
            images.append({"id": number, "file_name": name, **image})
            for entry in found:
                annotations.append({"id": len(annotations) + 1, "image_id": number, **entry})
            if progress is not None:
                progress(number, len(maps))
    finally:
        pool.shutdown(cancel_futures=True)
    categories = [{"id": number, "name": name, "supercategory": "thing"} for number, name in THINGS.items()]
    return {
        "info": {"description": "Cityscapes instances"},
        "images": images,
        "annotations": annotations,
        "categories": categories,
    }


def _read(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    ids = read_labels(path)
    height, width = ids.shape
    return {"height": height, "width": width, "void": encode(np.isin(ids, VOID))}, instances_of(ids)
