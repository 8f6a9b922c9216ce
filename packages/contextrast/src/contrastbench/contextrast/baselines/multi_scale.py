"""Multi-scale and cross-scale contrast (Pissas et al., ECCV 2022), the baseline that Contextrast descends from.

Shapes: B images, C_s channels and h_s x w_s pixels of scale s, D dimensions of an embedding, A_s anchors of a scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from contrastbench.contextrast.labels import classes_at
from contrastbench.core.batch_norm import GlobalBatchNorm
from contrastbench.core.distributed import all_sum, gather_rows, rank, row_counts
from contrastbench.core.draws import image_draws
from contrastbench.core.errors import InputError, require_number
from contrastbench.core.losses import mean_over_anchors, supervised_infonce
from contrastbench.core.objectives import SemanticObjective
from contrastbench.core.samplers import first_per_group

_WEIGHTS = (1.0, 0.7, 0.4, 0.1)


class ScaleProjector(nn.Module):
    """1x1, ReLU, batch normalisation, 1x1: a scale's own way into the space all scales share.

    The normalisation takes its statistics from every pixel of the batch, so all pixels pass the first layer; the
    second is applied to sampled pixels alone.

    Args:
        in_channels: C_s.
        dim: D.
    """

    def __init__(self, in_channels: int, dim: int) -> None:
        super().__init__()
        self.first = nn.Linear(in_channels, in_channels, bias=False)
        self.norm = GlobalBatchNorm(in_channels)
        self.second = nn.Linear(in_channels, dim)

    def forward(self, feature_map: Tensor, chosen: Tensor) -> Tensor:
        """Return the embeddings of some pixels.

        Args:
            feature_map: ``[B, C_s, h, w]`` (float).
            chosen: ``[n]`` (int64), indices into the map's pixels, image after image and row after row.

        Returns:
            ``[n, D]`` (float32 at least), of unit length.
        """
        pixels = feature_map.permute(0, 2, 3, 1).flatten(0, 2)
        embedded = self.second(self.norm(F.relu(self.first(pixels)))[chosen])
        # Under autocast the layer may give half precision: a length is a sum over D and wants more.
        return F.normalize(embedded if embedded.dtype == torch.float64 else embedded.float(), dim=-1)


class MultiScaleContrast(SemanticObjective):
    """Supervised InfoNCE within each scale and from the finest scale to the coarsest ones.

    L = weight (sum over scales of w_s L_cms(s) + cross_weight (L_ccs(1, S) + L_ccs(1, S - 1))). In L_ccs the anchors
    are those of the finest scale and the keys those of the coarse one; gradients reach both.

    Anchors are drawn alike for each class and image: of the (image, class) pairs with at least ``min_pixels`` pixels
    at a scale, each gives the same number of them, that of the scarcest pair, at most ``max_views``, and so that all
    together are at most ``max_samples``. The released code counts these on each rank, so that one GPU with the whole
    batch sampled far less of an image than several did; here they are of the global batch, and one rank samples as
    several.

    Symbols in brackets are the paper's own.

    Args:
        in_channels: channels of the tapped features, from the finest scale to the coarsest; two or more.
        num_classes: number of classes.
        num_images: images of the training set; not used.
        ignore_index: label of pixels that count for nothing.
        weight: of the whole objective.
        scale_weights: [w_s], of each scale's L_cms, finest first; None for the first of 1, 0.7, 0.4, 0.1.
        cross_weight: of each L_ccs; 0 for none.
        temperature: [tau].
        dim: [D], size of an embedding.
        min_pixels: pixels that an image must have of a class for the class to be drawn from.
        max_views: anchors per class and image at most.
        max_samples: anchors per scale and global batch at most.
        seed: of all sampling.

    Raises:
        InputError: one scale only, weights for another number of scales, or an option out of range.
    """

    step: Tensor

    def __init__(
        self,
        in_channels: tuple[int, ...],
        num_classes: int,
        num_images: int = 0,
        ignore_index: int = 255,
        *,
        weight: float = 0.1,
        scale_weights: Sequence[float] | None = None,
        cross_weight: float = 1.0,
        temperature: float = 0.1,
        dim: int = 256,
        min_pixels: int = 5,
        max_views: int = 2500,
        max_samples: int = 10_000,
        seed: int = 0,
    ) -> None:
        super().__init__()
        scales = len(in_channels)
        if scales < 2:
            raise InputError(
                f"multi-scale contrast needs two feature maps at least and got {scales}; tap several stages, as in "
                "taps=[0,1,2,3]"
            )
        if scale_weights is None and scales > len(_WEIGHTS):
            raise InputError(f"there are {scales} scales and weights for {len(_WEIGHTS)}; set scale_weights")
        self.scale_weights = tuple(_WEIGHTS[:scales] if scale_weights is None else scale_weights)
        if len(self.scale_weights) != scales:
            raise InputError(f"scale_weights has {len(self.scale_weights)} entries and there are {scales} scales")
        require_number("temperature", temperature, above=0)
        require_number("weight", weight)
        require_number("cross_weight", cross_weight)
        for i, share in enumerate(self.scale_weights):
            require_number(f"scale_weights[{i}]", share)
        for option, number in {
            "dim": dim,
            "min_pixels": min_pixels,
            "max_views": max_views,
            "max_samples": max_samples,
        }.items():
            require_number(option, number, above=0, whole=True)
        self.num_classes, self.ignore_index, self.seed = num_classes, ignore_index, seed
        self.weight, self.cross_weight, self.temperature = weight, cross_weight, temperature
        self.min_pixels, self.max_views, self.max_samples = min_pixels, max_views, max_samples
        self.projectors = nn.ModuleList(ScaleProjector(channels, dim) for channels in in_channels)
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def forward(
        self, features: tuple[Tensor, ...], logits: Tensor, labels: Tensor, image_index: Tensor
    ) -> Mapping[str, Tensor]:
        """See :meth:`SemanticObjective.forward`; features run from the finest scale to the coarsest.

        Returns:
            ``loss_multi_scale`` [L_cms] and, with a ``cross_weight``, ``loss_cross_scale`` [L_ccs], weighted;
            ``contrast_anchors`` and ``contrast_no_positive`` (within their scale), counts over all scales and the
            global batch.
        """
        sizes = [feature.shape[-2:] for feature in features]
        areas = [height * width for height, width in sizes]
        draws = image_draws((sum(areas),), self.seed, int(self.step), image_index).split(areas, 1)
        self.step += 1
        embeddings, classes = [], []
        for projector, feature, size, draw in zip(self.projectors, features, sizes, draws, strict=True):
            here = classes_at(labels, size, self.num_classes, self.ignore_index).flatten(1)
            chosen = self._chosen(here, draw)
            embeddings.append(projector(feature, chosen))
            classes.append(here.flatten()[chosen])
        keys = [gather_rows(rows) for rows in embeddings]
        key_classes = [gather_rows(rows) for rows in classes]

        multi, cross = features[0].new_zeros((), dtype=torch.float32), features[0].new_zeros((), dtype=torch.float32)
        lonely = torch.zeros((), dtype=torch.int64, device=labels.device)
        for scale, weight in enumerate(self.scale_weights):
            own = sum(row_counts(embeddings[scale])[: rank()]) + torch.arange(
                len(embeddings[scale]), device=labels.device
            )
            others = torch.arange(len(keys[scale]), device=labels.device) != own[:, None]
            loss, positives = supervised_infonce(
                embeddings[scale],
                classes[scale],
                keys[scale],
                key_classes[scale],
                self.temperature,
                eligible=others,
            )
            multi = multi + weight * mean_over_anchors(loss, positives > 0)
            lonely += (positives == 0).sum()
        results = {
            "loss_multi_scale": self.weight * multi,
            "contrast_anchors": torch.tensor(float(sum(map(len, keys)))),
            "contrast_no_positive": all_sum(lonely).float(),
        }
        if self.cross_weight:
            for scale in range(max(1, len(features) - 2), len(features)):
                loss, positives = supervised_infonce(
                    embeddings[0], classes[0], keys[scale], key_classes[scale], self.temperature
                )
                cross = cross + self.cross_weight * mean_over_anchors(loss, positives > 0)
            results["loss_cross_scale"] = self.weight * cross
        return results

    def _chosen(self, classes: Tensor, draws: Tensor) -> Tensor:
        """Return this rank's anchors of a scale as indices of its pixels.

        Args:
            classes: ``[B, h w]`` (int64), -1 for pixels that count for nothing.
            draws: ``[B, h w]`` (float), uniform draws.
        """
        images = torch.arange(len(classes), device=classes.device)[:, None]
        pair = torch.where(classes >= 0, images * self.num_classes + classes, -1).flatten()
        counts = torch.bincount(pair[pair >= 0], minlength=len(classes) * self.num_classes)
        kept = counts >= self.min_pixels
        everywhere = gather_rows(counts[kept])
        if not len(everywhere):
            return pair.new_empty(0)
        views = min(int(everywhere.min()), self.max_views, self.max_samples // len(everywhere))
        # A pair's place is -1 where it is not drawn from; a pixel of no class reads the last and is masked.
        pair = torch.where((pair >= 0) & kept[pair], pair, -1)
        return first_per_group(pair, draws.flatten(), views).sort().values
