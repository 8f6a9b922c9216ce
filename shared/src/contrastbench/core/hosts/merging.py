"""Several measurements of one run as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contrastbench.core.errors import InputError


def merged(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return several results as one: plain keys side by side, ``per_class`` merged, ``evaluation`` joined by ``; ``.

    Raises:
        InputError: two parts have a result of one name.
    """
    plain: dict[str, Any] = {}
    per_class: dict[str, Any] = {}
    for part in parts:
        rest = {key: value for key, value in part.items() if key not in ("per_class", "evaluation")}
        for into, names in ((plain, rest), (per_class, part.get("per_class") or {})):
            twice = sorted(into.keys() & names.keys())
            if twice:
                raise InputError(
                    f"two metrics give '{twice[0]}'; list each metric once, and none that the host measures (mIoU)"
                )
            into.update(names)
    measured = "; ".join(part["evaluation"] for part in parts if part.get("evaluation"))
    return {**plain, "per_class": per_class, "evaluation": measured}
