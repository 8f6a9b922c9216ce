"""Unsupervised discovery of the long tail in instance segmentation (Weng et al., CVPR 2021)."""

from contrastbench.longtail.crops import Crops, Parts
from contrastbench.longtail.embedding import MaskEmbedding
from contrastbench.longtail.kmeans import Clusters, HyperbolicKMeans
from contrastbench.longtail.labels import anchor_distances, assign_labels
from contrastbench.longtail.losses import TripletLoss
from contrastbench.longtail.overlaps import mask_intersections, rle_intersections
from contrastbench.longtail.presets import PAPER, RELEASED
from contrastbench.longtail.store import Proposals, ProposalStore, fingerprint
from contrastbench.longtail.triplets import Triplets, TripletSampler

__all__ = [
    "PAPER",
    "RELEASED",
    "Clusters",
    "Crops",
    "HyperbolicKMeans",
    "MaskEmbedding",
    "Parts",
    "ProposalStore",
    "Proposals",
    "TripletLoss",
    "TripletSampler",
    "Triplets",
    "anchor_distances",
    "assign_labels",
    "fingerprint",
    "mask_intersections",
    "rle_intersections",
]
