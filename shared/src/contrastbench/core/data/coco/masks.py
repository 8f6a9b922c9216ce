"""Masks and their encodings: polygons, run lengths as numbers, run lengths compressed into a string."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from contrastbench.core.data.coco.run_lengths import run_lengths
from contrastbench.core.errors import InputError

Segmentation = Mapping[str, Any] | list[list[float]]
"""A mask as COCO has it: polygons ``[[x, y, x, y, ...], ...]``, or run lengths ``{"size": [H, W], "counts": ...}``
with counts a list of numbers (uncompressed) or a string (compressed)."""


def decode(segmentation: Segmentation, height: int, width: int) -> np.ndarray:
    """Return a mask as bool ``[H, W]``.

    Args:
        segmentation: in any of the three encodings.
        height: H of the image.
        width: W of the image.

    Raises:
        InputError: it is malformed, or its size is another.
    """
    # Repeating the runs takes no longer than pycocotools' decode, which warns under numpy 2 and, in older versions,
    # writes beyond the mask when the runs are too long.
    lengths = _lengths(to_rle(segmentation, height, width)["counts"], height, width)
    pixels = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return pixels.reshape(width, height).T


def encode(mask: np.ndarray) -> dict[str, Any]:
    """Return the compressed RLE of a mask, ready for JSON.

    Args:
        mask: ``[H, W]``, bool or any dtype whose non-zero pixels are the object.

    Returns:
        ``{"size": [H, W], "counts": str}``.
    """
    return as_text(_mask_api().encode(np.asfortranarray(np.asarray(mask) != 0, dtype=np.uint8)))


def encode_regions(ids: np.ndarray) -> dict[int, dict[str, Any]]:
    """Return the compressed RLE of every region of a map of ids, in one pass over it.

    Args:
        ids: ``[H, W]``, integers.

    Returns:
        By id, ascending, what :func:`encode` gives for ``ids == id``.
    """
    height, width = ids.shape
    flat = np.asarray(ids).T.ravel()
    begins = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
    ends = np.append(begins[1:], flat.size)
    order = np.argsort(flat[begins], kind="stable")
    values, first = np.unique(flat[begins][order], return_index=True)
    regions = {}
    for value, runs in zip(values.tolist(), np.split(order, first[1:]), strict=True):
        borders = np.stack([begins[runs], ends[runs]], 1).ravel()
        counts = np.diff(borders, prepend=0, append=flat.size)
        # As the COCO API has it: the background before the first run may be 0 pixels, that after the last may not.
        counts = counts if counts[-1] else counts[:-1]
        rle = {"size": [height, width], "counts": counts.tolist()}
        regions[value] = as_text(_mask_api().frPyObjects(rle, height, width))
    return regions


def to_rle(segmentation: Segmentation, height: int, width: int) -> dict[str, Any]:
    """Return a mask as compressed RLE in the form that pycocotools takes.

    Args:
        segmentation: in any of the three encodings. Polygons are filled as the COCO API fills them, and joined.
        height: H of the image.
        width: W of the image.

    Returns:
        ``{"size": [H, W], "counts": bytes}``. What is compressed already is passed on without looking into it.

    Raises:
        InputError: it is malformed, or its size is another.
    """
    wrong = problem(segmentation, height, width)
    if wrong:
        raise InputError(f"a segmentation {wrong}")
    if isinstance(segmentation, list):
        polygons = _mask_api().frPyObjects(segmentation, height, width)
        return _mask_api().merge(polygons)
    counts = segmentation["counts"]
    if isinstance(counts, (str, bytes)):
        return {"size": [height, width], "counts": counts.encode() if isinstance(counts, str) else counts}
    return _mask_api().frPyObjects({"size": [height, width], "counts": list(counts)}, height, width)


def as_text(rle: Mapping[str, Any]) -> dict[str, Any]:
    """Return a compressed RLE with plain integers as size and its counts as text, ready for JSON."""
    counts = rle["counts"]
    return {
        "size": [int(length) for length in rle["size"]],
        "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts,
    }


def problem(segmentation: object, height: int, width: int) -> str | None:
    """Return what is wrong with the form of a segmentation, or None.

    The inside of a compressed string is not looked at: :func:`run_lengths` does that for many at once.

    Args:
        segmentation: anything.
        height: H of the image.
        width: W of the image.
    """
    if isinstance(segmentation, list):
        return _polygon_problem(segmentation)
    if not isinstance(segmentation, Mapping) or "counts" not in segmentation or "size" not in segmentation:
        return "is neither a list of polygons nor run lengths with 'size' and 'counts'"
    size = segmentation["size"]
    if not isinstance(size, (list, tuple)) or len(size) != 2 or size[0] != height or size[1] != width:
        return f"has the size {size}; expected its image's [height, width], [{height}, {width}]"
    counts = segmentation["counts"]
    if isinstance(counts, str):
        return None if counts.isascii() else "has counts with characters that no run length has"
    if isinstance(counts, bytes):
        return None
    if not isinstance(counts, (list, tuple)) or not all(isinstance(count, (int, np.integer)) for count in counts):
        return "has counts that are neither a string nor a list of whole numbers"
    if any(count < 0 for count in counts) or sum(counts) != height * width:
        return unequal(sum(counts), height, width)
    return None


def unequal(pixels: int, height: int, width: int) -> str:
    """Return the complaint about run lengths that do not make up the image."""
    return (
        f"does not decode: its run lengths must not be negative and make up {height} x {width} = {height * width} "
        f"pixels, and they make {pixels}"
    )


def _polygon_problem(polygons: list[Any]) -> str | None:
    if not polygons:
        return "is an empty list; expected at least one polygon"
    for polygon in polygons:
        if not isinstance(polygon, (list, tuple)) or len(polygon) < 6 or len(polygon) % 2:
            return "has a polygon that is not a list of three or more points [x, y, x, y, x, y, ...]"
        try:
            finite = bool(np.isfinite(polygon).all())
        except TypeError:
            finite = False
        if not finite:
            return "has a polygon with coordinates that are not finite numbers"
    return None


def _lengths(counts: bytes, height: int, width: int) -> np.ndarray:
    runs = run_lengths([counts])
    if not runs.valid[0] or runs.pixels[0] != height * width:
        raise InputError(f"a segmentation {undecodable(runs.valid[0], runs.pixels[0], height, width)}")
    return runs.lengths


def undecodable(well_formed: bool, pixels: int, height: int, width: int) -> str:
    """Return the complaint about a compressed string of run lengths."""
    if not well_formed:
        return "does not decode: its counts are no compressed run lengths"
    return unequal(pixels, height, width)


def _mask_api() -> Any:
    from pycocotools import mask

    return mask
