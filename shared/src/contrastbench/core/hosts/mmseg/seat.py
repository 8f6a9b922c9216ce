"""The seat: mmsegmentation's segmentors with an objective beside their losses, in training only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.logging import MessageHub
from mmseg.models.segmentors import CascadeEncoderDecoder, EncoderDecoder
from mmseg.registry import MODELS
from torch import Tensor, nn

from contrastbench.core.building import build_objective
from contrastbench.core.errors import InputError
from contrastbench.core.hosts.finite import require_finite
from contrastbench.core.hosts.mmseg.taps import Taps, last_head
from contrastbench.core.hosts.mmseg.transforms import META_KEYS

PREFIX = "objective."
"""What the keys of training-only weights, and the names of the objective's losses, begin with."""


class _Seat:
    """What an objective adds to a segmentor. See :class:`ObjectiveSegmentor`."""

    # Of the segmentor this is mixed into.
    backbone: nn.Module
    decode_head: nn.Module
    num_classes: int
    out_channels: int

    def __init__(
        self,
        *args: Any,
        objective: Mapping[str, Any] | None = None,
        taps: str | Sequence[int] | Sequence[str] = "decode_input",
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.taps = Taps(taps)
        self.num_images: int | None = None
        self.objective: nn.Module | None = None
        if objective is None:
            return
        if self.out_channels != self.num_classes:
            raise InputError("an objective needs one logit a class; set out_channels of the decode head to num_classes")
        # The network was built first and weights are drawn after this: leaving the generator as it was found gives
        # the network the same weights with and without an objective.
        with torch.random.fork_rng(devices=[]):
            provided = {
                "in_channels": self.taps.channels(self),
                "num_classes": self.num_classes,
                "ignore_index": last_head(self).ignore_index,
            }
            self.objective = build_objective(objective, provided)
        self.num_images = objective.get("num_images")

    def loss(self, inputs: Tensor, data_samples: list[Any]) -> dict[str, Any]:
        """Return the segmentor's losses and, each under ``objective.``, what the objective returns.

        Args:
            inputs: images ``[B, 3, H, W]``.
            data_samples: their ground truth, with ``sample_idx`` in the meta information.

        Raises:
            InputError: a sample does not say its place in the training set, or the head cannot be tapped.
            NonFiniteLossError: a loss is NaN or infinite.
        """
        if self.objective is None:
            losses: dict[str, Any] = super().loss(inputs, data_samples)  # type: ignore[misc]
            require_finite(losses, {}, _step())
            return losses
        index = self._image_index(data_samples)
        with self.tapped() as (collected, logits):
            losses = super().loss(inputs, data_samples)  # type: ignore[misc]
        features = self.taps.checked(collected)
        if not logits or not features:
            raise InputError(
                f"the head {type(last_head(self)).__name__} has no {'features' if logits else 'logits'} to tap: it "
                "does not use conv_seg on transformed inputs; give taps as indices, or use another head"
            )
        labels = torch.stack([sample.gt_sem_seg.data.squeeze(0) for sample in data_samples]).long()
        results = self.objective(features, logits[-1], labels, torch.tensor(index, device=labels.device))
        for name, value in results.items():
            if "loss" in name and not name.startswith("loss"):
                raise InputError(
                    f"the objective returns '{name}'; mmengine adds up everything with 'loss' in its name, so only "
                    "losses may have it, and at the beginning"
                )
            losses[PREFIX + name] = value if name.startswith("loss") else value.detach().float()
        tensors = {f"features[{i}]": feature for i, feature in enumerate(features)}
        require_finite(losses, {**tensors, "logits": logits[-1]}, _step())
        return losses

    @contextmanager
    def tapped(self) -> Iterator[tuple[list[Any], list[Tensor]]]:
        """Collect the tapped features and the logits of whatever runs inside, so that nothing runs twice."""
        logits: list[Tensor] = []
        classifier = last_head(self).conv_seg
        hook = classifier.register_forward_hook(lambda module, inputs, output: logits.append(output))
        try:
            with self.taps.collected(self) as features:  # type: ignore[arg-type]
                yield features, logits
        finally:
            hook.remove()

    def _image_index(self, data_samples: list[Any]) -> list[int]:
        try:
            index = [int(sample.metainfo["sample_idx"]) for sample in data_samples]
        except KeyError:
            keys = ", ".join(f"'{key}'" for key in (*META_KEYS, "sample_idx"))
            raise InputError(
                "an objective needs each image's place in the training set, and the samples do not carry it; in the "
                f"training pipeline write dict(type='PackSegInputs', meta_keys=({keys}))"
            ) from None
        if self.num_images is not None and max(index) >= self.num_images:
            raise InputError(f"image {max(index)} was met and the objective's num_images is {self.num_images}")
        return index


@MODELS.register_module()
class ObjectiveSegmentor(_Seat, EncoderDecoder):
    """``EncoderDecoder`` with a seat for an objective.

    The objective sees, in training only, the tapped features, the logits of the last decode head, the labels and the
    place of each image in the training set. What it returns under a name that begins with ``loss`` is added to the
    losses; the rest is logged. Inference is that of ``EncoderDecoder``.

    Args:
        objective: ``dict(type="package.module.ClassName", ...)`` with the arguments of a
            :class:`~contrastbench.core.objectives.SemanticObjective`, or None. ``in_channels``, ``num_classes`` and
            ``ignore_index`` are filled in; ``num_images`` is the user's to give.
        taps: which features the objective sees. ``"decode_input"``: what the last decode head works on after it has
            selected and joined its inputs (HRNet: the four branches at stride 4; DeepLabV3: layer 4; OCR: the joined
            branches before the context module). Or indices into what the backbone, or the neck, gives. Or names of
            modules of the network, whose outputs they are (``["backbone.layer1", "backbone.layer4"]``); a layer that
            works in place on such an output changes what the objective sees.
        args: as of ``EncoderDecoder``.
        kwargs: as of ``EncoderDecoder``.

    Raises:
        InputError: an unknown objective or option, or ``num_images`` missing.
    """


@MODELS.register_module()
class CascadeObjectiveSegmentor(_Seat, CascadeEncoderDecoder):
    """``CascadeEncoderDecoder`` (OCR) with a seat for an objective. See :class:`ObjectiveSegmentor`."""


def exported_state(segmentor: nn.Module) -> dict[str, Tensor]:
    """Return the weights of a segmentor without what only training needs.

    They load, strictly, into the plain mmsegmentation model of the same configuration.
    """
    return {name: value for name, value in segmentor.state_dict().items() if not name.startswith(PREFIX)}


def objective_state(segmentor: nn.Module) -> dict[str, Tensor]:
    """Return the weights that only training needs, as the objective itself names them."""
    state = segmentor.state_dict()
    return {name.removeprefix(PREFIX): value for name, value in state.items() if name.startswith(PREFIX)}


def _step() -> int:
    return int(MessageHub.get_current_instance().runtime_info.get("iter", 0)) + 1
