"""The objective: Contextrast as one module for any host with a semantic seat.

Shapes: B images, I tapped layers with C_i channels and h x w pixels each, d the size of an embedding, N anchors of a
layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from contrastbench.contextrast.anchors import ClassMeans, class_means, mix_anchors
from contrastbench.contextrast.bane import distance_map, error_map, nearest_to_edge
from contrastbench.contextrast.labels import at_size, classes_at
from contrastbench.contextrast.loss import pixel_anchor_loss
from contrastbench.contextrast.negatives import Negatives, Reading, choose_negatives
from contrastbench.contextrast.positives import choose_positives
from contrastbench.contextrast.projection import Projector
from contrastbench.core.distributed import gather_rows
from contrastbench.core.draws import image_draws
from contrastbench.core.errors import InputError, require_number, unknown_name
from contrastbench.core.objectives import SemanticObjective

_SAMPLING = ("random", "semi_hard", "bane")
_READINGS = ("union", "confused", "literal")


class Layer(NamedTuple):
    """One layer: embeddings by row ``[n, d]``, then ``[B, h, w]``: truth or -1, prediction, three draws a pixel."""

    embeddings: Tensor
    classes: Tensor
    predictions: Tensor
    draws: tuple[Tensor, Tensor, Tensor]


class Contextrast(SemanticObjective):
    """Multi-scale representative anchors with boundary-aware negatives (Sung et al., CVPR 2024).

    Symbols in brackets are the paper's own. The defaults are its values where it gives them; the README says how the
    rest was settled.

    Args:
        in_channels: channels of the tapped layers, first to last. The last one's anchors are mixed into the others'.
        num_classes: classes of the data.
        num_images: part of the seat; the loss has no use for it.
        ignore_index: label of pixels that count for nothing.
        weight: [alpha], of the loss.
        layer_weights: [lambda_1 .. lambda_I], one for each tapped layer, first to last.
        temperature: [tau].
        high_weight: [w_h], of the last layer's anchors in the others'; the layer's own have [w_l] = 1 - w_h.
        detach_top: leave the last layer's anchors without gradient where they are mixed into the others'.
        sampling: negatives are ``"bane"``: errors near the edge of their region; ``"semi_hard"``: as many errors at
            random; ``"random"``: pixels of other classes at random, which is contextual contrastive learning alone.
        errors: which errors are whose negatives: ``"union"``, ``"confused"`` or ``"literal"``; see
            :func:`~contrastbench.contextrast.negatives.choose_negatives`.
        percent: [K], of the errors of each image and class that are sampled. With 0 sampling is ``"random"``.
        positives: pixels of a class and layer that meet their anchor at most, in the global batch.
        negatives: of an anchor at most, in the global batch; with ``sampling="random"`` as many, as far as there are.
        minimum: negatives of an anchor at least; what errors do not provide is drawn from pixels of other classes.
        dim: [d], size of an embedding.
        batch_norm: normalise within the projectors, over the pixels of the global batch.
        seed: of all sampling. The same seed, step and batch give the same loss, on one rank or several.

    Raises:
        InputError: an unknown choice, a number out of its range, or another number of weights than of layers.
    """

    step: Tensor

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        num_images: int | None = None,
        ignore_index: int = 255,
        *,
        weight: float = 0.1,
        layer_weights: Sequence[float] = (0.1, 0.4, 0.7, 1.0),
        temperature: float = 0.1,
        high_weight: float = 0.7,
        detach_top: bool = True,
        sampling: Literal["random", "semi_hard", "bane"] = "bane",
        errors: Reading = "union",
        percent: float = 50,
        positives: int = 512,
        negatives: int = 4096,
        minimum: int = 64,
        dim: int = 256,
        batch_norm: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if sampling not in _SAMPLING:
            raise unknown_name("choice of sampling", str(sampling), _SAMPLING)
        if errors not in _READINGS:
            raise unknown_name("choice of errors", str(errors), _READINGS)
        if len(layer_weights) != len(in_channels):
            raise InputError(
                f"layer_weights has {len(layer_weights)} numbers and {len(in_channels)} layers are tapped; give one "
                "for each, first to last, or tap others (taps=[0,1,2,3]: HRNet's four branches or ResNet's four stages)"
            )
        require_number("temperature", temperature, least=1e-6)
        for i, share in enumerate(layer_weights):
            require_number(f"layer_weights[{i}]", share)
        require_number("weight", weight)
        require_number("high_weight", high_weight, most=1)
        require_number("percent", percent, most=100)
        for option, number in {"positives": positives, "negatives": negatives, "dim": dim}.items():
            require_number(option, number, least=1, whole=True)
        require_number("minimum", minimum, most=negatives, whole=True)
        self.num_classes, self.ignore_index, self.seed = num_classes, ignore_index, seed
        self.weight, self.layer_weights, self.temperature = weight, tuple(layer_weights), temperature
        self.high_weight, self.detach_top = high_weight, detach_top
        self.sampling = "random" if percent == 0 else sampling
        self.errors, self.percent = errors, percent
        self.positives, self.negatives = positives, negatives
        self.minimum = negatives if self.sampling == "random" else minimum
        self.projectors = nn.ModuleList(Projector(channels, dim, batch_norm) for channels in in_channels)
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def forward(
        self, features: tuple[Tensor, ...], logits: Tensor, labels: Tensor, image_index: Tensor
    ) -> Mapping[str, Tensor]:
        """See :meth:`SemanticObjective.forward`. The last of the features is the last layer [I].

        Returns:
            ``loss_contextrast`` (weighted; 0 and connected to the graph where no class is there), and counts of the
            global batch over all layers: ``contextrast_anchors``; ``contextrast_error_negatives``, pairs of an anchor
            and an erroneous pixel; ``contextrast_random_negatives``, pairs that topped them up.

        Raises:
            InputError: another number of features than at construction.
        """
        layers = self.embed(features, logits, labels, image_index)
        means = [class_means(layer.embeddings, layer.classes.flatten(), self.num_classes) for layer in layers]
        anchors = mix_anchors(means, 1 - self.high_weight, self.high_weight, self.detach_top)
        total = torch.stack([m.means.sum() for m in means]).sum() * 0  # connects what has no anchor
        counts = torch.zeros(3)
        for layer, anchor, share in zip(layers, anchors, self.layer_weights, strict=True):
            there = torch.nonzero(anchor.present).squeeze(1)
            if not len(there):
                continue
            negatives = self.choose_negatives(layer.classes, layer.predictions, layer.draws[1], layer.draws[2], there)
            loss = self._layer_loss(layer, anchor, there, negatives)
            total = total + share * loss.mean()
            counts += torch.tensor([len(there), negatives.errors, negatives.random])
        self.step += 1
        return {
            "loss_contextrast": self.weight * total,
            "contextrast_anchors": counts[0],
            "contextrast_error_negatives": counts[1],
            "contextrast_random_negatives": counts[2],
        }

    @torch.no_grad()
    def choose_negatives(
        self, classes: Tensor, predictions: Tensor, ties: Tensor, draws: Tensor, anchors: Tensor
    ) -> Negatives:
        """Return the negatives of a layer's anchors as configured.

        Args:
            classes: ``[B, h, w]`` (int64), the truth; negative where a pixel counts for nothing.
            predictions: ``[B, h, w]`` (int64).
            ties: ``[B, h, w]`` (float), uniform draws that order errors of the same distance.
            draws: ``[B, h, w]`` (float), uniform draws that choose where there are too many.
            anchors: ``[N]`` (int64), the class of each anchor.

        Returns:
            Indices into the flattened maps, and whose they are.
        """
        sampled = torch.zeros_like(classes, dtype=torch.bool)
        if self.sampling != "random":
            errors = error_map(classes, predictions)
            distances = distance_map(errors) if self.sampling == "bane" else torch.zeros_like(ties)
            sampled = nearest_to_edge(errors, distances, ties, self.percent)
        return choose_negatives(
            anchors,
            classes.flatten(),
            predictions.flatten(),
            sampled.flatten(),
            draws.flatten(),
            reading=self.errors,
            limit=self.negatives,
            minimum=self.minimum,
        )

    def embed(self, features: tuple[Tensor, ...], logits: Tensor, labels: Tensor, image_index: Tensor) -> list[Layer]:
        """Embed every pixel of each layer, and bring labels and predictions to its stride.

        Arguments and errors are those of :meth:`forward`.
        """
        if len(features) != len(self.projectors):
            raise InputError(f"{len(features)} feature maps came in; in_channels named {len(self.projectors)}")
        sizes = [feature.shape[-2:] for feature in features]
        predicted = logits.detach().argmax(1)
        drawn = image_draws((3, sum(size.numel() for size in sizes)), self.seed, int(self.step), image_index)
        layers = []
        for feature, projector, size, draws in zip(
            features, self.projectors, sizes, drawn.split([size.numel() for size in sizes], dim=2), strict=True
        ):
            first, second, third = draws.unflatten(2, size).unbind(1)
            layers.append(
                Layer(
                    embeddings=projector(feature.permute(0, 2, 3, 1).reshape(-1, feature.shape[1])),
                    classes=classes_at(labels, size, self.num_classes, self.ignore_index),
                    predictions=at_size(predicted, size),
                    draws=(first, second, third),
                )
            )
        return layers

    def _layer_loss(self, layer: Layer, anchors: ClassMeans, there: Tensor, negatives: Negatives) -> Tensor:
        """Return the loss of each anchor that is there ``[N]``, against what was chosen on all ranks."""
        classes = layer.classes.flatten()
        positives = choose_positives(classes, layer.draws[0].flatten(), self.positives)
        place = torch.empty(self.num_classes, dtype=torch.int64, device=there.device)
        place[there] = torch.arange(len(there), device=there.device)
        return pixel_anchor_loss(
            anchors.means[there],
            gather_rows(layer.embeddings[positives]),
            place[gather_rows(classes[positives])],
            gather_rows(layer.embeddings[negatives.pixels]),
            negatives.against,
            self.temperature,
        )
