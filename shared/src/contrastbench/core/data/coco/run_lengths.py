"""The run lengths inside compressed RLE strings, of many masks at once.

COCO writes a mask as the lengths of its runs of equal pixels in column-major order, background first. The compressed
form stores the differences to the run before last (from the fourth run on) as signed numbers of a variable number of
characters: five bits a character, the lowest first, 32 says that another follows, 48 is added to make it printable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_OFFSET, _MORE, _SIGN, _BITS = 48, 32, 16, 5
_LONGEST = 7  # characters a number; 35 bits hold every difference of 32-bit lengths


@dataclass(frozen=True)
class RunLengths:
    """The runs of N masks.

    Attributes:
        lengths: of all runs, mask after mask, int64 ``[runs]``.
        first: where each mask's runs begin in ``lengths``, int64 ``[N + 1]``, the last entry their number.
        valid: whether each string is well formed and no length negative, bool ``[N]``.
        pixels: of each mask, all runs together, int64 ``[N]``; meaningless where not valid.
        area: pixels of each mask that are set, int64 ``[N]``; meaningless where not valid.
    """

    lengths: np.ndarray
    first: np.ndarray
    valid: np.ndarray
    pixels: np.ndarray
    area: np.ndarray


def run_lengths(strings: Sequence[bytes]) -> RunLengths:
    """Return the runs that compressed RLE strings hold, well formed or not.

    Args:
        strings: the ``counts`` of N masks.
    """
    ends = np.cumsum([len(string) for string in strings], dtype=np.int64)
    code = np.frombuffer(b"".join(strings), np.uint8) - np.uint8(_OFFSET)  # below the offset it wraps around to above
    strange = code >= 2 * _MORE
    stops = (code & _MORE) == 0
    final = ends[ends > 0] - 1
    strange[final] |= ~stops[final]
    stops[final] = True  # a number that is cut off must not run on into the next string

    last = np.flatnonzero(stops)
    start = np.concatenate([[0], last + 1])[:-1]
    characters = last - start + 1
    strange[start[characters > _LONGEST]] = True
    numbers = np.zeros(len(start), np.int64)
    for place in range(min(int(characters.max(initial=0)), _LONGEST)):
        here = np.flatnonzero(characters > place)
        numbers[here] |= (code[start[here] + place] & (_MORE - 1)).astype(np.int64) << (_BITS * place)
    negative = np.flatnonzero(code[last] & _SIGN)
    numbers[negative] -= np.int64(1) << (_BITS * np.minimum(characters[negative], _LONGEST))

    first = np.concatenate([[0], np.cumsum(np.bincount(np.searchsorted(ends, last, "right"), minlength=len(ends)))])
    order = np.arange(len(numbers)) - np.repeat(first[:-1], np.diff(first))
    lengths = _add_run_before_last(numbers, order)
    bad = _sums(lengths < 0, first) > 0
    bad[np.searchsorted(ends, np.flatnonzero(strange), "right")] = True
    return RunLengths(lengths, first, ~bad, _sums(lengths, first), _sums(np.where(order % 2, lengths, 0), first))


def _add_run_before_last(numbers: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Undo the differences: from a mask's fourth run on, a number is relative to the run before last.

    Args:
        numbers: as written, int64 ``[runs]``.
        order: place of each in its mask, from 0.
    """
    lengths = numbers.copy()
    for begins in (1, 2):  # the chains 1, 3, 5, ... and 2, 4, 6, ... of each mask
        chain = np.flatnonzero((order >= begins) & (order % 2 == begins % 2))
        total = np.cumsum(numbers[chain])
        opens = order[chain] == begins
        before = (total - numbers[chain])[opens]
        lengths[chain] = total - before[np.cumsum(opens) - 1]
    return lengths


def _sums(values: np.ndarray, borders: np.ndarray) -> np.ndarray:
    """Return the sums of ``values`` between successive borders, which may coincide."""
    total = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    return total[borders[1:]] - total[borders[:-1]]
