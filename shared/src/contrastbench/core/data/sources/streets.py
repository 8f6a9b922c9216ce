"""Data sets of street scenes: CamVid and Cityscapes."""

from __future__ import annotations

from pathlib import Path

from contrastbench.core.data.sources.files import list_images, root_folder, whole
from contrastbench.core.data.sources.source import Pair, SegmentationSource
from contrastbench.core.data.taxonomies import CAMVID, CITYSCAPES, CITYSCAPES_TRAIN_IDS

_IMAGE, _LABELS, _INSTANCES = "_leftImg8bit", "_gtFine_labelIds", "_gtFine_instanceIds"


def camvid(root: str | Path | None = None) -> SegmentationSource:
    """Return CamVid in the layout of the SegNet tutorial: 11 classes, id 11 is void.

    Args:
        root: folder with ``train``, ``trainannot``, ``val`` and ``valannot``.

    Raises:
        InputError: a folder or a label map is missing.
    """
    folder = root_folder("CamVid", root, "train/*.png trainannot/*.png val/*.png valannot/*.png (images may be .jpg)")

    def listed(split: str) -> tuple[Pair, ...]:
        images = list_images(folder / split, "*", "CamVid")
        return tuple((image, folder / f"{split}annot" / f"{image.stem}.png") for image in images)

    classes = tuple(CAMVID)
    label_map = {**{index: index for index in range(len(classes))}, len(classes): 255, 255: 255}
    return whole(
        SegmentationSource("camvid", folder, classes, tuple(CAMVID.values()), listed("train"), listed("val"), label_map)
    )


def cityscapes(root: str | Path | None = None) -> SegmentationSource:
    """Return Cityscapes as it is distributed, its ``labelIds`` read as the 19 classes of the benchmark.

    Args:
        root: folder with ``leftImg8bit/{train,val}/<city>`` and ``gtFine/{train,val}/<city>``; with
            ``leftImg8bit/test/<city>`` where there are images to predict for the benchmark's server.

    Raises:
        InputError: a folder or a label map is missing.
    """
    tree = "leftImg8bit/{train,val}/<city>/*_leftImg8bit.png gtFine/{train,val}/<city>/*_gtFine_labelIds.png"
    folder = root_folder("Cityscapes", root, tree)

    def listed(split: str) -> tuple[Pair, ...]:
        images = list_images(folder / "leftImg8bit" / split, f"*/*{_IMAGE}", "Cityscapes")
        labels = folder / "gtFine" / split
        return tuple(
            (image, labels / image.parent.name / f"{image.stem.removesuffix(_IMAGE)}{_LABELS}.png") for image in images
        )

    def beside(pairs: tuple[Pair, ...]) -> tuple[Path, ...]:
        return tuple(labels.with_name(labels.name.replace(_LABELS, _INSTANCES)) for _, labels in pairs)

    train, val = listed("train"), listed("val")
    kept_back = folder / "leftImg8bit" / "test"
    # 34 label ids; what is no class of the benchmark is ignored. 255 is how uint8 stores -1, the licence plate.
    label_map = {**dict.fromkeys((*range(34), 255), 255), **CITYSCAPES_TRAIN_IDS}
    return whole(
        SegmentationSource(
            "cityscapes",
            folder,
            tuple(CITYSCAPES),
            tuple(CITYSCAPES.values()),
            train,
            val,
            label_map,
            test=tuple(list_images(kept_back, f"*/*{_IMAGE}", "Cityscapes")) if kept_back.is_dir() else (),
            instances={"train": beside(train), "val": beside(val)},
        )
    )
