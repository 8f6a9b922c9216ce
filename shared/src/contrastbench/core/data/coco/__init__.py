"""Annotated instances and results in COCO's form: read, checked, decoded, resized.

>>> import numpy as np
>>> mask = np.zeros((3, 4), bool)
>>> mask[1:, 2:] = True
>>> encode(mask)
{'size': [3, 4], 'counts': '7210'}
"""

from contrastbench.core.data.coco.ground_truth import image_sizes, read_ground_truth
from contrastbench.core.data.coco.lvis import lvis_version, require_lvis
from contrastbench.core.data.coco.masks import Segmentation, decode, encode, encode_regions, to_rle
from contrastbench.core.data.coco.resizing import resize_mask, resized
from contrastbench.core.data.coco.restricting import restricted, restricted_results
from contrastbench.core.data.coco.results import read_results

__all__ = [
    "Segmentation",
    "decode",
    "encode",
    "encode_regions",
    "image_sizes",
    "lvis_version",
    "read_ground_truth",
    "read_results",
    "require_lvis",
    "resize_mask",
    "resized",
    "restricted",
    "restricted_results",
    "to_rle",
]
