"""Average precision of instance masks, as the COCO API, as Cityscapes and as the LVIS API compute it.

They differ by points on the same results: never compare one with the other.
"""

from contrastbench.core.metrics.mask_ap.cityscapes_ap import CityscapesAP
from contrastbench.core.metrics.mask_ap.coco_ap import CocoAP
from contrastbench.core.metrics.mask_ap.lvis_ap import LvisAP
from contrastbench.core.metrics.mask_ap.occluded_ap import OccludedAP
from contrastbench.core.metrics.mask_ap.outside import Outside

__all__ = ["CityscapesAP", "CocoAP", "LvisAP", "OccludedAP", "Outside"]
