"""Sums and means of embeddings by image and class: region pooling."""

from contrastbench.core.ops.class_means.api import ClassMeans, ClassSums, class_means, class_sums

__all__ = ["ClassMeans", "ClassSums", "class_means", "class_sums"]
