"""Data sets of everyday pictures, in the trees mmsegmentation reads: ADE20K, PASCAL-Context, COCO-Stuff-10K.

Their label maps hold 0 for what has no class and count the classes from 1. Their images differ in size.
"""

from __future__ import annotations

from pathlib import Path

from contrastbench.core.data.sources.files import list_images, listed_names, root_folder, whole, zero_is_void
from contrastbench.core.data.sources.source import Pair, SegmentationSource
from contrastbench.core.data.taxonomies import ADE20K, COCO_STUFF, PASCAL_CONTEXT, colours


def ade20k(root: str | Path | None = None) -> SegmentationSource:
    """Return ADE20K as the scene parsing challenge of 2016 distributes it: 150 classes.

    Args:
        root: the folder ``ADEChallengeData2016``, with ``{images,annotations}/{training,validation}``.

    Raises:
        InputError: a folder or a label map is missing.
    """
    folder = root_folder("ADE20K", root, "images/{training,validation}/*.jpg annotations/{training,validation}/*.png")

    def listed(split: str) -> tuple[Pair, ...]:
        images = list_images(folder / "images" / split, "*", "ADE20K")
        return tuple((image, folder / "annotations" / split / f"{image.stem}.png") for image in images)

    return _counted_from_one("ade20k", folder, ADE20K, listed("training"), listed("validation"))


def pascal_context(root: str | Path | None = None) -> SegmentationSource:
    """Return PASCAL-Context with its 59 most frequent classes; what is none of them is ignored.

    Args:
        root: the folder ``VOC2010``, with ``JPEGImages``, ``SegmentationClassContext`` (label maps as mmsegmentation's
            ``tools/dataset_converters/pascal_context.py`` writes them) and
            ``ImageSets/SegmentationContext/{train,val}.txt``.

    Raises:
        InputError: a folder, a list, an image or a label map is missing.
    """
    tree = "JPEGImages/*.jpg SegmentationClassContext/*.png ImageSets/SegmentationContext/{train,val}.txt"
    folder = root_folder("PASCAL-Context", root, tree)

    def listed(split: str) -> tuple[Pair, ...]:
        names = listed_names(folder / "ImageSets" / "SegmentationContext" / f"{split}.txt", "PASCAL-Context")
        labels = folder / "SegmentationClassContext"
        return tuple((folder / "JPEGImages" / f"{name}.jpg", labels / f"{name}.png") for name in names)

    return _counted_from_one("pascal_context", folder, PASCAL_CONTEXT, listed("train"), listed("val"))


def coco_stuff10k(root: str | Path | None = None) -> SegmentationSource:
    """Return COCO-Stuff-10K: 171 classes, 9,000 training and 1,000 test images, of which the test images are ``val``.

    Args:
        root: folder with ``{images,annotations}/{train2014,test2014}``, label maps ``*_labelTrainIds.png`` as
            mmsegmentation's ``tools/dataset_converters/coco_stuff10k.py`` writes them.

    Raises:
        InputError: a folder or a label map is missing.
    """
    tree = "images/{train2014,test2014}/*.jpg annotations/{train2014,test2014}/*_labelTrainIds.png"
    folder = root_folder("COCO-Stuff-10K", root, tree)

    def listed(split: str) -> tuple[Pair, ...]:
        images = list_images(folder / "images" / split, "*", "COCO-Stuff-10K")
        return tuple((image, folder / "annotations" / split / f"{image.stem}_labelTrainIds.png") for image in images)

    return _counted_from_one("coco_stuff10k", folder, COCO_STUFF, listed("train2014"), listed("test2014"))


def _counted_from_one(
    name: str, folder: Path, classes: tuple[str, ...], train: tuple[Pair, ...], val: tuple[Pair, ...]
) -> SegmentationSource:
    return whole(
        SegmentationSource(name, folder, classes, colours(len(classes)), train, val, zero_is_void(len(classes)))
    )
