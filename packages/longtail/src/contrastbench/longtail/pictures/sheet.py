"""The contact sheet: masks of each discovered cluster on their crops (the paper's Figures 4 and 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contrastbench.core.errors import InputError
from contrastbench.core.figures import new_figure, write_figure
from contrastbench.longtail.pictures.names import NEEDS, NOVEL_NAME

_MARK = (214, 39, 40)


@dataclass(frozen=True)
class Discovered:
    """A cluster for the contact sheet.

    Args:
        label: the name of its category; None for a novel one.
        crops: of its members, each ``[h, w, 3]`` (uint8, RGB), those to be shown first.
        masks: of the same, each ``[h, w]`` (bool).
        members: how many it has, if more than are shown.
    """

    label: str | None
    crops: Sequence[np.ndarray]
    masks: Sequence[np.ndarray]
    members: int | None = None


def crop_around(image: np.ndarray, mask: np.ndarray, context: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Return the square around a mask from an image, and the mask in it.

    Args:
        image: ``[H, W, 3]`` (uint8, RGB).
        mask: ``[H, W]`` (bool), not empty.
        context: how much wider than the mask's box the square is, as a share of its longer side, on each side.

    Returns:
        ``[s, s, 3]`` (uint8) and ``[s, s]`` (bool). White and False where the square leaves the image.

    Raises:
        InputError: shapes that do not fit together, or an empty mask.
    """
    if image.ndim != 3 or image.shape[2] != 3 or mask.shape != image.shape[:2] or mask.dtype != bool:
        raise InputError(
            f"the image is {list(image.shape)} and the mask {mask.dtype} {list(mask.shape)}; expected [H, W, 3] and "
            "bool [H, W]"
        )
    if not mask.any():
        raise InputError("the mask is empty, so there is nothing to crop; leave it out")
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    longer = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    side = longer + 2 * max(1, round(context * longer))
    top, left = (rows[0] + rows[-1] + 1 - side) // 2, (columns[0] + columns[-1] + 1 - side) // 2
    room = ((max(-top, 0), max(top + side - mask.shape[0], 0)), (max(-left, 0), max(left + side - mask.shape[1], 0)))
    inside = slice(max(top, 0), top + side), slice(max(left, 0), left + side)
    return np.pad(image[inside], (*room, (0, 0)), constant_values=255), np.pad(mask[inside], room)


def marked(crop: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return a crop with its mask: what is outside pale and grey, its border red, ``[h, w, 3]`` (uint8)."""
    pale = 160 + crop.mean(2, keepdims=True) * (95 / 255)
    shown = np.where(mask[..., None], crop, pale).astype(np.uint8)
    around = np.pad(mask, 1)
    neighbours = [around[1:-1, :-2], around[1:-1, 2:], around[:-2, 1:-1], around[2:, 1:-1]]
    shown[~mask & np.any(neighbours, 0)] = _MARK
    return shown


def contact_sheet(clusters: Sequence[Discovered], path: str | Path, columns: int = 8) -> None:
    """Draw the masks of discovered clusters on their crops, a row for each cluster with its label or "novel".

    Args:
        clusters: in the order of the rows.
        path: file to write; its ending says the format (.png, .pdf, .svg).
        columns: masks that are shown of a cluster, the first ones.

    Raises:
        InputError: no cluster, one without a member or whose crops and masks do not fit, or no matplotlib.
    """
    if not clusters:
        raise InputError("there is no cluster to draw; give at least one")
    for place, cluster in enumerate(clusters):
        _check(cluster, place)
    columns = min(columns, max(len(cluster.crops) for cluster in clusters))
    figure = new_figure((1.6 + 1.1 * columns, 1.15 * len(clusters)), NEEDS, layout=None)
    axes = figure.subplots(len(clusters), columns + 1, squeeze=False, width_ratios=[1.4, *[1] * columns])
    figure.subplots_adjust(left=0, right=1 - 0.05 / columns, bottom=0, top=1, wspace=0.08, hspace=0.08)
    for line, cluster in zip(axes, clusters, strict=True):
        for axis in line:
            axis.axis("off")
        named = {"fontweight": "bold"} if cluster.label is not None else {"fontstyle": "italic", "color": "#666666"}
        members = len(cluster.crops) if cluster.members is None else cluster.members
        line[0].text(1, 0.55, _wrapped(cluster.label or NOVEL_NAME), ha="right", va="center", fontsize=9, **named)
        line[0].text(1, 0.12, _counted(members), ha="right", va="center", fontsize=7, color="#666666")
        for axis, crop, mask in zip(line[1:], cluster.crops, cluster.masks, strict=False):
            axis.imshow(marked(crop, mask), interpolation="nearest" if max(mask.shape) < 64 else "antialiased")
    write_figure(figure, path)


def _check(cluster: Discovered, place: int) -> None:
    if not len(cluster.crops) or len(cluster.crops) != len(cluster.masks):
        raise InputError(
            f"cluster {place} has {len(cluster.crops)} crops and {len(cluster.masks)} masks; expected as many of each, "
            "and at least one"
        )
    for crop, mask in zip(cluster.crops, cluster.masks, strict=True):
        if crop.dtype != np.uint8 or mask.dtype != bool or crop.shape != (*mask.shape, 3):
            raise InputError(
                f"cluster {place} has a crop {crop.dtype} {list(crop.shape)} and its mask {mask.dtype} "
                f"{list(mask.shape)}; expected uint8 [h, w, 3] and bool [h, w]"
            )


def _wrapped(label: str, width: int = 14) -> str:
    """Return a label in lines of about so many letters."""
    lines = [""]
    for word in label.replace("_", " ").split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def _counted(members: int) -> str:
    return f"{members:,} mask{'' if members == 1 else 's'}"
