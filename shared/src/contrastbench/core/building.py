"""Building an objective or a metric from the mapping that names it."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from contrastbench.core.errors import InputError, unknown_name


def build_objective(config: Mapping[str, Any], provided: Mapping[str, Any]) -> nn.Module:
    """Return the objective that ``config`` names.

    Args:
        config: ``type``, the dotted path of a class (``"contrastbench.pixel_contrast.PixelContrast"``) or a class, and
            its arguments.
        provided: arguments that the host knows; those in ``config`` take their place.

    Raises:
        InputError: there is no such class, or it does not take these arguments.
    """
    factory, options = _factory("objective", config, lambda value: issubclass(value, nn.Module))
    if not (inspect.isclass(factory) and issubclass(factory, nn.Module)):
        raise InputError(
            f"the objective {_name(factory)} is not an nn.Module; derive it from one of contrastbench.core.objectives"
        )
    objective: nn.Module = _build("objective", factory, {**provided, **options})
    return objective


def build_metric(config: Mapping[str, Any], provided: Mapping[str, Any]) -> Any:
    """Return the metric that ``config`` names.

    Args:
        config: ``type``, the dotted path of a class (``"contrastbench.core.metrics.BoundaryMeanIoU"``) or a class, and
            its arguments.
        provided: arguments that the host knows. Its constructor gets those that it declares; those in ``config`` take
            their place.

    Raises:
        InputError: there is no such class, or it does not take these arguments.
    """
    factory, options = _factory("metric", config, _measures)
    named = isinstance(config.get("type"), str)
    if named and inspect.isclass(factory) and not _measures(factory):
        raise InputError(f"the metric {_name(factory)} measures nothing: it has no compute() and cannot be called")
    if not callable(factory) or (named and not inspect.isclass(factory)):
        raise InputError(f"the metric {_name(factory)} is not a class; name the class of a metric")
    declared = inspect.signature(factory).parameters
    known = {name: value for name, value in provided.items() if name in declared}
    return _build("metric", factory, {**known, **options})


def _measures(value: Any) -> bool:
    # by name only classes that measure, so that a configuration cannot have anything else called
    return inspect.isclass(value) and (
        hasattr(value, "compute") or any("__call__" in vars(base) for base in value.__mro__)
    )


def _factory(kind: str, config: Mapping[str, Any], fits: Callable[[type], bool]) -> tuple[Any, dict[str, Any]]:
    """Return what ``config`` names, and its other options; ``fits`` tells which classes to suggest."""
    options = dict(config)
    path = options.pop("type", None)
    if path is None:
        article = "an" if kind[0] in "aeiou" else "a"
        raise InputError(
            f"{article} {kind} needs a 'type': the dotted path of its class, as in package.module.ClassName"
        )
    return (_locate(kind, path, fits) if isinstance(path, str) else path), options


def _build(kind: str, factory: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    name = _name(factory)
    parameters = inspect.signature(factory).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for option in arguments.keys() - parameters:
            raise unknown_name(f"option of {name}", option, parameters)
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    required = [n for n, p in parameters.items() if p.default is p.empty and p.kind not in variadic]
    missing = [n for n in required if n not in arguments]
    if missing:
        hint = " (the number of training images)" if "num_images" in missing else ""
        raise InputError(f"{name} needs {', '.join(missing)}{hint}; add it to the {kind}'s options")
    return factory(**arguments)


def _name(factory: Any) -> str:
    return getattr(factory, "__name__", str(factory))


def _locate(kind: str, path: str, fits: Callable[[type], bool]) -> Any:
    module_name, _, name = path.rpartition(".")
    if not module_name:
        raise InputError(f"{kind} type '{path}' is not a dotted path; write package.module.ClassName")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # A module that is there but lacks one of its own imports is another matter than a wrong path.
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise InputError(
            f"{kind} type '{path}': there is no module '{error.name}'; check the path, or install what provides it"
        ) from error
    if not hasattr(module, name):
        known = [n for n, value in vars(module).items() if inspect.isclass(value) and fits(value)]
        raise unknown_name(f"{kind} in {module_name}", name, known)
    return getattr(module, name)
