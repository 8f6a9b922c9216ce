"""Representative anchors: the mean embedding of each class in each layer, and their mixing with the last layer's.

Shapes: n pixels of this rank in a layer, C classes, d the size of an embedding, I layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from contrastbench.core.distributed import all_sum, gather_rows
from contrastbench.core.ops.class_means import class_sums


class ClassMeans(NamedTuple):
    """A layer's [A_i]: mean embeddings ``[C, d]`` (float) and which classes are there ``[C]`` (bool)."""

    means: Tensor
    present: Tensor


def class_means(embeddings: Tensor, classes: Tensor, num_classes: int) -> ClassMeans:
    """Return the mean embedding of each class over all pixels of the global batch (Sung et al., CVPR 2024, Eq. 1).

    Args:
        embeddings: [v], ``[n, d]`` (float).
        classes: [g(v)], ``[n]`` (int64); negative where a pixel counts for nothing.
        num_classes: C.

    Returns:
        The means, the same on every rank; 0 for a class that no rank has. Gradients flow to the pixels of every rank.
    """
    sums, counts = class_sums(embeddings, classes, num_classes)
    # One entry a rank: the sum of what was gathered is the sum over ranks, with its gradient.
    sums = gather_rows(sums.to(embeddings)[None]).sum(0)
    counts = all_sum(counts)
    return ClassMeans(sums / counts.clamp_min(1)[:, None], counts > 0)


def mix_anchors(
    layers: Sequence[ClassMeans], low_weight: float, high_weight: float, detach_top: bool
) -> list[ClassMeans]:
    """Mix each layer's anchors with the last layer's and bring them to unit length (section 3.2).

    The last layer's own are not mixed. A class that is too small to appear in the last layer's map, which is the
    coarsest, keeps the layer's own anchor.

    Args:
        layers: [A_1 .. A_I], first to last.
        low_weight: [w_l], of the layer's own anchors.
        high_weight: [w_h], of the last layer's.
        detach_top: whether lower layers leave the last layer's anchors alone, without gradient.

    Returns:
        The updated anchors [A-hat_1 .. A-hat_I] ``[C, d]``, of unit length where the class is there, with the
        layer's own ``present``.
    """
    top = layers[-1].means.detach() if detach_top else layers[-1].means
    mixed = [
        torch.where(layers[-1].present[:, None], low_weight * layer.means + high_weight * top, layer.means)
        for layer in layers[:-1]
    ]
    return [
        ClassMeans(F.normalize(means, dim=-1), layer.present)
        for means, layer in zip([*mixed, layers[-1].means], layers, strict=True)
    ]
