"""Region-aware contrast (Hu et al., ICCV 2021), a baseline of Contextrast's Table 2.

Shapes: B images, C classes, h x w pixels of the tapped feature map, D dimensions of an embedding.

The released code multiplies centres element by element, without a sum over channels, and adds up the negatives before
the softmax; that is no InfoNCE. Here it is the paper's: a region centre against all centres there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from contrastbench.contextrast.labels import classes_at
from contrastbench.contextrast.projection import Projector
from contrastbench.core.banks import PixelQueue, region_means
from contrastbench.core.distributed import all_sum, gather_rows, rank, row_counts
from contrastbench.core.errors import InputError, require_number, unknown_name
from contrastbench.core.losses import mean_over_anchors, supervised_infonce
from contrastbench.core.objectives import SemanticObjective

_CENTRES = ("ground_truth", "predicted")


class RegionAwareContrast(SemanticObjective):
    """Supervised InfoNCE between region centres: a class's mean embedding in an image, one for each image and class.

    A centre's positives are the centres of its class, its negatives those of all others: of the batch's other images
    and classes, and of a queue of the latest centres of each class. Each positive competes with all negatives, not
    with other positives. Nothing is sampled.

    Symbols in brackets are Contextrast's. Of [L_Aux], which it says Hu et al. add, only the name is known here. With
    ``auxiliary_weight`` it is what the name means in the networks of that time (Zhao et al., CVPR 2017): a linear
    classifier's cross-entropy on an earlier stage, the first of the tapped feature maps. It is off by default.

    Args:
        in_channels: channels of the tapped features; the centres are of the last map.
        num_classes: number of classes.
        num_images: images of the training set; not used.
        ignore_index: label of pixels that count for nothing.
        centres: a region is a class's pixels by ``"ground_truth"``, or, as in the released code, by what is
            ``"predicted"`` for them; void pixels belong to no region either way.
        weight: of the contrastive loss [L_NCE].
        temperature: tau.
        dim: D.
        queue_length: centres remembered of each class; 2975 is the number of training images of Cityscapes.
        auxiliary_weight: of [L_Aux]; 0 for none.

    Raises:
        InputError: an unknown choice, an option out of range, or an auxiliary loss on one feature map only.
    """

    def __init__(
        self,
        in_channels: tuple[int, ...],
        num_classes: int,
        num_images: int = 0,
        ignore_index: int = 255,
        *,
        centres: Literal["ground_truth", "predicted"] = "ground_truth",
        weight: float = 0.1,
        temperature: float = 0.2,
        dim: int = 256,
        queue_length: int = 2975,
        auxiliary_weight: float = 0.0,
    ) -> None:
        super().__init__()
        if centres not in _CENTRES:
            raise unknown_name("choice of centres", str(centres), _CENTRES)
        require_number("temperature", temperature, above=0)
        require_number("weight", weight)
        require_number("auxiliary_weight", auxiliary_weight)
        require_number("dim", dim, above=0, whole=True)
        require_number("queue_length", queue_length, above=0, whole=True)
        if auxiliary_weight and len(in_channels) < 2:
            raise InputError(
                "the auxiliary loss is taken on an earlier stage and one feature map is tapped; tap two, as in "
                "taps=[2,3], or set auxiliary_weight=0"
            )
        self.num_classes, self.ignore_index, self.centres = num_classes, ignore_index, centres
        self.weight, self.temperature, self.auxiliary_weight = weight, temperature, auxiliary_weight
        self.projection = Projector(in_channels[-1], dim, batch_norm=False)
        self.queue = PixelQueue(num_classes, queue_length, dim)
        self.classifier = nn.Conv2d(in_channels[0], num_classes, 1) if auxiliary_weight else None

    def forward(
        self, features: tuple[Tensor, ...], logits: Tensor, labels: Tensor, image_index: Tensor
    ) -> Mapping[str, Tensor]:
        """See :meth:`SemanticObjective.forward`.

        Returns:
            ``loss_region`` and, with its weight, ``loss_auxiliary``, weighted; ``contrast_anchors`` and
            ``contrast_no_positive``, counts of the global batch; ``memory_fill``, the written part of the queue.
        """
        feature_map = features[-1]
        regions = self._regions(feature_map, logits, labels)
        batch, channels, height, width = feature_map.shape
        embeddings = self.projection(feature_map.permute(0, 2, 3, 1).reshape(-1, channels))
        means, present = region_means(embeddings.view(batch, height, width, -1), regions, self.num_classes)
        anchors, classes = means[present], torch.nonzero(present)[:, 1]

        keys, key_classes = gather_rows(anchors), gather_rows(classes)
        own = sum(row_counts(anchors)[: rank()]) + torch.arange(len(anchors), device=labels.device)
        loss, positives = supervised_infonce(
            anchors,
            classes,
            keys,
            key_classes,
            self.temperature,
            eligible=torch.arange(len(keys), device=labels.device) != own[:, None],
            bank=[self.queue.keys[c, self.queue.held[c]] for c in range(self.num_classes)],
        )
        self.queue.enqueue(keys.detach(), key_classes)
        results = {
            "loss_region": self.weight * mean_over_anchors(loss, positives > 0),
            "contrast_anchors": torch.tensor(float(len(keys))),
            "contrast_no_positive": all_sum((positives == 0).sum()).float(),
            "memory_fill": self.queue.held.float().mean(),
        }
        if self.classifier is not None:
            results["loss_auxiliary"] = self.auxiliary_weight * self._auxiliary(features[0], labels)
        return results

    def _regions(self, feature_map: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """Return which class's region each pixel of the feature map is part of, ``[B, h, w]``, -1 for none."""
        size = feature_map.shape[-2:]
        true = classes_at(labels, size, self.num_classes, self.ignore_index)
        if self.centres == "ground_truth":
            return true
        scores = F.interpolate(logits.detach().float(), size=size, mode="bilinear", align_corners=False)
        return torch.where(true >= 0, scores.argmax(1), -1)

    def _auxiliary(self, feature_map: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross-entropy of the auxiliary classifier over the global batch's pixels."""
        assert self.classifier is not None
        scores = self.classifier(feature_map)
        # Under autocast it may be half precision, and the sum is over all pixels.
        scores = scores if scores.dtype == torch.float64 else scores.float()
        scores = F.interpolate(scores, size=labels.shape[-2:], mode="bilinear", align_corners=False)
        true = classes_at(labels, labels.shape[-2:], self.num_classes, self.ignore_index)
        loss = F.cross_entropy(scores, true, ignore_index=-1, reduction="none")
        return mean_over_anchors(loss.flatten(), (true >= 0).flatten())
