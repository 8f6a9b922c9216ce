"""Feature pictures: pixel features of foreground and background side by side (Figure 4 of the DCL paper)."""

from contrastbench.dcl.features.sampling import sample_pixels
from contrastbench.dcl.features.tsne import silhouette, tsne_picture

__all__ = ["sample_pixels", "silhouette", "tsne_picture"]
