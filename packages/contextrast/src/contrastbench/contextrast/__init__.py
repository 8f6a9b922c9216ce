"""Contextrast: contextual contrastive learning for semantic segmentation (Sung et al., CVPR 2024)."""
