"""Proposals kept on disk, so that a network goes over a data set once.

A file an image, written whole or not at all: a pass that was interrupted goes on with the images that are missing. A
file begins with a checksum of the rest; one that was damaged counts as missing, and is written again.
"""

from __future__ import annotations

import json
import re
import tempfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from contrastbench.core.data.cache import require_writable
from contrastbench.core.data.coco import decode, encode
from contrastbench.core.errors import InputError
from contrastbench.longtail.overlaps import rle_intersections

_CHECKSUM = 8  # hexadecimal digits at the beginning of a file


@dataclass(frozen=True)
class Proposals:
    """The n proposals of an image.

    Attributes:
        rles: their masks, compressed run lengths ``{"size": [H, W], "counts": str}``.
        boxes: ``[n, 4]`` (float32): left, top, right, bottom in pixels.
        scores: ``[n]`` (float32).
        size: H and W of the image.
    """

    rles: tuple[Mapping[str, Any], ...]
    boxes: Tensor
    scores: Tensor
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.rles)

    def masks(self) -> Tensor:
        """Return the masks decoded, ``[n, H, W]`` (bool)."""
        masks = [torch.from_numpy(np.ascontiguousarray(decode(rle, *self.size))) for rle in self.rles]
        return torch.stack(masks) if masks else torch.zeros(0, *self.size, dtype=torch.bool)

    def intersections(self) -> Tensor:
        """Return the pixels that each two masks have in common, ``[n, n]`` (int64), without decoding them."""
        return rle_intersections(self.rles)


class ProposalStore:
    """The proposals of one network with one set of options on one data set.

    Several processes may write to it at once.

    Args:
        folder: of all stores; made if need be.
        key: what the proposals depend on, as of :func:`fingerprint`; each key has its own subfolder.

    Raises:
        InputError: the folder cannot be written, or the key cannot be a folder's name.
    """

    def __init__(self, folder: str | Path, key: str) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", key):
            raise InputError(
                f"the key of the proposals is {key!r}; expected letters, digits, '.', '_' and '-', as of a fingerprint"
            )
        self.folder = Path(folder).expanduser() / key
        require_writable(self.folder, "name another folder for the proposals")

    def missing(self, image_ids: Iterable[int]) -> list[int]:
        """Return the images, in their order, that have no proposals here, or whose file is damaged."""
        return [image for image in image_ids if self._content(image) is None]

    def write(self, image_id: int, masks: Tensor | np.ndarray, boxes: Tensor, scores: Tensor) -> None:
        """Keep an image's proposals; what was there is replaced.

        Args:
            image_id: of the data set.
            masks: ``[n, H, W]`` (bool), n may be 0.
            boxes: ``[n, 4]`` (float): left, top, right, bottom in pixels.
            scores: ``[n]`` (float).

        Raises:
            InputError: shapes that do not fit together, masks that are not bool, numbers that are not finite.
        """
        masks = masks.cpu().numpy() if isinstance(masks, Tensor) else masks
        boxes, scores = boxes.detach().cpu().float(), scores.detach().cpu().float()
        if masks.dtype != bool or masks.ndim != 3 or boxes.shape != (len(masks), 4) or scores.shape != (len(masks),):
            raise InputError(
                f"the proposals of image {image_id} have masks {masks.dtype} {list(masks.shape)}, boxes "
                f"{list(boxes.shape)} and scores {list(scores.shape)}; expected bool [n, H, W], [n, 4] and [n]"
            )
        if not (boxes.isfinite().all() and scores.isfinite().all()):
            raise InputError(
                f"the proposals of image {image_id} have boxes or scores that are not finite; "
                "the network that made them is broken: train it again at a lower rate"
            )
        content = {
            "size": list(masks.shape[1:]),
            "counts": [encode(mask)["counts"] for mask in masks],
            "boxes": boxes.tolist(),
            "scores": scores.tolist(),
        }
        text = json.dumps(content, separators=(",", ":")).encode("ascii")
        # A name of its own for each writer: two may be at the same image.
        with tempfile.NamedTemporaryFile(dir=self.folder, suffix=".partial", delete=False) as file:
            file.write(f"{zlib.crc32(text):0{_CHECKSUM}x}\n".encode("ascii") + text)
        Path(file.name).replace(self._path(image_id))

    def read(self, image_id: int) -> Proposals:
        """Return an image's proposals, to the bit as they were written.

        Raises:
            InputError: there are none, or their file is damaged.
        """
        text = self._content(image_id)
        if text is None:
            state = "damaged" if self._path(image_id).exists() else "not there"
            raise InputError(
                f"the proposals of image {image_id} are {state} ('{self._path(image_id)}'); make those that "
                "ProposalStore.missing names"
            )
        content = json.loads(text)
        height, width = content["size"]
        return Proposals(
            tuple({"size": [height, width], "counts": counts} for counts in content["counts"]),
            torch.tensor(content["boxes"], dtype=torch.float32).reshape(-1, 4),
            torch.tensor(content["scores"], dtype=torch.float32),
            (height, width),
        )

    def _path(self, image_id: int) -> Path:
        return self.folder / f"{int(image_id)}.json"

    def _content(self, image_id: int) -> bytes | None:
        """Return what an image's file holds after its checksum, or None where it is not there or not whole."""
        try:
            data = self._path(image_id).read_bytes()
        except FileNotFoundError:
            return None
        checksum, _, text = data.partition(b"\n")
        return text if checksum == f"{zlib.crc32(text):0{_CHECKSUM}x}".encode("ascii") else None


def fingerprint(weights: Mapping[str, Tensor], data: str, options: Mapping[str, Any] | Sequence[Any]) -> str:
    """Return the key of a store: what makes proposals what they are.

    Args:
        weights: of the network, by name; their order does not matter.
        data: fingerprint of the data set.
        options: how proposals are made; plain numbers, strings, lists and mappings.

    Returns:
        16 hexadecimal digits.
    """
    digest = sha256()
    for name in sorted(weights):
        value = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    digest.update(f"\n{data}\n{json.dumps(options, sort_keys=True)}".encode())
    return digest.hexdigest()[:16]
