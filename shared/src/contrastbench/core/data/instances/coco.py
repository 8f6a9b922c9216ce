"""COCO, and what is laid out as COCO is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from contrastbench.core.data.coco import read_ground_truth
from contrastbench.core.data.instances.occlusion import occluded
from contrastbench.core.data.instances.source import SPLITS, InstanceSource, instance_source
from contrastbench.core.data.sources.files import root_folder
from contrastbench.core.errors import InputError, unknown_name

ANNOTATIONS = "annotations/instances_{split}{year}.json"
IMAGES = "{split}{year}"


def coco(
    root: str | Path | None = None,
    year: int | str = 2017,
    annotations: str = ANNOTATIONS,
    images: str = IMAGES,
    val_annotations: str | None = None,
    subset: str | None = None,
    subset_measure: str = "iou",
    subset_overlap: float = 0.2,
) -> InstanceSource:
    """Return COCO as it is distributed, or another set in COCO's form.

    Args:
        root: folder with ``annotations/instances_{train,val}2017.json``, ``train2017`` and ``val2017``.
        year: what stands for ``{year}`` in the two names that follow.
        annotations: file of a split, below ``root``.
        images: folder of a split, below ``root``.
        val_annotations: file of the validation split where it is not called so, below ``root``, such as the COCO-OCC
            that was published.
        subset: ``"occ"`` to validate on the images with occlusion only (:func:`occluded`); the source is then
            called ``COCO-OCC (rebuilt, n=...)``.
        subset_measure: ``"iou"`` or ``"smaller"``, how the overlap of two boxes is measured.
        subset_overlap: least overlap of two boxes.

    Raises:
        InputError: a file is missing, or the annotations are not as they must be.
    """
    tree = f"{annotations}, {images}/*.jpg, for split train and val and year {year}"
    folder = root_folder("COCO", root, tree)
    files = {split: folder / _filled(annotations, "annotations", split, year) for split in SPLITS}
    if val_annotations is not None:
        files["val"] = folder / val_annotations
    truth = {split: read_ground_truth(files[split]) for split in SPLITS}
    image_root = {split: folder / _filled(images, "images", split, year) for split in SPLITS}
    source = instance_source("coco", folder, truth["train"], truth["val"], image_root)
    if subset is None:
        return source
    if subset != "occ":
        raise unknown_name("subset of coco (data.subset)", str(subset), ("occ",))
    val = occluded(source.val, subset_overlap, subset_measure)
    return replace(source, name=occ_name(val), val=val)


def occ_name(ground_truth: Mapping[str, Any]) -> str:
    """Return what the occluded subset of COCO is to be called: that it was rebuilt, and with how many images."""
    return f"COCO-OCC (rebuilt, n={len(ground_truth['images'])})"


def _filled(template: str, option: str, split: str, year: int | str) -> str:
    try:
        return str(template).format(split=split, year=year)
    except (KeyError, IndexError, ValueError):
        raise InputError(
            f"data.{option} is '{template}'; expected a path in which {{split}} stands for train or val and "
            "{year} for data.year"
        ) from None
