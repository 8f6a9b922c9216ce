"""The embedded scenes, with their instances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from contrastbench.core.data.instances.cityscapes import cityscapes
from contrastbench.core.data.instances.coco import coco
from contrastbench.core.data.instances.source import InstanceSource
from contrastbench.core.errors import InputError, unknown_name

LAYOUTS = ("coco", "cityscapes", "lvis")


def scenes(
    seed: int = 0, train: int = 400, val: int = 200, size: Sequence[int] = (96, 192), layout: str = "coco"
) -> InstanceSource:
    """Return embedded scenes, drawn into the cache folder the first time.

    Args:
        seed: of the drawing.
        train: number of training images.
        val: number of validation images.
        size: height and width they are drawn at.
        layout: ``"coco"`` for signs, cars, persons and bicycles; ``"cityscapes"`` for the tree of Cityscapes, read as
            such; ``"lvis"`` for the fine categories and parts in their long tail.

    Raises:
        InputError: an impossible set, or a cache folder that cannot be written.
    """
    from contrastbench.core.data import scenes as drawn

    if layout not in LAYOUTS:
        raise unknown_name("layout of scenes for instance segmentation", str(layout), LAYOUTS)
    if len(size) != 2:
        raise InputError(f"data.size is {list(size)}; it must be [height, width]")
    root = drawn.cached(drawn.SceneSet(seed, train, val, (int(size[0]), int(size[1]))), layout)
    if layout == "cityscapes":
        return cityscapes(root)
    prefix = "lvis" if layout == "lvis" else "instances"
    source = coco(root, annotations=f"annotations/{prefix}_{{split}}.json", images="images/{split}")
    return replace(source, name="scenes")
