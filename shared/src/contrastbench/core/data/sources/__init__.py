"""Labelled images for semantic segmentation, as lists of files with what they mean.

>>> source = open_source({"name": "camvid", "root": "/data/camvid"})  # doctest: +SKIP
>>> len(source.train), source.classes[0]  # doctest: +SKIP
(367, 'sky')
"""

from contrastbench.core.data.sources.drawn import scenes
from contrastbench.core.data.sources.everyday import ade20k, coco_stuff10k, pascal_context
from contrastbench.core.data.sources.folders import folder
from contrastbench.core.data.sources.opening import SOURCES, open_source
from contrastbench.core.data.sources.source import Colour, Pair, SegmentationSource
from contrastbench.core.data.sources.streets import camvid, cityscapes

__all__ = [
    "SOURCES",
    "Colour",
    "Pair",
    "SegmentationSource",
    "ade20k",
    "camvid",
    "cityscapes",
    "coco_stuff10k",
    "folder",
    "open_source",
    "pascal_context",
    "scenes",
]
