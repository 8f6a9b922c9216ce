"""Errors a user can act on: what is wrong, where, what was expected, what to do."""

from __future__ import annotations

import difflib
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
