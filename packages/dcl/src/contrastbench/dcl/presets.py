"""What the paper and its released code set, by fidelity and by setting. All are options of :class:`DenseContrast`.

A setting and a fidelity combine: ``DenseContrast(256, **PAPER, **COCO)``.
"""

from __future__ import annotations

from typing import Any

PAPER: dict[str, Any] = {"replacement": False}
"""Pixels "sampled without repetition" (section 5.1, Number of Samples). The other defaults are the paper's."""

RELEASED: dict[str, Any] = {"replacement": True, "strict": True, "max_rois": 400}
"""What the authors' released code does where that is a choice.

It takes the first 100 RoIs of each GPU, at two images a GPU. Here the cap is on the global batch (8 images on
Cityscapes), and the RoIs are drawn at random; for another batch size, set 50 an image.
"""

CITYSCAPES: dict[str, Any] = {"weight": 1.2}
"""Mask R-CNN from ImageNet weights on Cityscapes (section 5.1, Table 1; the released configuration agrees)."""

CITYSCAPES_FROM_COCO: dict[str, Any] = {"weight": 1.6}
"""The same from COCO weights (Table 5). The weight stands in the released configuration only, not in the paper."""

COCO: dict[str, Any] = {"weight": 0.1}
"""Mask R-CNN on COCO (Tables 6 and 7). The weight stands in the released configuration only, not in the main text."""

REFINEMASK: dict[str, Any] = {"weight": 1.0}
"""RefineMask on Cityscapes (Table 5): what the released code's notes say that the paper used."""

REFINEMASK_RELEASED: dict[str, Any] = {"weight": 1.4}
"""RefineMask on Cityscapes: what the released configuration sets."""
