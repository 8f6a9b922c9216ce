"""Anybody's data: a folder of images and a folder of label maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from contrastbench.core.data.sources.files import list_images, listed_names, root_folder, whole, zero_is_void
from contrastbench.core.data.sources.source import Pair, SegmentationSource
from contrastbench.core.data.taxonomies import colours
from contrastbench.core.errors import InputError

_MOST_CLASSES = 254


def folder(
    root: str | Path | None = None,
    classes: Sequence[str] | int | None = None,
    images: str = "img_dir",
    labels: str = "ann_dir",
    splits: str | None = None,
    image_suffix: str | None = None,
    label_suffix: str = ".png",
    reduce_zero_label: bool = False,
    ignore_index: int = 255,
) -> SegmentationSource:
    """Return images and label maps in the generic layout of mmsegmentation.

    A label map holds a class id a pixel and lies where its image does, in the other folder. The folders have
    subfolders ``train`` and ``val``; or ``splits`` names a folder with ``train.txt`` and ``val.txt``, which list names
    without suffix, and there are no subfolders.

    Args:
        root: the folder of all.
        classes: class names in the order of their ids, or how many there are.
        images: folder of the images, in ``root``.
        labels: folder of the label maps, in ``root``.
        splits: folder of the lists, in ``root``; None for subfolders.
        image_suffix: what follows the name of an image, such as ``"_img.jpg"``; None for ``.png`` or ``.jpg``.
        label_suffix: what follows the name in a label map.
        reduce_zero_label: whether 0 is void in the label maps and classes count from 1.
        ignore_index: label of pixels that count for nothing.

    Raises:
        InputError: an impossible option, or a folder, a list, an image or a label map is missing.
    """
    tree = f"{images}/{{train,val}}/*.png (or .jpg) {labels}/{{train,val}}/*{label_suffix}"
    place = root_folder("the folder of your data", root, tree)
    names = _names(classes)
    if not len(names) <= ignore_index <= 255:
        raise InputError(
            f"data.ignore_index is {ignore_index}; it must be from {len(names)} (the number of classes) to 255"
        )

    def listed(split: str) -> tuple[Pair, ...]:
        if splits is not None:
            stems = listed_names(place / splits / f"{split}.txt", str(place))
            return tuple(
                (_image(place / images, stem, image_suffix), place / labels / f"{stem}{label_suffix}") for stem in stems
            )
        found = list_images(place / images / split, "*", str(place))
        if image_suffix is not None:
            found = [path for path in found if path.name.endswith(image_suffix)]
        return tuple(
            (path, place / labels / split / f"{path.name.removesuffix(image_suffix or path.suffix)}{label_suffix}")
            for path in found
        )

    if reduce_zero_label:
        label_map = zero_is_void(len(names), ignore_index)
    else:
        label_map = {**{index: index for index in range(len(names))}, ignore_index: ignore_index}
    return whole(
        SegmentationSource(
            "folder", place, names, colours(len(names)), listed("train"), listed("val"), label_map, ignore_index
        )
    )


def _names(classes: Sequence[str] | int | None) -> tuple[str, ...]:
    advice = "give their names in the order of their ids, or how many there are"
    if classes is None:
        raise InputError(f"data 'folder' needs its classes and data.classes is not set; {advice}")
    names = tuple(f"class {i}" for i in range(classes)) if isinstance(classes, int) else tuple(map(str, classes))
    if isinstance(classes, (str, bool)) or not 2 <= len(names) <= _MOST_CLASSES:
        raise InputError(f"data.classes is {classes!r}; {advice}, 2 to {_MOST_CLASSES}")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"data.classes names '{twice}' twice; each class needs a name of its own")
    return names


def _image(folder_: Path, stem: str, suffix: str | None) -> Path:
    if suffix is not None:
        return folder_ / f"{stem}{suffix}"
    candidates = [folder_ / f"{stem}{ending}" for ending in (".png", ".jpg", ".jpeg")]
    return next((path for path in candidates if path.is_file()), candidates[0])
