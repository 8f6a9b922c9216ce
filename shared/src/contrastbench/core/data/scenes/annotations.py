"""What the COCO and LVIS exports share: image entries, and masks as run lengths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from contrastbench.core.data.coco import encode
from contrastbench.core.data.scenes.folder import write_image
from contrastbench.core.data.scenes.scene import SPLITS, Instance, Part, Scene, SceneSet

_SMALLEST = 4 / (96 * 192)


def is_tiny(thing: Instance | Part, scene: Scene) -> bool:
    """Whether less is visible than can be told apart: under four pixels of an image of 96 by 192, or that share."""
    return thing.area < _SMALLEST * scene.semantic.size


def write_picture(folder: Path, split: str, index: int, scene_set: SceneSet, scene: Scene) -> dict[str, Any]:
    """Write ``images/<split>/000000.png`` and return its entry; ids run on from train to val, from 1."""
    name = f"{index:06d}.png"
    path = folder / "images" / split / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, scene.image)
    height, width = scene.semantic.shape
    before = 0 if split == SPLITS[0] else scene_set.train
    return {"id": before + index + 1, "file_name": name, "height": height, "width": width}


def annotate(thing: Instance | Part, ids: np.ndarray, image_id: int, category_id: int) -> dict[str, Any]:
    """Return an annotation without its id.

    Args:
        thing: the object or part.
        ids: the map that holds its id, int32 ``[H, W]``.
        image_id: the image.
        category_id: the category.
    """
    return {
        "image_id": image_id,
        "category_id": category_id,
        "segmentation": encode(ids == thing.id),
        "area": thing.area,
        "bbox": list(thing.box),
    }
