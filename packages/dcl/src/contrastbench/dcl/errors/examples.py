"""Predictions with their errors shaded: Figure 1 of the DCL paper."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from contrastbench.core.data.coco import decode
from contrastbench.core.data.pictures import read_image
from contrastbench.core.errors import InputError
from contrastbench.core.figures import new_figure, write_figure
from contrastbench.dcl.errors.colours import COLOURS
from contrastbench.dcl.errors.report import MaskErrorReport, MatchedPrediction
from contrastbench.dcl.errors.split import KINDS, LABELS, split_errors

MIN_SCORE = 0.5
"""Predictions below it are shown only where no other has errors of the kind."""


_OUTLINES: dict[str, dict[str, Any]] = {
    "ground truth": {"color": "black", "linewidth": 1.4, "linestyle": "solid"},
    "prediction": {"color": "white", "linewidth": 1.6, "linestyle": "dashed"},
}


class Example(NamedTuple):
    """A prediction chosen to be shown.

    Attributes:
        kind: the kind of error it is an example of.
        rank: from 1, by error pixels.
        match: the prediction.
    """

    kind: str
    rank: int
    match: MatchedPrediction


def choose_examples(report: MaskErrorReport, results: Sequence[Mapping[str, Any]], count: int) -> list[Example]:
    """Choose the predictions with the most error pixels of each kind, one an image; no chance is in it.

    Predictions of a score of at least ``MIN_SCORE`` come first. Equal ones are in the order of the results.

    Args:
        report: the analysis.
        results: what was analysed.
        count: how many of each kind; there are fewer where there are no more errors.
    """
    examples = []
    for kind in KINDS:
        ranked = sorted(
            (match for match in report.matches if getattr(match, kind)),
            key=lambda m: (results[m.result]["score"] < MIN_SCORE, -getattr(m, kind), m.result),
        )
        by_image: dict[int, MatchedPrediction] = {}
        for match in ranked:
            by_image.setdefault(results[match.result]["image_id"], match)
        examples += [Example(kind, rank, match) for rank, match in enumerate(list(by_image.values())[:count], 1)]
    return examples


def draw_examples(
    examples: Iterable[Example],
    ground_truth: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    images: Path,
    folder: Path,
) -> list[Path]:
    """Draw each example to ``<kind>-<rank>.png``: error pixels in three colours and both outlines, on the image.

    Args:
        examples: from :func:`choose_examples`.
        ground_truth: a COCO dataset.
        results: COCO results.
        images: the folder below which the images' ``file_name`` lie.
        folder: where to draw.

    Returns:
        The pictures.

    Raises:
        InputError: an image that is missing, does not decode or has another size than the ground truth says; or a
            picture that cannot be written.
    """
    of_image = {image["id"]: image for image in ground_truth["images"]}
    names = {category["id"]: category["name"] for category in ground_truth["categories"]}
    written = []
    for example in examples:
        result = results[example.match.result]
        image = of_image[result["image_id"]]
        pixels = _read(images, image)
        truth = [a for a in ground_truth["annotations"] if a["image_id"] == image["id"]]
        path = folder / f"{example.kind}-{example.rank}.png"
        matched = ground_truth["annotations"][example.match.annotation]
        _draw(pixels, result, matched, truth, f"{names[result['category_id']]} {result['score']:.2f}", path)
        written.append(path)
    return written


def _read(images: Path, image: Mapping[str, Any]) -> np.ndarray:
    if "file_name" not in image:
        raise InputError(f"cannot draw image {image['id']}: the ground truth names no file for it; add its 'file_name'")
    path = images / image["file_name"]
    pixels = read_image(path)
    if pixels.shape[:2] != (image["height"], image["width"]):
        raise InputError(
            f"the image '{path}' is {pixels.shape[0]}x{pixels.shape[1]} pixels, and the ground truth says "
            f"{image['height']}x{image['width']}; give the folder of the images that were annotated"
        )
    return pixels


def _draw(
    pixels: np.ndarray,
    result: Mapping[str, Any],
    matched: Mapping[str, Any],
    truth: Sequence[Mapping[str, Any]],
    title: str,
    path: Path,
) -> None:
    from matplotlib.colors import to_rgb
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.patheffects import withStroke

    height, width = pixels.shape[:2]

    def union(annotations: Iterable[Mapping[str, Any]]) -> np.ndarray:
        masks = [decode(a["segmentation"], height, width) for a in annotations]
        return np.logical_or.reduce(masks) if masks else np.zeros((height, width), bool)

    prediction, target = union([result]), union([matched])
    errors = split_errors(
        prediction,
        target,
        union(a for a in truth if not a.get("iscrowd", 0)),
        union(a for a in truth if a.get("iscrowd", 0)),
    )
    rows, columns = _window(prediction | target)
    # faded, so that the three colours stand out
    picture = 0.35 + 0.65 * pixels.astype(np.float32).mean(2, keepdims=True).repeat(3, 2) / 255
    for kind in KINDS:
        region = getattr(errors, kind)
        picture[region] = 0.25 * picture[region] + 0.75 * np.asarray(to_rgb(COLOURS[kind]))
    shown = picture[rows, columns]

    aspect = shown.shape[0] / shown.shape[1]
    figure = new_figure((5.0, min(8.0, 5.0 * aspect) + 0.9), "contrastbench-dcl")
    axes = figure.subplots()
    axes.imshow(np.clip(shown, 0, 1), interpolation="nearest")
    axes.set_axis_off()
    key: list[Any] = [
        Patch(facecolor=COLOURS[kind], edgecolor="0.25", label=f"{LABELS[kind]} {getattr(errors, kind).sum():,} px")
        for kind in KINDS
    ]
    for mask, (name, style) in zip((target, prediction), _OUTLINES.items(), strict=True):
        # a frame of zeros, so that outlines close at the edge of the picture
        framed = np.pad(mask[rows, columns], 1).astype(np.float32)
        at = np.arange(-1, framed.shape[1] - 1), np.arange(-1, framed.shape[0] - 1)
        outline = axes.contour(*at, framed, levels=[0.5], **{f"{option}s": value for option, value in style.items()})
        # white is seen on white too
        edge: list[Any] = [withStroke(linewidth=style["linewidth"] + 1.2, foreground="black")]
        outline.set_path_effects(edge)
        key.append(Line2D([], [], label=name, path_effects=edge, **style))
    axes.set_title(title, fontsize=11)
    figure.legend(handles=key, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    write_figure(figure, path)


def _window(mask: np.ndarray) -> tuple[slice, slice]:
    """Return rows and columns around a mask, with a margin of a quarter of its size."""
    slices = []
    for axis in (1, 0):
        places = np.flatnonzero(mask.any(axis))
        margin = max(8, (places[-1] - places[0] + 1) // 4)
        slices.append(slice(max(0, places[0] - margin), min(mask.shape[1 - axis], places[-1] + 1 + margin)))
    return slices[0], slices[1]
