"""Predictions as label maps in files, of Cityscapes as its benchmark's server takes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.distributed as dist
from mmseg.structures import SegDataSample
from PIL import Image
from torch import nn

from contrastbench.core.data.cache import require_writable
from contrastbench.core.data.pictures import read_image
from contrastbench.core.data.sources import SegmentationSource
from contrastbench.core.distributed import rank, world_size
from contrastbench.core.errors import InputError
from contrastbench.core.hosts.mmseg.inference import Passes, predict
from contrastbench.core.hosts.mmseg.seat import exported_state
from contrastbench.core.hosts.resolution import Size
from contrastbench.core.writing import whole

_MARKER = "predictions.json"
_FINE = "_leftImg8bit"


def write_predictions(
    model: nn.Module,
    source: SegmentationSource,
    folder: Path,
    split: str,
    size: Size | None,
    passes: Passes,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write the predicted label map of each image of a split.

    The ids are those of the data's own label files (of Cityscapes the label ids, 7 for road), at the images' own
    resolution, as PNG with one channel of 8 bits. A file has the name of its image; of Cityscapes it begins with city,
    sequence and frame, as its server wants it. A file is there whole or not at all; those that are there are not
    written again. Ranks share the work.

    Args:
        model: the segmentor.
        source: the data.
        folder: where to write. ``predictions.json`` in it says whose predictions they are.
        split: ``"train"``, ``"val"`` or ``"test"``.
        size: height and width the images are shown at; None for their own.
        passes: what is averaged over.
        report: called with images done and images in all, on the first rank with its own share.

    Returns:
        The number of images of the split.

    Raises:
        InputError: the data have no such split, an image cannot be read, or ``folder`` holds other predictions or
            cannot be written.
    """
    images = source.images(split)
    names = [f"{image.stem.removesuffix(_FINE)}_pred.png" for image in images]
    if len(set(names)) < len(names):
        raise InputError(f"two images of {source.name} {split} have one name; their predictions would overwrite")
    _claim(folder, _identity(model, source, split, size, passes))
    device = next(model.parameters()).device
    table = _file_ids(source)
    model.eval()
    share = range(rank(), len(images), world_size())
    for done, index in enumerate(share, 1):
        path = folder / names[index]
        if not path.is_file():
            classes = _predicted(model, images[index], size, passes, device)
            with whole(path) as file:
                Image.fromarray(table[classes]).save(file, format="PNG")
        report(done, len(share))
    if world_size() > 1:
        dist.barrier()
    return len(images)


def _predicted(model: nn.Module, path: Path, size: Size | None, passes: Passes, device: torch.device) -> np.ndarray:
    image = read_image(path)
    resolution = image.shape[:2]
    if size is not None and resolution != size:
        image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    shape = image.shape[:2]
    sample = SegDataSample(metainfo={"ori_shape": resolution, "img_shape": shape, "pad_shape": shape})
    # mmsegmentation expects blue first.
    inputs = torch.from_numpy(np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1))).to(device)
    [classes], _ = predict(model, {"inputs": [inputs], "data_samples": [sample]}, passes)
    return classes.cpu().numpy()


def _file_ids(source: SegmentationSource) -> np.ndarray:
    """Return the id in the data's own files of each class, uint8 ``[C]``."""
    if source.label_map is None:
        return np.arange(len(source.classes), dtype=np.uint8)
    ids = {train: own for own, train in sorted(source.label_map.items(), reverse=True)}
    return np.array([ids[index] for index in range(len(source.classes))], np.uint8)


def _identity(
    model: nn.Module, source: SegmentationSource, split: str, size: Size | None, passes: Passes
) -> dict[str, Any]:
    digest = hashlib.sha256()
    for name, value in sorted(exported_state(model).items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return {
        "data": source.name,
        "flip": passes.flip,
        "scales": list(passes.scales),
        "size": None if size is None else list(size),
        "split": split,
        "weights": digest.hexdigest(),
    }


def _claim(folder: Path, identity: dict[str, Any]) -> None:
    """Mark a folder as that of these predictions."""
    marker = folder / _MARKER
    if rank() == 0:
        require_writable(folder, "name another folder for the predictions")
    if world_size() > 1:
        dist.barrier()
    if marker.is_file():
        try:
            there = json.loads(marker.read_text(encoding="utf-8"))
        except ValueError:
            there = None
        if there != identity:
            raise InputError(
                f"'{folder}' holds predictions of other weights, data or scales; remove it or name another folder"
            )
    elif any(folder.glob("*.png")):
        raise InputError(f"'{folder}' holds images that are no predictions of this run; name another folder")
    if world_size() > 1:
        dist.barrier()  # every rank has looked before the first writes
    if rank() == 0:
        with whole(marker) as file:
            file.write(json.dumps(identity, sort_keys=True, indent=1).encode())
