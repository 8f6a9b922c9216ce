"""Unsupervised discovery of the long tail in instance segmentation (Weng et al., CVPR 2021)."""
