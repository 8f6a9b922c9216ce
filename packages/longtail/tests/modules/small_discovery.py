"""A discovery that runs end to end in seconds."""

from __future__ import annotations

from typing import Any

NETWORK: dict[str, Any] = {
    "backbone": "resnet10",
    "width": 8,
    "fpn_channels": 16,
    "anchor_sizes": [8, 16, 24, 32, 64],
    "box_features": 32,
    "mask_channels": [16],
    "mask_features": 12,
    "rpn_batch_size_per_image": 32,
    "box_batch_size_per_image": 16,
    "box_detections_per_img": 10,
}


def options(**change: Any) -> dict[str, Any]:
    """Return arguments of ``Discovery``."""
    return {
        "network": NETWORK,
        "data": {"name": "scenes", "layout": "lvis", "train": 6, "val": 4, "size": [64, 128]},
        "schedule": {"iterations": 3, "batch_size": 2, "optimizer": {"type": "AdamW", "lr": 0.002}},
        "known": {"frequency": "f", "without": ["part"]},
        "proposals": {"keep": 12},
        "encoder": {"width": 4},
        "crops": {"size": 16, "samples": 1},
        "training": {"iterations": 3, "batch_size": 2, "checkpoint_every": 1},
        "clustering": {"k": 8},
        "labels": {"anchors": 2},
        "threads": 1,
        "device": "cpu",
        **change,
    }
