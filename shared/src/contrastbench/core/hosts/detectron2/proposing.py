"""Class-agnostic masks of all that may be an object, from a Mask R-CNN of detectron2 with one class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.data import transforms as T
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import Boxes, ImageList, Instances
from torch import Tensor, nn

from contrastbench.core.errors import InputError
from contrastbench.core.hosts.detectron2.network import build_network, configure
from contrastbench.core.hosts.detectron2.quiet import quiet
from contrastbench.core.hosts.detectron2.training import InstanceTraining
from contrastbench.core.hosts.outcome import load_weights, read_weights
from contrastbench.core.hosts.proposing import ImageProposals, ProposalOptions, Proposer, scored


def load_proposer(training: InstanceTraining, run_dir: Path, device: torch.device) -> Proposer:
    """Return :func:`propose` with the network that a finished run of class-agnostic training left.

    Images are brought to the size that the run validated on; proposals are at the images' own.

    Args:
        training: the experiment, on data of one class.
        run_dir: its folder.
        device: where the network goes.

    Raises:
        InputError: the folder holds no weights of this network.
    """
    state = read_weights(run_dir, key=training.weights_key)
    with quiet():
        model = build_network(configure(training.network, None, 1))
    load_weights(model, state, run_dir)
    return partial(propose, model.to(device).eval(), augmentations=training.schedule.val_augmentations(None))


@torch.no_grad()
def propose(
    model: nn.Module,
    images: Sequence[Tensor],
    options: ProposalOptions | None = None,
    augmentations: Sequence[T.Augmentation] = (),
) -> list[ImageProposals]:
    """Return class-agnostic proposals.

    See :func:`contrastbench.core.hosts.torchvision.proposing.propose`.

    Args:
        model: a Mask R-CNN with one class; left in evaluation mode.
        images: each ``[3, H, W]`` (float32, 0 to 1), red first.
        options: how; None for the paper's.
        augmentations: how images are resized for the network.

    Returns:
        The proposals of each image, on the CPU, at its own size. An image may have none.

    Raises:
        InputError: the network tells classes apart.
    """
    options = options or ProposalOptions()
    heads: Any = model.roi_heads
    if heads.num_classes != 1:
        raise InputError(
            f"the network tells {heads.num_classes} classes apart; proposals need one trained on a single class"
        )
    model.eval()
    with quiet():
        batch = model.preprocess_image([_input(image, str(model.input_format), augmentations) for image in images])  # type: ignore[operator]
        features = model.backbone(batch.tensor)  # type: ignore[operator]
        found = _best(model, batch, features, options)
        for own, boxes in zip(found, _boxes(heads, features, found, options), strict=True):
            own.pred_boxes, own.pred_classes = boxes, torch.zeros(len(own), dtype=torch.int64, device=boxes.device)
        found = heads.forward_with_given_boxes(features, found)
        whole = [_whole(own, image) for own, image in zip(found, images, strict=True)]
    return [scored(*parts, options) for parts in whole]


def _input(image: Tensor, image_format: str, augmentations: Sequence[T.Augmentation]) -> dict[str, Tensor]:
    """Return an image as the network takes it: ``[3, h, w]`` (uint8), its colours in the network's order."""
    pixels = (image * 255).round().byte().permute(1, 2, 0).numpy()
    if image_format == "BGR":
        pixels = pixels[:, :, ::-1]
    seen = T.AugInput(np.ascontiguousarray(pixels))
    T.AugmentationList(list(augmentations))(seen)
    return {"image": torch.from_numpy(np.ascontiguousarray(seen.image.transpose(2, 0, 1)))}


def _best(
    model: nn.Module, batch: ImageList, features: Mapping[str, Tensor], options: ProposalOptions
) -> list[Instances]:
    """Return the best boxes of each image with ``proposal_boxes`` and ``objectness_logits``, falling."""
    rpn: Any = model.proposal_generator
    kept = rpn.nms_thresh, rpn.pre_nms_topk, rpn.post_nms_topk
    rpn.nms_thresh, rpn.pre_nms_topk, rpn.post_nms_topk = (
        options.nms,
        {**rpn.pre_nms_topk, False: options.pre_nms},
        {**rpn.post_nms_topk, False: options.keep},
    )
    try:
        found: list[Instances] = rpn(batch, features)[0]
        return found
    finally:
        rpn.nms_thresh, rpn.pre_nms_topk, rpn.post_nms_topk = kept


def _boxes(heads: Any, features: Mapping[str, Tensor], found: list[Instances], options: ProposalOptions) -> list[Boxes]:
    """Return the boxes that masks are predicted in."""
    raw = [own.proposal_boxes for own in found]
    if options.boxes == "raw":
        return raw
    pooled = heads.box_pooler([features[name] for name in heads.box_in_features], raw)
    moved = heads.box_predictor.predict_boxes(heads.box_predictor(heads.box_head(pooled)), found)
    boxes = [Boxes(part.view(-1, 4)) for part in moved]
    for box, own in zip(boxes, found, strict=True):
        box.clip(own.image_size)
    return boxes


def _whole(own: Instances, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return masks, boxes and objectness at the size of the image."""
    height, width = int(image.shape[1]), int(image.shape[2])
    result = detector_postprocess(own, height, width)
    return result.pred_masks, result.pred_boxes.tensor, result.objectness_logits.sigmoid()
