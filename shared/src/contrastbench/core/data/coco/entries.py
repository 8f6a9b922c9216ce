"""Reading a file of annotations, and checking what its entries have in common, column by column.

A check goes over one key of all entries at once, because there may be a million of them, and looks for the offender
only when there is one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from contrastbench.core.errors import InputError

Progress = Callable[[int, int], None]


def load(source: str | Path, kind: str) -> Any:
    """Return the content of a JSON file.

    Args:
        source: its path.
        kind: what it should hold ("ground truth"), for messages.

    Raises:
        InputError: there is no such file, or it is not JSON.
    """
    path = Path(source).expanduser()
    try:
        with path.open(encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        raise InputError(f"there is no file '{path}'; expected COCO {kind} (JSON)") from None
    except OSError as error:
        raise InputError(
            f"cannot read '{path}' ({error.strerror or error}); expected a file of COCO {kind} (JSON)"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"'{path}' is not JSON ({error}); expected COCO {kind}; write it again, or name another file"
        ) from error


class Entries:
    """A list of entries (images, annotations, results), and the complaints about one of them.

    Args:
        entries: the list.
        noun: what an entry is ("annotation"), for messages.
        where: file, or whatever the list came from, for messages.
        key: what an entry is known by; its place in the list where that is None.
    """

    def __init__(self, entries: Sequence[Any], noun: str, where: str, key: str | None = "id") -> None:
        self.entries, self.noun, self.where, self.key = entries, noun, where, key
        self._places: Sequence[int] = range(len(entries))

    def where_given(self, key: str) -> Entries:
        """Return those that have a key. Each keeps its place in the list for messages."""
        places = [index for index, entry in enumerate(self.entries) if key in entry]
        given = Entries([self.entries[index] for index in places], self.noun, self.where, self.key)
        given._places = places
        return given

    def error(self, index: int, message: str) -> InputError:
        """Return the error about the entry at a place."""
        entry = self.entries[index]
        known = f" (id {entry[self.key]})" if self.key and isinstance(entry, Mapping) and self.key in entry else ""
        return InputError(f"{self.where}: {self.noun} {self._places[index]}{known} {message}")

    def column(self, key: str, expected: str, fits: Callable[[Any], bool]) -> list[Any]:
        """Return what every entry has under a key.

        Args:
            key: the key.
            expected: what must be there, for the message.
            fits: whether a value is that.

        Raises:
            InputError: an entry is no mapping, does not have it, or has something else.
        """
        try:
            values = [entry[key] for entry in self.entries]
        except (KeyError, TypeError, IndexError):
            index = next(i for i, e in enumerate(self.entries) if not isinstance(e, Mapping) or key not in e)
            if not isinstance(self.entries[index], Mapping):
                raise self.error(index, "is no JSON object; expected one with COCO's keys") from None
            raise self.error(index, f"has no '{key}'; expected {expected}; add it") from None
        for index, value in enumerate(values):
            if not fits(value):
                raise self.error(index, f"has {key} {shown(value)}; expected {expected}; correct it")
        return values

    def ids(self) -> list[int]:
        """Return the ids.

        Raises:
            InputError: one is missing, no whole number, or there twice.
        """
        ids = self.column("id", "a whole number", is_whole)
        if len(set(ids)) < len(ids):
            seen: dict[int, int] = {}
            for index, number in enumerate(ids):
                if number in seen:
                    raise self.error(
                        index, f"has the same id as {self.noun} {seen[number]}; every id must be there once; renumber"
                    )
                seen[number] = index
        return ids

    def references(self, key: str, known: Iterable[int], noun: str, advice: str) -> list[int]:
        """Return the ids of something else that entries name.

        Args:
            key: where they name it.
            known: the ids there are.
            noun: what is named ("image").
            advice: what to do when there is none of that id.

        Raises:
            InputError: one is missing, no whole number, or not known.
        """
        known = set(known)
        ids = self.column(key, f"the id of {noun}", is_whole)
        if not known.issuperset(ids):
            index = next(i for i, number in enumerate(ids) if number not in known)
            raise self.error(index, f"names the {key} {ids[index]}, and there is no such {noun}; {advice}")
        return ids

    def numbers(self, key: str, expected: str) -> np.ndarray:
        """Return the finite number that every entry has under a key, float64 ``[N]``.

        Raises:
            InputError: an entry has none, or something else, or one that is not finite.
        """
        return np.array(self.column(key, expected, is_finite), np.float64)

    def boxes(self) -> np.ndarray:
        """Return the box of every entry, float64 ``[N, 4]``: x, y, width and height.

        Raises:
            InputError: an entry has none, or something else, or a number that is not finite.
        """
        expected = "[x, y, width, height] in pixels, finite numbers"
        return np.array(self.column("bbox", expected, is_box), np.float64).reshape(-1, 4)


def is_whole(value: object) -> bool:
    """Whether a value is a whole number, and not a bool."""
    return type(value) is int or (isinstance(value, Integral) and not isinstance(value, bool))


def is_finite(value: object) -> bool:
    """Whether a value is a finite number, and not a bool."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def is_box(value: object) -> bool:
    """Whether a value is a list of four finite numbers."""
    return isinstance(value, (list, tuple)) and len(value) == 4 and all(map(is_finite, value))


def shown(value: object) -> str:
    """Return a value for a message, cut short."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
