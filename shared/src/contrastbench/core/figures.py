"""Figures of matplotlib, and files of them that are the same whenever the figure is.

matplotlib comes with the extra of the package that draws, so it is imported where it is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from contrastbench.core.errors import InputError
from contrastbench.core.writing import whole

_DPI = 150
# Neither the time of writing nor the program's version.
_METADATA = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}


def new_figure(size: tuple[float, float], needed_by: str, layout: Literal["constrained"] | None = "constrained") -> Any:
    """Return an empty ``matplotlib.figure.Figure``.

    Args:
        size: width and height in inches.
        needed_by: what to install where matplotlib is missing, such as ``"contrastbench-dcl"``.
        layout: how matplotlib places what is drawn; None where the drawing places it.

    Raises:
        InputError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise InputError(f"pictures need matplotlib; install it with pip install '{needed_by}'") from error
    return Figure(figsize=size, layout=layout)


def write_figure(figure: Any, path: str | Path) -> None:
    """Write a figure in the format of the path's suffix. The same figure gives the same bytes.

    Args:
        figure: from :func:`new_figure`.
        path: where to; ``.png``, ``.svg``, ``.pdf`` or what else matplotlib writes. Missing folders are made.

    Raises:
        InputError: an unknown suffix, or it cannot be written.
    """
    import matplotlib

    path = Path(path)
    kind = require_figure_format(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with matplotlib.rc_context({"svg.hashsalt": "contrastbench"}), whole(path) as file:  # ids that are not random
            figure.savefig(file, format=kind, dpi=_DPI, metadata=_METADATA.get(kind))
    except OSError as error:
        raise InputError(f"cannot write '{path}' ({error.strerror or error}); choose another place") from error


def require_figure_format(path: str | Path) -> str:
    """Return the format that a path's suffix names.

    Raises:
        InputError: matplotlib does not write it.
    """
    from matplotlib.backend_bases import FigureCanvasBase

    known = FigureCanvasBase.get_supported_filetypes()
    kind = Path(path).suffix.removeprefix(".").lower()
    if kind not in known:
        raise InputError(f"cannot draw '{path}': its suffix names no picture format; known: {', '.join(sorted(known))}")
    return kind
