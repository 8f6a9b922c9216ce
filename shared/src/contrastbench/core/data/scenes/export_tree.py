"""The trees of CamVid, ADE20K, PASCAL-Context and COCO-Stuff-10K, with the scenes' classes among theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from contrastbench.core.data.scenes.folder import Progress, Scenes, export, write_image
from contrastbench.core.data.scenes.scene import SPLITS, SceneSet
from contrastbench.core.data.scenes.taxonomy import CLASSES
from contrastbench.core.data.taxonomies import ADE20K, CAMVID, COCO_STUFF, PASCAL_CONTEXT

# Colour at full resolution: the scenes' fine grain is coloured.
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]


@dataclass(frozen=True)
class Tree:
    """How a data set lies on disk, and what it calls the scenes' classes.

    Attributes:
        images: path of an image below the root, with ``{split}`` and ``{name}``; ``.jpg`` is written as JPEG.
        labels: path of its label map.
        classes: the data set's classes in the order of their ids.
        names: scene class to the data set's name for it where that is another; None where it has none, which makes
            the class void.
        splits: what the data set calls train and val.
        first: id of its first class.
        void: id of what has no class.
        lists: path of the list of a split, with ``{split}``; None where there is none.
    """

    images: str
    labels: str
    classes: tuple[str, ...]
    names: Mapping[str, str | None] = field(default_factory=dict)
    splits: tuple[str, str] = SPLITS
    first: int = 1
    void: int = 0
    lists: str | None = None

    def ids(self) -> np.ndarray:
        """Return the id in this data set of each id of a scene, uint8 ``[256]``."""
        table = np.full(256, self.void, np.uint8)
        for class_id, name in enumerate(CLASSES):
            theirs = self.names.get(name, name)
            if theirs is not None:
                table[class_id] = self.first + self.classes.index(theirs)
        return table


TREES = {
    "camvid": Tree(
        "{split}/{name}.png",
        "{split}annot/{name}.png",
        tuple(CAMVID),
        {"vegetation": "tree", "person": "pedestrian", "bicycle": "bicyclist"},
        first=0,
        void=len(CAMVID),
    ),
    "ade20k": Tree(
        "images/{split}/{name}.jpg",
        "annotations/{split}/{name}.png",
        ADE20K,
        {"pavement": "sidewalk", "vegetation": "tree", "sign": "signboard"},
        ("training", "validation"),
    ),
    "pascal_context": Tree(
        "JPEGImages/{name}.jpg",
        "SegmentationClassContext/{name}.png",
        PASCAL_CONTEXT,
        {"pavement": "sidewalk", "vegetation": "tree", "pole": None},
        lists="ImageSets/SegmentationContext/{split}.txt",
    ),
    "coco_stuff10k": Tree(
        "images/{split}/{name}.jpg",
        "annotations/{split}/{name}_labelTrainIds.png",
        COCO_STUFF,
        {
            "sky": "sky-other",
            "building": "building-other",
            "pole": "structural-other",
            "vegetation": "tree",
            "sign": "stop sign",
        },
        ("train2014", "test2014"),
    ),
}
"""Layout names and their trees."""


def export_tree(layout: str, scene_set: SceneSet, root: str | Path, progress: Progress | None = None) -> None:
    """Write the scenes in the tree of a data set, under the ids of that data set's classes.

    An image is called ``train_000000`` or ``val_000000``. What is void in a scene is void there, and so is a class that
    the data set does not have (PASCAL-Context has no poles).

    Args:
        layout: one of ``TREES``.
        scene_set: the set.
        root: the folder to write; nothing happens when it is there already.
        progress: called with images done and images in all.

    Raises:
        InputError: ``root`` holds something else, or cannot be written.
    """
    export(layout, partial(_fill, TREES[layout]), scene_set, Path(root), progress)


def _fill(tree: Tree, folder: Path, scene_set: SceneSet, scenes: Scenes) -> None:
    splits = dict(zip(SPLITS, tree.splits, strict=True))
    table = tree.ids()
    names: dict[str, list[str]] = {split: [] for split in tree.splits}
    for split, index, scene in scenes:
        place = {"split": splits[split], "name": f"{split}_{index:06d}"}
        names[place["split"]].append(place["name"])
        image, labels = (folder / path.format(**place) for path in (tree.images, tree.labels))
        for path in (image, labels):
            path.parent.mkdir(parents=True, exist_ok=True)
        if image.suffix == ".jpg":
            data = cv2.imencode(".jpg", scene.image[..., ::-1], _JPEG)[1]
            image.write_bytes(data.tobytes())
        else:
            write_image(image, scene.image)
        write_image(labels, table[scene.semantic])
    if tree.lists is not None:
        for split, listed in names.items():
            path = folder / tree.lists.format(split=split)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{name}\n" for name in listed), encoding="utf-8")
