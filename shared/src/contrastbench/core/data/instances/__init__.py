"""Images with annotated instances: COCO, Cityscapes, a folder of one's own, and the embedded scenes.

>>> source = open_instances({"name": "folder", "root": "/data/pennfudan"})  # doctest: +SKIP
>>> source.classes, len(source.train["images"])  # doctest: +SKIP
(('person',), 50)
"""

from contrastbench.core.data.instances.cityscapes import cityscapes
from contrastbench.core.data.instances.coco import coco
from contrastbench.core.data.instances.drawn import scenes
from contrastbench.core.data.instances.folder import folder
from contrastbench.core.data.instances.occlusion import occluded
from contrastbench.core.data.instances.opening import SOURCES, open_instances
from contrastbench.core.data.instances.restriction import one_class, select_categories, with_categories
from contrastbench.core.data.instances.source import SPLITS, InstanceSource
from contrastbench.core.data.instances.verify import verify_instances

__all__ = [
    "SOURCES",
    "SPLITS",
    "InstanceSource",
    "cityscapes",
    "coco",
    "folder",
    "occluded",
    "one_class",
    "open_instances",
    "scenes",
    "select_categories",
    "verify_instances",
    "with_categories",
]
