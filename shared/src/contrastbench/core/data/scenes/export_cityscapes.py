"""The tree of Cityscapes: ``leftImg8bit`` and ``gtFine``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from contrastbench.core.data.scenes.folder import Progress, Scenes, export, write_image
from contrastbench.core.data.scenes.scene import SPLITS, Scene, SceneSet
from contrastbench.core.data.scenes.taxonomy import (
    BICYCLE,
    BUILDING,
    CAR,
    FENCE,
    PAVEMENT,
    PERSON,
    POLE,
    ROAD,
    SIGN,
    SKY,
    VEGETATION,
)

CITY = "scenes"

LABEL_IDS = {
    ROAD: 7,
    PAVEMENT: 8,
    BUILDING: 11,
    FENCE: 13,
    POLE: 17,
    SIGN: 20,
    VEGETATION: 21,
    SKY: 23,
    PERSON: 24,
    CAR: 26,
    BICYCLE: 33,
}
"""Class to Cityscapes label id; void is 0, "unlabeled"."""

TRAIN_IDS = {
    ROAD: 0,
    PAVEMENT: 1,
    BUILDING: 2,
    FENCE: 4,
    POLE: 5,
    SIGN: 7,
    VEGETATION: 8,
    SKY: 10,
    PERSON: 11,
    CAR: 13,
    BICYCLE: 18,
}
"""Class to Cityscapes train id; void is 255. Eight of the nineteen train ids do not occur."""

WITH_INSTANCES = (PERSON, CAR, BICYCLE)
"""The classes that Cityscapes counts; signs are not among them."""


def export_cityscapes(scene_set: SceneSet, root: str | Path, progress: Progress | None = None) -> None:
    """Write the Cityscapes tree, one city called ``scenes`` in each of train and val.

    An image is ``leftImg8bit/<split>/scenes/scenes_000000_000000_leftImg8bit.png``, numbered by its first field;
    beside it in ``gtFine`` are ``_gtFine_labelIds.png`` (uint8), ``_gtFine_labelTrainIds.png`` (uint8) and
    ``_gtFine_instanceIds.png`` (uint16: label id * 1000 + number for persons, cars and bicycles, else label id).
    Riders are persons. There are no polygon files.

    Args:
        scene_set: the set.
        root: the folder to write; nothing happens when it is there already.
        progress: called with images done and images in all.

    Raises:
        InputError: ``root`` holds something else, or cannot be written.
    """
    export("cityscapes", _fill, scene_set, Path(root), progress)


def _fill(folder: Path, scene_set: SceneSet, scenes: Scenes) -> None:
    for part in ("leftImg8bit", "gtFine"):
        for split in SPLITS:
            (folder / part / split / CITY).mkdir(parents=True)
    label_table, train_table = _table(LABEL_IDS, void=0), _table(TRAIN_IDS, void=255)
    for split, index, scene in scenes:
        stem = f"{CITY}_{index:06d}_000000"
        truth = folder / "gtFine" / split / CITY
        label_ids = label_table[scene.semantic]
        write_image(folder / "leftImg8bit" / split / CITY / f"{stem}_leftImg8bit.png", scene.image)
        write_image(truth / f"{stem}_gtFine_labelIds.png", label_ids)
        write_image(truth / f"{stem}_gtFine_labelTrainIds.png", train_table[scene.semantic])
        write_image(truth / f"{stem}_gtFine_instanceIds.png", _instance_ids(scene, label_ids))


def _table(ids: dict[int, int], void: int) -> np.ndarray:
    table = np.full(256, void, np.uint8)
    for class_id, value in ids.items():
        table[class_id] = value
    return table


def _instance_ids(scene: Scene, label_ids: np.ndarray) -> np.ndarray:
    numbers = np.zeros(len(scene.instances) + 1, np.uint16)
    seen = dict.fromkeys(WITH_INSTANCES, 0)
    for instance in scene.instances:
        if instance.class_id in seen:
            numbers[instance.id] = LABEL_IDS[instance.class_id] * 1000 + seen[instance.class_id]
            seen[instance.class_id] += 1
    named = numbers[scene.instance]
    return np.where(named > 0, named, label_ids).astype(np.uint16)
