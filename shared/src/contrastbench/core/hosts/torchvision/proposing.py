"""Class-agnostic masks of all that may be an object, from a Mask R-CNN of torchvision with one class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import maskrcnn_inference
from torchvision.models.detection.rpn import concat_box_prediction_layers
from torchvision.ops import batched_nms, clip_boxes_to_image, remove_small_boxes

from contrastbench.core.errors import InputError
from contrastbench.core.hosts.outcome import load_weights, read_weights
from contrastbench.core.hosts.proposing import ImageProposals, ProposalOptions, Proposer, scored
from contrastbench.core.hosts.torchvision.network import build_mask_rcnn
from contrastbench.core.hosts.torchvision.training import InstanceTraining

_OBJECT = 1  # label of the one class


def load_proposer(training: InstanceTraining, run_dir: Path, device: torch.device) -> Proposer:
    """Return :func:`propose` with the network that a finished run of class-agnostic training left.

    Args:
        training: the experiment, on data of one class.
        run_dir: its folder.
        device: where the network goes.

    Raises:
        InputError: the folder holds no weights of this network.
    """
    state = read_weights(run_dir)
    model = build_mask_rcnn({**training.network, "pretrained": None}, 1)
    load_weights(model, state, run_dir)
    return partial(propose, model.to(device).eval())


@torch.no_grad()
def propose(model: MaskRCNN, images: Sequence[Tensor], options: ProposalOptions | None = None) -> list[ImageProposals]:
    """Return class-agnostic proposals.

    The boxes of the region proposal network go to the mask branch without classification. Boxes suppress each other
    within a level of the pyramid, as in both frameworks. Which images are seen together makes no difference but for
    rounding.

    Args:
        model: a Mask R-CNN with one class; left in evaluation mode.
        images: each ``[3, H, W]`` (float32, 0 to 1).
        options: how; None for the paper's.

    Returns:
        The proposals of each image, on the CPU. An image may have none.

    Raises:
        InputError: the network tells classes apart.
    """
    options = options or ProposalOptions()
    heads = model.roi_heads
    classes = heads.mask_predictor.mask_fcn_logits.out_channels - 1
    if classes != 1:
        raise InputError(f"the network tells {classes} classes apart; proposals need one trained on a single class")
    model.eval()
    device = next(model.parameters()).device
    sizes = [(int(image.shape[-2]), int(image.shape[-1])) for image in images]
    batch, _ = model.transform([image.to(device) for image in images])
    features = model.backbone(batch.tensors)
    boxes, scores = _best(model, batch, features, options)
    if options.boxes == "regressed":
        boxes = _regressed(model, features, boxes, batch.image_sizes)
    logits = heads.mask_predictor(heads.mask_head(heads.mask_roi_pool(features, boxes, batch.image_sizes)))
    labels = [torch.full((len(part),), _OBJECT, device=device) for part in boxes]
    found = [{"boxes": box, "masks": mask} for box, mask in zip(boxes, maskrcnn_inference(logits, labels), strict=True)]
    whole = model.transform.postprocess(found, batch.image_sizes, sizes)
    return [
        scored(part["masks"][:, 0] > 0.5, part["boxes"], score, options)
        for part, score in zip(whole, scores, strict=True)
    ]


def _best(
    model: MaskRCNN, batch: ImageList, features: Mapping[str, Tensor], options: ProposalOptions
) -> tuple[list[Tensor], list[Tensor]]:
    """Return the boxes ``[n, 4]`` of each image, in pixels of the batch, and their probabilities ``[n]``, falling."""
    rpn = model.rpn
    levels = list(features.values())
    objectness, deltas = rpn.head(levels)
    anchors = rpn.anchor_generator(batch, levels)
    counts = [level[0].numel() for level in objectness]
    logits, deltas = concat_box_prediction_layers(objectness, deltas)
    boxes = rpn.box_coder.decode(deltas, anchors).view(len(anchors), -1, 4)
    logits = logits.view(len(anchors), -1)
    kept_boxes, kept_scores = [], []
    for own, logit, size in zip(boxes, logits, batch.image_sizes, strict=True):
        places, level, start = [], [], 0
        for number, count in enumerate(counts):
            best = logit[start : start + count].topk(min(options.pre_nms, count)).indices + start
            places.append(best)
            level.append(torch.full_like(best, number))
            start += count
        place, group = torch.cat(places), torch.cat(level)
        box, score = clip_boxes_to_image(own[place], size), logit[place].sigmoid()
        large = remove_small_boxes(box, rpn.min_size)
        box, score, group = box[large], score[large], group[large]
        chosen = batched_nms(box, score, group, options.nms)[: options.keep]
        kept_boxes.append(box[chosen])
        kept_scores.append(score[chosen])
    return kept_boxes, kept_scores


def _regressed(
    model: MaskRCNN, features: Mapping[str, Tensor], boxes: list[Tensor], sizes: list[tuple[int, int]]
) -> list[Tensor]:
    """Return the boxes as the box head corrects them."""
    heads = model.roi_heads
    _, deltas = heads.box_predictor(heads.box_head(heads.box_roi_pool(features, boxes, sizes)))
    moved = heads.box_coder.decode(deltas, boxes)[:, _OBJECT].split([len(part) for part in boxes])
    return [clip_boxes_to_image(part, size) for part, size in zip(moved, sizes, strict=True)]
