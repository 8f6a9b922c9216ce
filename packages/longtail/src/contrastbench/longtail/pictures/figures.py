"""A figure of matplotlib, and a file that is the same whenever the figure is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from contrastbench.core.errors import InputError

NOVEL_NAME = "novel"
"""What a cluster without a label is called in pictures."""


def new_figure(size: tuple[float, float]) -> Any:
    """Return an empty figure.

    Args:
        size: width and height in inches.

    Raises:
        InputError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise InputError(
            "pictures need matplotlib; install it with pip install 'contrastbench-longtail[discovery]'"
        ) from error
    return Figure(figsize=size)  # layout by hand: the solver of "constrained" differs from run to run in the last bits


def write_figure(figure: Any, path: str | Path) -> None:
    """Write a figure, without the time and the random ids that would make the same picture another file.

    Args:
        figure: from :func:`new_figure`.
        path: file to write; its ending says the format.

    Raises:
        InputError: an unknown ending, or it cannot be written.
    """
    import matplotlib
    from matplotlib.backend_bases import FigureCanvasBase

    ending = Path(path).suffix.removeprefix(".").lower()
    known = FigureCanvasBase.get_supported_filetypes()
    if ending not in known:
        raise InputError(f"cannot draw '{path}': its ending names no picture format; known: {', '.join(sorted(known))}")
    metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(ending)
    try:
        with matplotlib.rc_context({"svg.hashsalt": "contrastbench"}):
            figure.savefig(path, format=ending, dpi=150, metadata=metadata)
    except OSError as error:
        raise InputError(f"cannot write '{path}' ({error.strerror or error}); choose another place") from error
