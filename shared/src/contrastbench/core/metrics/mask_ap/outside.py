"""Mask AP on the categories outside a set, as those that were never annotated in pre-training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contrastbench.core.building import build_metric
from contrastbench.core.data.coco import restricted, restricted_results
from contrastbench.core.data.instances.restriction import Selection, select_categories
from contrastbench.core.errors import InputError


class Outside:
    """Let evaluators judge the categories outside a set, and no other.

    Args:
        known: the set, as :func:`~contrastbench.core.data.instances.restriction.select_categories` takes it.
        evaluators: mappings that name them.

    Raises:
        InputError: no evaluator, or one that cannot be built.
    """

    def __init__(self, known: Selection, evaluators: Sequence[Mapping[str, Any]]) -> None:
        if not evaluators:
            raise InputError("Outside: there is no evaluator; name at least one")
        self.known = known
        self.evaluators = [build_metric(evaluator, {}) for evaluator in evaluators]

    def __call__(self, ground_truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return what the evaluators give, side by side, and ``long_tail``, how many categories they judged.

        Args:
            ground_truth: a COCO dict; for a set by frequency or synset, with LVIS's fields.
            results: COCO results.

        Raises:
            InputError: no category is left, or as of the evaluators.
        """
        from contrastbench.core.hosts.evaluators import judge

        known = set(select_categories(ground_truth, self.known))
        outside = [category["id"] for category in ground_truth["categories"] if category["id"] not in known]
        if not outside:
            raise InputError(f"Outside: all {len(known)} categories are in the set, none is left to judge")
        said = judge(self.evaluators, restricted(ground_truth, outside), restricted_results(results, outside))
        told = f"{said['evaluation']}; {len(outside)} categories of the long tail"
        return {**said, "long_tail": len(outside), "evaluation": told}
