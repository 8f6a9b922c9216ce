"""Embedded scenes: street-like pictures with their whole truth, drawn by a seed.

>>> from contrastbench.core.data.scenes import SceneSet, cached, draw
>>> scene = draw(SceneSet(seed=0, train=400, val=200, size=(96, 192)), "train", 0)
>>> root = cached(SceneSet(), "mmseg")  # doctest: +SKIP
"""

from contrastbench.core.data.scenes.drawing import draw
from contrastbench.core.data.scenes.export_cityscapes import export_cityscapes
from contrastbench.core.data.scenes.export_coco import export_coco
from contrastbench.core.data.scenes.export_lvis import export_lvis
from contrastbench.core.data.scenes.export_mmseg import export_mmseg
from contrastbench.core.data.scenes.export_tree import export_tree
from contrastbench.core.data.scenes.scene import DRAWING, SPLITS, Instance, Part, Scene, SceneSet
from contrastbench.core.data.scenes.storing import LAYOUTS, cached
from contrastbench.core.data.scenes.taxonomy import CLASSES, PALETTE, PARTS, THINGS, VOID, Category, fine_categories

__all__ = [
    "CLASSES",
    "DRAWING",
    "LAYOUTS",
    "PALETTE",
    "PARTS",
    "SPLITS",
    "THINGS",
    "VOID",
    "Category",
    "Instance",
    "Part",
    "Scene",
    "SceneSet",
    "cached",
    "draw",
    "export_cityscapes",
    "export_coco",
    "export_lvis",
    "export_mmseg",
    "export_tree",
    "fine_categories",
]
