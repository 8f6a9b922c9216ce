"""From a ``data`` mapping to a source."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from contrastbench.core.data.sources.drawn import READERS, scenes
from contrastbench.core.data.sources.folders import folder
from contrastbench.core.data.sources.source import SegmentationSource
from contrastbench.core.errors import unknown_name

SOURCES: dict[str, Callable[..., SegmentationSource]] = {**READERS, "folder": folder, "scenes": scenes}
"""Sources by the name a configuration gives."""


def open_source(data: Mapping[str, Any]) -> SegmentationSource:
    """Return the source that a ``data`` mapping names.

    Args:
        data: ``name`` and that source's arguments. ``size`` (what images are brought to by whoever loads them) is
            allowed for every source, and passed on to those that draw at it.

    Raises:
        InputError: no such source, no such argument, or the data are not there.
    """
    options = dict(data)
    name = str(options.pop("name", ""))
    if name not in SOURCES:
        raise unknown_name("data source (data.name)", name, SOURCES)
    known = inspect.signature(SOURCES[name]).parameters
    for option in options.keys() - known:
        if option != "size":
            raise unknown_name(f"option of data '{name}'", option, {*known, "size"})
    return SOURCES[name](**{key: value for key, value in options.items() if key in known})
