"""The error analysis as an evaluator, to be named in a run's configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contrastbench.core.errors import unknown_name
from contrastbench.dcl.errors.analysis import analyse
from contrastbench.dcl.errors.correction import UNMATCHED_RULES
from contrastbench.dcl.errors.split import KINDS


class MaskErrors:
    """Gives ``delta_ap_ffp``, ``delta_ap_bfp`` and ``delta_ap_fn`` of results, in points.

    Args:
        unmatched: what is done with unmatched predictions: "leave" or "last", see
            :func:`~contrastbench.dcl.errors.analysis.analyse`.

    Raises:
        InputError: an unknown ``unmatched``.
    """

    def __init__(self, unmatched: str = "leave") -> None:
        if unmatched not in UNMATCHED_RULES:
            raise unknown_name("rule for unmatched predictions", unmatched, UNMATCHED_RULES)
        self.unmatched = unmatched

    def __call__(self, ground_truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the gains by kind over all classes and, under ``per_class``, by class name; and how it was done.

        Args:
            ground_truth: a COCO dataset.
            results: COCO results of masks.

        Raises:
            InputError: something in them is not what it should be.
        """
        report = analyse(ground_truth, results, unmatched=self.unmatched)
        return {
            **{f"delta_ap_{kind}": report.overall.delta_ap[kind] for kind in KINDS},
            "per_class": {
                f"delta_ap_{kind}": {name: scores.delta_ap[kind] for name, scores in report.per_class.items()}
                for kind in KINDS
            },
            "evaluation": _DESCRIPTION[self.unmatched],
        }


_DESCRIPTION = {
    "leave": "mask errors, DCL Eq. 2",
    "last": "mask errors, DCL Eq. 2 as in the published tool",
}
