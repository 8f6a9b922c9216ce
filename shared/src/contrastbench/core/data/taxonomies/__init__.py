"""The classes of the public data sets and their usual colours."""

from contrastbench.core.data.taxonomies.ade20k import ADE20K
from contrastbench.core.data.taxonomies.camvid import CAMVID
from contrastbench.core.data.taxonomies.cityscapes import CITYSCAPES, CITYSCAPES_TRAIN_IDS
from contrastbench.core.data.taxonomies.coco_stuff import COCO_STUFF
from contrastbench.core.data.taxonomies.coco_synsets import COCO_SYNSETS, VOC_IN_COCO
from contrastbench.core.data.taxonomies.colours import colours
from contrastbench.core.data.taxonomies.pascal_context import PASCAL_CONTEXT

__all__ = [
    "ADE20K",
    "CAMVID",
    "CITYSCAPES",
    "CITYSCAPES_TRAIN_IDS",
    "COCO_STUFF",
    "COCO_SYNSETS",
    "PASCAL_CONTEXT",
    "VOC_IN_COCO",
    "colours",
]
