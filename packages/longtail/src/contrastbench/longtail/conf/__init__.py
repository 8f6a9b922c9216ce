"""Hydra configuration of long-tail discovery."""
