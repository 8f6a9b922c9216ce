"""A picture of boundary-aware sampling on one image: prediction, error map, distance map, chosen negatives.

The panels of the paper's Figure 3. Needs matplotlib (the extra ``pictures``).
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from contrastbench.contextrast.bane import distance_map, error_map, nearest_to_edge
from contrastbench.contextrast.labels import at_size
from contrastbench.core.draws import image_draws
from contrastbench.core.errors import InputError
from contrastbench.core.figures import new_figure, write_figure

_IGNORED = (235, 235, 235)
_CHOSEN = (214, 39, 40)
_LEFT = (255, 187, 120)


@dataclass(frozen=True)
class StageSummary:
    """What a stage's row shows: shares in per cent of the pixels that count, at the layer's resolution."""

    errors: float
    chosen: float
    mean_distance: float
    """Of erroneous pixels to the edge of their region, in pixels of the layer; 0 without errors."""


def bane_picture(
    image: np.ndarray | Tensor,
    labels: np.ndarray | Tensor,
    stages: Mapping[str, np.ndarray | Tensor],
    path: str | Path,
    *,
    percent: float = 50,
    stride: int = 4,
    anchor: int | None = None,
    ignore_index: int = 255,
    classes: Sequence[str] = (),
    palette: Sequence[Sequence[int]] = (),
    seed: int = 0,
) -> dict[str, StageSummary]:
    """Draw what BANE samples in one image at each stage of a training, and write it to a file.

    The first row is the image and its truth. Then comes a row for each stage: the prediction; the error maps of all
    classes in one, coloured by the truth; each erroneous pixel's distance to the edge of its region; and, on the
    dimmed image, the pixels that are chosen as negatives (red) among the errors (light).

    Args:
        image: ``[H, W, 3]`` (uint8, RGB).
        labels: ``[H, W]`` (integer), the truth.
        stages: the prediction ``[H, W]`` (integer) at each stage, in the order of the rows ("before", "after").
        path: file to write; its ending says the format (.png, .pdf, .svg).
        percent: [K], of the errors of each class that are chosen.
        stride: of the layer that is shown; labels and predictions are brought to it by the nearest pixel.
        anchor: show the negatives of this class's anchor alone, which are the chosen errors of other classes; None
            for those of all classes.
        ignore_index: label of pixels that count for nothing. They are drawn in light grey.
        classes: names, by class, for the legend; none for no legend.
        palette: colours (R, G, B from 0 to 255) by class; none for colours of its own.
        seed: of the draws that break ties.

    Returns:
        For each stage, how much is wrong and how much is chosen.

    Raises:
        InputError: shapes that do not fit together, no stage, a stride or an anchor that does not exist, no
            matplotlib, or a file that cannot be written.
    """
    photo, truth = np.asarray(image), torch.as_tensor(labels).long()
    predictions = {name: torch.as_tensor(prediction).long() for name, prediction in stages.items()}
    _check(photo, truth, predictions, stride)
    size = (-(-truth.shape[0] // stride), -(-truth.shape[1] // stride))
    near = at_size(truth[None], size)[0]
    near = torch.where((near == ignore_index) | (near < 0), -1, near)
    present = near[near >= 0].unique().tolist()
    if anchor is not None and anchor not in present:
        raise InputError(f"anchor {anchor} is not in the image at stride {stride}; there are {present}")
    draws = image_draws(size, seed, 0, torch.zeros(1, dtype=torch.int64))[0]
    sampled = {
        name: _sample(near, at_size(p[None], size)[0], draws, percent, anchor) for name, p in predictions.items()
    }

    colours = _colours(1 + max([0, *present, *(int(stage.prediction.max()) for stage in sampled.values())]), palette)
    # One scale of distances for all stages, or a row could not be compared with the next.
    furthest = max([1.0, *(float(stage.finite.max(initial=0)) for stage in sampled.values())])
    figure, axes = _grid(len(stages))
    _show(axes[0][0], photo, "image")
    _show(axes[0][1], _painted(near, colours), "truth")
    for axis in axes[0][2:]:
        axis.axis("off")
    dimmed = _dimmed(photo, size)
    whose = "" if anchor is None else f" of {classes[anchor] if anchor < len(classes) else anchor}"
    for line, (name, stage) in zip(axes[1:], sampled.items(), strict=True):
        summary, wrong = stage.summary, np.asarray(stage.errors) >= 0
        _show(line[0], _painted(stage.prediction, colours), f"{name}: prediction")
        _show(line[1], _painted(stage.errors, colours), f"errors, by true class: {summary.errors:.1f} %")
        distances = np.ma.masked_where(~wrong, np.minimum(np.asarray(stage.distances), furthest))
        drawn = _show(line[2], distances, "distance to the edge (pixels)", cmap="viridis", vmin=0, vmax=furthest)
        figure.colorbar(drawn, ax=line[2], fraction=0.03, pad=0.02)
        marked = dimmed.copy()
        marked[wrong], marked[np.asarray(stage.chosen)] = _LEFT, _CHOSEN
        _show(line[3], marked, f"negatives{whose}, K = {percent:g} %: {summary.chosen:.1f} %")
    if classes:
        _legend(figure, classes, colours, torch.stack([near, *(stage.prediction for stage in sampled.values())]))
    write_figure(figure, path)
    return {name: stage.summary for name, stage in sampled.items()}


@dataclass(frozen=True)
class _Stage:
    """Maps of one stage at the layer's resolution, each ``[h, w]``."""

    prediction: Tensor
    errors: Tensor
    distances: Tensor
    chosen: Tensor
    counted: int

    @property
    def finite(self) -> np.ndarray:
        """Distances of erroneous pixels; an image that is one error has none."""
        return self.distances[(self.errors >= 0) & self.distances.isfinite()].numpy()

    @property
    def summary(self) -> StageSummary:
        return StageSummary(
            errors=100 * int((self.errors >= 0).sum()) / self.counted,
            chosen=100 * int(self.chosen.sum()) / self.counted,
            mean_distance=float(self.finite.mean()) if len(self.finite) else 0.0,
        )


def _sample(truth: Tensor, prediction: Tensor, draws: Tensor, percent: float, anchor: int | None) -> _Stage:
    errors = error_map(truth[None], prediction[None])
    distances = distance_map(errors)
    chosen = nearest_to_edge(errors, distances, draws[None], percent)[0]
    if anchor is not None:
        chosen &= truth != anchor
    return _Stage(prediction, errors[0], distances[0], chosen, counted=max(int((truth >= 0).sum()), 1))


def _check(image: np.ndarray, labels: Tensor, stages: Mapping[str, Tensor], stride: int) -> None:
    if labels.ndim != 2 or image.shape != (*labels.shape, 3) or image.dtype != np.uint8:
        raise InputError(
            f"the image is {image.dtype} {list(image.shape)} and the labels {list(labels.shape)}; expected uint8 "
            "[H, W, 3] and [H, W]"
        )
    if not stages:
        raise InputError("there is no stage to draw; give at least one prediction by name")
    for name, prediction in stages.items():
        if prediction.shape != labels.shape:
            raise InputError(
                f"the prediction of stage '{name}' is {list(prediction.shape)} and the labels {list(labels.shape)}; "
                "bring it to the size of the image"
            )
    if not 1 <= stride <= min(labels.shape):
        raise InputError(f"stride is {stride}; expected a whole number from 1 to the image's smaller side")


def _dimmed(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the image at the layer's size, grey and pale, ``[h, w, 3]`` (uint8)."""
    grey = torch.from_numpy(image.astype(np.float32)).mean(-1)[None, None]
    small = F.interpolate(grey, size=size, mode="area")[0, 0].numpy()
    return np.repeat((140 + small * (100 / 255)).astype(np.uint8)[..., None], 3, axis=-1)


def _colours(count: int, palette: Sequence[Sequence[int]]) -> np.ndarray:
    """Return ``[count, 3]`` (uint8): the palette, and hues a golden angle apart beyond it."""
    made = [
        [
            round(255 * part)
            for part in colorsys.hsv_to_rgb((0.6 + 0.618034 * i) % 1, 0.55 + 0.25 * (i % 2), 0.9 - 0.12 * (i % 3))
        ]
        for i in range(count)
    ]
    made[: len(palette)] = [list(colour) for colour in palette[:count]]
    return np.array(made, np.uint8)


def _painted(classes: Tensor, colours: np.ndarray) -> np.ndarray:
    """Return a map of classes as colours ``[h, w, 3]`` (uint8), what is negative or unknown in light grey."""
    known = np.asarray((classes >= 0) & (classes < len(colours)))
    painted = np.broadcast_to(np.array(_IGNORED, np.uint8), (*classes.shape, 3)).copy()
    painted[known] = colours[np.asarray(classes)[known]]
    return painted


def _grid(stages: int) -> tuple[Any, Any]:
    figure = new_figure((15, 2.3 * (stages + 1)), "contrastbench-contextrast[pictures]")
    return figure, figure.subplots(stages + 1, 4, squeeze=False)


def _show(axis: Any, picture: np.ndarray, title: str, **options: Any) -> Any:
    axis.set_title(title, fontsize=9)
    axis.set_xticks([])
    axis.set_yticks([])
    return axis.imshow(picture, interpolation="nearest", **options)


def _legend(figure: Any, classes: Sequence[str], colours: np.ndarray, maps: Tensor) -> None:
    from matplotlib.patches import Patch

    shown = [c for c in maps.unique().tolist() if 0 <= c < len(classes)]
    patches = [Patch(color=colours[c] / 255, label=classes[c]) for c in shown]
    figure.legend(handles=patches, loc="outside lower center", ncols=min(len(patches), 10), fontsize=8, frameon=False)
