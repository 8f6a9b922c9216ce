"""Any source of instances as a data set of detectron2."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from detectron2.data import DatasetCatalog, DatasetMapper, MetadataCatalog
from detectron2.data import transforms as T
from detectron2.structures import BoxMode
from torch.utils.data import Dataset

from contrastbench.core.data.coco import to_rle
from contrastbench.core.data.instances import SPLITS, InstanceSource, open_instances
from contrastbench.core.errors import InputError

_numbers = itertools.count()


def register_instances(source: InstanceSource | Mapping[str, Any], name: str | None = None) -> dict[str, str]:
    """Enter both splits of a source in detectron2's catalogs.

    Args:
        source: the source, or the ``data`` mapping that names it, as
            :func:`~contrastbench.core.data.instances.open_instances` takes it.
        name: what the names of the splits begin with; None for a new one.

    Returns:
        The names of the data sets by split, for ``cfg.DATASETS``: ``{"train": "<name>_train", "val": "<name>_val"}``.

    Raises:
        InputError: the data are not there, or the name is taken.
    """
    known = source if isinstance(source, InstanceSource) else open_instances(source)
    prefix = name if name is not None else f"contrastbench_{known.name}_{next(_numbers)}"
    names = {split: f"{prefix}_{split}" for split in SPLITS}
    taken = [entry for entry in names.values() if entry in DatasetCatalog]
    if taken:
        raise InputError(f"detectron2 has a data set '{taken[0]}' already; give another name")
    for split, entry in names.items():
        DatasetCatalog.register(entry, lambda split=split: records(known, split))
        MetadataCatalog.get(entry).set(
            thing_classes=list(known.classes),
            thing_dataset_id_to_contiguous_id={number: index for index, number in enumerate(known.category_ids)},
        )
    return names


def records(source: InstanceSource, split: str) -> list[dict[str, Any]]:
    """Return the images of a split with their annotations, in detectron2's form.

    Segmentations stay polygons where they are; run lengths are compressed ones.
    """
    ground_truth = source.ground_truth(split)
    index = {number: place for place, number in enumerate(source.category_ids)}
    found: dict[Any, dict[str, Any]] = {
        image["id"]: {
            "file_name": str(source.image_path(split, image)),
            "height": image["height"],
            "width": image["width"],
            "image_id": image["id"],
            "annotations": [],
        }
        for image in ground_truth["images"]
    }
    for annotation in ground_truth["annotations"]:
        record = found[annotation["image_id"]]
        segmentation = annotation["segmentation"]
        if not isinstance(segmentation, list):
            segmentation = to_rle(segmentation, record["height"], record["width"])
        record["annotations"].append(
            {
                "bbox": list(annotation["bbox"]),
                "bbox_mode": BoxMode.XYWH_ABS,
                "category_id": index[annotation["category_id"]],
                "iscrowd": int(annotation.get("iscrowd", 0)),
                "segmentation": segmentation,
            }
        )
    return list(found.values())


def annotated(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the records that hold an instance which is no crowd; detectron2 trains on no others.

    Raises:
        InputError: there is none.
    """
    kept = [record for record in found if any(not a["iscrowd"] for a in record["annotations"])]
    if not kept:
        raise InputError("no training image has an instance that is not a crowd; there is nothing to learn from")
    return kept


def mask_format(found: Sequence[dict[str, Any]]) -> str:
    """Return how detectron2 holds the masks of records: ``"polygon"``, or ``"bitmask"`` where any has none."""
    segmentations = (a["segmentation"] for record in found for a in record["annotations"] if not a["iscrowd"])
    return "polygon" if all(isinstance(segmentation, list) for segmentation in segmentations) else "bitmask"


class Mapped(Dataset[dict[str, Any]]):
    """Records as what detectron2's detectors take.

    Args:
        found: the records.
        augmentations: of each image.
        image_format: order of colours, ``"RGB"`` or ``"BGR"``.
        train: whether annotations come with the images.
        size: height and width that predictions are brought to; None for that of the image file.
    """

    def __init__(
        self,
        found: Sequence[dict[str, Any]],
        augmentations: Sequence[T.Augmentation],
        image_format: str,
        train: bool,
        size: tuple[int, int] | None = None,
    ) -> None:
        self.found, self.size = found, size
        self.mapper = DatasetMapper(
            is_train=train,
            augmentations=list(augmentations),
            image_format=image_format,
            use_instance_mask=True,
            instance_mask_format=mask_format(found),
            # A crop cuts instances, and their boxes with them.
            recompute_boxes=any(isinstance(view, T.RandomCrop) for view in augmentations),
        )

    def __len__(self) -> int:
        return len(self.found)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return ``image`` ``[3, H, W]`` (uint8) and what belongs to it: ``instances``, ``height``, ``image_id``..."""
        sample: dict[str, Any] = self.mapper(self.found[index])
        if self.size is not None:
            sample["height"], sample["width"] = self.size
        return sample
