"""The RoI features that a trained network's last layer works on, as an objective saw them in training."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.roi_heads import project_masks_on_boxes

from contrastbench.core.data.instances import open_instances
from contrastbench.core.errors import InputError
from contrastbench.core.hosts.environment import environment
from contrastbench.core.hosts.outcome import load_weights, read_weights
from contrastbench.core.hosts.resolution import read_size
from contrastbench.core.hosts.torchvision.dataset import Instances, Pictures
from contrastbench.core.hosts.torchvision.network import build_mask_rcnn
from contrastbench.core.hosts.torchvision.training import InstanceTraining


@torch.no_grad()
def roi_features(training: InstanceTraining, run_dir: Path, images: int) -> tuple[Tensor, Tensor]:
    """Return the input of the mask head's last layer for annotated boxes of validation images.

    Args:
        training: the experiment.
        run_dir: folder of a finished run of it.
        images: how many images, from the first on.

    Returns:
        Features ``[N, C, S, S]`` (float32) and masks ``[N, S, S]`` (bool), each RoI's own instance within its box.

    Raises:
        InputError: the folder holds no weights of this network, or the images no instance.
    """
    state = read_weights(run_dir)
    source = open_instances(training.data)
    samples = Instances(Pictures(source, "val", read_size(training.data)))
    with environment(training.seed, training.threads, training.device) as device:
        model = build_mask_rcnn({**training.network, "pretrained": None}, len(source.classes))
        load_weights(model, state, run_dir)
        model = model.to(device).eval()
        found = [_of_image(model, *samples[place], device) for place in range(min(images, len(samples)))]
    features = [part for part, _ in found if len(part)]
    if not features:
        raise InputError(f"the first {images} validation images of {source.name} hold no instance; ask for more")
    return torch.cat(features).cpu(), torch.cat([part for _, part in found if len(part)]).cpu()


def _of_image(model: MaskRCNN, image: Tensor, target: dict[str, Tensor], device: torch.device) -> tuple[Tensor, Tensor]:
    heads, taken = model.roi_heads, list[Tensor]()
    images, [resized] = model.transform([image.to(device)], [{name: v.to(device) for name, v in target.items()}])
    boxes = resized["boxes"]
    hook = heads.mask_predictor.mask_fcn_logits.register_forward_pre_hook(lambda _, inputs: taken.append(inputs[0]))
    try:
        pooled = heads.mask_roi_pool(model.backbone(images.tensors), [boxes], images.image_sizes)
        heads.mask_predictor(heads.mask_head(pooled))
    finally:
        hook.remove()
    own = torch.arange(len(boxes), device=device)
    return taken[0], project_masks_on_boxes(resized["masks"], boxes, own, taken[0].shape[-1]) >= 0.5
