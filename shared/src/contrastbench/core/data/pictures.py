"""Reading images and label maps, with errors that name the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from contrastbench.core.errors import InputError


def read_image(path: Path) -> np.ndarray:
    """Return an image as ``[H, W, 3]`` (uint8, RGB).

    Raises:
        InputError: it is not there, or does not decode to its end.
    """
    return np.asarray(_decoded(path, "image").convert("RGB"))


def read_labels(path: Path) -> np.ndarray:
    """Return a label map as ``[H, W]`` (uint8 or wider), the ids as they are in the file.

    Raises:
        InputError: it is not there, does not decode to its end, or has more than one channel.
    """
    labels = np.asarray(_decoded(path, "label map"))
    if labels.ndim != 2:
        raise InputError(
            f"the label map '{path}' has {labels.shape[-1]} channels; expected one, with a class id a pixel "
            "(a coloured map must be turned into ids first)"
        )
    return labels.astype(np.uint8) if labels.dtype == bool else labels


def image_size(path: Path) -> tuple[int, int]:
    """Return height and width of an image, from its header alone.

    Raises:
        InputError: it is not there, or not an image.
    """
    try:
        with Image.open(path) as picture:
            return picture.height, picture.width
    except (OSError, UnidentifiedImageError) as error:
        raise _unreadable(path, "image", error) from error


def _decoded(path: Path, kind: str) -> Image.Image:
    try:
        with Image.open(path) as picture:
            picture.load()
            return picture
    # Broken PNG chunks come as SyntaxError, a header that promises too much as DecompressionBombError.
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise _unreadable(path, kind, error) from error


def _unreadable(path: Path, kind: str, error: Exception) -> InputError:
    reason = "there is no such file" if isinstance(error, FileNotFoundError) else f"it does not decode ({error})"
    return InputError(f"cannot read the {kind} '{path}': {reason}; restore this file from a whole copy of the data")
