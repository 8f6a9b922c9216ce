"""What would run: each row and seed of a table, named by what determines its result."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from contrastbench.core.errors import InputError
from contrastbench.reproductions.compose import choice, compose, container, parse_overrides
from contrastbench.reproductions.experiment import build, fingerprint
from contrastbench.reproductions.provenance import NAMING, versions
from contrastbench.reproductions.ranks import PROCESSES
from contrastbench.reproductions.source import source_digest
from contrastbench.reproductions.tables import Row, Table

IRRELEVANT = frozenset({"checkpoint_every", "root", "workers"})
"""Keys of an experiment's configuration that do not name a run, at any depth: where the data lies (its
fingerprint says what it is), how many processes load it, and how often a run is saved on its way."""

ENGINE_KEYS = ("seeds", "rows", "runs", "records", "keep_weights")
"""Keys of the configuration that are the engine's own and reach no experiment."""


@dataclass(frozen=True)
class Study:
    """Under what conditions rows were run; numbers of different studies are never mixed.

    ``overrides`` are the user's, those that change the experiment and are not told by the other fields.
    """

    profile: str
    data: str
    fidelity: str
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """One row with one seed, and everything that determines its result."""

    paper: str
    table: str
    row: str
    seed: int
    study: Study
    metrics: tuple[str, ...]
    experiment: dict[str, Any]
    fingerprint: str | None
    source: str
    versions: dict[str, str]
    hydra_overrides: tuple[str, ...]

    @property
    def id(self) -> str:
        """The run's name: 16 hexadecimal digits over what determines its result."""
        what = {
            "experiment": without_irrelevant(self.experiment),
            "fingerprint": self.fingerprint,
            "source": self.source,
            "versions": self.versions,
        }
        text = json.dumps(what, sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Plan:
    """The runs of a table under one study, and where they are kept.

    ``hydra`` is the composed configuration the launcher is made from.
    """

    table: Table
    study: Study
    runs: tuple[Run, ...]
    runs_dir: Path
    records_dir: Path
    keep_weights: bool
    hydra: DictConfig


def make_plan(table: Table, overrides: Sequence[str]) -> Plan:
    """Compose a run for each row and seed asked for, inside a ``hydra_session``.

    Args:
        table: the table.
        overrides: the user's Hydra overrides; they hold for every row.

    Raises:
        InputError: for an override that is malformed, unknown, or would change what a row is; for a row
            that does not exist or cannot be run; for seeds that are none; for data that is missing.
    """
    parsed = {o.key_or_group: str(o.input_line) for o in parse_overrides(overrides)}
    if "seed" in parsed:
        raise InputError("seed is set by the engine; ask for seeds=3 or seeds=[0,4,5]")
    if not table.runnable:
        raise InputError(f"no row of {table.name} can be run yet; its numbers as reported: reproduce show {table.name}")
    for row in table.runnable:
        _check_untouched(table, row, parsed)
    # what lies under a key that rows set differently can only be composed with a row
    common = {key: text for key, text in parsed.items() if _root(key) not in _set_by_rows(table)}
    shared = _shared(table, parsed)
    for_all = [text for key, text in shared.items() if _root(key) not in _set_by_rows(table)]
    # where rows are different experiments, what they share is composed as for the first of them
    first = [str(o.input_line) for o in parse_overrides(table.runnable[0].run or ()) if o.key_or_group == "experiment"]
    config = compose([*first, *for_all, *common.values()])
    study = Study(
        profile=choice(config, "profile"),
        data=choice(config, "data"),
        fidelity=choice(config, "fidelity"),
        overrides=tuple(sorted(text for key, text in parsed.items() if _is_of_study(key))),
    )
    rows = _rows(table, container(config, "rows"))
    _check_applied(rows, parsed)
    seeds = _seeds(container(config, "seeds"))
    runs = [run for row in rows for run in _runs_of_row(table, row, study, seeds, shared, parsed)]
    return Plan(
        table=table,
        study=study,
        runs=tuple(runs),
        runs_dir=Path(str(container(config, "runs"))).expanduser().resolve(),
        records_dir=Path(str(container(config, "records"))).expanduser().resolve(),
        keep_weights=bool(container(config, "keep_weights")),
        hydra=config,
    )


def without_irrelevant(node: Any) -> Any:
    """Return a configuration without the keys that do not name a run."""
    if isinstance(node, Mapping):
        return {k: without_irrelevant(v) for k, v in node.items() if k not in IRRELEVANT}
    if isinstance(node, list):
        return [without_irrelevant(v) for v in node]
    return node


def _shared(table: Table, parsed: Mapping[str, str]) -> dict[str, str]:
    """Return the overrides of every row: the table's own, and those of the profile that the user leaves alone."""
    config = compose([text for key, text in parsed.items() if key in ("profile", "data")])
    shared = {o.key_or_group: str(o.input_line) for o in parse_overrides(table.run)}
    profile = choice(config, "profile")
    for name in (profile, f"{profile}/{choice(config, 'data')}"):
        shared |= {o.key_or_group: str(o.input_line) for o in parse_overrides(table.profiles.get(name, ()))}
    return {key: text for key, text in shared.items() if key not in parsed}


def _runs_of_row(
    table: Table,
    row: Row,
    study: Study,
    seeds: Sequence[int],
    shared: Mapping[str, str],
    parsed: Mapping[str, str],
) -> list[Run]:
    own = [*(text for key, text in shared.items() if _root(key) not in _switched_off(row)), *(row.run or ())]
    applied = {
        key: text for key, text in parsed.items() if _root(key) not in _switched_off(row) and key not in ENGINE_KEYS
    }
    config = compose([*own, *applied.values()])
    for_launcher = [text for key, text in applied.items() if not key.startswith("hydra")]
    runs: list[Run] = []
    for seed in seeds:
        config.seed = seed
        experiment = container(config, "experiment")
        processes = container(config, "processes")
        if processes != 1 or isinstance(processes, bool):
            experiment[PROCESSES] = processes
        if not runs:
            _check_finite(experiment, "experiment")
            data = fingerprint(build(experiment))
            source = source_digest(experiment)
        runs.append(
            Run(
                paper=table.paper,
                table=table.id,
                row=row.id,
                seed=seed,
                study=study,
                metrics=tuple(dict.fromkeys(table.metrics[name].measured for name in row.reported)),
                experiment=experiment,
                fingerprint=data,
                source=source,
                versions=versions(NAMING),
                hydra_overrides=(*own, *for_launcher, f"seed={seed}"),
            )
        )
    return runs


def _check_finite(node: Any, where: str) -> None:
    if isinstance(node, Mapping):
        for key, value in node.items():
            _check_finite(value, f"{where}.{key}")
    elif isinstance(node, list):
        for i, value in enumerate(node):
            _check_finite(value, f"{where}[{i}]")
    elif isinstance(node, float) and not math.isfinite(node):
        raise InputError(f"{where} is {node}; expected a finite number")


def _check_untouched(table: Table, row: Row, parsed: Mapping[str, str]) -> None:
    """Refuse a user's override of what makes a row this row."""
    for own in parse_overrides(table.run):
        if own.key_or_group in parsed:
            raise InputError(
                f"'{parsed[own.key_or_group]}': every row of {table.name} is run with {own.input_line}, "
                "so it cannot be overridden"
            )
    for own in parse_overrides(row.run or ()):
        key = own.key_or_group
        if key in parsed:
            raise InputError(
                f"'{parsed[key]}': rows of {table.name} differ in {key}, so it cannot be overridden; "
                f"choose among them with rows=[...]"
            )


def _check_applied(rows: Sequence[Row], parsed: Mapping[str, str]) -> None:
    """Refuse an override under a key that every row asked for switches off."""
    for key, text in parsed.items():
        if all(_root(key) in _switched_off(row) for row in rows):
            raise InputError(f"'{text}' applies to none of the rows asked for ({_names(rows)})")


def _names(rows: Sequence[Row]) -> str:
    return ", ".join(row.id for row in rows)


def _set_by_rows(table: Table) -> set[str]:
    return {_root(o.key_or_group) for row in table.runnable for o in parse_overrides(row.run or ())}


def _switched_off(row: Row) -> set[str]:
    """Return the keys a row sets to nothing: overrides below them have nothing to act on."""
    own = parse_overrides(row.run or ())
    return {o.key_or_group for o in own if o.value() is None or o.value() == "none"}


def _root(key: str) -> str:
    return key.partition(".")[0]


def _rows(table: Table, wanted: Any) -> list[Row]:
    if wanted is None:
        return list(table.runnable)
    names = wanted if isinstance(wanted, list) else [wanted]
    if not names:
        raise InputError(f"rows=[] asks for none; the rows of {table.name}: {_names(table.runnable)}")
    rows = [table.row(str(name)) for name in dict.fromkeys(names)]
    for row in rows:
        if not row.runnable:
            why = f"is cited from {row.reference}" if row.cited else "cannot be run yet"
            raise InputError(f"row '{row.id}' of {table.name} {why}")
    return rows


def _seeds(wanted: Any) -> list[int]:
    seeds = list(range(wanted)) if _is_count(wanted) and wanted > 0 else wanted
    if isinstance(seeds, list) and seeds and all(map(_is_count, seeds)) and len(set(seeds)) == len(seeds):
        return seeds
    raise InputError(
        f"seeds={wanted}: expected a number of seeds from 1 (seeds=3 runs 0, 1, 2), or a list of "
        "different seeds from 0 (seeds=[0,4,5])"
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_of_study(key: str) -> bool:
    told = (*ENGINE_KEYS, "profile", "data", "fidelity")
    return key not in told and not key.startswith("hydra") and key.rpartition(".")[2] not in IRRELEVANT
