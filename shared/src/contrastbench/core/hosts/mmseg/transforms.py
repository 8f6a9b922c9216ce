"""Steps of a pipeline that mmsegmentation lacks."""

from __future__ import annotations

from typing import Any

import torch
from mmcv.transforms import RandomResize
from mmengine.structures import PixelData
from mmseg.datasets.transforms import PackSegInputs
from mmseg.registry import TRANSFORMS

META_KEYS = (
    "img_path",
    "seg_map_path",
    "ori_shape",
    "img_shape",
    "pad_shape",
    "scale_factor",
    "flip",
    "flip_direction",
)
"""What ``PackSegInputs`` keeps of each image, ``sample_idx`` aside."""


@TRANSFORMS.register_module()
class OwnSizeRandomResize(RandomResize):
    """``RandomResize`` by a factor on each image's own size, for images of different sizes.

    Args:
        ratio_range: smallest and largest factor.
        kwargs: as of ``RandomResize``.
    """

    def __init__(self, ratio_range: tuple[float, float], **kwargs: Any) -> None:
        super().__init__(scale=(1, 1), ratio_range=ratio_range, **kwargs)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Resize ``img`` and ``gt_seg_map`` by one random factor."""
        height, width = results["img_shape"]
        self.scale = (width, height)
        resized: dict[str, Any] = super().transform(results)
        return resized


class PackEvaluated:
    """Pack an image, its labels and, where they are loaded, its instance ids (``instances``) for evaluation."""

    def __init__(self) -> None:
        self.pack = PackSegInputs(meta_keys=META_KEYS)

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return ``inputs`` and ``data_samples``."""
        packed: dict[str, Any] = self.pack(results)
        if "instances" in results:
            packed["data_samples"].instances = PixelData(data=torch.from_numpy(results["instances"])[None])
        return packed
