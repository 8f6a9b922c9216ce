"""Exports kept in the cache folder, each written once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from contrastbench.core.data.cache import cache_dir
from contrastbench.core.data.scenes.export_cityscapes import export_cityscapes
from contrastbench.core.data.scenes.export_coco import export_coco
from contrastbench.core.data.scenes.export_lvis import export_lvis
from contrastbench.core.data.scenes.export_mmseg import export_mmseg
from contrastbench.core.data.scenes.export_tree import TREES, export_tree
from contrastbench.core.data.scenes.folder import Progress
from contrastbench.core.data.scenes.scene import SceneSet
from contrastbench.core.errors import unknown_name

LAYOUTS: dict[str, Callable[[SceneSet, str | Path, Progress | None], None]] = {
    "mmseg": export_mmseg,
    "cityscapes": export_cityscapes,
    "coco": export_coco,
    "lvis": export_lvis,
    **{layout: partial(export_tree, layout) for layout in TREES},
}
"""Layout names and what writes them."""


def cached(scene_set: SceneSet, layout: str, progress: Progress | None = None) -> Path:
    """Return the folder of an export in the cache, written if it is not there.

    Args:
        scene_set: the set.
        layout: one of ``LAYOUTS``.
        progress: called with images done and images in all, when it is written.

    Raises:
        InputError: there is no such layout, or the cache cannot be written.
    """
    if layout not in LAYOUTS:
        raise unknown_name("layout of scenes", layout, LAYOUTS)
    root = cache_dir() / "scenes" / f"{layout}-{scene_set.identity}"
    LAYOUTS[layout](scene_set, root, progress)
    return root
