"""Exact distance maps of 8 x 19 masks of 128 x 256: whole classes, and the sparse error maps of Contextrast.

python shared/benchmarks/ops/distance_transform.py [--device cpu|cuda] [--json FILE]
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from contrastbench.core.ops.distance_transform import distance_transform
from contrastbench.core.testing.bench import Case, runs_anywhere
from contrastbench.core.testing.bench.command import main

CLASSES = 19
# Cityscapes crops of 512 x 1024 at stride 4.
FULL, SMALL = (8, 128, 256), (1, 24, 40)


def regions(device: str, small: bool, *, errors: bool) -> Tensor:
    """Return masks ``[B, C, H, W]``: smooth regions, whole or only a band along some of their edges."""
    batch, height, width = SMALL if small else FULL
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(batch, CLASSES, 8, 16, generator=generator)
    scores = F.interpolate(scores, (height, width), mode="bicubic")
    labels = scores.argmax(1)
    if errors:
        other = scores + 0.3 * F.interpolate(torch.randn(batch, CLASSES, 8, 16, generator=generator), (height, width))
        labels = torch.where(other.argmax(1) == labels, -1, labels)
    return (labels[:, None] == torch.arange(CLASSES)[:, None, None]).to(device)


def scipy_by_map(masks: Tensor) -> Tensor:
    """One call of scipy for each map, on the CPU."""
    from scipy import ndimage

    planes = masks.flatten(0, 1).cpu().numpy()
    distances = np.stack([ndimage.distance_transform_edt(plane).astype(np.float32) for plane in planes])
    return torch.from_numpy(distances).view(masks.shape).to(masks.device)


def _ours(impl: str, masks: Tensor) -> Tensor:
    return distance_transform(masks, impl=impl)


def _skip(formulation: str, device: str) -> str | None:
    if formulation == "opencv":
        try:
            import cv2  # noqa: F401
        except ImportError:
            return "OpenCV is not installed"
    return runs_anywhere(formulation, device)


CASES = tuple(
    Case(
        f"distance_transform, 8 x 19 x 128 x 256, {what}",
        partial(regions, errors=errors),
        {"plain": scipy_by_map, **{impl: partial(_ours, impl) for impl in ("reference", "opencv", "triton")}},
        tolerance=1e-6,
        # A byte in and a float32 out for each pixel.
        moved_bytes=5.0 * FULL[0] * CLASSES * FULL[1] * FULL[2],
        skip=_skip,
    )
    for what, errors in (("whole classes", False), ("error maps", True))
)

if __name__ == "__main__":
    sys.exit(main([Path(__file__)]))
