"""Which pixels an anchor is pushed away from: errors as far as there are any, others at random.

Shapes: n pixels of this rank in a layer, N anchors, M negatives of the global batch.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from contrastbench.contextrast.positives import own_rows
from contrastbench.core.distributed import gather_rows
from contrastbench.core.samplers import first_per_group

Reading = Literal["union", "confused", "literal"]


class Negatives(NamedTuple):
    """This rank's pixels that are negatives ``[m]`` (int64), and which of all ranks' M are whose ``[N, M]`` (bool).

    ``errors`` and ``random`` count the pairs of anchor and negative of either origin.
    """

    pixels: Tensor
    against: Tensor
    errors: int
    random: int


def _first(mask: Tensor, limit: int | Tensor) -> Tensor:
    return mask & (mask.cumsum(0) <= limit)


@torch.no_grad()
def choose_negatives(
    anchors: Tensor,
    classes: Tensor,
    predictions: Tensor,
    errors: Tensor,
    draws: Tensor,
    *,
    reading: Reading,
    limit: int,
    minimum: int,
) -> Negatives:
    """Choose each anchor's negatives among the erroneous pixels, and top them up where they are too few.

    What the n-th anchor may be pushed away from (Sung et al., CVPR 2024, section 3.3):

    - ``"union"``: erroneous pixels whose truth is another class than n;
    - ``"confused"``: those of them that are predicted as n;
    - ``"literal"``: erroneous pixels whose truth is n, as Eq. 6 is printed. That pushes a class's pixels from their own
      anchor, against what the paper says of it.

    Where there are more than ``limit``, as many at random; where there are fewer than ``minimum``, pixels of other
    classes at random beside them. Anchors share one order of the pixels, so that most negatives serve many anchors.

    Args:
        anchors: ``[N]`` (int64), the class of each anchor.
        classes: ``[n]`` (int64), the truth; negative where a pixel counts for nothing.
        predictions: ``[n]`` (int64).
        errors: ``[n]`` (bool), the erroneous pixels that were sampled.
        draws: ``[n]`` (float), uniform draws.
        reading: see above.
        limit: negatives of an anchor at most, in the global batch.
        minimum: negatives of an anchor at least, as far as there are pixels of other classes; at most ``limit``.
    """
    # The first of each group hold the first of any union of groups, on this rank and then on all.
    groups = torch.where(errors, predictions if reading == "confused" else classes, -1)
    candidates = torch.cat([first_per_group(groups, draws, limit), first_per_group(classes, draws, minimum)]).unique()
    truth, predicted, wrong, order = (gather_rows(x[candidates]) for x in (classes, predictions, errors, draws))
    order = torch.argsort(order, stable=True)
    truth, predicted, wrong = truth[order], predicted[order], wrong[order]
    against = torch.zeros(len(anchors), len(order), dtype=torch.bool, device=classes.device)
    from_errors = torch.zeros_like(against)
    for row, c in enumerate(anchors.tolist()):
        other = truth != c
        hard = wrong & (~other if reading == "literal" else other)
        if reading == "confused":
            hard &= predicted == c
        chosen = _first(hard, limit)
        from_errors[row, order] = chosen
        against[row, order] = chosen | _first(other & ~hard, minimum - chosen.sum())
    used, errors_taken = against.any(0), int(from_errors.sum())
    return Negatives(
        candidates[own_rows(candidates, used)],
        against[:, used],
        errors=errors_taken,
        random=int(against.sum()) - errors_taken,
    )
