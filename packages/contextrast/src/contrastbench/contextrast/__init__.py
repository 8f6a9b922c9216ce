"""Contextrast: contextual contrastive learning for semantic segmentation (Sung et al., CVPR 2024)."""

from contrastbench.contextrast.objective import Contextrast

__all__ = ["Contextrast"]
