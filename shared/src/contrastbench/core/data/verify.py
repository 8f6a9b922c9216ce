"""Reading a whole source once, so that training meets no surprise, and naming it by its content."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from contrastbench.core.data.cache import cache_dir, write_whole
from contrastbench.core.data.pictures import image_size, read_image, read_labels
from contrastbench.core.data.sources import Pair, SegmentationSource
from contrastbench.core.errors import InputError

Progress = Callable[[int, int], None]

_SPLITS = ("train", "val")


def verify(source: SegmentationSource, progress: Progress | None = None, instances: bool = False) -> str:
    """Read every image and label map of ``source`` and return what names its content.

    The outcome is kept in the cache folder, by the paths, sizes and times of the files, so that the same files are
    read once. Nothing is kept of a source in which something is wrong.

    Args:
        source: the data.
        progress: called with pairs done and pairs in all.
        instances: whether the validation split's maps of instance ids, which some metrics need, are read too.

    Returns:
        A SHA-256 over classes, label map, and every file's name below the root and bytes (64 hex digits). Where the
        data lie and when they were written does not enter.

    Raises:
        InputError: an image or a map that does not decode, an image without label map, a label id that is neither a
            class nor ignored, or an image and map that differ in size. The file is named. Or there should be maps of
            instance ids and are none.
    """
    maps = source.instance_maps("val") if instances else ()
    record = cache_dir() / "verified" / f"{_state(source, maps)}.txt"
    if record.is_file():
        return record.read_text(encoding="ascii")
    fingerprint = _read_all(source, maps, progress)
    write_whole(record, fingerprint)
    return fingerprint


def _state(source: SegmentationSource, maps: tuple[Path, ...]) -> str:
    digest = hashlib.sha256(_meaning(source))
    for path in (*(path for split in _SPLITS for pair in source.pairs(split) for path in pair), *maps):
        try:
            status = path.stat()
        except FileNotFoundError:
            raise InputError(f"{source.name}: '{path}' is gone; restore it from a whole copy of the data") from None
        digest.update(f"\n{path.resolve()} {status.st_size} {status.st_mtime_ns}".encode())
    return digest.hexdigest()


def _meaning(source: SegmentationSource) -> bytes:
    label_map = sorted(source.label_map.items()) if source.label_map is not None else None
    return json.dumps([source.classes, label_map, source.ignore_index]).encode()


def _read_all(source: SegmentationSource, maps: tuple[Path, ...], progress: Progress | None) -> str:
    pairs = [(split, pair) for split in _SPLITS for pair in source.pairs(split)]
    lookup = source.lookup()
    digest = hashlib.sha256(_meaning(source))
    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        # Results come in the order of the files, whichever is read first, so the first bad file is always the same.
        checks = pool.map(lambda item: _check(source, item[1], lookup), pairs)
        for done, ((split, (image, _)), content) in enumerate(zip(pairs, checks, strict=True), 1):
            digest.update(f"\n{split} {image.relative_to(source.root).as_posix()} {content}".encode())
            if progress is not None:
                progress(done, len(pairs))
        for path, content in zip(maps, pool.map(_check_instances, source.images("val"), maps), strict=True):
            digest.update(f"\ninstances {path.relative_to(source.root).as_posix()} {content}".encode())
    finally:
        pool.shutdown(cancel_futures=True)
    return digest.hexdigest()


def _check(source: SegmentationSource, pair: Pair, lookup: np.ndarray) -> str:
    image_path, label_path = pair
    image, labels = read_image(image_path), read_labels(label_path)
    if image.shape[:2] != labels.shape:
        raise InputError(
            f"'{image_path}' is {image.shape[0]}x{image.shape[1]} pixels and its label map '{label_path}' "
            f"{labels.shape[0]}x{labels.shape[1]}; they must be the same size"
        )
    ids = np.unique(labels)
    wrong = [int(i) for i in ids if not 0 <= i < len(lookup) or lookup[i] < 0]
    if wrong:
        known = [int(i) for i in np.flatnonzero(lookup >= 0)]
        raise InputError(
            f"the label map '{label_path}' holds the id {wrong[0]}, which {source.name} does not have; "
            f"known: {', '.join(map(str, known))}"
        )
    content = hashlib.sha256(image_path.read_bytes())
    content.update(label_path.read_bytes())
    return content.hexdigest()


def _check_instances(image_path: Path, path: Path) -> str:
    size, instances = image_size(image_path), read_labels(path)
    if instances.shape != size:
        raise InputError(
            f"'{image_path}' is {size[0]}x{size[1]} pixels and its map of instance ids '{path}' "
            f"{instances.shape[0]}x{instances.shape[1]}; they must be the same size"
        )
    return hashlib.sha256(path.read_bytes()).hexdigest()
