"""Checking the segmentations of many entries, without decoding a mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from contrastbench.core.data.coco.entries import Entries, Progress
from contrastbench.core.data.coco.masks import problem, undecodable
from contrastbench.core.data.coco.run_lengths import run_lengths

_AT_ONCE = 8192  # masks; a few hundred bytes each
_ADVICE = "encode the mask again at the size of its image"


def check_segmentations(
    entries: Entries,
    sizes: Sequence[tuple[int, int]],
    progress: Progress | None = None,
    key: str = "segmentation",
) -> None:
    """Check that every entry has a segmentation that decodes to a mask of its image's size.

    Args:
        entries: annotations or results.
        sizes: height and width of the image of each.
        progress: called with entries done and entries in all.
        key: where each has it.

    Raises:
        InputError: one has none, or one that does not decode, or one of another size.
    """
    segmentations = entries.column(key, "polygons or run lengths", lambda value: value is not None)
    total = len(segmentations)
    for begin in range(0, total, _AT_ONCE):
        end = min(begin + _AT_ONCE, total)
        compressed: list[int] = []
        for index in range(begin, end):
            wrong = problem(segmentations[index], *sizes[index])
            if wrong:
                raise entries.error(index, f"has a {key} that {wrong}; {_ADVICE}")
            if is_compressed(segmentations[index]):
                compressed.append(index)
        undecoded = _first_undecodable([segmentations[i]["counts"] for i in compressed], [sizes[i] for i in compressed])
        if undecoded:
            raise entries.error(compressed[undecoded[0]], f"has a {key} that {undecoded[1]}; {_ADVICE}")
        if progress is not None:
            progress(end, total)


def is_compressed(segmentation: Any) -> bool:
    """Whether a well-formed segmentation is compressed run lengths."""
    return not isinstance(segmentation, list) and isinstance(segmentation["counts"], (str, bytes))


def _first_undecodable(counts: list[str | bytes], sizes: list[tuple[int, int]]) -> tuple[int, str] | None:
    """Return the place of the first compressed string that does not make up its image, and the complaint."""
    runs = run_lengths([count.encode() if isinstance(count, str) else count for count in counts])
    expected = np.array([height * width for height, width in sizes], np.int64)
    wrong = np.flatnonzero(~runs.valid | (runs.pixels != expected))
    if not len(wrong):
        return None
    first = int(wrong[0])
    return first, undecodable(bool(runs.valid[first]), int(runs.pixels[first]), *sizes[first])
