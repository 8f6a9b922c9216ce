"""The two fidelities: what the paper says, and what the authors' released code does where that is a choice."""

from __future__ import annotations

from typing import Any

PAPER: dict[str, dict[str, Any]] = {}
"""The defaults of each part are the paper's."""

RELEASED: dict[str, dict[str, Any]] = {
    "crops": {"normalise": False, "channels": "bgr"},
    "embedding": {"hidden": [256], "ball_dim": 256, "initial": 1e-4, "freeze_encoder": True},
    "triplets": {
        "mask_proposals": 10,
        "positives": None,
        "negatives": 1,
        "disjoint": False,
        "containment": 1.0,
        "area_ratio": 1.0,
        "children": None,
    },
    "losses": {"mask_weight": 1.0, "object_weight": 1.0, "hierarchical_weight": 1.0, "reduction": "sum"},
}
"""By part: arguments of Crops, MaskEmbedding, TripletSampler and TripletLoss.

Not taken over are its errors: the crash on an image with fewer than ten proposals, and in its Euclidean variant the
norm over a whole tensor and the hyperbolic distance that stays in the hierarchical loss. That a pair has one negative
comes of an off-by-one where three were meant; its effect is what the preset has.
"""
