"""t-SNE of pixel features, coloured by foreground and background: Figure 4 of the DCL paper."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from contrastbench.core.errors import InputError
from contrastbench.core.figures import new_figure, require_figure_format, write_figure

_SIDES = (("background", "#0072B2", False), ("foreground", "#D55E00", True))


def tsne_picture(
    panels: Mapping[str, tuple[Tensor, Tensor]], path: Path, seed: int, *, perplexity: float = 30.0
) -> dict[str, np.ndarray]:
    """Draw the features of one or several models side by side, each panel with an embedding of its own.

    Below each panel stands the :func:`silhouette` of foreground and background.

    Args:
        panels: by label, for example of a baseline and of DCL: features ``[n, D]`` (float) and whether each is of the
            foreground ``[n]`` (bool), as from :func:`~contrastbench.dcl.features.sampling.sample_pixels`.
        path: the picture; its suffix names the format. The same features and seed give the same bytes.
        seed: of the embedding.
        perplexity: about how many neighbours a pixel is kept close to.

    Returns:
        By label, the embedding ``[n, 2]`` (float).

    Raises:
        InputError: scikit-learn is not installed, no panel, a panel that has too few pixels, lacks one of the sides or
            has values that are not finite, or a picture that cannot be written.
    """
    require_figure_format(path)
    if not panels:
        raise InputError("cannot draw features: there is no panel; give the features of at least one model")
    for label, (features, foreground) in panels.items():
        _check(label, features, foreground, perplexity)
    arrays = {
        label: (features.detach().float().cpu().numpy(), foreground.cpu().numpy().astype(bool))
        for label, (features, foreground) in panels.items()
    }
    embeddings = {label: _embed(features, seed, perplexity) for label, (features, _) in arrays.items()}
    silhouettes = {label: silhouette(*panel) for label, panel in panels.items()}
    _draw(embeddings, {label: foreground for label, (_, foreground) in arrays.items()}, silhouettes, path)
    return embeddings


def _check(label: str, features: Tensor, foreground: Tensor, perplexity: float) -> None:
    if features.ndim != 2 or foreground.shape != features.shape[:1]:
        raise InputError(
            f"features of '{label}' are {list(features.shape)} and their sides {list(foreground.shape)}; "
            "expected [n, D] and [n]"
        )
    if not features.isfinite().all():
        raise InputError(f"features of '{label}' hold values that are not finite; look for the step that made them")
    if not 0 < int(foreground.sum()) < len(foreground):
        raise InputError(f"features of '{label}' are all of one side; draw pixels of foreground and background")
    if len(features) <= max(2, perplexity):
        raise InputError(
            f"'{label}' has {len(features)} pixels, too few for a perplexity of {perplexity:g}; draw more pixels, "
            "or lower the perplexity"
        )


def _embed(features: np.ndarray, seed: int, perplexity: float) -> np.ndarray:
    try:
        from sklearn.manifold import TSNE
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise InputError(
            "feature pictures need scikit-learn, which is not installed; pip install contrastbench-dcl[tsne]"
        ) from error
    # one thread: sums in another order would give another picture
    with threadpool_limits(1):
        return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(features)


def silhouette(features: Tensor, foreground: Tensor) -> float:
    """Return how far foreground and background are apart: 1 for two tight clusters, 0 for none.

    By cosine distance between the features themselves, not their embedding.

    Args:
        features: ``[n, D]`` (float).
        foreground: ``[n]`` (bool), some of each.
    """
    from sklearn.metrics import silhouette_score

    return float(silhouette_score(features.detach().float().cpu(), foreground.cpu(), metric="cosine"))


def _draw(
    embeddings: Mapping[str, np.ndarray],
    foreground: Mapping[str, np.ndarray],
    silhouettes: Mapping[str, float],
    path: Path,
) -> None:
    figure = new_figure((3.6 * len(embeddings), 4.2), "contrastbench-dcl")
    panels = figure.subplots(1, len(embeddings), squeeze=False)[0]
    for axes, (label, points) in zip(panels, embeddings.items(), strict=True):
        for name, colour, side in _SIDES:
            shown = points[foreground[label] == side]
            axes.scatter(*shown.T, s=7, c=colour, alpha=0.6, linewidths=0, label=name)
        axes.set_title(label, fontsize=11)
        axes.set_xlabel(f"silhouette of the features: {silhouettes[label]:.2f}", fontsize=9)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_aspect("equal", adjustable="datalim")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside lower center", ncols=2, frameon=False, markerscale=2.5)
    write_figure(figure, path)
