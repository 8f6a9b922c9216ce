"""The seat: a torchvision Mask R-CNN with an objective beside its losses, in training only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import RoIHeads, project_masks_on_boxes

from contrastbench.core.building import build_objective
from contrastbench.core.distributed import rank
from contrastbench.core.errors import InputError

PREFIX = "objective."
"""What the keys of training-only weights begin with."""


def fit_mask_objective(model: nn.Module, objective: nn.Module | Mapping[str, Any]) -> nn.Module:
    """Give a Mask R-CNN of torchvision an objective on the RoI features of its mask head.

    In training the objective sees the input of the mask head's last layer, and with it for each foreground RoI its own
    instance's mask within its box (torchvision's own target, from 0.5 on), its class (from 0, background not among
    them) and the place of its image in the global batch, for which all ranks must hold equally many. It is called once
    a step, with no RoI too. Its losses join those that ``model(images, targets)`` returns; what else it returns is in
    ``model.objective_counts`` until the next step. Inference is as it was.

    >>> model = maskrcnn_resnet50_fpn(num_classes=9)  # doctest: +SKIP
    >>> fit_mask_objective(model, {"type": "contrastbench.dcl.DenseContrast", "weight": 1.2})  # doctest: +SKIP

    Args:
        model: a ``MaskRCNN``, before its weights are handed to an optimiser. It is changed in place, and works under
            ``DistributedDataParallel``, which must be put around it afterwards.
        objective: a :class:`~contrastbench.core.objectives.MaskObjective`, or the mapping that names one (``type``
            and options; ``in_channels`` and ``num_classes`` are filled in, and no random number that the network or
            its training would draw is used up). It becomes ``model.objective``, so that its parameters train.

    Returns:
        The model.

    Raises:
        InputError: the model has no mask head of torchvision's kind, or has an objective already; the mapping names
            what is not there.
    """
    heads = getattr(model, "roi_heads", None)
    if not isinstance(heads, RoIHeads) or not heads.has_mask() or not hasattr(heads.mask_predictor, "mask_fcn_logits"):
        raise InputError(
            f"{type(model).__name__} has no mask head with a last layer 'mask_fcn_logits'; an objective on masks needs "
            "a MaskRCNN of torchvision, such as maskrcnn_resnet50_fpn"
        )
    if hasattr(model, "objective"):
        raise InputError(f"{type(model).__name__} has an objective already; fit one to each model, or join them in one")
    if isinstance(objective, Mapping):
        last = heads.mask_predictor.mask_fcn_logits
        with torch.random.fork_rng(devices=[]):
            objective = build_objective(
                objective, {"in_channels": last.in_channels, "num_classes": last.out_channels - 1}
            )
    seat = _Seat(heads, objective)
    model.objective = objective
    model.objective_counts = seat.counts  # type: ignore[assignment]  # a dict that the seat fills, no module
    return model


def exported_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights of a model without what only training needs.

    They load, strictly, into the plain torchvision model of the same configuration.
    """
    return {name: value for name, value in model.state_dict().items() if not name.startswith(PREFIX)}


class _Seat:
    """What listens to the heads. It is no module, so that it adds nothing to the model's state.

    Args:
        heads: its mask branch is tapped while it trains.
        objective: called after the heads.
    """

    def __init__(self, heads: RoIHeads, objective: nn.Module) -> None:
        self.objective = objective
        self.counts: dict[str, Tensor] = {}
        self._boxes: list[Tensor] = []
        self._features: list[Tensor] = []
        heads.mask_roi_pool.register_forward_pre_hook(self._take_boxes)
        heads.mask_predictor.mask_fcn_logits.register_forward_pre_hook(self._take_features)
        heads.register_forward_hook(self._add_losses)

    def _take_boxes(self, pool: nn.Module, inputs: tuple[Any, ...]) -> None:
        if pool.training:
            self._boxes = inputs[1]

    def _take_features(self, layer: nn.Module, inputs: tuple[Tensor]) -> None:
        if layer.training:
            self._features = list(inputs)

    def _add_losses(self, heads: RoIHeads, inputs: tuple[Any, ...], output: tuple[Any, dict[str, Tensor]]) -> Any:
        if not heads.training:
            return None
        detections, losses = output
        masks, classes, images = _targets(heads, self._boxes, inputs[3], self._features[0].shape[-1])
        results = self.objective(self._features[0], masks, classes, images)
        self._boxes, self._features = [], []  # nothing is kept of the graph
        self.counts.clear()
        for name, value in results.items():
            if not name.startswith("loss"):
                self.counts[name] = value.detach()
            elif name in losses:
                raise InputError(f"the objective returns '{name}', which is a loss of {type(heads).__name__} itself")
            else:
                losses = {**losses, name: value}
        return detections, losses


def _targets(
    heads: RoIHeads, boxes: list[Tensor], targets: list[dict[str, Tensor]], side: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return masks ``[N, S, S]`` (bool), classes and images ``[N]`` (int64) of the foreground RoIs of each image."""
    first = rank() * len(boxes)
    masks, classes, images = list[Tensor](), list[Tensor](), list[Tensor]()
    for place, (box, target) in enumerate(zip(boxes, targets, strict=True)):
        owner = label = torch.zeros(0, dtype=torch.int64, device=box.device)
        if len(box):
            # Which instance a box belongs to is a function of that box and the instances alone, and the heads keep it
            # to themselves. Asking again costs the overlap of a few boxes.
            [owner], [label] = heads.assign_targets_to_proposals([box], [target["boxes"].to(box)], [target["labels"]])
        masks.append(project_masks_on_boxes(target["masks"], box, owner, side) >= 0.5)
        classes.append(label - 1)
        images.append(torch.full_like(label, first + place))
    return torch.cat(masks), torch.cat(classes), torch.cat(images)
