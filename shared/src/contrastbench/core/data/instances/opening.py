"""From a ``data`` mapping to a source."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from contrastbench.core.data.instances.cityscapes import cityscapes
from contrastbench.core.data.instances.coco import coco
from contrastbench.core.data.instances.content import Progress
from contrastbench.core.data.instances.drawn import scenes
from contrastbench.core.data.instances.folder import folder
from contrastbench.core.data.instances.lvis import lvis
from contrastbench.core.data.instances.restriction import one_class, with_categories
from contrastbench.core.data.instances.source import InstanceSource
from contrastbench.core.errors import unknown_name

SOURCES: dict[str, Callable[..., InstanceSource]] = {
    "cityscapes": cityscapes,
    "coco": coco,
    "folder": folder,
    "lvis": lvis,
    "scenes": scenes,
}
"""Sources by the name a configuration gives."""

_OF_ALL = ("size", "categories", "one_class")


def open_instances(data: Mapping[str, Any], progress: Progress | None = None) -> InstanceSource:
    """Return the source that a ``data`` mapping names.

    Args:
        data: ``name`` and that source's arguments. ``size`` (what images are brought to by whoever loads them) is
            allowed for every source, and passed on to those that draw at it. So are ``categories``, to have some of
            them alone (:func:`~contrastbench.core.data.instances.restriction.with_categories`), and ``one_class``, to
            have these as one.
        progress: called with files done and files in all, by sources that take long the first time.

    Raises:
        InputError: no such source, no such argument, or the data are not there or not as they must be.
    """
    options = dict(data)
    name = str(options.pop("name", ""))
    selection, merged = options.pop("categories", None), options.pop("one_class", False)
    if name not in SOURCES:
        raise unknown_name("data source of instances (data.name)", name, SOURCES)
    reports = "progress" in inspect.signature(SOURCES[name]).parameters
    known = inspect.signature(SOURCES[name]).parameters.keys() - {"progress"}
    for option in options.keys() - known:
        if option != "size":
            raise unknown_name(f"option of data '{name}'", option, {*known, *_OF_ALL})
    given = {key: value for key, value in options.items() if key in known}
    source = SOURCES[name](**given, progress=progress) if reports else SOURCES[name](**given)
    if selection is not None:
        source = with_categories(source, selection)
    return one_class(source) if merged else source
