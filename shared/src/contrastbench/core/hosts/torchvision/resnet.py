"""ResNets of any width, with weights from a file, or a part of them frozen."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from contrastbench.core.errors import InputError

BACKBONES: dict[str, tuple[Any, tuple[int, ...]]] = {
    "resnet10": (BasicBlock, (1, 1, 1, 1)),
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
    "resnet101": (Bottleneck, (3, 4, 23, 3)),
}
"""By name: the kind of block, and how many of them a stage has."""

STAGES = ("conv1", "layer1", "layer2", "layer3", "layer4")


class ResNet(nn.Sequential):
    """A ResNet of any width, without its classifier; its weights are named as torchvision's.

    Args:
        block: ``BasicBlock`` or ``Bottleneck`` of torchvision.
        depths: blocks in each of the four stages.
        width: channels of the stem and, before a bottleneck's expansion, of the first stage; doubled by each next one.
        stem_stride: 4, or 2 without the pooling after the first convolution.
        norm: normalisation layer, called with a number of channels.
    """

    def __init__(self, block: Any, depths: Sequence[int], width: int, stem_stride: int, norm: type[nn.Module]) -> None:
        stem: dict[str, nn.Module] = {
            "conv1": nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False),
            "bn1": norm(width),
            "relu": nn.ReLU(inplace=True),
        }
        if stem_stride == 4:
            stem["maxpool"] = nn.MaxPool2d(3, stride=2, padding=1)
        inputs, stages = width, {}
        for stage, depth in enumerate(depths):
            planes, blocks = width * 2**stage, list[nn.Module]()
            for place in range(depth):
                stride = 2 if stage and not place else 1
                changes = stride > 1 or inputs != planes * block.expansion
                shortcut = None
                if changes:
                    projection = nn.Conv2d(inputs, planes * block.expansion, 1, stride, bias=False)
                    shortcut = nn.Sequential(projection, norm(planes * block.expansion))
                blocks.append(block(inputs, planes, stride, shortcut, norm_layer=norm))
                inputs = planes * block.expansion
            stages[f"layer{stage + 1}"] = nn.Sequential(*blocks)
        super().__init__(OrderedDict(**stem, **stages))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def load_backbone(body: nn.Module, file: str) -> None:
    """Give a backbone the weights in a file, a classifier's left out.

    Raises:
        InputError: there is no such file, or it holds something else.
    """
    path = Path(file).expanduser()
    if not path.is_file():
        raise InputError(f"network.pretrained: there is no file '{file}'; give backbone weights, or null")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        state = state.get("state_dict", state)
        state = {name: value for name, value in state.items() if not name.startswith("fc.")}
        # Frozen normalisation does not count batches.
        missing, unexpected = body.load_state_dict(state, strict=False)
        unexpected = [name for name in unexpected if not name.endswith("num_batches_tracked")]
    except (pickle.UnpicklingError, RuntimeError, AttributeError, EOFError) as error:
        raise InputError(
            f"network.pretrained: '{file}' does not load as weights of the backbone ({error}); give a state dict as "
            "torchvision.models saves it, for this backbone and width"
        ) from error
    if missing or unexpected:
        raise InputError(
            f"network.pretrained: '{file}' holds weights of another network: {len(missing)} are missing, "
            f"{len(unexpected)} do not belong, first '{[*missing, *unexpected][0]}'; give a state dict as "
            "torchvision.models saves it, for this backbone and width"
        )


def freeze(body: nn.Module, trainable: int) -> None:
    """Let the last ``trainable`` of a backbone's five stages train, and no other."""
    frozen = STAGES[: len(STAGES) - trainable]
    for name, parameter in body.named_parameters():
        stage = "conv1" if name.startswith("bn1.") else name.split(".")[0]
        parameter.requires_grad_(stage not in frozen)
