"""Small data sets in the layouts of the real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def write_camvid(root: Path, train: int = 4, val: int = 2, size: tuple[int, int] = (24, 32), seed: int = 0) -> Path:
    """Write vertical stripes of classes, coloured by class with noise, in the layout of CamVid."""
    random = np.random.default_rng(seed)
    colours = random.integers(0, 255, (12, 3))
    for split, count in (("train", train), ("val", val)):
        images, labels = root / split, root / f"{split}annot"
        images.mkdir(parents=True)
        labels.mkdir()
        for index in range(count):
            ids = np.repeat(random.integers(0, 12, size[1] // 8), 8)[None].repeat(size[0], 0).astype(np.uint8)
            image = np.clip(colours[ids] + random.normal(0, 12, (*size, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(image).save(images / f"{index:04d}.png")
            Image.fromarray(ids).save(labels / f"{index:04d}.png")
    return root


def write_cityscapes(root: Path, size: tuple[int, int] = (16, 32)) -> Path:
    """Write one image a split whose label ids are 0 to 33, column by column, in the layout of Cityscapes."""
    ids = (np.arange(size[0] * size[1]) % 34).reshape(size).astype(np.uint8)
    for split in ("train", "val"):
        images, labels = root / "leftImg8bit" / split / "town", root / "gtFine" / split / "town"
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        Image.fromarray(np.zeros((*size, 3), np.uint8)).save(images / "town_000000_000019_leftImg8bit.png")
        Image.fromarray(ids).save(labels / "town_000000_000019_gtFine_labelIds.png")
    return root
