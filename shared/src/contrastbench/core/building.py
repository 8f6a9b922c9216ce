"""Building an objective from the mapping that names it."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
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
    options = dict(config)
    kind = options.pop("type", None)
    if kind is None:
        raise InputError("an objective needs a 'type': the dotted path of its class, as in package.module.ClassName")
    factory = _locate(kind) if isinstance(kind, str) else kind
    name = getattr(factory, "__name__", str(factory))
    if not (inspect.isclass(factory) and issubclass(factory, nn.Module)):
        raise InputError(
            f"the objective {name} is not an nn.Module; derive it from one of contrastbench.core.objectives"
        )
    arguments = {**provided, **options}
    parameters = inspect.signature(factory).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for option in arguments.keys() - parameters:
            raise unknown_name(f"option of {name}", option, parameters)
    required = [n for n, p in parameters.items() if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    missing = [n for n in required if n not in arguments]
    if missing:
        hint = " (the number of training images)" if "num_images" in missing else ""
        raise InputError(f"{name} needs {', '.join(missing)}{hint}; add it to the objective's options")
    return factory(**arguments)


def _locate(path: str) -> Any:
    module_name, _, name = path.rpartition(".")
    if not module_name:
        raise InputError(f"objective type '{path}' is not a dotted path; write package.module.ClassName")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # A module that is there but lacks one of its own imports is another matter than a wrong path.
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise InputError(
            f"objective type '{path}': there is no module '{error.name}'; check the path, or install what provides it"
        ) from error
    if not hasattr(module, name):
        known = [n for n, value in vars(module).items() if inspect.isclass(value) and issubclass(value, nn.Module)]
        raise unknown_name(f"objective in {module_name}", name, known)
    return getattr(module, name)
