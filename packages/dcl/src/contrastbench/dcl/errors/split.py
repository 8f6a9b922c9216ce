"""The three kinds of mask errors: Eq. 1 of the DCL paper, on dense masks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

KINDS = ("ffp", "bfp", "fn")
"""The kinds of error pixels, as keys: foreground false positive, background false positive, false negative."""

LABELS = {"ffp": "fFP", "bfp": "bFP", "fn": "FN"}
"""The paper's names of the kinds."""


class ErrorPixels(NamedTuple):
    """The error pixels of one prediction by kind, each ``[H, W]`` (bool). No pixel is in two of them.

    Attributes:
        ffp: predicted, on other instances only.
        bfp: predicted, on no instance.
        fn: on the matched instance, not predicted.
    """

    ffp: np.ndarray
    bfp: np.ndarray
    fn: np.ndarray


def split_errors(
    prediction: np.ndarray, matched: np.ndarray, foreground: np.ndarray, crowd: np.ndarray | None = None
) -> ErrorPixels:
    """Split the pixels in which a prediction differs from the instance it is matched to (Eq. 1).

    With D the prediction, G* the matched instance and G the union of all instances of the image, the symmetric
    difference of D and G* is the union of fFP = D and (G - G*), bFP = D and not G, FN = G* - D. A predicted pixel on
    the matched instance is correct even where another instance overlaps it.

    This is the plain form; :class:`~contrastbench.dcl.errors.regions.ImageRegions` gives the same on run lengths.

    Args:
        prediction: D, ``[H, W]`` (bool).
        matched: G*, ``[H, W]`` (bool), part of ``foreground``.
        foreground: G, ``[H, W]`` (bool).
        crowd: crowd regions, ``[H, W]`` (bool), which the evaluation ignores: their pixels are errors of no kind. The
            paper does not speak of them.
    """
    judged = np.ones_like(prediction) if crowd is None else ~crowd
    return ErrorPixels(
        ffp=prediction & foreground & ~matched & judged,
        bfp=prediction & ~foreground & judged,
        fn=matched & ~prediction & judged,
    )
