"""Hydra configuration of the dense contrastive loss."""
