"""The two fidelities: what the paper says, and what the authors' released code does where that is a choice."""

from __future__ import annotations

from typing import Any

PAPER: dict[str, Any] = {}
"""The defaults of :class:`PixelContrast` are the paper's."""

RELEASED: dict[str, Any] = {
    "memory": "none",
    "anchors": "released",
    "pairs": "all",
    "weight": 0.1,
    "temperature": 0.1,
    "base_temperature": 0.07,
    "warmup": 5000,
    "batch_norm": True,
}
"""The configuration behind the only public number of the authors' code (HRNetV2-W48, Cityscapes, 80.18)."""
