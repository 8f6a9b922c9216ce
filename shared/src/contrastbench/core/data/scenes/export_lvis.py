"""LVIS: fine categories in a long tail, federated."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from contrastbench.core.data.scenes.annotations import annotate, is_tiny, write_picture
from contrastbench.core.data.scenes.folder import Progress, Scenes, export, write_json
from contrastbench.core.data.scenes.scene import SPLITS, Scene, SceneSet
from contrastbench.core.data.scenes.taxonomy import fine_categories

_NEGATIVES = 10
_STREAM = 1  # tells the draw of negatives from the drawing of the scene


def export_lvis(scene_set: SceneSet, root: str | Path, progress: Progress | None = None) -> None:
    """Write ``images/{train,val}/000000.png`` and ``annotations/lvis_{train,val}.json``.

    Categories are the kinds of things and, each a category of its own, the parts (wheel, head, bag, ...). The
    annotation of a part has ``part_of``, the id of its object's annotation, 0 where that is left out. A category's
    id is its place in ``taxonomy.fine_categories()``, from 1; those that occur in neither split are left out.

    Federated fields. What is too small (``annotations.is_tiny``) is not annotated, and its category is in the
    image's ``not_exhaustive_category_ids``; all else is annotated. ``neg_category_ids`` are up to ten of the listed
    categories, drawn from those that are truly absent from the image. Every other category is unverified there.

    ``image_count``, ``instance_count`` and ``frequency`` count the training annotations, in both files. A category
    is ``r`` (rare) in up to 1 % of the training images, ``c`` (common) in up to 10 %, ``f`` (frequent) above; from
    1,000 training images on the limits are LVIS's own, 10 and 100 images.

    Args:
        scene_set: the set.
        root: the folder to write; nothing happens when it is there already.
        progress: called with images done and images in all.

    Raises:
        InputError: ``root`` holds something else, or cannot be written.
    """
    export("lvis", _fill, scene_set, Path(root), progress)


def frequency(images: int, total: int) -> str:
    """Return ``r``, ``c`` or ``f`` for a category seen in ``images`` of ``total`` training images."""
    if images <= min(max(1, total // 100), 10):
        return "r"
    return "c" if images <= min(max(2, total // 10), 100) else "f"


def _fill(folder: Path, scene_set: SceneSet, scenes: Scenes) -> None:
    category_ids = {category.name: number for number, category in enumerate(fine_categories(), 1)}
    images: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    annotations: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    present: dict[int, set[int]] = {}
    for split, index, scene in scenes:
        image = write_picture(folder, split, index, scene_set, scene)
        drawn, small = _annotate(annotations[split], scene, image["id"], category_ids)
        present[image["id"]] = drawn | small
        images[split].append(image | {"not_exhaustive_category_ids": sorted(small)})
    categories = _categories(annotations, scene_set.train)
    listed = {category["id"] for category in categories}
    for split in SPLITS:
        for index, image in enumerate(images[split]):
            inexhaustive = image["not_exhaustive_category_ids"]
            image["not_exhaustive_category_ids"] = [number for number in inexhaustive if number in listed]
            rng = np.random.default_rng([scene_set.seed, SPLITS.index(split), index, _STREAM])
            absent = sorted(listed - present[image["id"]])
            chosen = rng.choice(absent, min(_NEGATIVES, len(absent)), replace=False) if absent else np.zeros(0, int)
            image["neg_category_ids"] = sorted(chosen.tolist())
        content = {
            "info": {"description": "contrastbench scenes"},
            "licenses": [],
            "images": images[split],
            "annotations": annotations[split],
            "categories": categories,
        }
        write_json(folder / "annotations" / f"lvis_{split}.json", content)


def _annotate(
    annotations: list[dict[str, Any]], scene: Scene, image_id: int, category_ids: dict[str, int]
) -> tuple[set[int], set[int]]:
    """Append the annotations of a scene.

    Returns:
        The categories of what was annotated, and of what was too small for it.
    """
    before, small = len(annotations), set()
    for thing in scene.instances:
        owner = 0
        if is_tiny(thing, scene):
            small.add(category_ids[thing.kind])
        else:
            owner = len(annotations) + 1
            entry = annotate(thing, scene.instance, image_id, category_ids[thing.kind])
            annotations.append({"id": owner, **entry})
        for part in thing.parts:
            if is_tiny(part, scene):
                small.add(category_ids[part.name])
                continue
            entry = annotate(part, scene.parts, image_id, category_ids[part.name])
            annotations.append({"id": len(annotations) + 1, "part_of": owner, **entry})
    return {annotation["category_id"] for annotation in annotations[before:]}, small


def _categories(annotations: dict[str, list[dict[str, Any]]], train_images: int) -> list[dict[str, Any]]:
    train = annotations[SPLITS[0]]
    instances = Counter(annotation["category_id"] for annotation in train)
    pairs = {(annotation["category_id"], annotation["image_id"]) for annotation in train}
    seen_in = Counter(category_id for category_id, _ in pairs)
    occurring = {annotation["category_id"] for split in SPLITS for annotation in annotations[split]}
    return [
        {
            "id": number,
            "name": category.name,
            "synset": f"{category.name}.n.01",
            "synonyms": [category.name],
            "def": f"{category.name.replace('_', ' ')} ({category.parent})",
            "supercategory": category.parent,
            "image_count": seen_in[number],
            "instance_count": instances[number],
            "frequency": frequency(seen_in[number], train_images),
        }
        for number, category in enumerate(fine_categories(), 1)
        if number in occurring
    ]
