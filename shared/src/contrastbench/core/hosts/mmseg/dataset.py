"""Any source as an mmsegmentation dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from contrastbench.core.data.pictures import image_size, read_image, read_labels
from contrastbench.core.data.sources import SegmentationSource, open_source

MEMORY = 2 * 2**30
"""Bytes of decoded images that a dataset keeps; a larger one decodes at every access."""


@DATASETS.register_module()
class SourceDataset(BaseSegDataset):
    """A split of a source. Small ones are decoded and resized once and kept in memory.

    Args:
        source: the source, or the ``data`` mapping that names it.
        split: ``"train"`` or ``"val"``.
        size: height and width that images (by area) and label maps (by nearest pixel) are brought to, whatever their
            shape; None for their own.
        pipeline: transforms after loading, as mmsegmentation's.
        test_mode: as of ``BaseSegDataset``.
        instances: whether the map of instance ids of each image is loaded too, as ``instances`` (int32), the ids as
            they are in the file.

    Raises:
        InputError: the source has no instance ids, and they are wanted.
    """

    def __init__(
        self,
        source: SegmentationSource | Mapping[str, Any],
        split: str = "train",
        size: Sequence[int] | None = None,
        pipeline: Sequence[Any] = (),
        test_mode: bool = False,
        instances: bool = False,
    ) -> None:
        self.source = source if isinstance(source, SegmentationSource) else open_source(source)
        self.pairs = self.source.pairs(split)
        self.instances = self.source.instance_maps(split) if instances else None
        self.size = (int(size[0]), int(size[1])) if size is not None else None
        height, width = self.size or image_size(self.pairs[0][0])
        self._kept: dict[int, tuple[np.ndarray, np.ndarray]] | None = (
            {} if len(self.pairs) * height * width * 4 <= MEMORY else None
        )
        self._lookup = self.source.lookup().astype(np.uint8)
        super().__init__(
            metainfo={"classes": self.source.classes, "palette": [list(colour) for colour in self.source.palette]},
            data_prefix={},
            ignore_index=self.source.ignore_index,
            # Not deep-copied: the loader shares what is kept.
            pipeline=[self._load, *pipeline],
            test_mode=test_mode,
            serialize_data=False,
        )

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return what identifies each sample."""
        return [
            {"img_path": str(image), "seg_map_path": str(labels), "label_map": None, "reduce_zero_label": False}
            for image, labels in self.pairs
        ]

    def _load(self, results: dict[str, Any]) -> dict[str, Any]:
        index = results["sample_idx"]
        if self._kept is None:
            image, labels = self._read(index)
        else:
            if index not in self._kept:
                self._kept[index] = self._read(index)
            # Some transforms write in place.
            image, labels = (array.copy() for array in self._kept[index])
        shape = image.shape[:2]
        if self.instances is not None:
            results["instances"] = self._read_instances(self.instances[index], shape)
        return results | {
            "img": image,
            "gt_seg_map": labels,
            "img_shape": shape,
            "ori_shape": shape,
            "seg_fields": ["gt_seg_map"],
        }

    def _read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image_path, label_path = (Path(path) for path in self.pairs[index])
        # mmsegmentation's transforms expect blue first.
        image = np.ascontiguousarray(read_image(image_path)[..., ::-1])
        labels = self._lookup[read_labels(label_path)]
        if self.size is not None and image.shape[:2] != self.size:
            height, width = self.size
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
            labels = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        return image, labels

    def _read_instances(self, path: Path, shape: tuple[int, int]) -> np.ndarray:
        instances: np.ndarray = read_labels(path).astype(np.int32)
        if self.size is not None and instances.shape != shape:
            instances = cv2.resize(instances, shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        return instances
