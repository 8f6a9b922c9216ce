"""Networks small enough for tests, as the ``network`` mapping or as parts of an mmsegmentation model."""

from __future__ import annotations

import copy
from typing import Any

BN = {"type": "BN"}


def hrnet(channels: tuple[int, ...] = (4, 4, 8, 8)) -> dict[str, Any]:
    """Return an HRNet with one block a branch and its usual head."""
    stages = {
        f"stage{n}": {
            "num_modules": 1,
            "num_branches": n,
            "block": "BASIC" if n > 1 else "BOTTLENECK",
            "num_blocks": [1] * n,
            "num_channels": list(channels[:n]),
        }
        for n in range(1, 5)
    }
    head = {
        "type": "FCNHead",
        "in_channels": list(channels),
        "in_index": [0, 1, 2, 3],
        "input_transform": "resize_concat",
        "channels": 8,
        "kernel_size": 1,
        "num_convs": 1,
        "concat_input": False,
    }
    return {"backbone": {"type": "HRNet", "extra": stages}, "decode_head": head}


def ocr(channels: tuple[int, ...] = (4, 4, 8, 8)) -> dict[str, Any]:
    """Return a small HRNet with OCR on it, as a cascade."""
    parts = hrnet(channels)
    context = {
        **{key: parts["decode_head"][key] for key in ("in_channels", "in_index", "input_transform")},
        "type": "OCRHead",
        "channels": 8,
        "ocr_channels": 4,
    }
    return {"num_stages": 2, "backbone": parts["backbone"], "decode_head": [parts["decode_head"], context]}


def deeplab() -> dict[str, Any]:
    """Return DeepLabV3 on a narrow dilated ResNet-18, with an auxiliary head."""
    return {
        "backbone": {
            "type": "ResNetV1c",
            "depth": 18,
            "base_channels": 8,
            "stem_channels": 8,
            "num_stages": 4,
            "out_indices": [0, 1, 2, 3],
            "dilations": [1, 1, 2, 4],
            "strides": [1, 2, 1, 1],
        },
        "decode_head": {
            "type": "ASPPHead",
            "in_channels": 64,
            "in_index": 3,
            "channels": 8,
            "dilations": [1, 2],
            "dropout_ratio": 0.1,
        },
        "auxiliary_head": {
            "type": "FCNHead",
            "in_channels": 32,
            "in_index": 2,
            "channels": 8,
            "num_convs": 1,
            "concat_input": False,
        },
    }


def mmseg_model(parts: dict[str, Any], classes: int, **extra: Any) -> dict[str, Any]:
    """Return a model for mmsegmentation's registry from the parts of a network."""
    parts = copy.deepcopy(parts)
    parts["backbone"]["norm_cfg"] = BN
    for key in ("decode_head", "auxiliary_head"):
        heads = parts.get(key, [])
        for head in heads if isinstance(heads, list) else [heads]:
            head.update(norm_cfg=BN, num_classes=classes)
    return {
        "data_preprocessor": {"type": "SegDataPreProcessor", "size": (32, 32)},
        "train_cfg": {},
        "test_cfg": {"mode": "whole"},
        **parts,
        **extra,
    }
