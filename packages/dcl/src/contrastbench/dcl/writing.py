"""Writing files whole: nothing half-written is left under a file's name."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from contrastbench.core.errors import InputError
from contrastbench.core.writing import whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its place and move it there. Missing folders are made.

    Args:
        path: the file; one that is there already is replaced.
        content: its bytes.

    Raises:
        InputError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as file:
            file.write(content)
    except OSError as error:
        raise InputError(f"cannot write '{path}' ({error.strerror or error}); choose another place") from error


def write_figure(figure: Figure, path: Path, dpi: int = 150) -> None:
    """Write a matplotlib figure in the format of the path's suffix; the same figure gives the same bytes.

    Args:
        figure: the figure.
        path: where to; ``.png``, ``.svg``, ``.pdf`` or what else matplotlib writes.
        dpi: pixels per inch, of formats that have pixels.

    Raises:
        InputError: an unknown suffix, or it cannot be written.
    """
    import matplotlib

    format_ = require_figure_format(path)
    # neither the time nor random ids of elements
    metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(format_)
    content = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "contrastbench"}):
        figure.savefig(content, format=format_, dpi=dpi, metadata=metadata, bbox_inches="tight")
    write_whole(path, content.getvalue())


def require_figure_format(path: Path) -> str:
    """Return the format that a path's suffix names.

    Raises:
        InputError: matplotlib does not write it.
    """
    from matplotlib.backend_bases import FigureCanvasBase

    known = FigureCanvasBase.get_supported_filetypes()
    format_ = path.suffix.removeprefix(".").lower()
    if format_ not in known:
        raise InputError(f"cannot draw '{path}': its suffix names no picture format; known: {', '.join(sorted(known))}")
    return format_
