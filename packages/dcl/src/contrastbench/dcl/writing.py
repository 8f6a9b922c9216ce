"""Writing files whole: nothing half-written is left under a file's name."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from contrastbench.core.errors import InputError

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
    partial = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            partial = Path(file.name)
            file.write(content)
        partial.chmod(0o666 & ~_umask())  # a temporary file can be read by its owner alone
        partial.replace(path)
    except OSError as error:
        raise InputError(f"cannot write '{path}' ({error.strerror or error}); choose another place") from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


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


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
