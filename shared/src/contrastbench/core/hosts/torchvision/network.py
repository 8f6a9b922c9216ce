"""From the ``network`` mapping to a Mask R-CNN."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import FrozenBatchNorm2d

from contrastbench.core.errors import InputError, unknown_name
from contrastbench.core.hosts.torchvision.pooling import LEVELS, PyramidRoIAlign
from contrastbench.core.hosts.torchvision.resnet import BACKBONES, STAGES, ResNet, freeze, load_backbone

_POOLED = 7


@dataclass(frozen=True)
class _Options:
    """The options of a network beside torchvision's own; the defaults are ``maskrcnn_resnet50_fpn``."""

    backbone: str = "resnet50"
    width: int = 64
    stem_stride: int = 4
    pretrained: str | None = None
    trainable_layers: int | None = None
    fpn_channels: int = 256
    anchor_sizes: Sequence[int] = (32, 64, 128, 256, 512)
    anchor_ratios: Sequence[float] = (0.5, 1.0, 2.0)
    box_features: int = 1024
    mask_channels: Sequence[int] = (256, 256, 256, 256)
    mask_features: int = 256
    sampling_ratio: int = 2
    head_norm: bool = False


# The rest of torchvision's options are parts that are built here, or sizes that belong to the data.
_PASSED_ON = {
    name
    for name in inspect.signature(MaskRCNN).parameters
    if name in ("min_size", "max_size", "image_mean", "image_std", "bbox_reg_weights")
    or (name.startswith(("rpn_", "box_")) and not name.endswith(("_generator", "_head", "_pool", "_predictor")))
}


def build_mask_rcnn(network: Mapping[str, Any], num_classes: int) -> MaskRCNN:
    """Return a Mask R-CNN of torchvision on a ResNet with feature pyramid. Nothing is ever downloaded.

    With no option but ``backbone`` and ``pretrained`` it is torchvision's ``maskrcnn_resnet50_fpn``, weight for weight.

    Args:
        network: a mapping of

            - ``name``, for the reader alone;
            - ``backbone``: resnet10 (one block a stage), resnet18, resnet34, resnet50 (default) or resnet101;
            - ``width``: channels of its stem and first stage, doubled by each next one [64];
            - ``stem_stride``: where the pyramid begins; 2 leaves out the pooling of the stem, for objects of few
              pixels [4];
            - ``pretrained``: file with backbone weights, a state dict as of ``torchvision.models``, or null. With it
              the statistics of normalisation are frozen, and so are the first layers;
            - ``trainable_layers``: how many of the backbone's five stages train, from the last [3 with ``pretrained``,
              else 5];
            - ``fpn_channels``: of each level of the pyramid [256];
            - ``anchor_sizes``: pixels, one for each of the five levels, whose strides double from the stem's on
              [32, 64, 128, 256, 512];
            - ``anchor_ratios``: height to width [0.5, 1, 2];
            - ``box_features``: width of the two hidden layers of the box head [1024];
            - ``mask_channels``: of each 3x3 convolution of the mask head on 14x14 [256, 256, 256, 256];
            - ``mask_features``: channels after its upsampling to 28x28, which an objective sees [256];
            - ``sampling_ratio``: a bin of RoIAlign is the mean of so many samples squared [2];
            - ``head_norm``: whether the pyramid and the mask head are normalised by groups of channels, which helps
              training from scratch (Wu & He, 2018) [false];
            - ``min_size``, ``max_size``: pixels of the shorter and the longer side to which the model resizes images,
              as of ``MaskRCNN``; null, the default here, for the size that images come in;
            - any option of ``MaskRCNN`` that begins with ``rpn_`` or ``box_`` and is a number, and ``image_mean``,
              ``image_std`` and ``bbox_reg_weights``.
        num_classes: categories, background not among them.

    Raises:
        InputError: the mapping names what is not there.
    """
    options, passed_on = _read(network)
    block, depths = BACKBONES[options.backbone]
    norm = nn.BatchNorm2d if options.pretrained is None else FrozenBatchNorm2d
    body = ResNet(block, depths, options.width, options.stem_stride, norm)
    if options.pretrained is not None:
        load_backbone(body, options.pretrained)
    trainable = options.trainable_layers
    if trainable is None:
        trainable = 5 if options.pretrained is None else 3
    freeze(body, trainable)
    stages = [options.width * 2**stage * block.expansion for stage in range(4)]
    returned = {f"layer{n}": level for n, level in enumerate(LEVELS, 1)}
    head_norm = _groups if options.head_norm else None
    backbone = BackboneWithFPN(body, returned, stages, options.fpn_channels, norm_layer=head_norm)
    sizes = [passed_on.pop(name, None) for name in ("min_size", "max_size")]
    channels = options.mask_channels
    model = MaskRCNN(
        backbone,
        rpn_anchor_generator=AnchorGenerator(
            tuple((size,) for size in options.anchor_sizes),
            (tuple(options.anchor_ratios),) * len(options.anchor_sizes),
        ),
        box_roi_pool=PyramidRoIAlign(_POOLED, options.sampling_ratio, options.stem_stride),
        box_head=TwoMLPHead(options.fpn_channels * _POOLED**2, options.box_features),
        box_predictor=FastRCNNPredictor(options.box_features, num_classes + 1),
        mask_roi_pool=PyramidRoIAlign(2 * _POOLED, options.sampling_ratio, options.stem_stride),
        mask_head=MaskRCNNHeads(options.fpn_channels, channels, 1, norm_layer=head_norm),
        mask_predictor=MaskRCNNPredictor(channels[-1], options.mask_features, num_classes + 1),
        min_size=sizes[0] or 800,
        max_size=sizes[1] or 1333,
        **passed_on,
    )
    if sizes == [None, None]:
        model.transform = _OwnSize(0, 0, model.transform.image_mean, model.transform.image_std)
    # Convolutions on a CPU, and half precision on a GPU, are faster with channels last.
    return model.to(memory_format=torch.channels_last)


def _groups(channels: int) -> nn.GroupNorm:
    # Of each sample by itself: a step may have no RoI, of which no batch statistics could be taken.
    return nn.GroupNorm(math.gcd(channels, 8), channels)


class _OwnSize(GeneralizedRCNNTransform):
    """Normalises images and leaves them the size they come in."""

    def resize(self, image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor] | None]:
        """Return what it is given."""
        return image, target


def _read(network: Mapping[str, Any]) -> tuple[_Options, dict[str, Any]]:
    own = {field.name for field in fields(_Options)}
    for name in network:
        if name not in own | _PASSED_ON | {"name"}:
            raise unknown_name("option of network", name, own | _PASSED_ON)
    options = _Options(**{name: value for name, value in network.items() if name in own})
    if options.backbone not in BACKBONES:
        raise unknown_name("backbone (network.backbone)", options.backbone, BACKBONES)
    for name in ("width", "fpn_channels", "box_features", "mask_features", "sampling_ratio"):
        value = getattr(options, name)
        if not isinstance(value, int) or value < 1:
            raise InputError(f"network.{name} is {value!r}; it must be a whole number, 1 or more")
    if len(options.anchor_sizes) != len(LEVELS) + 1:
        raise InputError(
            f"network.anchor_sizes has {len(options.anchor_sizes)} sizes; the pyramid has {len(LEVELS) + 1} levels, "
            "and each takes one"
        )
    if options.stem_stride not in (2, 4):
        raise InputError(f"network.stem_stride is {options.stem_stride!r}; it must be 2 or 4")
    if not options.mask_channels:
        raise InputError("network.mask_channels is empty; give the channels of at least one convolution, as in [64]")
    if options.trainable_layers is not None and options.trainable_layers not in range(len(STAGES) + 1):
        raise InputError(f"network.trainable_layers is {options.trainable_layers!r}; it must be 0 to {len(STAGES)}")
    return options, {name: value for name, value in network.items() if name in _PASSED_ON and value is not None}
