"""What detectron2, and pycocotools under it, say about themselves while they run."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_WARNINGS = (
    ".*pkg_resources",  # how detectron2 finds its configurations
    r".*torch\.jit\.\w+.* is deprecated",
    r"torch\.meshgrid: in an upcoming release",
    "The given NumPy array is not writable",  # of masks that it copies in the same line
    "__array__ implementation doesn't accept a copy keyword",  # pycocotools, under numpy 2
)


@contextmanager
def quiet() -> Iterator[None]:
    """Leave this out as long as the block runs; everything else appears."""
    tracing = logging.getLogger("torch.fx._symbolic_trace")
    with warnings.catch_warnings():
        for message in _WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        tracing.addFilter(_not_asked)
        try:
            yield
        finally:
            tracing.removeFilter(_not_asked)


def _not_asked(record: logging.LogRecord) -> bool:
    # detectron2 asks whether it is being traced, and torch answers at length.
    return not str(record.msg).startswith("is_fx_tracing will return true")
