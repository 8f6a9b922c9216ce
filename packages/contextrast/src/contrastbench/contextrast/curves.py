"""The picture of similarity by distance (Figure 5 of the paper). Needs matplotlib (the extra ``pictures``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contrastbench.core.figures import new_figure, write_figure


def similarity_picture(curves: Mapping[str, Mapping[str, Sequence[Any]]], path: str | Path) -> None:
    """Draw a line a layer, and below how many pixels each of its points is the mean of.

    Args:
        curves: as of :meth:`~contrastbench.contextrast.similarity.SimilarityByDistance.compute`.
        path: file to write; its ending says the format (.png, .pdf, .svg).

    Raises:
        InputError: no matplotlib, an unknown ending, or it cannot be written.
    """
    figure = new_figure((7, 5), "contrastbench-contextrast[pictures]")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    for layer, curve in curves.items():
        there = [i for i, similarity in enumerate(curve["similarity"]) if similarity is not None]
        distances = [curve["distance"][i] for i in there]
        above.plot(distances, [curve["similarity"][i] for i in there], marker="o", markersize=3, label=layer)
        below.plot(distances, [curve["pixels"][i] for i in there], marker="o", markersize=3)
    above.set_ylabel("cosine similarity\nto the true class's anchor")
    above.legend(fontsize=8)
    below.set_ylabel("error pixels")
    below.set_yscale("log")
    below.set_xlabel("distance to the edge of the error region (pixels of the layer)")
    write_figure(figure, path)
