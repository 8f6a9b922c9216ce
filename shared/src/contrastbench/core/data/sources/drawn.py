"""The embedded scenes as a source, in their own layout or in that of a real data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from contrastbench.core.data.sources.everyday import ade20k, coco_stuff10k, pascal_context
from contrastbench.core.data.sources.files import list_images, whole
from contrastbench.core.data.sources.source import Pair, SegmentationSource
from contrastbench.core.data.sources.streets import camvid, cityscapes
from contrastbench.core.errors import InputError, unknown_name

READERS: dict[str, Callable[..., SegmentationSource]] = {
    "ade20k": ade20k,
    "camvid": camvid,
    "cityscapes": cityscapes,
    "coco_stuff10k": coco_stuff10k,
    "pascal_context": pascal_context,
}
"""Layouts of real data sets that scenes are drawn in, and what reads them."""


def scenes(
    seed: int = 0, train: int = 400, val: int = 200, size: Sequence[int] = (96, 192), layout: str = "mmseg"
) -> SegmentationSource:
    """Return embedded scenes, drawn into the cache folder the first time.

    Args:
        seed: of the drawing.
        train: number of training images.
        val: number of validation images.
        size: height and width they are drawn at.
        layout: ``"mmseg"`` for the 11 classes of the scenes; or the name of a data set, in whose tree they are drawn,
            with its classes, and read as it is: ``"cityscapes"``, ``"camvid"``, ``"ade20k"``, ``"pascal_context"`` or
            ``"coco_stuff10k"``.

    Raises:
        InputError: an impossible set, or a cache folder that cannot be written.
    """
    from contrastbench.core.data import scenes as drawn

    layouts = ("mmseg", *READERS)
    if layout not in layouts:
        raise unknown_name("layout of scenes for semantic segmentation", layout, layouts)
    if len(size) != 2:
        raise InputError(f"data.size is {list(size)}; it must be [height, width]")
    root = drawn.cached(drawn.SceneSet(seed, train, val, (int(size[0]), int(size[1]))), layout)
    if layout != "mmseg":
        return READERS[layout](root)

    def listed(split: str) -> tuple[Pair, ...]:
        images = list_images(root / "img_dir" / split, "*", "scenes")
        return tuple((image, root / "ann_dir" / split / image.name) for image in images)

    return whole(
        SegmentationSource("scenes", root, drawn.CLASSES, tuple(drawn.PALETTE), listed("train"), listed("val"))
    )
