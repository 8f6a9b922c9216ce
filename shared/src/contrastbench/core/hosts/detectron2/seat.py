"""The seat: detectron2's mask head with an objective beside its loss, in training only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from detectron2.config import configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import ROI_MASK_HEAD_REGISTRY
from detectron2.modeling.roi_heads.mask_head import MaskRCNNConvUpsampleHead, mask_rcnn_loss
from detectron2.structures import Instances
from detectron2.utils.events import get_event_storage
from omegaconf import OmegaConf
from torch import Tensor, nn

from contrastbench.core.building import build_objective
from contrastbench.core.distributed import rank
from contrastbench.core.errors import InputError
from contrastbench.core.hosts.finite import require_finite

PREFIX = "objective."
"""What the names of the objective's losses and counts begin with; its weights are a mask head's ``objective``."""


@ROI_MASK_HEAD_REGISTRY.register()
class ObjectiveMaskHead(MaskRCNNConvUpsampleHead):
    """``MaskRCNNConvUpsampleHead`` with a seat for an objective.

    In training the objective sees, of each foreground RoI, the input of the last layer, its instance's mask within
    the proposal box (the target of the mask loss itself), its class, and the place of its image in the global batch,
    for which all ranks must hold equally many. It is called once a step, with no RoI too. What it returns under a name
    that begins with ``loss`` joins the losses; the rest goes to detectron2's event storage, all of it under
    ``objective.``. Inference is that of ``MaskRCNNConvUpsampleHead``.

    From a ``CfgNode``, give it as :func:`~contrastbench.core.hosts.detectron2.add_objective_config` says; in a
    ``LazyConfig``, replace the mask head's ``_target_`` by it and add ``objective``.

    Args:
        input_shape: as of ``MaskRCNNConvUpsampleHead``.
        num_classes: likewise; 1 for masks that do not depend on the class.
        conv_dims: likewise.
        conv_norm: likewise.
        objective: a :class:`~contrastbench.core.objectives.MaskObjective`, or the mapping that names one (``type`` and
            options; ``in_channels`` and ``num_classes`` are filled in, and no random number that the network or its
            training would draw is used up); None for none.
        objective_classes: categories of the data, where ``num_classes`` is 1; None for ``num_classes``.
        kwargs: as of ``MaskRCNNConvUpsampleHead``.

    Raises:
        InputError: an unknown objective or option.
    """

    @configurable
    def __init__(
        self,
        input_shape: ShapeSpec,
        *,
        num_classes: int,
        conv_dims: list[int],
        conv_norm: str = "",
        objective: nn.Module | Mapping[str, Any] | None = None,
        objective_classes: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(input_shape, num_classes=num_classes, conv_dims=conv_dims, conv_norm=conv_norm, **kwargs)
        if objective is not None and not isinstance(objective, nn.Module):
            options: Any = OmegaConf.to_container(objective) if OmegaConf.is_config(objective) else objective
            provided = {"in_channels": conv_dims[-1], "num_classes": objective_classes or num_classes}
            # Leaving the generator as it was found gives the network the same weights with and without an objective.
            with torch.random.fork_rng(devices=[]):
                objective = build_objective(options, provided)
        self.objective = objective

    @classmethod
    def from_config(cls, cfg: Any, input_shape: ShapeSpec) -> dict[str, Any]:
        """Return the arguments that a ``CfgNode`` gives.

        Raises:
            InputError: it does not name an objective.
        """
        objective = cfg.MODEL.ROI_MASK_HEAD.get("OBJECTIVE")
        if not objective or not objective.get("type"):
            raise InputError(
                f"{cls.__name__} needs an objective: call add_objective_config(cfg), then set "
                "cfg.MODEL.ROI_MASK_HEAD.OBJECTIVE.type to the dotted path of its class"
            )
        arguments: dict[str, Any] = super().from_config(cfg, input_shape)
        return {**arguments, "objective": dict(objective), "objective_classes": cfg.MODEL.ROI_HEADS.NUM_CLASSES}

    def forward(self, x: Tensor, instances: list[Instances]) -> Any:
        """Return the losses in training, the instances with their masks at inference.

        Args:
            x: pooled features ``[N, C, s, s]``.
            instances: of each image, as of ``BaseMaskRCNNHead``.

        Raises:
            NonFiniteLossError: a loss is NaN or infinite.
        """
        if not self.training or self.objective is None:
            return super().forward(x, instances)
        features = self._features(x)
        targets = [_cropped(image, features.shape[-1]) for image in instances]
        mask_loss = mask_rcnn_loss(self.predictor(features), targets, self.vis_period) * self.loss_weight
        results = self.objective(features, *_joined(targets, features))
        losses = {PREFIX + name: value for name, value in results.items() if name.startswith("loss")}
        counts = {name: value.detach().float() for name, value in results.items() if not name.startswith("loss")}
        storage = get_event_storage()
        if counts:
            # One transfer from the device for all of them.
            for name, value in zip(counts, torch.stack(list(counts.values())).tolist(), strict=True):
                storage.put_scalar(PREFIX + name, value)
        losses["loss_mask"] = mask_loss
        require_finite(losses, {"features": features}, storage.iter + 1)
        return losses

    def layers(self, x: Tensor) -> Tensor:
        """Return the mask logits of pooled features."""
        logits: Tensor = self.predictor(self._features(x))
        return logits

    def _features(self, x: Tensor) -> Tensor:
        # The head is a sequence of layers, which the objective is no part of.
        for name, layer in self.named_children():
            if name not in ("predictor", "objective"):
                x = layer(x)
        return x


def exported_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights of a model without what only training needs.

    They load, strictly, into the plain detectron2 model: the same configuration with ``MaskRCNNConvUpsampleHead``.
    """
    heads = [name for name, module in model.named_modules() if isinstance(module, ObjectiveMaskHead)]
    prefixes = tuple(f"{name}.{PREFIX}".removeprefix(".") for name in heads)
    return {name: value for name, value in model.state_dict().items() if not name.startswith(prefixes)}


class _Cropped:
    """Masks already cropped to their boxes, so that the mask loss, which asks for that, does not crop again."""

    def __init__(self, crops: Tensor) -> None:
        self.crops = crops

    def __len__(self) -> int:
        return len(self.crops)

    def crop_and_resize(self, boxes: Tensor, mask_size: int) -> Tensor:
        return self.crops


def _cropped(image: Instances, side: int) -> Instances:
    if len(image) == 0:  # an image without annotations has no masks at all
        return image
    crops = image.gt_masks.crop_and_resize(image.proposal_boxes.tensor, side).to(image.proposal_boxes.device)
    if crops.dtype != torch.bool:
        crops = crops > 0.5
    return Instances(image.image_size, **{**image.get_fields(), "gt_masks": _Cropped(crops)})


def _joined(targets: list[Instances], features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return masks ``[N, S, S]`` (bool), classes and images ``[N]`` (int64) of the RoIs of all images."""
    first = rank() * len(targets)
    # What comes first has no rows and makes the rest the same where no image has a RoI.
    masks = [features.new_zeros(0, *features.shape[2:], dtype=torch.bool)]
    classes = [features.new_zeros(0, dtype=torch.int64)]
    images = [features.new_zeros(0, dtype=torch.int64)]
    for place, image in enumerate(targets):
        if len(image):
            masks.append(image.gt_masks.crops)
            classes.append(image.gt_classes)
            images.append(torch.full_like(image.gt_classes, first + place))
    return torch.cat(masks), torch.cat(classes), torch.cat(images)
