"""Any source as an mmsegmentation dataset, its randomness a function of the place in the stream of samples."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS
from torch.utils.data import Dataset, Sampler

from contrastbench.core.data.pictures import image_size, read_image, read_labels
from contrastbench.core.data.sources import SegmentationSource, open_source

MEMORY = 2 * 2**30
"""Bytes of decoded images that a dataset keeps; a larger one decodes at every access."""

Ticket = tuple[int, int]
"""Place in the stream of samples, and the image that is there."""


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
    """

    def __init__(
        self,
        source: SegmentationSource | Mapping[str, Any],
        split: str = "train",
        size: Sequence[int] | None = None,
        pipeline: Sequence[Any] = (),
        test_mode: bool = False,
    ) -> None:
        self.source = source if isinstance(source, SegmentationSource) else open_source(source)
        self.pairs = self.source.pairs(split)
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


class Stream(Sampler[Ticket]):
    """The samples of a whole run in order: epoch after epoch, each in an order of its own.

    Ranks take consecutive parts of each global batch, so that they see together what one rank would.

    Args:
        images: number of images.
        batch_size: of the global batch.
        iterations: batches in the run.
        seed: of the orders.
        rank: this rank.
        world: number of ranks.
    """

    def __init__(self, images: int, batch_size: int, iterations: int, seed: int, rank: int = 0, world: int = 1) -> None:
        self.images, self.batch_size, self.iterations, self.seed = images, batch_size, iterations, seed
        self.share = range(batch_size * rank // world, batch_size * (rank + 1) // world)
        self.start = 0

    def __iter__(self) -> Iterator[Ticket]:
        """Yield this rank's tickets from iteration ``start`` on."""
        epoch, order = -1, np.empty(0, np.int64)
        for iteration in range(self.start, self.iterations):
            for place in self.share:
                position = iteration * self.batch_size + place
                if position // self.images != epoch:
                    epoch = position // self.images
                    order = np.random.default_rng((self.seed, epoch)).permutation(self.images)
                yield position, int(order[position % self.images])

    def __len__(self) -> int:
        return (self.iterations - self.start) * len(self.share)


class Seeded(Dataset[Any]):
    """A dataset read by ticket, its augmentations drawn from the seed and the ticket's place alone.

    So a sample is the same whichever worker makes it, and whether or not the run was interrupted before it.

    Args:
        dataset: read by index. Its transforms draw from the global generators of Python and numpy, as
            mmsegmentation's do; these are left as they were found.
        seed: of the run.
    """

    def __init__(self, dataset: SourceDataset, seed: int) -> None:
        self.dataset, self.seed = dataset, seed
        self.metainfo = dataset.metainfo

    def __getitem__(self, ticket: Ticket) -> Any:
        """Return the sample of a ticket."""
        position, index = ticket
        words = np.random.SeedSequence((self.seed, position)).generate_state(4)
        python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
        random.seed(int(words[0]))
        np.random.seed(words)  # noqa: NPY002
        try:
            return self.dataset[index]
        finally:
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002


def one_thread(_worker: int) -> None:
    """Keep a loading process to one core. Given to ``DataLoader`` as ``worker_init_fn``."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
