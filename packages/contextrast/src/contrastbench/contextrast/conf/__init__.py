"""Hydra configuration of Contextrast."""
