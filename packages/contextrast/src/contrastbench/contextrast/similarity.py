"""Similarity by distance: how near a mistaken pixel is to its class's anchor, by its distance from the mistake's edge.

Contextrast (Sung et al., CVPR 2024), section 4.3 and Figure 5: pixels at the edge of a wrongly predicted region have
the lower cosine similarity to the representative anchor of their true class, and so are the harder samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from contrastbench.contextrast.anchors import class_means, mix_anchors
from contrastbench.contextrast.bane import distance_map, error_map
from contrastbench.contextrast.objective import Contextrast
from contrastbench.core.errors import InputError

Batch = tuple[tuple[Tensor, ...], Tensor, Tensor, Tensor]
"""The arguments of :meth:`Contextrast.forward`."""


class SimilarityByDistance:
    """Mean cosine similarity of error pixels to their class's anchor, by layer and distance.

    Sums over images and ranks: each rank updates its own object, one merges the states of the others.

    Args:
        layers: names of the layers, in the order of their index.
        bins: distances told apart; the last bin holds all that are farther.
        width: of a bin, in pixels of the layer.

    Raises:
        InputError: no layer or bin, or a width that is not above 0.
    """

    def __init__(self, layers: Sequence[str], bins: int = 16, width: float = 1.0) -> None:
        if not layers or bins < 1 or not width > 0:
            raise InputError(f"expected layers, bins and a width above 0; got {list(layers)}, {bins} and {width}")
        self.layers, self.width = tuple(layers), width
        self.sums = torch.zeros(len(layers), bins, dtype=torch.float64)
        self.counts = torch.zeros(len(layers), bins, dtype=torch.int64)

    @torch.no_grad()
    def update(
        self, layer: int, embeddings: Tensor, classes: Tensor, errors: Tensor, distances: Tensor, anchors: Tensor
    ) -> None:
        """Count the error pixels of a layer in.

        Args:
            layer: its index.
            embeddings: ``[n, D]`` (float), a row a pixel.
            classes: ``[n]`` (int64), the true class of each pixel, negative for void.
            errors: ``[n]`` (bool), [B], which pixels are predicted wrongly.
            distances: ``[n]`` (float), [D], to the edge of the pixel's error region, in pixels; read where it is one.
            anchors: ``[C, D]`` (float), [A], the representative anchor of each class; zeros where there is none, and
                then its pixels are left out.
        """
        there = anchors.abs().sum(1) > 0
        counted = errors & (classes >= 0) & there[classes.clamp_min(0)]
        classes = classes[counted]
        similarity = F.cosine_similarity(embeddings[counted].double(), anchors.double()[classes], dim=1).cpu()
        last = self.counts.shape[1] - 1
        place = (distances[counted].double() / self.width).floor().clamp(0, last).long().cpu()
        self.sums[layer].index_add_(0, place, similarity)
        self.counts[layer] += torch.bincount(place, minlength=last + 1)

    def state(self) -> dict[str, Any]:
        """Return sums and counts, each ``[layers, bins]``."""
        return {"sums": self.sums.clone(), "counts": self.counts.clone()}

    def merge(self, state: dict[str, Any]) -> None:
        """Add another's sums and counts."""
        self.sums += state["sums"]
        self.counts += state["counts"]

    def compute(self) -> dict[str, dict[str, list[Any]]]:
        """Return for each layer the lower edges of the bins (pixels), mean similarities and numbers of pixels.

        Returns:
            ``{layer: {"distance": [...], "similarity": [...], "pixels": [...]}}``, the similarity None in an empty bin.
        """
        edges = [place * self.width for place in range(self.counts.shape[1])]
        return {
            layer: {
                "distance": edges,
                "similarity": [s / n if n else None for s, n in zip(sums, counts, strict=True)],
                "pixels": counts,
            }
            for layer, sums, counts in zip(self.layers, self.sums.tolist(), self.counts.tolist(), strict=True)
        }


@torch.no_grad()
def similarity_by_distance(
    objective: Contextrast, batches: Iterable[Batch], bins: int = 16, width: float = 1.0
) -> SimilarityByDistance:
    """Measure Figure 5 on a data set; each batch has its own anchors, as in training.

    Args:
        objective: a trained one.
        batches: of the size of training, as its projectors normalise over a batch.
        bins: as of :class:`SimilarityByDistance`.
        width: likewise.
    """
    curve = SimilarityByDistance([f"layer {i + 1}" for i in range(len(objective.projectors))], bins, width)
    for batch in batches:
        layers = objective.embed(*batch)
        means = [class_means(layer.embeddings, layer.classes.flatten(), objective.num_classes) for layer in layers]
        anchors = mix_anchors(means, 1 - objective.high_weight, objective.high_weight, objective.detach_top)
        for place, (layer, anchor) in enumerate(zip(layers, anchors, strict=True)):
            regions = error_map(layer.classes, layer.predictions)
            distances = distance_map(regions).flatten()
            curve.update(
                place, layer.embeddings, layer.classes.flatten(), (regions >= 0).flatten(), distances, anchor.means
            )
    return curve
