"""Correcting masks as run lengths, without making them dense."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from contrastbench.core.data.coco import decode, encode, to_rle

Rle = dict[str, Any]
"""A mask as compressed run lengths: ``size`` [height, width] and ``counts`` (bytes), as pycocotools has it."""


class ImageRegions:
    """Corrects the predictions of one image, one kind of error at a time (Eq. 2 of the DCL paper).

    With D the prediction, G* the matched instance, G the union of all instances and C the crowd regions:

    - fFP: D without the pixels on other instances is D and (not G, or G*, or C);
    - bFP: D without the pixels on no instance is D and (G or C);
    - FN: D with the missing pixels is D or (G* - C).

    What stands in brackets depends on the image and G* alone. It is made once, and each correction is one merge of
    run lengths.

    Args:
        instances: the image's instances, crowd regions left out.
        crowd: its crowd regions. Corrections leave their pixels as they are.
        height: of the image, in pixels.
        width: of the image, in pixels.
    """

    def __init__(self, instances: Sequence[Rle], crowd: Sequence[Rle], height: int, width: int) -> None:
        self._instances = list(instances)
        self._crowd = list(crowd)
        self._size = (height, width)
        self._without_ffp: dict[int, Rle] = {}

    def corrected(self, prediction: Rle, matched: int) -> dict[str, Rle]:
        """Return the prediction with each kind of error corrected in turn, by kind.

        Args:
            prediction: D.
            matched: which of the instances is G*.
        """
        return {
            "ffp": coco_mask.merge([prediction, self._allowed_without_ffp(matched)], intersect=True),
            "bfp": coco_mask.merge([prediction, self._annotated], intersect=True),
            "fn": coco_mask.merge([prediction, self._required(matched)]),
        }

    def _allowed_without_ffp(self, matched: int) -> Rle:
        if matched not in self._without_ffp:
            parts = [self._background, self._instances[matched], *self._crowd]
            self._without_ffp[matched] = coco_mask.merge(parts)
        return self._without_ffp[matched]

    def _required(self, matched: int) -> Rle:
        instance = self._instances[matched]
        return coco_mask.merge([instance, self._not_crowd], intersect=True) if self._crowd else instance

    @cached_property
    def _annotated(self) -> Rle:
        return coco_mask.merge([*self._instances, *self._crowd])

    @cached_property
    def _background(self) -> Rle:
        return self._complement(self._instances)

    @cached_property
    def _not_crowd(self) -> Rle:
        return self._complement(self._crowd)

    def _complement(self, parts: Sequence[Rle]) -> Rle:
        """Return what is in none of the parts. pycocotools has no complement: once an image, by way of a dense mask."""
        inside = decode(coco_mask.merge(list(parts)), *self._size) if parts else np.zeros(self._size, bool)
        return to_rle(encode(~inside), *self._size)
