"""Who is compared with whom: the triplets of one step, drawn from the masks of its proposals alone.

Weng et al., CVPR 2021, section 3.2. Shapes: n proposals of an image, P of a batch on this rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from contrastbench.core.distributed import gather_rows, rank, row_counts
from contrastbench.core.draws import generator
from contrastbench.core.errors import InputError, require_number, unknown_name
from contrastbench.longtail.overlaps import children, intersection_over_union

_MASK, _POSITIVE, _NEGATIVE, _CHILD = range(4)
"""What a generator is for, the last part of its key: so one loss's options leave the draws of the others alone."""

_SOURCES = ("batch", "image")


class Triplets(NamedTuple):
    """The triplets of one step on this rank, int64, places among the P proposals of this rank's batch.

    Attributes:
        mask: ``[m]``, proposals of the mask loss; each is compared with its own box and background.
        anchor: ``[t]``, of the object loss; one row for each negative.
        positive: ``[t]``, of the same image.
        negative: ``[t]``, places among the proposals of all ranks, one rank after the other. With one process that
            is the numbering of the others.
        parent: ``[h]``, of the hierarchical loss.
        child: ``[h]``, of the same image.
    """

    mask: Tensor
    anchor: Tensor
    positive: Tensor
    negative: Tensor
    parent: Tensor
    child: Tensor

    def to(self, device: torch.device | str) -> Triplets:
        """Return the same on a device."""
        return Triplets(*(places.to(device) for places in self))


@dataclass(frozen=True)
class TripletSampler:
    """Draws the triplets of the three losses. The defaults are the paper's.

    An anchor that has fewer candidates than asked for takes those there are, each once; one without a candidate has no
    triplet. Empty masks take no part.

    Attributes:
        mask_proposals: of an image for the mask loss, at random; None for all, 0 for none.
        positive_iou: mask IoU with the anchor that a positive exceeds.
        positives: for each anchor, at random; None for every one.
        negatives: for each anchor and positive, at random.
        negatives_from: ``"batch"``, from the anchor's image and all others of the global batch alike, or ``"image"``,
            from the anchor's alone. The images of a batch differ.
        disjoint: whether a negative has no pixel in common with the anchor; False for any proposal but the anchor
            itself, as in the released code.
        containment: share of a child that lies within its parent, at least.
        area_ratio: area of a child over that of its parent, at most. A child is always smaller, also with 1.
        children: for each anchor, at random; None for every one.
        seed: of all draws. A batch split over ranks draws what the joint batch does.

    Raises:
        InputError: an unknown choice, or a number out of its range.
    """

    mask_proposals: int | None = None
    positive_iou: float = 0.4
    positives: int | None = 1
    negatives: int = 3
    negatives_from: Literal["batch", "image"] = "batch"
    disjoint: bool = True
    containment: float = 0.95
    area_ratio: float = 0.5
    children: int | None = 1
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the options."""
        if self.negatives_from not in _SOURCES:
            raise unknown_name("source of negatives (negatives_from)", str(self.negatives_from), _SOURCES)
        for name in ("mask_proposals", "positives", "negatives", "children"):
            value = getattr(self, name)
            if value is None and name != "negatives":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                null = "" if name == "negatives" else ", or null for all"
                raise InputError(f"{name} is {value!r}; expected a whole number of 0 or more{null}")
        for name in ("positive_iou", "containment", "area_ratio"):
            require_number(name, getattr(self, name), most=1)

    @torch.no_grad()
    def __call__(
        self,
        intersections: Sequence[Tensor],
        images: Sequence[int],
        step: int,
        device: torch.device | str = "cpu",
    ) -> Triplets:
        """Draw the triplets of a step.

        Args:
            intersections: for each image of this rank, ``[n, n]`` (int64), the pixels that its proposals have in
                common (see :mod:`contrastbench.longtail.overlaps`).
            images: each image's place in the training set.
            step: the training step, so that an image seen again draws anew.
            device: where the places go. What ranks exchange is exchanged from there: a group of GPUs asks for one.

        Returns:
            Places among the proposals, image after image.

        Raises:
            InputError: an image without intersections or the other way round, or intersections of another shape.
        """
        if len(intersections) != len(images):
            raise InputError(f"{len(intersections)} images have intersections and {len(images)} a place; give one each")
        for image, pairs in zip(images, intersections, strict=True):
            if pairs.dim() != 2 or pairs.shape[0] != pairs.shape[1] or pairs.is_floating_point():
                raise InputError(
                    f"the intersections of image {image} are {pairs.dtype} {list(pairs.shape)}; "
                    "expected whole numbers [n, n]"
                )
        parts = [pairs.cpu() for pairs in intersections]
        everyone = _Everyone.of(parts, device)
        drawn, start = [_nothing()], 0
        for pairs, image in zip(parts, images, strict=True):
            drawn.append(self._draw(pairs, (self.seed, step, int(image)), start, everyone))
            start += len(pairs)
        return Triplets(*map(torch.cat, zip(*drawn, strict=True))).to(device)

    def _draw(self, pairs: Tensor, key: tuple[int, int, int], start: int, everyone: _Everyone) -> Triplets:
        """Draw the triplets of an image whose proposals begin at ``start``."""
        mask = _some(pairs.diagonal() > 0, self.mask_proposals, generator(*key, _MASK))
        like = (intersection_over_union(pairs) > self.positive_iou) & ~torch.eye(len(pairs), dtype=torch.bool)
        anchor, positive = _choose(like, self.positives, generator(*key, _POSITIVE))
        row, negative = self._negatives(pairs, anchor, start, everyone, generator(*key, _NEGATIVE))
        nested = children(pairs, self.containment, self.area_ratio)
        parent, child = _choose(nested, self.children, generator(*key, _CHILD))
        return Triplets(
            mask + start, anchor[row] + start, positive[row] + start, negative, parent + start, child + start
        )

    def _negatives(
        self, pairs: Tensor, anchor: Tensor, start: int, everyone: _Everyone, draws: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return rows of ``anchor`` ``[t]`` and a negative for each ``[t]``, among the proposals of all ranks.

        The candidates of an anchor are those of its own image, then those of all other images; only the former are
        ever listed, so that the work does not grow with the batch.
        """
        there = pairs.diagonal() > 0
        unlike = pairs == 0 if self.disjoint else ~torch.eye(len(pairs), dtype=torch.bool)
        own = (unlike & there)[anchor]
        first, last = (int(everyone.order[place]) for place in (start, start + len(pairs)))
        others = len(everyone.places) - (last - first) if self.negatives_from == "batch" else 0
        inside = own.sum(1, keepdim=True)
        uniform = torch.rand(len(anchor), self.negatives, generator=draws)
        nth = _distinct(uniform, inside.squeeze(1) + others)
        here = _nth_column(own, nth.minimum(inside - 1)) + everyone.start + start
        away = (nth - inside).clamp_min(0)
        away = away + (away >= first) * (last - first)
        if others:
            here = torch.where(nth < inside, here, everyone.places[away.clamp_max(len(everyone.places) - 1)])
        row, column = (nth >= 0).nonzero(as_tuple=True)
        return row, here[row, column]


class _Everyone(NamedTuple):
    """The proposals of all ranks that are not empty.

    Attributes:
        places: ``[V]`` (int64), among all.
        order: ``[P + 1]`` (int64), how many stand before each proposal of this rank, and before the end of its last.
        start: proposals of the ranks before this one, empty ones too.
    """

    places: Tensor
    order: Tensor
    start: int

    @classmethod
    def of(cls, parts: Sequence[Tensor], device: torch.device | str) -> _Everyone:
        there = torch.cat([torch.zeros(0, dtype=torch.bool), *(pairs.diagonal() > 0 for pairs in parts)])
        shared = there.to(device, torch.uint8)
        start = sum(row_counts(shared)[: rank()])
        everyone = gather_rows(shared).cpu().bool()
        order = torch.cat([torch.zeros(1, dtype=torch.int64), everyone.cumsum(0)])
        return cls(everyone.nonzero().squeeze(1), order[start : start + len(there) + 1], start)


def _nothing() -> Triplets:
    return Triplets(*(torch.zeros(0, dtype=torch.int64) for _ in Triplets._fields))


def _some(eligible: Tensor, count: int | None, draws: torch.Generator) -> Tensor:
    """Return places in ``eligible`` ``[n]`` (bool), ascending: all, or ``count`` at random where there are more."""
    if count is None:
        return eligible.nonzero().squeeze(1)
    uniform = torch.rand(len(eligible), generator=draws).masked_fill(~eligible, torch.inf)
    return uniform.argsort()[: min(count, int(eligible.sum()))].sort().values


def _choose(eligible: Tensor, count: int | None, draws: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return rows and columns of ``eligible`` ``[n, n]`` (bool): all, or at most ``count`` of each row at random."""
    if count is None:
        row, column = eligible.nonzero(as_tuple=True)
        return row, column
    uniform = torch.rand(len(eligible), count, generator=draws)
    nth = _distinct(uniform, eligible.sum(1))
    row, place = (nth >= 0).nonzero(as_tuple=True)
    return row, _nth_column(eligible, nth)[row, place]


def _distinct(uniform: Tensor, counts: Tensor) -> Tensor:
    """Turn draws into distinct whole numbers below a count, uniformly.

    Args:
        uniform: ``[m, k]`` (float) in [0, 1).
        counts: ``[m]`` (int64).

    Returns:
        ``[m, k]`` (int64); -1 where a count is too small for so many.
    """
    taken: list[Tensor] = []
    numbers = []
    for place, draw in enumerate(uniform.unbind(1)):
        left = counts - place
        # In float64 a product with a float32 draw, which is below 1 by 2^-24 or more, is never rounded up to the count.
        number = (draw.double() * left).long()
        # The number-th of those not taken yet: step over each that is, from the smallest.
        for smaller in taken:
            number = number + (number >= smaller)
        number = number.masked_fill(left <= 0, -1)
        numbers.append(number)
        taken = list(torch.stack(numbers).sort(0).values.unbind(0))
    return torch.stack(numbers, 1) if numbers else torch.zeros(len(uniform), 0, dtype=torch.int64)


def _nth_column(rows: Tensor, nth: Tensor) -> Tensor:
    """Return in which column of each row of ``rows`` ``[m, n]`` (bool) its nth True is, ``[m, k]`` (int64) from 0.

    Where there is no such, what is returned means nothing.
    """
    return torch.searchsorted(rows.cumsum(1), nth + 1)
