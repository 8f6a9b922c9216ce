"""All objectives on one harness: what was trained on the same network, data and schedule, whichever table asked for it.

The papers set their methods on different networks beside numbers of different sources. Here the runs of all tables that
differ in nothing but their objective stand together, each paired by seed with the run without one.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contrastbench.reproductions.ledger import Record
from contrastbench.reproductions.tables import Metric, Table
from contrastbench.reproductions.verdict import Summary, Verdict, judge, summarize

# What differs between runs on one harness, what was measured on the way, and the data, which its fingerprint names.
_NOT_THE_HARNESS = ("objective", "seed", "data", "device", "threads", "evaluation", "evaluators")
_OWN_LAYOUT = "mmseg"  # what the semantic host reads unless told otherwise
BASELINE = "none"
"""What the objective of a run without one is called."""


@dataclass(frozen=True)
class Entrant:
    """One objective on a harness: its values by seed, what it gains over none, and the rows that it answers.

    ``rows`` are ``(table, row)``, such as ``("dcl/table-1", "lambda-0")``; ``gain`` is None for the baseline.
    """

    objective: str
    rows: tuple[tuple[str, str], ...]
    values: dict[int, float]
    summary: Summary
    gain: Verdict | None


@dataclass(frozen=True)
class Harness:
    """Runs that differ in their objective alone; ``entrants`` are in the order of their gains, the best first."""

    profile: str
    data: str
    fidelity: str
    network: str
    evaluation: str
    metric: Metric
    entrants: tuple[Entrant, ...]

    @property
    def baseline(self) -> Entrant:
        """The entrant without an objective."""
        return next(entrant for entrant in self.entrants if entrant.gain is None)

    def gains(self, entrant: Entrant) -> dict[int, float]:
        """Return by how much an entrant is better than the baseline, by the seeds that both have."""
        sign, none = 1 if self.metric.better == "higher" else -1, self.baseline.values
        return {seed: sign * (value - none[seed]) for seed, value in entrant.values.items() if seed in none}


def find_harnesses(tables: Sequence[Table], records: Iterable[Record]) -> list[Harness]:
    """Return every harness with a baseline and at least two objectives, the fullest first.

    Args:
        tables: all tables; their claims say which metric a harness is about.
        records: of any tables; of several of the same objective and seed, the one that started last counts.
    """
    by_name = {table.name: table for table in tables}
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in sorted(records, key=lambda r: r.started):
        if "objective" in record.config:
            groups[_harness_key(record)].append(record)
    found = [harness for group in groups.values() if (harness := _harness(group, by_name)) is not None]
    return sorted(found, key=lambda h: (-len(h.entrants), h.profile, h.data, h.network))


def _harness_key(record: Record) -> str:
    config = {name: value for name, value in record.config.items() if name not in _NOT_THE_HARNESS}
    return _canonical(
        [record.profile, record.fidelity, record.fingerprint, config, str(record.metrics.get("evaluation", ""))]
    )


def _harness(records: Sequence[Record], tables: Mapping[str, Table]) -> Harness | None:
    by_objective: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_objective[_objective_key(record)].append(record)
    metric = _main_metric(records, tables)
    without = _canonical(None)
    if metric is None or without not in by_objective or len(by_objective) < 3:
        return None
    values = {
        key: {r.seed: float(r.metrics[metric.measured]) / metric.divided_by for r in own}
        for key, own in by_objective.items()
    }
    names = _names([json.loads(key) for key in by_objective])
    entrants = [
        Entrant(
            objective=name,
            rows=tuple(sorted({(f"{r.paper}/{r.table}", r.row) for r in own})),
            values=dict(sorted(values[key].items())),
            summary=summarize(list(values[key].values())),
            gain=None if key == without else judge(values[key], values[without], 0.0, metric.better),
        )
        for name, (key, own) in zip(names, by_objective.items(), strict=True)
    ]
    first = records[0]
    return Harness(
        profile=first.profile,
        data=_data_name(first),
        fidelity=first.fidelity,
        network=str(first.config.get("network", {}).get("name", "network")),
        evaluation=str(first.metrics.get("evaluation", "")),
        metric=metric,
        entrants=tuple(sorted(entrants, key=lambda e: (-_gain(e), e.objective))),
    )


def _data_name(record: Record) -> str:
    """Return the data set, and the layout it is read in where that is not the host's own."""
    layout = record.config.get("data", {}).get("layout", _OWN_LAYOUT)
    return record.data if layout == _OWN_LAYOUT else f"{record.data} as {layout}"


def _gain(entrant: Entrant) -> float:
    """Return what entrants are ordered by: not their means, which may be of other seeds."""
    if entrant.gain is None:
        return 0.0
    return -math.inf if entrant.gain.difference is None else entrant.gain.difference


def _main_metric(records: Sequence[Record], tables: Mapping[str, Table]) -> Metric | None:
    """Return the metric that most claims of the tables are about, of those that every record has."""
    asked = {f"{record.paper}/{record.table}" for record in records}
    counts: Counter[str] = Counter()
    metrics: dict[str, Metric] = {}
    for name in sorted(asked & tables.keys()):
        for claim in tables[name].claims:
            metric = tables[name].metrics[claim.metric]
            if all(metric.measured in record.metrics for record in records):
                counts[metric.measured] += 1
                metrics.setdefault(metric.measured, metric)
    return metrics[counts.most_common(1)[0][0]] if counts else None


def _objective_key(record: Record) -> str:
    objective = record.config["objective"]
    return _canonical(objective and {name: value for name, value in objective.items() if name != "seed"})


def _names(objectives: Sequence[Mapping[str, Any] | None]) -> list[str]:
    """Return what to call each: its class, and the options in which those of the same class differ."""
    by_type: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for objective in objectives:
        if objective:
            by_type[objective["type"]].append(objective)
    told = {kind: _differing(of_kind) for kind, of_kind in by_type.items()}
    return [BASELINE if not objective else _name(objective, told[objective["type"]]) for objective in objectives]


def _name(objective: Mapping[str, Any], told: Iterable[str]) -> str:
    options = ", ".join(f"{option} {_value(objective.get(option))}" for option in told)
    name = str(objective["type"]).rpartition(".")[2]
    return f"{name}: {options}" if options else name


def _differing(objectives: Sequence[Mapping[str, Any]]) -> list[str]:
    options = sorted({option for objective in objectives for option in objective})
    return [option for option in options if len({_canonical(o.get(option)) for o in objectives}) > 1]


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True)
