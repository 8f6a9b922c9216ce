"""Choosing an implementation: the best that fits the tensors, or the one that was asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TypeVar

from torch import Tensor

from contrastbench.core.errors import InputError, unknown_name

_Function = TypeVar("_Function", bound=Callable[..., object])
Objection = Callable[..., str | None]
"""Given the op's tensors, says what speaks against an implementation; None where it fits them."""


def fits(*tensors: Tensor) -> str | None:
    """Object to nothing: an implementation that takes any tensors."""
    return None


def needs_triton(*tensors: Tensor) -> str | None:
    """Say what speaks against a Triton kernel: not installed, a tensor where kernels do not run, or several devices.

    Triton's interpreter, which tests use where there is no GPU, runs kernels on the CPU: TRITON_INTERPRET=1 in the
    environment before they are imported.
    """
    if not _triton_installed():
        return "Triton is not installed; it comes with torch's CUDA builds for Linux"
    elsewhere = next((t.device for t in tensors if t.device.type != "cuda"), None)
    if elsewhere is not None and not interpreted():
        return f"a tensor is on '{elsewhere}' and kernels run on CUDA devices; move it, or ask for another one"
    if any(t.device != tensors[0].device for t in tensors):
        return f"the tensors are on several devices; move all to that of the first, '{tensors[0].device}'"
    return None


def choose(package: str, impl: str | None, objections: Mapping[str, Objection], *tensors: Tensor) -> ModuleType:
    """Return the module of an implementation, imported only now.

    Args:
        package: dotted name of the op's package, whose modules are its implementations.
        impl: what was asked for, or None for the best.
        objections: what may speak against each implementation, the best first; the last one fits always.
        tensors: what the op is called with.

    Raises:
        InputError: there is no such implementation, or it cannot do what was asked for with these tensors.
    """
    op = package.rpartition(".")[2]
    if impl is None:
        impl = next(name for name in objections if _best(name, objections[name], tensors))
    elif impl not in objections:
        raise unknown_name(f"implementation of {op}", impl, objections)
    elif (why := objections[impl](*tensors)) is not None:
        raise InputError(f"{op}: there is no implementation '{impl}' for this call: {why}")
    module = f"{package}.{impl}"
    _load(module)
    return sys.modules[module]


def interpreted() -> bool:
    """Return whether kernels run in Triton's interpreter."""
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "on", "yes", "y")


def _best(name: str, objects: Objection, tensors: tuple[Tensor, ...]) -> bool:
    # The interpreter is slow; it is for those who ask for a kernel by name.
    if name == "triton" and not all(t.is_cuda for t in tensors):
        return False
    return objects(*tensors) is None


def _run_while_tracing(function: _Function) -> _Function:
    """Have torch.compile run a function and not look inside: it cannot trace an import.

    This is ``torch.compiler.assume_constant_result`` without its import of the compiler, and so of Triton.
    """
    function.__dict__["_dynamo_marked_constant"] = True
    return function


@_run_while_tracing
def _triton_installed() -> bool:
    return find_spec("triton") is not None


@_run_while_tracing
def _load(module: str) -> None:
    import_module(module)
