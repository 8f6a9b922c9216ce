"""What a benchmark is: one problem, the formulations that solve it, and the least work any of them can do."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from contrastbench.core.errors import InputError, unknown_name

Precision = Literal["fp32", "tf32", "bf16", "fp64"]


def runs_anywhere(formulation: str, device: str) -> str | None:
    """Skip nothing but Triton kernels where there is no GPU."""
    return "a kernel for GPUs" if formulation == "triton" and device == "cpu" else None


@dataclass(frozen=True)
class Case:
    """One problem and the formulations that solve it, the first the plain one that the others are compared with.

    Args:
        name: of the problem with its size, such as "class_infonce, 1,024 x 190,000 x 256, forward and backward". Unique
            among all benchmarks.
        setup: (device, small) -> inputs; small asks for the size of the parity check. Called anew for each
            formulation, with torch's seed at 0: it must give the same each time.
        calls: of each formulation, inputs -> what is compared: tensors or numbers, also in tuples, lists and mappings.
        tolerance: of the parity check, relative to the largest element of each tensor. Integers must be equal.
        flops: the least arithmetic that any formulation needs at full size, one multiply-add counted as two.
        moved_bytes: the least traffic between memory and processor at full size.
        devices: where the case makes sense.
        skip: (formulation, device) -> why it is not run there, or None.
        precision: of the matrix products whose rate bounds the case.
        adds: the second formulation is the first with something added whose share is asked for. Both run in turn in
            one process, so that a small difference shows.
        note: what is printed below, such as a paper's own figure.
    """

    name: str
    setup: Callable[[str, bool], Any]
    calls: Mapping[str, Callable[[Any], Any]]
    tolerance: float = 1e-4
    flops: float = 0.0
    moved_bytes: float = 0.0
    devices: tuple[str, ...] = ("cpu", "cuda")
    skip: Callable[[str, str], str | None] = runs_anywhere
    precision: Precision = "fp32"
    adds: bool = False
    note: str = ""


def load_cases(file: Path) -> tuple[Case, ...]:
    """Return the cases of a benchmark file, imported by its own name so that other processes find its functions.

    Raises:
        InputError: another module has that name, or the file has no ``CASES``.
    """
    file = file.resolve()
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
    module = importlib.import_module(file.stem)
    if Path(module.__file__ or "").resolve() != file:
        raise InputError(f"{file}: another module is named '{file.stem}' ({module.__file__}); name the file otherwise")
    if not isinstance(getattr(module, "CASES", None), tuple):
        raise InputError(f"{file}: a benchmark has its cases in a tuple CASES; it has none")
    return tuple(module.CASES)


def find_case(file: Path, name: str) -> Case:
    """Return one case of a benchmark file.

    Raises:
        InputError: there is none of that name.
    """
    cases = {case.name: case for case in load_cases(file)}
    if name not in cases:
        raise unknown_name("benchmark", name, cases)
    return cases[name]
