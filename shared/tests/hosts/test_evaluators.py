from __future__ import annotations

from typing import Any

import pytest
from mask_objectives import Tally

from contrastbench.core.errors import InputError
from contrastbench.core.hosts.evaluators import build_evaluators, judge
from contrastbench.core.hosts.merging import merged

TRUTH: dict[str, Any] = {"categories": [{"id": 4, "name": "car"}]}
RESULTS = [{"category_id": 4}, {"category_id": 4}]


def length(ground_truth: Any, results: Any) -> dict[str, Any]:
    return {"length": len(results), "per_class": {"length": {"car": 2}}, "evaluation": "measured"}


def test_evaluators_stand_side_by_side() -> None:
    evaluators = build_evaluators([{"type": "mask_objectives.Tally"}, length, lambda truth, results: {"bare": 1}])

    assert judge(evaluators, TRUTH, RESULTS) == {
        "results": 2,
        "length": 2,
        "bare": 1,
        "per_class": {"results": {"car": 2}, "length": {"car": 2}},
        "evaluation": "counted; measured",
    }


def test_results_are_merged() -> None:
    ours = {"mIoU": 1.0, "per_class": {"IoU": {"a": 1.0}}, "evaluation": "mIoU, single scale, 2x2"}
    more = {"more": None, "per_class": {"more": {"a": None}}, "evaluation": "more"}

    assert merged([ours, more, {"last": 3}]) == {
        "mIoU": 1.0,
        "more": None,
        "last": 3,
        "per_class": {"IoU": {"a": 1.0}, "more": {"a": None}},
        "evaluation": "mIoU, single scale, 2x2; more",
    }
    with pytest.raises(InputError, match="two metrics give 'more'"):
        merged([ours, more, {"more": 1}])
    with pytest.raises(InputError, match="two metrics give 'IoU'"):
        merged([ours, {"per_class": {"IoU": {}}}])


def test_two_of_a_name_are_refused() -> None:
    with pytest.raises(InputError, match="two metrics give 'results'"):
        judge([Tally(), Tally()], TRUTH, RESULTS)


@pytest.mark.parametrize(
    ("evaluators", "message"),
    [
        ([], "no evaluator"),
        ([{"type": "mask_objectives.Talley"}], "did you mean 'Tally'"),
        ([{"type": "mask_objectives.Tally", "strict": True}], "unknown option of Tally"),
        ([{}], "needs a 'type'"),
    ],
)
def test_wrong_evaluators_are_explained(evaluators: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_evaluators(evaluators)
