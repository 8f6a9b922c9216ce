"""Labelled images for semantic segmentation, as lists of files with what they mean.

>>> source = open_source({"name": "camvid", "root": "/data/camvid"})  # doctest: +SKIP
>>> len(source.train), source.classes[0]  # doctest: +SKIP
(367, 'sky')
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contrastbench.core.data.taxonomies import CAMVID, CITYSCAPES, CITYSCAPES_TRAIN_IDS
from contrastbench.core.errors import InputError, unknown_name

Pair = tuple[Path, Path]
"""An image and its label map."""

Colour = tuple[int, int, int]

_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class SegmentationSource:
    """A data set: what its files are, and what their labels mean.

    Attributes:
        name: short name, for messages.
        root: the folder.
        classes: class names; a class's place is its id in training.
        palette: RGB colour of each class.
        train: images of the training split with their label maps, in a fixed order.
        val: likewise of the validation split.
        label_map: id in the files to training id (or the ignore index); None where they are the same.
        ignore_index: label of pixels that count for nothing.
    """

    name: str
    root: Path
    classes: tuple[str, ...]
    palette: tuple[Colour, ...]
    train: tuple[Pair, ...]
    val: tuple[Pair, ...]
    label_map: Mapping[int, int] | None = None
    ignore_index: int = 255

    def pairs(self, split: str) -> tuple[Pair, ...]:
        """Return the images of ``train`` or ``val`` with their label maps."""
        splits = {"train": self.train, "val": self.val}
        if split not in splits:
            raise unknown_name("split", split, splits)
        return splits[split]

    def lookup(self) -> np.ndarray:
        """Return training ids by id in the files: ``[256]`` (int64), -1 for ids that must not occur."""
        table = np.full(256, -1, np.int64)
        if self.label_map is None:
            table[: len(self.classes)] = np.arange(len(self.classes))
            table[self.ignore_index] = self.ignore_index
        else:
            table[list(self.label_map)] = list(self.label_map.values())
        return table


def camvid(root: str | Path | None = None) -> SegmentationSource:
    """Return CamVid in the layout of the SegNet tutorial: 11 classes, id 11 is void.

    Args:
        root: folder with ``train``, ``trainannot``, ``val`` and ``valannot``.

    Raises:
        InputError: a folder or a label map is missing.
    """
    folder = _root("CamVid", root, "train/*.png trainannot/*.png val/*.png valannot/*.png (images may be .jpg)")

    def listed(split: str) -> tuple[Pair, ...]:
        images = _images(folder / split, "*", "CamVid")
        return tuple((image, folder / f"{split}annot" / f"{image.stem}.png") for image in images)

    classes = tuple(CAMVID)
    label_map = {**{index: index for index in range(len(classes))}, len(classes): 255, 255: 255}
    return _whole(
        SegmentationSource("camvid", folder, classes, tuple(CAMVID.values()), listed("train"), listed("val"), label_map)
    )


def cityscapes(root: str | Path | None = None) -> SegmentationSource:
    """Return Cityscapes as it is distributed, its ``labelIds`` read as the 19 classes of the benchmark.

    Args:
        root: folder with ``leftImg8bit/{train,val}/<city>`` and ``gtFine/{train,val}/<city>``.

    Raises:
        InputError: a folder or a label map is missing.
    """
    tree = "leftImg8bit/{train,val}/<city>/*_leftImg8bit.png gtFine/{train,val}/<city>/*_gtFine_labelIds.png"
    folder = _root("Cityscapes", root, tree)

    def listed(split: str) -> tuple[Pair, ...]:
        images = _images(folder / "leftImg8bit" / split, "*/*_leftImg8bit", "Cityscapes")
        labels = folder / "gtFine" / split
        return tuple(
            (image, labels / image.parent.name / f"{image.stem.removesuffix('_leftImg8bit')}_gtFine_labelIds.png")
            for image in images
        )

    # 34 label ids; what is no class of the benchmark is ignored. 255 is how uint8 stores -1, the licence plate.
    label_map = {**dict.fromkeys((*range(34), 255), 255), **CITYSCAPES_TRAIN_IDS}
    return _whole(
        SegmentationSource(
            "cityscapes",
            folder,
            tuple(CITYSCAPES),
            tuple(CITYSCAPES.values()),
            listed("train"),
            listed("val"),
            label_map,
        )
    )


def scenes(
    seed: int = 0, train: int = 400, val: int = 200, size: Sequence[int] = (96, 192), layout: str = "mmseg"
) -> SegmentationSource:
    """Return embedded scenes, drawn into the cache folder the first time.

    Args:
        seed: of the drawing.
        train: number of training images.
        val: number of validation images.
        size: height and width they are drawn at.
        layout: ``"mmseg"`` for the 11 classes of the scenes; ``"cityscapes"`` for the Cityscapes tree, read as such.

    Raises:
        InputError: an impossible set, or a cache folder that cannot be written.
    """
    from contrastbench.core.data import scenes as drawn

    if layout not in ("mmseg", "cityscapes"):
        raise unknown_name("layout of scenes for semantic segmentation", layout, ("mmseg", "cityscapes"))
    if len(size) != 2:
        raise InputError(f"data.size is {list(size)}; it must be [height, width]")
    root = drawn.cached(drawn.SceneSet(seed, train, val, (int(size[0]), int(size[1]))), layout)
    if layout == "cityscapes":
        return cityscapes(root)

    def listed(split: str) -> tuple[Pair, ...]:
        images = _images(root / "img_dir" / split, "*", "scenes")
        return tuple((image, root / "ann_dir" / split / image.name) for image in images)

    return _whole(
        SegmentationSource("scenes", root, drawn.CLASSES, tuple(drawn.PALETTE), listed("train"), listed("val"))
    )


SOURCES: dict[str, Callable[..., SegmentationSource]] = {"camvid": camvid, "cityscapes": cityscapes, "scenes": scenes}
"""Sources by the name a configuration gives."""


def open_source(data: Mapping[str, Any]) -> SegmentationSource:
    """Return the source that a ``data`` mapping names.

    Args:
        data: ``name`` and that source's arguments. ``size`` (what images are brought to by whoever loads them) is
            allowed for every source, and passed on to those that draw at it.

    Raises:
        InputError: no such source, no such argument, or the data are not there.
    """
    options = dict(data)
    name = str(options.pop("name", ""))
    if name not in SOURCES:
        raise unknown_name("data source (data.name)", name, SOURCES)
    known = inspect.signature(SOURCES[name]).parameters
    for option in options.keys() - known:
        if option != "size":
            raise unknown_name(f"option of data '{name}'", option, {*known, "size"})
    return SOURCES[name](**{key: value for key, value in options.items() if key in known})


def _root(title: str, root: str | Path | None, tree: str) -> Path:
    layout = f"expected in it: {tree}; set data.root=<that folder>"
    if not root:
        raise InputError(f"{title} needs the folder it is in, and data.root is not set; {layout}")
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise InputError(f"{title}: there is no folder '{folder}'; {layout}")
    return folder


def _images(folder: Path, pattern: str, title: str) -> list[Path]:
    if not folder.is_dir():
        raise InputError(
            f"{title} is incomplete: there is no folder '{folder}'; data.root must name the folder of a whole copy"
        )
    images = sorted(path for path in folder.glob(f"{pattern}.*") if path.suffix.lower() in _IMAGE_SUFFIXES)
    if not images:
        raise InputError(
            f"{title} is incomplete: '{folder}' holds no image ({pattern}.png or .jpg); "
            "data.root must name the folder of a whole copy"
        )
    return images


def _whole(source: SegmentationSource) -> SegmentationSource:
    missing = [(image, label) for image, label in (*source.train, *source.val) if not label.is_file()]
    if missing:
        image, label = missing[0]
        raise InputError(
            f"{source.name} in '{source.root}' is incomplete: {len(missing)} of its images have no label map, "
            f"first '{image}', whose label map should be '{label}'; data.root must name the folder of a whole copy"
        )
    return source
