"""COCO instances: the coarse classes of things."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from contrastbench.core.data.scenes.annotations import annotate, is_tiny, write_picture
from contrastbench.core.data.scenes.folder import Progress, Scenes, export, write_json
from contrastbench.core.data.scenes.scene import SPLITS, SceneSet
from contrastbench.core.data.scenes.taxonomy import CLASSES, THINGS


def export_coco(scene_set: SceneSet, root: str | Path, progress: Progress | None = None) -> None:
    """Write ``images/{train,val}/000000.png`` and ``annotations/instances_{train,val}.json``.

    Categories are sign, car, person and bicycle, with ids 1 to 4. Segmentations are compressed run lengths of the
    visible part. An object of which less than ``annotations.is_tiny`` is visible is marked ``iscrowd``, which the
    evaluation ignores.

    Args:
        scene_set: the set.
        root: the folder to write; nothing happens when it is there already.
        progress: called with images done and images in all.

    Raises:
        InputError: ``root`` holds something else, or cannot be written.
    """
    export("coco", _fill, scene_set, Path(root), progress)


def _fill(folder: Path, scene_set: SceneSet, scenes: Scenes) -> None:
    categories = [
        {"id": number, "name": CLASSES[thing], "supercategory": "thing"} for number, thing in enumerate(THINGS, 1)
    ]
    category_ids = {thing: number for number, thing in enumerate(THINGS, 1)}
    images: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    annotations: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    for split, index, scene in scenes:
        image = write_picture(folder, split, index, scene_set, scene)
        images[split].append(image)
        for thing in scene.instances:
            entry = annotate(thing, scene.instance, image["id"], category_ids[thing.class_id])
            crowd = int(is_tiny(thing, scene))
            annotations[split].append({"id": len(annotations[split]) + 1, "iscrowd": crowd, **entry})
    for split in SPLITS:
        content = {
            "info": {"description": "contrastbench scenes"},
            "licenses": [],
            "images": images[split],
            "annotations": annotations[split],
            "categories": categories,
        }
        write_json(folder / "annotations" / f"instances_{split}.json", content)
