"""The generic layout of mmsegmentation: ``img_dir`` and ``ann_dir``."""

from __future__ import annotations

from pathlib import Path

from contrastbench.core.data.scenes.folder import Progress, Scenes, export, write_image
from contrastbench.core.data.scenes.scene import SPLITS, SceneSet


def export_mmseg(scene_set: SceneSet, root: str | Path, progress: Progress | None = None) -> None:
    """Write ``img_dir/{train,val}/000000.png`` and ``ann_dir/{train,val}/000000.png``.

    Labels are uint8 class ids, 255 void; mmseg's ``BaseSegDataset`` reads them with ``reduce_zero_label=False``.

    Args:
        scene_set: the set.
        root: the folder to write; nothing happens when it is there already.
        progress: called with images done and images in all.

    Raises:
        InputError: ``root`` holds something else, or cannot be written.
    """
    export("mmseg", _fill, scene_set, Path(root), progress)


def _fill(folder: Path, scene_set: SceneSet, scenes: Scenes) -> None:
    for part in ("img_dir", "ann_dir"):
        for split in SPLITS:
            (folder / part / split).mkdir(parents=True)
    for split, index, scene in scenes:
        write_image(folder / "img_dir" / split / f"{index:06d}.png", scene.image)
        write_image(folder / "ann_dir" / split / f"{index:06d}.png", scene.semantic)
