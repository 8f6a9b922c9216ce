"""The Poincare disc with embedded masks, parents joined to their children."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from contrastbench.core.errors import InputError
from contrastbench.core.figures import new_figure, write_figure
from contrastbench.longtail.geometry.ball import geodesic, logmap0
from contrastbench.longtail.geometry.checks import check_points
from contrastbench.longtail.pictures.names import NEEDS, NOVEL_NAME

_GREY = "#9a9a9a"
_PALETTE = (
    *("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#bcbd22", "#17becf"),
    *("#aec7e8", "#ffbb78", "#98df8a"),
)


def to_disc(points: Tensor, c: float = 1.0) -> Tensor:
    """Return points of a ball of any dimension as points of the disc, each as far from the origin as it was.

    Directions are those of the first two principal axes, about the origin, of the logarithmic map at the origin; the
    distance to the origin is kept, that between two points is not. In two dimensions the points are returned as they
    are.

    Args:
        points: ``[n, D]``, inside the ball, D of 2 or more.
        c: minus the curvature.

    Returns:
        ``[n, 2]`` (float64), inside the disc of radius 1.

    Raises:
        InputError: points that are not finite or not inside the ball, or of less than two dimensions.
    """
    check_points(points, "points", c)
    if points.shape[1] < 2:
        raise InputError(f"points are {list(points.shape)}; a disc needs [n, D] with D of 2 or more")
    points = points.detach().cpu().double() * math.sqrt(c)
    if points.shape[1] == 2:
        return points
    flat = logmap0(points)
    axes = torch.linalg.svd(flat, full_matrices=False).Vh[:2]
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))  # the sign of an axis is arbitrary: settle it
    seen = flat @ (axes * largest.sign()).T
    if seen.shape[1] < 2:  # a single point has one axis
        seen = torch.nn.functional.pad(seen, (0, 1))
    lengths = torch.linalg.vector_norm(seen, dim=1, keepdim=True)
    direction = torch.where(lengths > 0, seen / lengths.clamp_min(1e-300), seen.new_tensor([1.0, 0.0]))
    return direction * torch.linalg.vector_norm(points, dim=1, keepdim=True)


def disc_picture(
    points: Tensor,
    labels: Sequence[str | None],
    path: str | Path,
    *,
    edges: Sequence[tuple[int, int]] = (),
    thumbnails: Mapping[int, np.ndarray] | None = None,
    c: float = 1.0,
) -> float | None:
    """Draw the Poincare disc with embedded masks, and the geodesics from parents to their children.

    Circles are 1, 2, 3, ... from the origin, in the unit of the ball of curvature -1. Points of more than two
    dimensions are brought to the disc by :func:`to_disc`, and the picture says so.

    Args:
        points: ``[n, D]``, embedded masks, inside the ball.
        labels: of each point, its category's name; None for a novel one. The 12 most frequent have a colour.
        path: file to write; its ending says the format (.png, .pdf, .svg).
        edges: pairs of a parent and its child, as places in ``points``.
        thumbnails: by place in ``points``, a small picture of that mask ``[h, w, 3]`` (uint8, RGB).
        c: minus the curvature.

    Returns:
        The share of edges whose child is further from the origin than its parent, which the title names; None
        without edges.

    Raises:
        InputError: points that are not in the ball, labels, edges or thumbnails that do not fit them, or no
            matplotlib.
    """
    disc = to_disc(points, c)
    _check_places(len(disc), labels, edges, thumbnails or {})
    share = _outward(disc, edges)
    figure = new_figure((7.6, 6.4), NEEDS, layout=None)
    axis = figure.add_axes((0.01, 0.01, 0.78, 0.91))
    axis.set_aspect("equal")
    axis.axis("off")
    _draw_circles(axis)
    for parent, child in edges:
        along = geodesic(disc[parent], disc[child], torch.linspace(0, 1, 33, dtype=torch.float64)[:, None])
        axis.plot(along[:, 0], along[:, 1], color="#555555", linewidth=0.5, alpha=0.5, zorder=1)
    parents = {parent for parent, _ in edges}
    frequent = Counter(label for label in labels if label is not None).most_common(len(_PALETTE))
    colours = {label: colour for (label, _), colour in zip(frequent, _PALETTE, strict=False)}
    groups: dict[str, list[int]] = {}
    for place, label in enumerate(labels):
        groups.setdefault(NOVEL_NAME if label is None else label if label in colours else "other", []).append(place)
    for name in [*colours, *(name for name in ("other", NOVEL_NAME) if name in groups)]:
        sizes = [26 if place in parents else 9 for place in groups[name]]
        style = {"facecolors": "none", "edgecolors": _GREY} if name == NOVEL_NAME else {"c": colours.get(name, _GREY)}
        own = disc[groups[name]]
        axis.scatter(
            own[:, 0],
            own[:, 1],
            s=sizes,
            linewidths=0.6,
            label=f"{name.replace('_', ' ')} ({len(own)})",
            zorder=2,
            **style,
        )
    for place, picture in sorted((thumbnails or {}).items()):
        _place_thumbnail(axis, (float(disc[place, 0]), float(disc[place, 1])), picture)
    figure.suptitle("\n".join(_titles(points, edges, share)), fontsize=9)
    if labels:
        figure.legend(loc="upper right", bbox_to_anchor=(1, 0.93), fontsize=7, frameon=False)
    write_figure(figure, path)
    return share


def _titles(points: Tensor, edges: Sequence[tuple[int, int]], share: float | None) -> list[str]:
    lines = []
    if share is not None:
        lines.append(f"{100 * share:.0f} % of {len(edges)} children are further from the origin than their parents")
    if points.shape[1] > 2:
        lines.append(
            f"from {points.shape[1]} dimensions: directions by principal axes of the logarithmic map, distance to the "
            "origin kept"
        )
    return lines


def _outward(disc: Tensor, edges: Sequence[tuple[int, int]]) -> float | None:
    if not edges:
        return None
    radius = torch.linalg.vector_norm(disc, dim=1)
    parent, child = torch.tensor(list(edges), dtype=torch.int64).T
    return float((radius[child] > radius[parent]).double().mean())


def _draw_circles(axis: Any) -> None:
    from matplotlib.patches import Circle

    axis.add_patch(Circle((0, 0), 1, facecolor="#fafafa", edgecolor="black", linewidth=1, zorder=0))
    for distance in range(1, 7):
        radius = math.tanh(distance / 2)
        axis.add_patch(Circle((0, 0), radius, fill=False, edgecolor="#dddddd", linewidth=0.6, zorder=0))
    axis.plot(0, 0, marker="+", color="black", markersize=8, zorder=3)
    axis.set(xlim=(-1.03, 1.03), ylim=(-1.03, 1.03))


def _place_thumbnail(axis: Any, at: tuple[float, float], picture: np.ndarray) -> None:
    """Draw a picture beside its point, towards the origin: most points are near the rim, and the middle is empty."""
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    radius = math.hypot(*at)
    inwards = (-34 * at[0] / radius, -34 * at[1] / radius) if radius > 0.3 else (0.0, 34.0)
    image = OffsetImage(picture, zoom=22 / max(picture.shape[:2]))
    line = {"arrowstyle": "-", "linewidth": 0.5, "color": "#333333"}
    box = AnnotationBbox(image, at, xybox=inwards, boxcoords="offset points", pad=0.1, arrowprops=line, zorder=4)
    box.patch.set(edgecolor="#333333", linewidth=0.5)
    axis.add_artist(box)


def _check_places(
    n: int, labels: Sequence[str | None], edges: Sequence[tuple[int, int]], thumbnails: Mapping[int, np.ndarray]
) -> None:
    if len(labels) != n:
        raise InputError(f"there are {len(labels)} labels for {n} points; expected one for each, None where novel")
    for place in (*(end for edge in edges for end in edge), *thumbnails):
        if not 0 <= place < n:
            raise InputError(f"an edge or a thumbnail names point {place}; there are {n} points, from 0")
