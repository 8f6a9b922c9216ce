"""The public function: check, choose an implementation, call it.

Shapes: B images, C masks of each, H x W pixels.
"""

from __future__ import annotations

import importlib.util

import torch
from torch import Tensor
from torch.nn import functional as F

from contrastbench.core.errors import unknown_name
from contrastbench.core.ops.distance_transform import opencv, reference

_IMPLEMENTATIONS = {"reference": reference, "opencv": opencv}


@torch.no_grad()
def distance_transform(masks: Tensor, *, border_is_edge: bool = False, impl: str | None = None) -> Tensor:
    """Return each pixel's Euclidean distance, in pixels, to the nearest pixel outside its own mask.

    Args:
        masks: ``[B, C, H, W]`` (bool), or of a number type, where 0 is outside.
        border_is_edge: whether a mask ends where its image does, as if a frame of pixels outside of it lay around
            the image. If not, a border says nothing of where the mask ends.
        impl: ``"reference"`` (all distances, on the device of the masks), ``"opencv"`` (on the CPU: masks on another
            device are copied there and the result back), or None for the best that is installed.

    Returns:
        ``[B, C, H, W]`` (float32) on the device of the masks: 0 outside a mask, 1 or more inside; infinite in a mask
        that has no outside, which only a mask that fills its image has, and not with ``border_is_edge``.

    Raises:
        InputError: an unknown implementation.
        ValueError: masks of another shape.
        ModuleNotFoundError: ``impl="opencv"`` without OpenCV.
    """
    if impl is not None and impl not in _IMPLEMENTATIONS:
        raise unknown_name("implementation", impl, _IMPLEMENTATIONS)
    if masks.ndim != 4:
        raise ValueError(f"masks are [B, C, H, W]; got {list(masks.shape)}")
    if impl is None:
        impl = "opencv" if importlib.util.find_spec("cv2") else "reference"
    planes = masks.bool().flatten(0, 1)
    if border_is_edge:
        planes = F.pad(planes, (1, 1, 1, 1))
    distances = _IMPLEMENTATIONS[impl].distance_transform(planes)
    if border_is_edge:
        distances = distances[:, 1:-1, 1:-1]
    return distances.reshape(masks.shape)
