"""From the ``network`` mapping to a segmentor."""

from __future__ import annotations

import copy
import importlib
import inspect
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine import Config
from mmseg.registry import MODELS
from torch import nn

from contrastbench.core.data.sources import SegmentationSource
from contrastbench.core.errors import InputError, unknown_name
from contrastbench.core.hosts.mmseg.safe_globals import WEIGHTS_ONLY

# Of ImageNet, red first: the scale that pretrained backbones expect.
_MEAN = (123.675, 116.28, 103.53)
_STD = (58.395, 57.12, 57.375)

_KEYS = ("name", "num_stages", "pretrained", "backbone", "neck", "decode_head", "auxiliary_head", "norm_cfg")


def build_segmentor(
    network: Mapping[str, Any],
    objective: Mapping[str, Any] | None,
    source: SegmentationSource,
    crop: tuple[int, int],
    sync_batch_norm: bool,
) -> nn.Module:
    """Return a segmentor with a seat, its objective built, its weights not yet drawn.

    Args:
        network: ``backbone``, ``decode_head`` and, where wanted, ``neck``, ``auxiliary_head``, ``num_stages`` (for a
            cascade), ``norm_cfg`` and ``pretrained`` (file of backbone weights), as in an mmsegmentation model.
            Number of classes, ignore index and normalisation layers are filled in where they are not given.
        objective: ``type``, its options and, where wanted, ``taps``; or None.
        source: the data, for the number of classes and training images.
        crop: height and width of training images after padding.
        sync_batch_norm: whether batch statistics are taken over all ranks.

    Raises:
        InputError: the mapping names what is not there.
    """
    for key in network:
        if key not in _KEYS:
            raise unknown_name("option of network", key, _KEYS)
    parts = copy.deepcopy({key: network[key] for key in _KEYS if network.get(key) is not None})
    for key in ("backbone", "decode_head"):
        if key not in parts:
            raise InputError(f"network lacks {key}; give it as in an mmsegmentation model")
    parts.pop("name", None)
    _check_types(parts)
    for key in ("backbone", "neck", "decode_head", "auxiliary_head"):
        for part in _listed(parts.get(key, [])):
            _check_registered(key, part)
    norm = parts.pop("norm_cfg", None) or {"type": "SyncBN" if sync_batch_norm else "BN"}
    backbone = parts["backbone"]
    backbone.setdefault("norm_cfg", norm)
    pretrained = parts.pop("pretrained", None)
    if pretrained is not None:
        if not Path(pretrained).expanduser().is_file():
            raise InputError(f"network.pretrained: there is no file '{pretrained}'; give backbone weights, or null")
        backbone["init_cfg"] = {"type": "Pretrained", "checkpoint": f"{WEIGHTS_ONLY}{Path(pretrained).expanduser()}"}
    for key in ("decode_head", "auxiliary_head"):
        for head in _listed(parts.get(key, [])):
            head.setdefault("norm_cfg", norm)
            head.setdefault("num_classes", len(source.classes))
            head.setdefault("ignore_index", source.ignore_index)
    seat = dict(objective) if objective is not None else None
    taps = seat.pop("taps", None) if seat is not None else None
    if seat is not None:
        seat.setdefault("num_images", len(source.train))
    config = Config(
        {
            "type": "CascadeObjectiveSegmentor" if "num_stages" in parts else "ObjectiveSegmentor",
            "data_preprocessor": {
                "type": "SegDataPreProcessor",
                "mean": _MEAN,
                "std": _STD,
                "bgr_to_rgb": True,
                "pad_val": 0,
                "seg_pad_val": source.ignore_index,
                "size": crop,
            },
            "train_cfg": {},
            "test_cfg": {"mode": "whole"},
            "objective": seat,
            "taps": taps or "decode_input",
            **parts,
        }
    )
    with warnings.catch_warnings():
        # Of mmsegmentation's heads about mmsegmentation's own defaults, which are meant.
        warnings.filterwarnings("ignore", message=".*build_loss.* would be deprecated")
        warnings.filterwarnings("ignore", message=".*avg_non_ignore")
        segmentor: nn.Module = MODELS.build(config)
    # Convolutions and bilinear resizing on a CPU, and half precision on a GPU, are faster with channels last.
    return segmentor.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _listed(part: Any) -> list[Any]:
    return part if isinstance(part, list) else [part]


def _check_registered(key: str, part: Mapping[str, Any]) -> None:
    name = part.get("type")
    if name is None:
        raise InputError(f"network.{key} has no type; give it as in an mmsegmentation model")
    known = {*MODELS.module_dict, *MODELS.parent.module_dict}
    if isinstance(name, str) and "." not in name and name not in known:
        raise unknown_name(f"type of network.{key}", name, known)


def _check_types(node: Any) -> None:
    """Refuse a dotted type that is no module: mmengine's registry would import and call whatever it names."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "type" and isinstance(value, str):
                _check_type(value)
            else:
                _check_types(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            _check_types(value)


def _check_type(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute) if module else None
    except (ImportError, AttributeError):
        return  # a name with its scope, as mmseg.ResNetV1c, or one that a registry knows or explains
    if found is not None and not (inspect.isclass(found) and issubclass(found, nn.Module)):
        raise InputError(
            f"network: the type '{name}' is no nn.Module; name one, or a class that mmsegmentation registers"
        )
