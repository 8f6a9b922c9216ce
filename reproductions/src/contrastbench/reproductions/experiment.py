"""What the engine runs: any object with ``run(run_dir, report) -> metrics`` that can be interrupted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from contrastbench.core.errors import InputError

Report = Callable[[int, int], None]
"""Called with the steps done and their total, as often as the experiment likes."""


class Experiment(Protocol):
    """One training and evaluation, or anything else that ends in numbers.

    It may also have ``fingerprint() -> str``, which names its data by content, is called before anything
    runs, and raises InputError when the data is not what it should be.
    """

    def run(self, run_dir: Path, report: Report) -> dict[str, Any]:
        """Run, going on from what an interrupted run left in ``run_dir``.

        Args:
            run_dir: a folder of its own, which exists.
            report: to be told of progress.

        Returns:
            Metrics by name, JSON-able. ``evaluation``, if there, says how they were measured; ``device`` and
            ``peak_memory_bytes`` what it took.
        """
        ...


def build(config: Mapping[str, Any]) -> Experiment:
    """Make the experiment a configuration describes: ``_target_`` called with the other keys.

    Nested mappings are passed as they are, plain dictionaries; keys of Hydra's own (``_convert_``,
    ``_recursive_``) say just that and are left out.

    Raises:
        InputError: if there is no such target, or it takes no such arguments.
    """
    target = config.get("_target_")
    if not isinstance(target, str) or "." not in target:
        raise InputError(f"experiment._target_: expected the dotted path of an experiment, found {target!r}")
    module, _, name = target.rpartition(".")
    try:
        make = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"experiment._target_: '{target}' cannot be imported: {error}") from error
    if not (isinstance(make, type) and callable(getattr(make, "run", None))):
        # by name only classes of experiments, so that a table cannot have anything else called
        raise InputError(
            f"experiment._target_: '{target}' is no experiment; expected a class with run(run_dir, report)"
        )
    arguments = {k: v for k, v in config.items() if not (k.startswith("_") and k.endswith("_"))}
    try:
        made: Experiment = make(**arguments)
    except TypeError as error:
        raise InputError(f"{target} does not accept its configuration: {error}") from error
    return made


def fingerprint(experiment: Experiment) -> str | None:
    """Return the name of an experiment's data by content; None for one that reads no data.

    Raises:
        InputError: if its data is missing or broken.
    """
    name = getattr(experiment, "fingerprint", None)
    return None if name is None else str(name())
