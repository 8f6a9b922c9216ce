"""What judges the results of instance segmentation: callables that a run's configuration names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from contrastbench.core.building import build_metric
from contrastbench.core.errors import InputError
from contrastbench.core.hosts.merging import merged

Evaluator = Callable[[Mapping[str, Any], Sequence[Mapping[str, Any]]], Mapping[str, Any]]
"""Called with ground truth (a COCO dict) and results (COCO results dicts). Returns numbers by name, perhaps
``per_class`` (numbers by class name, by name) and ``evaluation`` (how it was measured)."""

COCO_AP: Mapping[str, Any] = {"type": "contrastbench.core.metrics.mask_ap.CocoAP"}
"""What a run is judged by where nothing else is said."""


def build_evaluators(evaluators: Iterable[Mapping[str, Any] | Evaluator]) -> list[Evaluator]:
    """Return evaluators from what a configuration names, callables as they are.

    Raises:
        InputError: there is no such evaluator, it does not take its options, or there is none at all.
    """
    built = [build_metric(one, {}) if isinstance(one, Mapping) else one for one in evaluators]
    if not built:
        raise InputError(f"there is no evaluator; name at least one under evaluators, such as {COCO_AP['type']}")
    return built


def judge(
    evaluators: Iterable[Evaluator], ground_truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return what all evaluators say of the results, as of :func:`~contrastbench.core.hosts.merging.merged`.

    Raises:
        InputError: two evaluators give a number of one name.
    """
    return merged([evaluator(ground_truth, results) for evaluator in evaluators])
