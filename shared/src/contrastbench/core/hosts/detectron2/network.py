"""From the ``network`` mapping to a configuration of detectron2, and to a Mask R-CNN."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from detectron2 import model_zoo
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model
from torch import nn

from contrastbench.core.errors import InputError, unknown_name
from contrastbench.core.hosts.detectron2.configuration import add_objective_config
from contrastbench.core.hosts.detectron2.weights import WeightsOnly

_BASE = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml"

# Of ImageNet, red first.
_RGB: dict[str, Any] = {
    "INPUT.FORMAT": "RGB",
    "MODEL.PIXEL_MEAN": [123.675, 116.28, 103.53],
    "MODEL.PIXEL_STD": [58.395, 57.12, 57.375],
}
_BACKBONES: dict[str, dict[str, Any]] = {
    "resnet18": {"MODEL.RESNETS.DEPTH": 18, "MODEL.RESNETS.RES2_OUT_CHANNELS": 64},
    "resnet34": {"MODEL.RESNETS.DEPTH": 34, "MODEL.RESNETS.RES2_OUT_CHANNELS": 64},
    "resnet50": {},
    "resnet101": {"MODEL.RESNETS.DEPTH": 101},
    "swin_tiny": {"MODEL.BACKBONE.NAME": "build_swin_t_fpn_backbone", "MODEL.BACKBONE.FREEZE_AT": 0, **_RGB},
}
# Statistics that were never learnt must not be frozen, nor weights.
_FROM_SCRATCH: dict[str, Any] = {"MODEL.BACKBONE.FREEZE_AT": 0, "MODEL.RESNETS.NORM": "BN", **_RGB}
_KEYS = ("name", "backbone", "weights", "options")


def configure(network: Mapping[str, Any], objective: Mapping[str, Any] | None, num_classes: int) -> CfgNode:
    """Return the configuration of a Mask R-CNN with feature pyramid.

    With no option but ``backbone`` and ``weights`` it is that of detectron2's ``mask_rcnn_R_50_FPN``.

    Args:
        network: a mapping of

            - ``name``, for the reader alone;
            - ``backbone``: resnet18, resnet34, resnet50 (default), resnet101 or swin_tiny;
            - ``weights``: file of weights, of the backbone or of a whole detector, as detectron2 reads them (MSRA's
              ``R-50.pkl``, a model of its zoo, a ``.pth`` of Swin-T), or null. A ResNet without it trains whole, on
              images scaled as torchvision does, with batch normalisation; with it, its first two stages and all
              statistics are frozen, and images are blue first, as detectron2 has it;
            - ``options``: further keys of detectron2's configuration, ``MODEL.FPN.OUT_CHANNELS: 64`` or nested.
        objective: ``type`` and options of a mask objective; or None.
        num_classes: categories, background not among them.

    Raises:
        InputError: the mapping names what is not there.
    """
    for key in network:
        if key not in _KEYS:
            raise unknown_name("option of network", key, _KEYS)
    backbone = str(network.get("backbone") or "resnet50")
    if backbone not in _BACKBONES:
        raise unknown_name("backbone (network.backbone)", backbone, _BACKBONES)
    cfg = get_cfg()
    cfg.merge_from_file(model_zoo.get_config_file(_BASE))
    add_objective_config(cfg)
    if network.get("weights") is None and backbone != "swin_tiny":
        _set(cfg, _FROM_SCRATCH)
    _set(cfg, _BACKBONES[backbone])
    _set(cfg, dict(_flat(network.get("options") or {})))
    cfg.MODEL.DEVICE = "cpu"  # where it is built
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = num_classes
    if objective is not None:
        cfg.MODEL.ROI_MASK_HEAD.NAME = "ObjectiveMaskHead"
        cfg.MODEL.ROI_MASK_HEAD.OBJECTIVE = CfgNode(dict(objective), new_allowed=True)
    return cfg


def build_network(cfg: CfgNode, weights: str | Path | None = None) -> nn.Module:
    """Return the network of a configuration, on the CPU.

    Args:
        cfg: from :func:`configure`.
        weights: file that its weights are read from, as far as they fit it by name and shape.

    Raises:
        InputError: there is no such file, or nothing in it fits.
    """
    model: nn.Module = build_model(cfg)
    if weights is not None:
        _load(model, Path(weights).expanduser())
    return model


def _load(model: nn.Module, file: Path) -> None:
    if not file.is_file():
        raise InputError(f"network.weights: there is no file '{file}'; give a file of weights, or null")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    try:
        # By the ends of their names: backbones are saved without the names of what they are part of.
        WeightsOnly(model).load(f"{file}?matching_heuristics=True")
    except Exception as error:  # unpickling what is no pickle ends in almost any of them
        raise InputError(
            f"network.weights: '{file}' does not load ({error}); give weights as detectron2 reads them"
        ) from error
    if all(torch.equal(before[name], value) for name, value in model.state_dict().items()):
        raise InputError(f"network.weights: nothing in '{file}' fits this network; give weights of its backbone")


def _set(cfg: CfgNode, values: Mapping[str, Any]) -> None:
    known = dict(_flat(cfg))
    for key, value in values.items():
        if key not in known:
            raise unknown_name("key of detectron2's configuration (network.options)", key, known)
        if isinstance(known[key], float) and isinstance(value, int):
            value = float(value)
        try:
            cfg.merge_from_list([key, value])
        except (ValueError, AssertionError) as error:
            raise InputError(
                f"network.options: {key} is {value!r}; expected {type(known[key]).__name__}, as {known[key]!r}"
            ) from error


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + str(key), value
