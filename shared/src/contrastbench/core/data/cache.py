"""Where things that can be made again are kept."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from contrastbench.core.errors import InputError

VARIABLE = "CONTRASTBENCH_CACHE"


def cache_dir() -> Path:
    """Return the cache folder, made if need be.

    It is the folder named by the environment variable ``CONTRASTBENCH_CACHE``, else the user's cache folder
    of this platform.

    Raises:
        InputError: the folder cannot be made or written.
    """
    named = os.environ.get(VARIABLE)
    if named:
        folder = Path(named).expanduser()
    else:
        import platformdirs

        folder = Path(platformdirs.user_cache_dir("contrastbench"))
    require_writable(folder, f"set {VARIABLE} to a folder that can be written")
    return folder


def write_whole(path: Path, text: str) -> None:
    """Write a file that is there whole, or not at all; several processes may write the same one at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as partial:
        partial.write(text)
    Path(partial.name).replace(path)


def require_writable(folder: Path, advice: str) -> None:
    """Make ``folder`` if need be and check that files can be made in it.

    Args:
        folder: the folder.
        advice: what a user can do when it cannot be written.

    Raises:
        InputError: it cannot be made, is not a folder, or refuses new files.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"cannot write to the folder '{folder}' ({error.strerror or error}); free it, or {advice}"
        ) from error
