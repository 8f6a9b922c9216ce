"""Finding the files of a data set, with errors that say what is missing."""

from __future__ import annotations

from pathlib import Path

from contrastbench.core.data.sources.source import SegmentationSource
from contrastbench.core.errors import InputError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


def root_folder(title: str, root: str | Path | None, tree: str) -> Path:
    """Return the folder a data set is in.

    Args:
        title: the data set's name.
        root: the folder as the user gave it.
        tree: what is expected in it, for the message.

    Raises:
        InputError: it is not given, or not there.
    """
    layout = f"expected in it: {tree}; set data.root=<that folder>"
    if not root:
        raise InputError(f"{title} needs the folder it is in, and data.root is not set; {layout}")
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise InputError(f"{title}: there is no folder '{folder}'; {layout}")
    return folder


def list_images(folder: Path, pattern: str, title: str) -> list[Path]:
    """Return the images in a folder, in the order of their names.

    Args:
        folder: the folder.
        pattern: of the names without their suffix, below the folder.
        title: the data set's name.

    Raises:
        InputError: there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise InputError(
            f"{title} is incomplete: there is no folder '{folder}'; data.root must name the folder of a whole copy"
        )
    images = sorted(path for path in folder.glob(f"{pattern}.*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not images:
        raise InputError(
            f"{title} is incomplete: '{folder}' holds no image ({pattern}.png or .jpg); "
            "data.root must name the folder of a whole copy"
        )
    return images


def listed_names(file: Path, title: str) -> list[str]:
    """Return the names in a list of a split, one a line, in its order.

    Raises:
        InputError: the list is not there, not text, or empty.
    """
    try:
        names = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{title} is incomplete: the list of images '{file}' cannot be read "
            f"({getattr(error, 'strerror', None) or error}); it holds one name a line"
        ) from error
    if not names:
        raise InputError(f"{title} is incomplete: the list of images '{file}' is empty; it holds one name a line")
    return names


def whole(source: SegmentationSource) -> SegmentationSource:
    """Return ``source`` after looking that every image and its label map are there.

    Raises:
        InputError: one is missing.
    """
    pairs = (*source.train, *source.val)
    gone = [image for image, _ in pairs if not image.is_file()]
    if gone:
        raise InputError(
            f"{source.name} in '{source.root}' is incomplete: {len(gone)} of its images are not there, first "
            f"'{gone[0]}'; data.root must name the folder of a whole copy"
        )
    missing = [(image, label) for image, label in pairs if not label.is_file()]
    if missing:
        image, label = missing[0]
        raise InputError(
            f"{source.name} in '{source.root}' is incomplete: {len(missing)} of its images have no label map, "
            f"first '{image}', whose label map should be '{label}'; data.root must name the folder of a whole copy"
        )
    return source


def zero_is_void(num_classes: int, ignore_index: int = 255) -> dict[int, int]:
    """Return the label map of files in which 0 is void and the classes count from 1 (``reduce_zero_label``)."""
    return {0: ignore_index, 255: ignore_index, **{index + 1: index for index in range(num_classes)}}
