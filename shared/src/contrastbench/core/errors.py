"""Errors a user can act on: what is wrong, where, what was expected, what to do."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input from a user. Its message is complete by itself; commands print it and exit with code 2."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """Return the error for a name that is not known, with the nearest known ones or all of them.

    Args:
        kind: what is named, as a noun phrase without article ("table", "sampler for positives").
        name: what the user wrote.
        known: the names that exist.
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        hint = "did you mean " + " or ".join(f"'{n}'" for n in near) + "?"
    elif known:
        hint = "known: " + ", ".join(known)
    else:
        hint = f"there is no {kind} at all"
    return InputError(f"unknown {kind} '{name}'; {hint}")


def require_number(
    name: str,
    value: object,
    *,
    above: float | None = None,
    least: float = 0,
    most: float = math.inf,
    whole: bool = False,
) -> None:
    """Check that an option is a finite number in its range.

    Args:
        name: of the option.
        value: what the user gave.
        above: what it must exceed; None for ``least`` and ``most``, which it may equal.
        least: the least it may be.
        most: the most it may be.
        whole: whether it must be an integer.

    Raises:
        InputError: it is not.
    """
    number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    inside = number and (least <= value <= most if above is None else value > above) and value < math.inf  # type: ignore[operator]
    if not inside:
        bounds = f"from {least:g} to {most:g}" if most < math.inf else f"of {least:g} or more"
        bounds = bounds if above is None else f"above {above:g}"
        raise InputError(f"{name} is {value!r}; expected a {'whole ' if whole else ''}number {bounds}")
