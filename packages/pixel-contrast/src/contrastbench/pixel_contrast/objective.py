"""The objective: cross-image pixel contrast as one module for any host with a semantic seat.

Shapes: B images, C_l channels and h x w pixels of the tapped feature map, D dimensions of an embedding, A anchors,
N training images.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from contrastbench.core.banks import PixelQueue, RegionTable, region_means
from contrastbench.core.distributed import all_sum, gather_rows, rank, row_counts
from contrastbench.core.draws import image_draws
from contrastbench.core.errors import InputError, require_number, unknown_name
from contrastbench.core.losses import KeyTable, mean_over_anchors, select_pairs, supervised_infonce
from contrastbench.core.objectives import SemanticObjective
from contrastbench.core.ops.sampled_infonce import sampled_infonce
from contrastbench.core.samplers import (
    HardestPairs,
    PairSampler,
    PerImageAnchors,
    RandomAnchors,
    RandomPairs,
    SegmentationAwareAnchors,
    SemiHardPairs,
    first_per_group,
)
from contrastbench.pixel_contrast.projection import ProjectionHead

_CONTRASTS = ("inter", "intra")
_MEMORIES = ("none", "pixel", "region", "both")
_ANCHORS = ("random", "hard", "released")
_PAIRS: dict[str, type[PairSampler] | None] = {
    "random": RandomPairs,
    "hardest": HardestPairs,
    "semi_hard": SemiHardPairs,
    "all": None,
}


class _Pixels(NamedTuple):
    """Pixels by row: features ``[n, C]``, class or -1 ``[n]``, mistaken ``[n]``, image in the batch ``[n]``."""

    features: Tensor
    classes: Tensor
    wrong: Tensor
    images: Tensor


class PixelContrast(SemanticObjective):
    """Supervised pixel contrast with a pixel queue and a region table (Wang et al., ICCV 2021).

    The defaults are the paper's. Symbols in brackets are the paper's own.

    Args:
        in_channels: channels of the tapped features; one feature map is used.
        num_classes: [|C|].
        num_images: [N], images of the training set.
        ignore_index: label of pixels that count for nothing.
        contrast: ``"inter"``: anchors meet pixels of all images; ``"intra"``: of their own image only, which
            leaves no use for a memory.
        memory: ``"none"``, ``"pixel"`` (queue), ``"region"`` (table) or ``"both"``. The batch's own anchors are
            keys in any case.
        anchors: ``"random"``, ``"hard"`` (half of them mistaken pixels) or ``"released"`` (as the authors' code).
        pairs: ``"random"``, ``"hardest"``, ``"semi_hard"``, or ``"all"`` for no sampling.
        weight: [lambda], of the contrastive loss.
        temperature: [tau].
        base_temperature: the loss is multiplied by temperature / base_temperature, as the authors' code does;
            None leaves it alone, as the paper does.
        dim: [D], size of an embedding.
        anchors_per_class: anchors per class and global batch.
        positives: [K], positives for each anchor.
        negatives: [K], negatives for each anchor.
        pixels_per_image: [V], pixels of each class and image that enter the queue.
        queue_length: [T], keys per class in the queue; None for the paper's 10 N.
        warmup: steps before the contrastive loss counts. The memory fills meanwhile; the loss is not computed.
        batch_norm: normalise within the projection head, over the pixels of the global batch, as the authors' code
            does.
        max_samples: with ``anchors="released"``, anchors in the batch at most.
        max_views: with ``anchors="released"``, anchors per image and class at most.
        seed: of all sampling. The same seed, batch and memory give the same loss, on one rank or several.

    Raises:
        InputError: an unknown choice, or choices that exclude each other.
    """

    step: Tensor

    def __init__(
        self,
        in_channels: tuple[int, ...],
        num_classes: int,
        num_images: int,
        ignore_index: int = 255,
        *,
        contrast: Literal["inter", "intra"] = "inter",
        memory: Literal["none", "pixel", "region", "both"] = "both",
        anchors: Literal["random", "hard", "released"] = "hard",
        pairs: Literal["random", "hardest", "semi_hard", "all"] = "semi_hard",
        weight: float = 1.0,
        temperature: float = 0.1,
        base_temperature: float | None = None,
        dim: int = 256,
        anchors_per_class: int = 50,
        positives: int = 1024,
        negatives: int = 2048,
        pixels_per_image: int = 10,
        queue_length: int | None = None,
        warmup: int = 0,
        batch_norm: bool = False,
        max_samples: int = 1024,
        max_views: int = 100,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for kind, name, known in (
            ("contrast", contrast, _CONTRASTS),
            ("memory", memory, _MEMORIES),
            ("anchors", anchors, _ANCHORS),
            ("pairs", pairs, _PAIRS),
        ):
            if name not in known:
                raise unknown_name(f"choice of {kind}", str(name), known)
        if contrast == "intra" and memory != "none":
            raise InputError(
                f"contrast='intra' looks at one image at a time and has no use for memory='{memory}'; set memory='none'"
            )
        require_number("temperature", temperature, above=0)
        require_number("base_temperature", 1 if base_temperature is None else base_temperature, above=0)
        require_number("weight", weight)
        require_number("queue_length", 1 if queue_length is None else queue_length, above=0, whole=True)
        require_number("warmup", warmup, whole=True)
        for option, number in {
            "dim": dim,
            "anchors_per_class": anchors_per_class,
            "positives": positives,
            "negatives": negatives,
            "pixels_per_image": pixels_per_image,
            "max_samples": max_samples,
            "max_views": max_views,
        }.items():
            require_number(option, number, above=0, whole=True)
        self.num_classes, self.ignore_index = num_classes, ignore_index
        self.contrast, self.weight, self.temperature = contrast, weight, temperature
        self.scale = 1.0 if base_temperature is None else temperature / base_temperature
        self.positives, self.negatives = positives, negatives
        self.pixels_per_image, self.warmup, self.seed = pixels_per_image, warmup, seed

        self.projection = ProjectionHead(in_channels[-1], dim, batch_norm)
        self.anchor_sampler: RandomAnchors | SegmentationAwareAnchors | PerImageAnchors
        if anchors == "released":
            self.anchor_sampler = PerImageAnchors(max_samples, max_views)
        elif anchors == "hard":
            self.anchor_sampler = SegmentationAwareAnchors(anchors_per_class)
        else:
            self.anchor_sampler = RandomAnchors(anchors_per_class)
        sampler = _PAIRS[pairs]
        self.pair_sampler = sampler() if sampler is not None else None
        length = 10 * num_images if queue_length is None else queue_length
        self.queue = PixelQueue(num_classes, length, dim) if memory in ("pixel", "both") else None
        self.regions = RegionTable(num_classes, num_images, dim) if memory in ("region", "both") else None
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def forward(
        self, features: tuple[Tensor, ...], logits: Tensor, labels: Tensor, image_index: Tensor
    ) -> Mapping[str, Tensor]:
        """See :meth:`SemanticObjective.forward`; the last of the tapped feature maps is used.

        Returns:
            ``loss_contrast`` (weighted), ``contrast_anchors`` and ``contrast_no_positive`` (counts of the global
            batch), and ``memory_fill`` (the written part of the memory) where there is one.
        """
        feature_map = features[-1]
        pixels = self._pixels(feature_map, logits, labels)
        step = int(self.step)
        draws = image_draws((2, *feature_map.shape[-2:]), self.seed, step, image_index)
        anchor_draws, queue_draws = draws[:, 0].flatten(), draws[:, 1].flatten()

        everything = self.projection(pixels.features) if self.projection.batch_norm else None
        chosen = self._anchors(pixels, anchor_draws)
        if step < self.warmup:
            chosen = chosen[:0]
        anchors = self.projection(pixels.features[chosen]) if everything is None else everything[chosen]
        loss, counted = self._loss(anchors, pixels.classes[chosen], image_index[pixels.images[chosen]], step)
        out = {
            "loss_contrast": mean_over_anchors(loss, counted) * (self.weight * self.scale),
            "contrast_anchors": torch.tensor(float(sum(row_counts(anchors)))),
            "contrast_no_positive": all_sum((~counted).sum()).float(),
        }
        self._remember(pixels, queue_draws, everything, labels.shape[0], feature_map.shape[-2:], image_index)
        banks = [bank for bank in (self.queue, self.regions) if bank is not None]
        if banks:
            held = sum(int(bank.held.sum()) for bank in banks)
            out["memory_fill"] = torch.tensor(held / sum(bank.held.numel() for bank in banks))
        self.step += 1
        return out

    def _pixels(self, feature_map: Tensor, logits: Tensor, labels: Tensor) -> _Pixels:
        """Bring labels and predictions to the features' own stride, and all three to one row a pixel."""
        batch, channels, height, width = feature_map.shape
        near = F.interpolate(labels[:, None].float(), size=(height, width), mode="nearest")[:, 0].long()
        if logits.shape[-2:] != (height, width):
            logits = F.interpolate(logits.detach(), size=(height, width), mode="bilinear", align_corners=False)
        classes = torch.where((near == self.ignore_index) | (near < 0) | (near >= self.num_classes), -1, near)
        images = torch.arange(batch, device=labels.device).repeat_interleave(height * width)
        return _Pixels(
            features=feature_map.permute(0, 2, 3, 1).reshape(-1, channels),
            classes=classes.flatten(),
            wrong=(logits.detach().argmax(1) != near).flatten(),
            images=images,
        )

    def _anchors(self, pixels: _Pixels, draws: Tensor) -> Tensor:
        """Return this rank's share of the global batch's anchors, as indices of its own pixels.

        They are in the order of the pixels: then the anchors of all ranks, one rank after the other, are in the
        order of the joint batch, and sampling among them does not depend on how it was split.
        """
        sampler = self.anchor_sampler
        if isinstance(sampler, PerImageAnchors):
            return sampler(pixels.classes, pixels.wrong, draws, pixels.images).sort().values
        # The global choice is among each rank's first per_class pixels, mistaken and any.
        any_first = first_per_group(pixels.classes, draws, sampler.per_class)
        wrong_first = first_per_group(torch.where(pixels.wrong, pixels.classes, -1), draws, sampler.per_class)
        candidates = torch.cat([any_first, wrong_first]).unique()
        counts = row_counts(candidates)
        start = sum(counts[: rank()])
        classes, wrong, order = (gather_rows(x[candidates]) for x in (pixels.classes, pixels.wrong, draws))
        chosen = sampler(classes, wrong, order)
        mine = chosen[(chosen >= start) & (chosen < start + len(candidates))] - start
        return candidates[mine].sort().values

    def _loss(self, anchors: Tensor, classes: Tensor, images: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Return the loss of each of this rank's anchors, and which of them have a positive."""
        batch, batch_classes, batch_images = gather_rows(anchors), gather_rows(classes), gather_rows(images)
        own = sum(row_counts(anchors)[: rank()]) + torch.arange(len(anchors), device=anchors.device)
        eligible = torch.arange(len(batch), device=anchors.device) != own[:, None]
        if self.contrast == "intra":
            eligible &= images[:, None] == batch_images
        banks = [bank for bank in (self.queue, self.regions) if bank is not None]
        if self.pair_sampler is None:
            by_class = [
                torch.cat([bank.keys[c, bank.held[c]] for bank in banks]) for c in range(self.num_classes) if banks
            ]
            loss, positives = supervised_infonce(
                anchors, classes, batch, batch_classes, self.temperature, eligible=eligible, bank=by_class
            )
            return loss, positives > 0
        tables = [KeyTable(batch, batch_classes), *map(_as_table, banks)]
        selection = select_pairs(
            anchors,
            classes,
            tables,
            self.pair_sampler,
            self.positives,
            self.negatives,
            (self.seed, step),
            eligible=eligible,
        )
        loss = sampled_infonce(anchors, [t.keys for t in tables], *selection, self.temperature)
        return loss, (selection.positives >= 0).any(1)

    @torch.no_grad()
    def _remember(
        self,
        pixels: _Pixels,
        draws: Tensor,
        everything: Tensor | None,
        batch: int,
        size: torch.Size,
        image_index: Tensor,
    ) -> None:
        """Write the step's keys: those of all ranks, in the order of the joint batch."""
        if everything is None and self.regions is not None:
            everything = self.projection(pixels.features)
        if self.queue is not None:
            pair = torch.where(pixels.classes >= 0, pixels.images * self.num_classes + pixels.classes, -1)
            chosen = first_per_group(pair, draws, self.pixels_per_image)
            keys = self.projection(pixels.features[chosen]) if everything is None else everything[chosen]
            self.queue.enqueue(gather_rows(keys), gather_rows(pixels.classes[chosen]))
        if self.regions is not None and everything is not None:
            means, present = region_means(
                everything.view(batch, *size, -1), pixels.classes.view(batch, *size), self.num_classes
            )
            self.regions.write(gather_rows(means), gather_rows(present), gather_rows(image_index))


def _as_table(bank: PixelQueue | RegionTable) -> KeyTable:
    """View a bank as one table of keys, by class."""
    classes = torch.arange(len(bank.keys), device=bank.keys.device)[:, None]
    return KeyTable(bank.keys.flatten(0, 1), torch.where(bank.held, classes, -1).flatten())
