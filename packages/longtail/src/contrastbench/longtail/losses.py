"""The three triplet losses (Weng et al., CVPR 2021, section 3.2, Eq. 1 to 5).

Eq. 3 is printed with the signs of its two distances the wrong way round: ``alpha - d(anchor, positive) + d(anchor,
negative)`` falls as the positive moves away and the negative comes near. The text around it ("their feature embeddings
should also be close to each other") and Eq. 1, ``alpha - d(full, bg) + d(full, fg)``, want the opposite, and that is
what :func:`object_terms` computes. Given the positive as the negative and the other way round, it is Eq. 3 as printed.

Shapes: D dimensions of the space; P proposals of this rank's batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from contrastbench.core.distributed import all_sum, gather_rows, world_size
from contrastbench.core.errors import InputError, require_number, unknown_name
from contrastbench.longtail.geometry import space_named
from contrastbench.longtail.triplets import Triplets

Distance = Callable[[Tensor, Tensor], Tensor]
"""Between two batches of points ``[..., D]``: ``[...]`` (float64)."""

_REDUCTIONS = ("mean", "sum")
_LOSSES = ("mask", "object", "hierarchical")


def mask_terms(full: Tensor, foreground: Tensor, background: Tensor, margin: float, distance: Distance) -> Tensor:
    """Return the terms of Eq. 1: a box is nearer to its object than to what is around the object, by a margin.

    Args:
        full: [z_full] ``[m, D]``, whole boxes.
        foreground: [z_fg] ``[m, D]``, the same with the background removed.
        background: [z_bg] ``[m, D]``, the same with the object removed.
        margin: [alpha].
        distance: [d].

    Returns:
        ``[m]``.
    """
    return (margin - distance(full, background) + distance(full, foreground)).relu()


def object_terms(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float, distance: Distance) -> Tensor:
    """Return the terms of Eq. 3, as the text has them: the positive is nearer than the negative, by a margin.

    Args:
        anchor: [z_fg] ``[t, D]``.
        positive: [z^_fg] ``[t, D]``.
        negative: [z-_fg] ``[t, D]``.
        margin: [alpha].
        distance: [d].

    Returns:
        ``[t]``.
    """
    return (margin - distance(anchor, negative) + distance(anchor, positive)).relu()


def hierarchical_terms(parent: Tensor, child: Tensor, margin: float, distance: Distance) -> Tensor:
    """Return the terms of Eq. 4: a child is farther from the origin than its parent, by a margin.

    Args:
        parent: [z_fg] ``[h, D]``.
        child: [z_child] ``[h, D]``.
        margin: [alpha].
        distance: [d].

    Returns:
        ``[h]``.
    """
    origin = torch.zeros_like(parent)
    return (margin - distance(child, origin) + distance(parent, origin)).relu()


class TripletLoss(nn.Module):
    """The weighted losses of one step (Eq. 5). The defaults are the paper's.

    Args:
        margin: [alpha] of all three.
        mask_weight: [beta].
        object_weight: [gamma].
        hierarchical_weight: the paper's is 1.
        space: ``"poincare"``, or ``"euclidean"`` for the ablation (Table 2), where all three distances are Euclidean,
            those to the origin too.
        c: the ball's curvature is -c.
        reduction: ``"mean"`` over the triplets of the global batch, each loss over its own; ``"sum"`` as the equations
            are written and as in the released code, where an image with many overlaps outweighs the others.

    Raises:
        InputError: an unknown choice, or a number out of its range.
    """

    def __init__(
        self,
        *,
        margin: float = 0.2,
        mask_weight: float = 0.2,
        object_weight: float = 0.2,
        hierarchical_weight: float = 1.0,
        space: Literal["poincare", "euclidean"] = "poincare",
        c: float = 1.0,
        reduction: Literal["mean", "sum"] = "mean",
    ) -> None:
        super().__init__()
        if reduction not in _REDUCTIONS:
            raise unknown_name("reduction", str(reduction), _REDUCTIONS)
        numbers = {
            "margin": margin,
            "mask_weight": mask_weight,
            "object_weight": object_weight,
            "hierarchical_weight": hierarchical_weight,
        }
        for name, value in numbers.items():
            require_number(name, value)
        require_number("c", c, above=0)
        self.margin, self.reduction = margin, reduction
        self.weights = (mask_weight, object_weight, hierarchical_weight)
        self.distance: Distance = space_named(space, c).distance

    def forward(self, foreground: Tensor, full: Tensor, background: Tensor, triplets: Triplets) -> Mapping[str, Tensor]:
        """Return the losses and what they counted.

        Args:
            foreground: [z_fg] ``[P, D]`` (float), embeddings of all proposals of this rank without their background.
            full: [z_full] ``[m, D]``, embeddings of the whole boxes of ``triplets.mask``, in that order.
            background: [z_bg] ``[m, D]``, embeddings of the background of the same boxes.
            triplets: of this step, on the embeddings' device.

        Returns:
            ``loss_mask``, ``loss_object`` and ``loss_hierarchical`` (float64, weighted; 0 and connected to the graph
            where there is no triplet), and beside them ``mask_triplets``, ``object_triplets`` and
            ``hierarchical_pairs``, how many the global batch has.

        Raises:
            InputError: embeddings that do not fit each other or the triplets.
        """
        _check(foreground, full, background, triplets)
        foreground, full, background = foreground.double(), full.double(), background.double()
        # Negatives may be another rank's.
        everyone = gather_rows(foreground)
        terms = (
            mask_terms(full, foreground[triplets.mask], background, self.margin, self.distance),
            object_terms(
                foreground[triplets.anchor],
                foreground[triplets.positive],
                everyone[triplets.negative],
                self.margin,
                self.distance,
            ),
            hierarchical_terms(foreground[triplets.parent], foreground[triplets.child], self.margin, self.distance),
        )
        # One reduction over the ranks serves the three losses and the counts.
        counts = all_sum(torch.tensor([len(t) for t in terms], device=foreground.device, dtype=torch.float64))
        out: dict[str, Tensor] = {}
        for name, term, weight, count in zip(_LOSSES, terms, self.weights, counts, strict=True):
            # Data-parallel training averages over the ranks: see losses.mean_over_anchors.
            scale = 1.0 if self.reduction == "sum" else 1 / count.clamp_min(1)
            out[f"loss_{name}"] = term.sum() * (weight * world_size() * scale)
        return out | dict(zip(("mask_triplets", "object_triplets", "hierarchical_pairs"), counts, strict=True))


def _check(foreground: Tensor, full: Tensor, background: Tensor, triplets: Triplets) -> None:
    if foreground.dim() != 2:
        raise InputError(f"the foregrounds' embeddings are {list(foreground.shape)}; expected [P, D]")
    expected = (len(triplets.mask), foreground.shape[1])
    for name, value in (("full boxes", full), ("backgrounds", background)):
        if value.shape != expected:
            raise InputError(
                f"the embeddings of the {name} are {list(value.shape)}; expected {list(expected)}, one for each of "
                "the step's mask triplets"
            )
