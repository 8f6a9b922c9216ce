"""From a set, a split and an index to a scene."""

from __future__ import annotations

import numpy as np

from contrastbench.core.data.scenes.canvas import Canvas
from contrastbench.core.data.scenes.layout import Composer
from contrastbench.core.data.scenes.scene import SPLITS, Instance, Part, Scene, SceneSet
from contrastbench.core.data.scenes.weather import develop, draw_weather
from contrastbench.core.errors import InputError


def draw(scene_set: SceneSet, split: str, index: int) -> Scene:
    """Draw a scene; ``(seed, split, index)`` and the size decide it, and nothing else.

    Args:
        scene_set: the set.
        split: ``train`` or ``val``.
        index: from 0 to the split's number of scenes.

    Raises:
        InputError: there is no such split or index.
    """
    count = scene_set.count(split)
    if not 0 <= index < count:
        raise InputError(f"scenes: {split} has {count} images, numbered from 0; there is no image {index}")
    stem = np.random.SeedSequence([scene_set.seed, SPLITS.index(split), index])
    composition, grain = (np.random.default_rng(child) for child in stem.spawn(2))
    canvas = Canvas(scene_set.size)
    weather = draw_weather(composition)
    Composer(canvas, weather, composition).paint()
    return _read(canvas, develop(canvas, weather, grain))


def _read(canvas: Canvas, image: np.ndarray) -> Scene:
    """Read the truth off a canvas; objects and parts of which nothing is seen are dropped."""
    classes = np.asarray(canvas.classes, np.uint8)
    objects = np.asarray(canvas.objects, np.int32)
    parts = np.asarray(canvas.part_ids, np.int32)
    instance, shown = _compact(objects[canvas.named], len(canvas.kinds))
    part_map, shown_parts = _compact(parts[canvas.named], len(canvas.part_names))
    owned: dict[int, list[Part]] = {}
    boxes, areas = _extents(part_map, len(shown_parts))
    for new, old in enumerate(shown_parts, 1):
        owner, name = canvas.part_names[old - 1]
        owned.setdefault(owner, []).append(Part(new, name, boxes[new - 1], areas[new - 1]))
    boxes, areas = _extents(instance, len(shown))
    instances = []
    for new, old in enumerate(shown, 1):
        class_id, kind = canvas.kinds[old - 1]
        instances.append(Instance(new, class_id, kind, boxes[new - 1], areas[new - 1], tuple(owned.get(old, ()))))
    return Scene(image, classes[canvas.named], instance, part_map, tuple(instances))


def _compact(ids: np.ndarray, count: int) -> tuple[np.ndarray, list[int]]:
    """Renumber the ids that occur to 1, 2, ... in their order; also return the old ids of the new."""
    present = np.bincount(ids.ravel(), minlength=count + 1) > 0
    present[0] = False
    table = np.where(present, np.cumsum(present), 0).astype(np.int32)
    return table[ids], np.flatnonzero(present).tolist()


def _extents(ids: np.ndarray, count: int) -> tuple[list[tuple[int, int, int, int]], list[int]]:
    """Boxes (left, top, width, height) and areas of the ids 1 to ``count`` of a map."""
    rows, columns = np.nonzero(ids)
    values = ids[rows, columns] - 1
    areas = np.bincount(values, minlength=count)
    low = np.full((2, count), np.iinfo(np.int64).max)
    high = np.zeros((2, count), np.int64)
    for axis, place in enumerate((columns, rows)):
        np.minimum.at(low[axis], values, place)
        np.maximum.at(high[axis], values, place)
    span = high - low + 1
    boxes = [tuple(int(v) for v in box) for box in np.concatenate([low, span]).T]
    return boxes, areas.tolist()  # type: ignore[return-value]
