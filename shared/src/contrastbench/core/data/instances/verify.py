"""Reading every image of a source once, so that training meets no surprise, and naming the source by its content."""

from __future__ import annotations

import json
from pathlib import Path

from contrastbench.core.data.instances.content import Progress, content_name
from contrastbench.core.data.instances.source import SPLITS, InstanceSource
from contrastbench.core.data.pictures import read_image
from contrastbench.core.errors import InputError


def verify_instances(source: InstanceSource, progress: Progress | None = None) -> str:
    """Read every image of ``source`` and return what names its content.

    The annotations were checked when the source was opened. The outcome is kept in the cache folder as that of
    :func:`contrastbench.core.data.verify.verify` is.

    Args:
        source: the data.
        progress: called with images done and images in all.

    Returns:
        A SHA-256 over the images, annotations and categories of both splits and every image's name and bytes (64 hex
        digits). Where the data lie, when they were written, and their free text (``info``) do not enter.

    Raises:
        InputError: an image that does not decode, or is not of the size that its annotations are for. The file is
            named.
    """
    parts = {
        split: {part: source.ground_truth(split)[part] for part in ("images", "annotations", "categories")}
        for split in SPLITS
    }
    meaning = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=_plain).encode()
    files: dict[str, Path] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for split in SPLITS:
        for image in source.ground_truth(split)["images"]:
            name = f"{split} {image['file_name']}"
            files[name] = source.image_path(split, image)
            sizes[name] = (image["height"], image["width"])

    def check(name: str, path: Path) -> None:
        height, width = read_image(path).shape[:2]
        if (height, width) != sizes[name]:
            raise InputError(
                f"the image '{path}' is {height}x{width} pixels (height x width), and its annotations are for "
                f"{sizes[name][0]}x{sizes[name][1]}; restore the image, or correct its entry in the annotations"
            )

    return content_name(meaning, files, check, progress)


def _plain(value: object) -> object:
    """Return what JSON does not know as something that it does: bytes, and numpy's numbers."""
    if isinstance(value, bytes):
        return value.decode("ascii")
    return value.item()  # type: ignore[attr-defined]
