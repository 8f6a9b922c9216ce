"""Supervised InfoNCE against keys that are stored by class, without the similarity matrix."""

from contrastbench.core.ops.class_infonce.api import negative_logsumexp, positive_terms

__all__ = ["negative_logsumexp", "positive_terms"]
