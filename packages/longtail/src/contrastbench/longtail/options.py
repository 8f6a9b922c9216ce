"""Reading the options of discovery."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from contrastbench.core.errors import require_number, unknown_name


@dataclass(frozen=True)
class Labelling:
    """The options under ``labels``.

    Attributes:
        anchors: annotated training masks of each category that clusters are compared with ("a few" in the paper).
        method: as of :func:`~contrastbench.longtail.labels.assign_labels`.
        categories: which may be labels: ``"all"``, or ``"long_tail"`` for those outside pre-training alone.
        nearness: detections' scores are multiplied by ``exp(-nearness * distance to the centre)``; 0 leaves them.
        seed: of the draw of anchors; None for the run's.
    """

    anchors: int = 5
    method: Literal["greedy", "greedy_next", "hungarian"] = "greedy"
    categories: Literal["all", "long_tail"] = "all"
    nearness: float = 0.0
    seed: int | None = None

    def __post_init__(self) -> None:
        require_number("labels.anchors", self.anchors, least=1, whole=True)
        if self.method not in ("greedy", "greedy_next", "hungarian"):
            raise unknown_name("method (labels.method)", str(self.method), ("greedy", "greedy_next", "hungarian"))
        if self.categories not in ("all", "long_tail"):
            raise unknown_name("labels.categories", str(self.categories), ("all", "long_tail"))
        require_number("labels.nearness", self.nearness)


def checked(part: str, options: Mapping[str, Any] | None, known: Sequence[str]) -> dict[str, Any]:
    """Return a copy of options, none for None.

    Args:
        part: what they are options of.
        options: by name.
        known: the names that there are.

    Raises:
        InputError: another name.
    """
    for name in options or {}:
        if name not in known:
            raise unknown_name(f"option of {part}", str(name), known)
    return dict(options or {})


def field_names(of: type) -> list[str]:
    """Return the options of a dataclass."""
    return [field.name for field in fields(of)]


def parameter_names(of: type, *without: str) -> list[str]:
    """Return the options of a class, some of them left out."""
    return [name for name in inspect.signature(of).parameters if name not in without]
