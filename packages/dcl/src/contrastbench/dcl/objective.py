"""The objective: the dense contrastive loss as one module for any host with a mask seat.

Shapes: N RoIs of this rank, n of them used, C channels and S x S pixels of a RoI, K pixels of a set, D dimensions of an
embedding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from contrastbench.core.distributed import all_sum, gather_rows, rank, row_counts, world_size
from contrastbench.core.errors import InputError, require_number, unknown_name
from contrastbench.core.objectives import MaskObjective
from contrastbench.dcl.infonce import dense_infonce
from contrastbench.dcl.projection import ProjectionHead
from contrastbench.dcl.sampling import draws_needed, gather_pixels, roi_draws, sample_pixels

_REDUCTIONS = ("mean", "sum")


class Samples(NamedTuple):
    """What one step contrasts: RoIs ``[n]`` (int64), and in each the pixels of its three sets ``[n, 3, K]`` (int64)."""

    rois: Tensor
    pixels: Tensor


class DenseContrast(MaskObjective):
    """Pulls the pixels of an instance together and away from the rest of its RoI (Chen et al., BMVC 2022, Eq. 3 to 6).

    Symbols in brackets are the paper's own. The defaults are its values for Mask R-CNN on Cityscapes, sampled and
    averaged as in the released code; for other data and networks the weight is another (see
    :mod:`contrastbench.dcl.presets`).

    Args:
        in_channels: C, channels of the RoI features.
        num_classes: part of the seat; the loss does not look at classes.
        weight: [lambda], of the loss.
        temperature: [tau].
        samples: [K], anchors, positives and negatives for each RoI.
        learnable: [phi], project the sampled pixels before comparing them; False for plain cosine similarity.
        dim: D, size of a projected embedding; None for C.
        replacement: whether a set may hold a pixel several times; see
            :func:`~contrastbench.dcl.sampling.sample_pixels`.
        reduction: ``"mean"`` over the K x K pairs, then over the valid RoIs of the global batch; ``"sum"`` over both,
            as Eq. 3 and 4 are written, which is about K * K times the number of RoIs as large.
        strict: leave out RoIs with exactly K pixels inside or outside too, as the released code does.
        max_rois: valid RoIs of the global batch that are used at most, drawn at random where there are more; None
            for all.
        seed: of all sampling. The same seed, step and batch give the same loss, on one rank or several.

    Raises:
        InputError: an unknown choice, or a number out of its range.
    """

    step: Tensor

    def __init__(
        self,
        in_channels: int,
        num_classes: int | None = None,
        *,
        weight: float = 1.2,
        temperature: float = 0.07,
        samples: int = 32,
        learnable: bool = True,
        dim: int | None = None,
        replacement: bool = True,
        reduction: Literal["mean", "sum"] = "mean",
        strict: bool = False,
        max_rois: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if reduction not in _REDUCTIONS:
            raise unknown_name("reduction", str(reduction), _REDUCTIONS)
        require_number("temperature", temperature, above=0)
        require_number("weight", weight)
        require_number("in_channels", in_channels, above=0, whole=True)
        require_number("samples", samples, above=0, whole=True)
        require_number("dim", 1 if dim is None else dim, above=0, whole=True)
        require_number("max_rois", 1 if max_rois is None else max_rois, above=0, whole=True)
        self.in_channels, self.weight, self.temperature, self.samples = in_channels, weight, temperature, samples
        self.replacement, self.reduction, self.strict = replacement, reduction, strict
        self.max_rois, self.seed = max_rois, seed
        self.projection = ProjectionHead(in_channels, dim) if learnable else nn.Identity()
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def forward(self, features: Tensor, masks: Tensor, classes: Tensor, images: Tensor) -> Mapping[str, Tensor]:
        """See :meth:`MaskObjective.forward`. Only the pixels that are sampled are projected.

        Returns:
            ``loss_dcl`` (weighted; 0 and connected to the graph where no RoI is valid), ``dcl_rois`` and
            ``dcl_valid_rois``: how many RoIs the global batch has, and how many of them the loss used.

        Raises:
            InputError: shapes that do not fit together, or masks that are not bool.
        """
        self._check(features, masks, images)
        chosen = self.sample(masks, images)
        sampled = gather_pixels(features, chosen.rois, chosen.pixels)
        anchors, positives, negatives = self.projection(sampled).unbind(1)
        loss = dense_infonce(anchors, positives, negatives, self.temperature)
        # One reduction over the ranks serves the loss and the counts.
        total, valid = all_sum(torch.tensor([len(masks), len(loss)], device=loss.device, dtype=loss.dtype))
        # Data-parallel training averages over the ranks: see losses.mean_over_anchors.
        scale = self.samples**2 if self.reduction == "sum" else 1 / valid.clamp_min(1)
        self.step += 1
        return {
            "loss_dcl": loss.sum() * (self.weight * world_size() * scale),
            "dcl_rois": total,
            "dcl_valid_rois": valid,
        }

    @torch.no_grad()
    def sample(self, masks: Tensor, images: Tensor) -> Samples:
        """Return what the coming step contrasts of these RoIs; asked again before that step, the same.

        Args:
            masks: ``[N, S, S]`` (bool).
            images: ``[N]`` (int64), as in :meth:`forward`.
        """
        width = draws_needed(masks.shape[1:].numel(), self.samples, self.replacement)
        draws = roi_draws(images, 1 + width, self.seed, int(self.step))
        rois = self._chosen(self._valid(masks), draws[:, 0]).nonzero().squeeze(1)
        return Samples(rois, sample_pixels(masks[rois], draws[rois, 1:], self.samples, self.replacement))

    def _valid(self, masks: Tensor) -> Tensor:
        """Return which RoIs ``[N]`` (bool) have enough pixels inside and outside their mask (Eq. 4)."""
        inside = masks.flatten(1).sum(1)
        fewest = torch.minimum(inside, masks.shape[1:].numel() - inside)
        return fewest > self.samples if self.strict else fewest >= self.samples

    def _chosen(self, valid: Tensor, draws: Tensor) -> Tensor:
        """Return which of this rank's valid RoIs ``[N]`` (bool) are among ``max_rois`` of the global batch."""
        if self.max_rois is None:
            return valid
        start = sum(row_counts(draws)[: rank()])
        everyone = gather_rows(draws.masked_fill(~valid, torch.inf))
        first = everyone.argsort(stable=True)[: self.max_rois]
        taken = torch.zeros_like(everyone, dtype=torch.bool).index_fill(0, first, True)
        return valid & taken[start : start + len(valid)]

    def _check(self, features: Tensor, masks: Tensor, images: Tensor) -> None:
        if features.dim() != 4 or features.shape[1] != self.in_channels:
            raise InputError(
                f"the RoI features are {list(features.shape)}; in_channels says [N, {self.in_channels}, S, S]"
            )
        if masks.shape != (len(features), *features.shape[2:]) or images.shape != masks.shape[:1]:
            raise InputError(
                f"masks {list(masks.shape)} and images {list(images.shape)} do not fit RoI features "
                f"{list(features.shape)}; expected a mask [S, S] and an image for each RoI, at the features' resolution"
            )
        if masks.dtype != torch.bool:
            raise InputError(f"the masks are {masks.dtype}; expected torch.bool, as from masks >= 0.5")
        pixels = masks.shape[1:].numel()
        if pixels < 2 * self.samples + 2 * self.strict:
            raise InputError(
                f"samples is {self.samples}, but a RoI of {pixels} pixels cannot have that many inside and outside its "
                "mask; lower samples, or give features of a higher resolution"
            )
