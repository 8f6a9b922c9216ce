"""Writing an export: a folder that is there whole, or not at all."""

from __future__ import annotations

import json
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from contrastbench.core.data.scenes.drawing import draw
from contrastbench.core.data.scenes.scene import SPLITS, Scene, SceneSet
from contrastbench.core.errors import InputError

Progress = Callable[[int, int], None]
Scenes = Iterator[tuple[str, int, Scene]]
Fill = Callable[[Path, SceneSet, Scenes], None]

_MARKER = "scenes.json"
_STALE = 24 * 3600


def export(layout: str, fill: Fill, scene_set: SceneSet, root: Path, progress: Progress | None) -> None:
    """Write a set in some layout into ``root``, unless it is there already.

    It is built in a folder beside ``root`` and renamed when whole. Of two processes that write the same at once
    both succeed and one's work is kept.

    Args:
        layout: the layout's name.
        fill: writes the scenes, handed to it in order, into a folder.
        scene_set: the set.
        root: the folder; its parents are made.
        progress: called with images done and images in all.

    Raises:
        InputError: ``root`` holds something else, or cannot be written.
    """
    if is_complete(layout, scene_set, root):
        return
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise InputError(
            f"'{root}' exists and is not the {layout} export of this set of scenes; remove it or name another folder"
        )
    building = root.with_name(f".{root.name}.{uuid.uuid4().hex[:12]}.part")
    try:
        _sweep(root)
        building.mkdir(parents=True)
        fill(building, scene_set, _scenes(scene_set, progress))
        write_json(building / _MARKER, _marker(layout, scene_set))
        _move(building, root, lambda: is_complete(layout, scene_set, root))
    except OSError as error:
        raise InputError(
            f"cannot write the {layout} export of the scenes to '{root}' ({error.strerror or error}); "
            "free the folder or its disk, or name another"
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def is_complete(layout: str, scene_set: SceneSet, root: Path) -> bool:
    """Whether ``root`` is the whole export of this set in this layout."""
    try:
        return json.loads((root / _MARKER).read_text()) == _marker(layout, scene_set)
    except (OSError, ValueError):
        return False


def write_image(path: Path, image: np.ndarray) -> None:
    """Write a PNG: uint8 RGB ``[H, W, 3]``, or uint8 or uint16 ``[H, W]``."""
    pixels = image[..., ::-1] if image.ndim == 3 else image
    done, data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise ValueError(f"cannot encode an image of shape {image.shape} and type {image.dtype} as PNG")
    path.write_bytes(data.tobytes())


def write_json(path: Path, content: object) -> None:
    """Write JSON, the same bytes for the same content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, sort_keys=True, separators=(",", ":")))


def _marker(layout: str, scene_set: SceneSet) -> dict[str, object]:
    return {
        "identity": scene_set.identity,
        "layout": layout,
        "seed": scene_set.seed,
        "size": list(scene_set.size),
        "train": scene_set.train,
        "val": scene_set.val,
    }


def _scenes(scene_set: SceneSet, progress: Progress | None) -> Scenes:
    total = sum(scene_set.count(split) for split in SPLITS)
    done = 0
    for split in SPLITS:
        for index in range(scene_set.count(split)):
            yield split, index, draw(scene_set, split, index)
            done += 1
            if progress:
                progress(done, total)


def _move(building: Path, root: Path, won_by_another: Callable[[], bool]) -> None:
    try:
        building.replace(root)
    except OSError:
        if not won_by_another():
            raise


def _sweep(root: Path) -> None:
    """Remove what killed exports left beside ``root`` more than a day ago."""
    if not root.parent.is_dir():
        return
    for leftover in root.parent.glob(f".{root.name}.*.part"):
        try:
            if time.time() - leftover.stat().st_mtime > _STALE:
                shutil.rmtree(leftover, ignore_errors=True)
        except FileNotFoundError:
            continue
