"""The public function: check, choose an implementation, call it.

Shapes: B images, C masks of each, H x W pixels.
"""

from __future__ import annotations

from importlib.util import find_spec

import torch
from torch import Tensor

from contrastbench.core.errors import InputError
from contrastbench.core.ops.choice import Objection, choose, fits, needs_triton


def _against_triton(masks: Tensor) -> str | None:
    # Its whole numbers are of 32 bits (triton.py).
    if max(masks.shape[2:]) > 1 << 14:
        return f"its planes are at most 16,384 pixels long; got {list(masks.shape)}"
    return needs_triton(masks)


def _against_opencv(masks: Tensor) -> str | None:
    return None if find_spec("cv2") else "OpenCV is not installed; pip install opencv-python-headless"


_IMPLEMENTATIONS: dict[str, Objection] = {"triton": _against_triton, "opencv": _against_opencv, "reference": fits}


@torch.no_grad()
def distance_transform(masks: Tensor, *, border_is_edge: bool = False, impl: str | None = None) -> Tensor:
    """Return each pixel's Euclidean distance, in pixels, to the nearest pixel outside its own mask.

    Args:
        masks: ``[B, C, H, W]`` (bool), or of a number type, where 0 is outside.
        border_is_edge: whether a mask ends where its image does, as if a frame of pixels outside of it lay around
            the image. If not, a border says nothing of where the mask ends.
        impl: ``"reference"`` (all distances, on the device of the masks), ``"opencv"`` (on the CPU: masks on another
            device are copied there and the result back), ``"triton"`` (on a GPU), or None for the best that fits.

    Returns:
        ``[B, C, H, W]`` (float32) on the device of the masks: 0 outside a mask, 1 or more inside; infinite in a mask
        that has no outside, which only a mask that fills its image has, and not with ``border_is_edge``.

    Raises:
        InputError: masks of another shape; an unknown implementation, or one that cannot be had: without OpenCV,
            without a GPU.
    """
    if masks.ndim != 4:
        raise InputError(f"masks are [B, C, H, W]; got {list(masks.shape)}")
    distances: Tensor = choose(__package__, impl, _IMPLEMENTATIONS, masks).distance_transform(
        masks.bool(), border_is_edge
    )
    return distances
