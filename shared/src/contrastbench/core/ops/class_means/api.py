"""The public functions: check, choose an implementation, call it.

Shapes: B images of H x W pixels, n of them altogether or in each image, C classes, D the size of an embedding.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from contrastbench.core.errors import InputError
from contrastbench.core.ops.choice import Objection, choose, fits, needs_triton


class ClassSums(NamedTuple):
    """Sums of embeddings by class ``[..., C, D]`` and how many there are of each ``[..., C]`` (int64)."""

    sums: Tensor
    counts: Tensor


class ClassMeans(NamedTuple):
    """Means of embeddings by class ``[..., C, D]`` and how many there are of each ``[..., C]`` (int64)."""

    means: Tensor
    counts: Tensor


def _against_triton(embeddings: Tensor, labels: Tensor) -> str | None:
    if embeddings.dtype == torch.float64:
        return "it adds in float32 and the embeddings are float64"
    return needs_triton(embeddings, labels)


_IMPLEMENTATIONS: dict[str, Objection] = {"triton": _against_triton, "reference": fits}


def _check(embeddings: Tensor, labels: Tensor, num_classes: int, channels_first: bool) -> None:
    if num_classes < 1:
        raise InputError(f"class_means: num_classes is 1 or more; got {num_classes}")
    if embeddings.ndim not in (2, 4) or (embeddings.ndim == 2 and channels_first):
        expected = "[B, D, H, W]" if channels_first else "[B, H, W, D] or [n, D]"
        raise InputError(f"class_means: embeddings are {expected}; got {list(embeddings.shape)}")
    if not embeddings.is_floating_point() or labels.is_floating_point() or labels.dtype == torch.bool:
        raise InputError(
            "class_means: embeddings are of a floating type and labels whole numbers; "
            f"got {embeddings.dtype} and {labels.dtype}"
        )
    pixels = embeddings.movedim(1, -1).shape[:-1] if channels_first else embeddings.shape[:-1]
    if labels.shape != pixels:
        raise InputError(
            f"class_means: labels are {list(pixels)}, one a pixel of the embeddings {list(embeddings.shape)}; "
            f"got {list(labels.shape)}. Bring them to the embeddings' own stride first"
        )


def class_sums(
    embeddings: Tensor, labels: Tensor, num_classes: int, *, channels_first: bool = False, impl: str | None = None
) -> ClassSums:
    """Add up the embeddings of each class, in each image or altogether.

    Args:
        embeddings: ``[B, H, W, D]`` (float), or ``[B, D, H, W]`` with ``channels_first``, or ``[n, D]`` where no image
            is to be told from another. Differentiable.
        labels: ``[B, H, W]`` or ``[n]`` (whole numbers), at the embeddings' own stride; outside 0..C-1 is ignored.
        num_classes: C.
        channels_first: where the embedding's own dimension lies.
        impl: ``"reference"`` (products with a one-hot matrix), ``"triton"`` (one pass on a GPU), or None for the best
            that fits.

    Returns:
        sums ``[B, C, D]`` or ``[C, D]``, float64 of such embeddings and float32 of any other, autocast or not; 0 for a
        class that is not there. counts ``[B, C]`` or ``[C]`` (int64).

    Raises:
        InputError: shapes or types that do not fit; an unknown implementation, or one that cannot be had.
    """
    _check(embeddings, labels, num_classes, channels_first)
    module = choose(__package__, impl, _IMPLEMENTATIONS, embeddings, labels)
    if embeddings.ndim == 4:
        embeddings = embeddings.flatten(2) if channels_first else embeddings.flatten(1, 2)
        labels = labels.flatten(1)
    with torch.autocast(embeddings.device.type, enabled=False):
        return ClassSums(*module.class_sums(embeddings, labels, num_classes, channels_first))


def class_means(
    embeddings: Tensor, labels: Tensor, num_classes: int, *, channels_first: bool = False, impl: str | None = None
) -> ClassMeans:
    """Average the embeddings of each class, in each image or altogether: region pooling.

    Wang et al., ICCV 2021, section 3.2, by image; Sung et al., CVPR 2024, Eq. 1, altogether.

    Args:
        embeddings: as in :func:`class_sums`.
        labels: as in :func:`class_sums`.
        num_classes: C.
        channels_first: as in :func:`class_sums`.
        impl: as in :func:`class_sums`.

    Returns:
        As :func:`class_sums`, means in place of sums; 0 for a class that is not there.

    Raises:
        InputError: as :func:`class_sums`.
    """
    sums, counts = class_sums(embeddings, labels, num_classes, channels_first=channels_first, impl=impl)
    return ClassMeans(sums / counts.clamp_min(1)[..., None], counts)
