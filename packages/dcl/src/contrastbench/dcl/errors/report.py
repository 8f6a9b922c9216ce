"""What the error analysis of a set of results says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from contrastbench.dcl.errors.split import KINDS


@dataclass(frozen=True)
class ErrorScores:
    """AP and what each kind of error costs of it, in points.

    Attributes:
        ap: mask AP of the results as they are; None where there is no ground truth.
        delta_ap: by kind, the AP with errors of that kind corrected, less ``ap`` (Eq. 2 of the DCL paper).
    """

    ap: float | None
    delta_ap: Mapping[str, float | None]

    def as_data(self) -> dict[str, Any]:
        """Return it as plain JSON data."""
        return {"ap": self.ap, "delta_ap": {kind: self.delta_ap[kind] for kind in KINDS}}


class MatchedPrediction(NamedTuple):
    """A prediction, the instance it is matched to, and its error pixels.

    Attributes:
        result: its place in the results.
        annotation: the place of the instance in the ground truth's annotations.
        ffp: pixels on other instances.
        bfp: pixels on no instance.
        fn: pixels of the instance that are missing.
    """

    result: int
    annotation: int
    ffp: int
    bfp: int
    fn: int


@dataclass(frozen=True)
class MaskErrorReport:
    """The error analysis of a set of results.

    Attributes:
        overall: over all categories.
        per_class: by category name.
        matches: every matched prediction, image by image.
        predictions: how many predictions were analysed: those that the COCO evaluation looks at.
        beyond_limit: how many more there are: beyond the 100 of highest score of an image and category.
        unmatched_rule: what was done with unmatched predictions: "leave" or "last".
    """

    overall: ErrorScores
    per_class: Mapping[str, ErrorScores]
    matches: tuple[MatchedPrediction, ...]
    predictions: int
    beyond_limit: int
    unmatched_rule: str

    @property
    def matched(self) -> int:
        """How many predictions are matched to an instance."""
        return len(self.matches)

    @property
    def unmatched(self) -> int:
        """How many predictions are matched to none."""
        return self.predictions - self.matched

    def pixels(self) -> dict[str, int]:
        """Return how many error pixels of each kind the matched predictions have."""
        return {kind: sum(getattr(match, kind) for match in self.matches) for kind in KINDS}

    def as_data(self) -> dict[str, Any]:
        """Return it as plain JSON data, all but the single matches."""
        return {
            **self.overall.as_data(),
            "per_class": {name: scores.as_data() for name, scores in self.per_class.items()},
            "predictions": self.predictions,
            "matched": self.matched,
            "unmatched": self.unmatched,
            "beyond_limit": self.beyond_limit,
            "unmatched_rule": self.unmatched_rule,
            "pixels": self.pixels(),
        }
