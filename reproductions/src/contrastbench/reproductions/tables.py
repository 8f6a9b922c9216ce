"""Tables as data: every number a paper prints, which run answers it, and what the paper claims of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from contrastbench.core.errors import InputError, unknown_name
from contrastbench.reproductions.locate import papers_dir
from contrastbench.reproductions.reading import Fields, read_yaml


@dataclass(frozen=True)
class Paper:
    """A paper: what it is called, where it appeared, which package holds its method."""

    id: str
    title: str
    authors: tuple[str, ...]
    venue: str
    year: int
    package: str
    code: str | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """Where a table, or a figure with numbers, is printed."""

    document: Literal["paper", "supplement"]
    kind: Literal["table", "figure"]
    number: int
    page: int
    section: str

    @property
    def place(self) -> str:
        """Such as ``paper, table 3, page 7, section 4.2``."""
        return f"{self.document}, {self.kind} {self.number}, page {self.page}, section {self.section}"


@dataclass(frozen=True)
class Metric:
    """A column of numbers: its unit, which way is better, and how the paper measured it.

    ``measured`` is the name a run gives the number, ``divided_by`` what brings that to the column's unit, ``data`` the
    data sets a run must be on for its number to stand in this column (empty for any). A column that no row reports a
    number in is measured here alone, beside what the paper reports.
    """

    name: str
    unit: str
    better: Literal["higher", "lower"]
    evaluator: str
    measured: str
    divided_by: float
    data: tuple[str, ...]

    def stands_for(self, data: str) -> bool:
        """Whether a number measured on this data set belongs in this column."""
        return not self.data or data in self.data


@dataclass(frozen=True)
class Gain:
    """A gain printed in parentheses behind a number, over another row of the table."""

    over: str
    metric: str
    value: float


@dataclass(frozen=True)
class Row:
    """One row: its reported numbers, and the overrides that run it, if anything here does.

    A row is ``cited`` (its numbers come from another paper), runnable (``run`` holds Hydra overrides), or
    neither: the paper's own, and not yet runnable here.
    """

    id: str
    name: str
    settings: dict[str, str]
    reported: dict[str, float]
    gains: tuple[Gain, ...]
    reference: str | None
    cited: bool
    run: tuple[str, ...] | None
    note: str | None

    @property
    def runnable(self) -> bool:
        """Whether overrides are known that run this row."""
        return self.run is not None


@dataclass(frozen=True)
class Claim:
    """What the paper says of two rows: one is better in a metric, by so much."""

    id: str
    better: str
    worse: str
    metric: str
    gain: float
    sentence: str


@dataclass(frozen=True)
class Table:
    """One table of a paper.

    ``run`` holds the Hydra overrides that all its rows share, ``profiles`` those that go with a profile ("paper") or
    with a data set under a profile ("paper/camvid") and that a user may change.
    """

    paper: str
    id: str
    title: str
    source: Source
    data: str
    metrics: dict[str, Metric]
    settings: tuple[str, ...]
    run: tuple[str, ...]
    profiles: dict[str, tuple[str, ...]]
    rows: tuple[Row, ...]
    claims: tuple[Claim, ...]
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name a user gives: ``paper/table``."""
        return f"{self.paper}/{self.id}"

    @property
    def reported(self) -> tuple[Metric, ...]:
        """The columns that the paper prints."""
        return tuple(m for name, m in self.metrics.items() if any(name in row.reported for row in self.rows))

    @property
    def runnable(self) -> tuple[Row, ...]:
        """The rows that can be run."""
        return tuple(row for row in self.rows if row.runnable)

    def row(self, row_id: str) -> Row:
        """Return a row by its id.

        Raises:
            InputError: if there is no such row.
        """
        for row in self.rows:
            if row.id == row_id:
                return row
        raise unknown_name(f"row of {self.name}", row_id, [row.id for row in self.rows])


def all_tables(papers: Path | None = None) -> list[Table]:
    """Return every table of every paper, by paper and number; supplements after their paper.

    Args:
        papers: the folder of the tables; by default the one that comes with this distribution.
    """
    folder = papers or papers_dir()
    found = [
        load_table(path.parent.name, path.stem, folder) for path in folder.glob("*/*.yaml") if path.name != "paper.yaml"
    ]
    return sorted(found, key=lambda t: (t.paper, t.source.document, t.source.kind == "figure", t.source.number, t.id))


def find_table(name: str, papers: Path | None = None) -> Table:
    """Return the table a user named as ``paper/table``.

    Raises:
        InputError: if the name is malformed, or there is no such paper or table.
    """
    folder = papers or papers_dir()
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of tables")
    paper, slash, table = name.partition("/")
    known = sorted(path.parent.name for path in folder.glob("*/paper.yaml"))
    if paper not in known:
        raise unknown_name("paper", paper, known)
    tables = sorted(path.stem for path in (folder / paper).glob("*.yaml") if path.name != "paper.yaml")
    if not slash or not table:
        raise InputError(f"'{name}' names a paper, not a table; its tables: {', '.join(tables)}")
    if table not in tables:
        raise unknown_name(f"table of {paper}", table, tables)
    return load_table(paper, table, folder)


def load_paper(paper: str, papers: Path | None = None) -> Paper:
    """Read and check ``<papers>/<paper>/paper.yaml``.

    Raises:
        InputError: naming the file and the field at fault.
    """
    fields = read_yaml((papers or papers_dir()) / paper / "paper.yaml")
    loaded = Paper(
        id=paper,
        title=fields.text("title"),
        authors=fields.texts("authors"),
        venue=fields.text("venue"),
        year=int(fields.number("year")),
        package=fields.text("package"),
        code=fields.optional_text("code"),
        notes=fields.texts("notes", optional=True),
    )
    fields.end()
    return loaded


def load_table(paper: str, table: str, papers: Path | None = None) -> Table:
    """Read and check ``<papers>/<paper>/<table>.yaml``.

    Raises:
        InputError: naming the file and the field at fault.
    """
    fields = read_yaml((papers or papers_dir()) / paper / f"{table}.yaml")
    settings = fields.texts("settings", optional=True)
    metrics = {name: _metric(name, node) for name, node in fields.children("metrics").items()}
    loaded = Table(
        paper=paper,
        id=table,
        title=fields.text("title"),
        source=_source(fields.child("source")),
        data=fields.text("data"),
        metrics=metrics,
        settings=settings,
        run=fields.texts("run", optional=True),
        profiles=fields.texts_map("profiles"),
        rows=tuple(_row(node, settings, metrics) for node in fields.items("rows")),
        claims=tuple(_claim(node, metrics) for node in fields.items("claims", optional=True)),
        notes=fields.texts("notes", optional=True),
    )
    fields.end()
    _check_references(loaded, fields)
    return loaded


def _source(fields: Fields) -> Source:
    document = fields.choice("document", ("paper", "supplement"))
    source = Source(
        document="paper" if document == "paper" else "supplement",
        kind="figure" if "figure" in fields else "table",
        number=int(fields.number("figure" if "figure" in fields else "table")),
        page=int(fields.number("page")),
        section=fields.text("section"),
    )
    fields.end()
    return source


def _metric(name: str, fields: Fields) -> Metric:
    better = fields.choice("better", ("higher", "lower"))
    metric = Metric(
        name=name,
        unit=fields.text("unit"),
        better="higher" if better == "higher" else "lower",
        evaluator=fields.text("evaluator"),
        measured=fields.optional_text("measured") or name,
        divided_by=fields.number("divided_by") if "divided_by" in fields else 1.0,
        data=fields.texts("data", optional=True),
    )
    fields.end()
    return metric


def _row(fields: Fields, settings: tuple[str, ...], metrics: dict[str, Metric]) -> Row:
    row = Row(
        id=fields.name("id"),
        name=fields.text("name"),
        settings=fields.text_map("settings", settings),
        reported=fields.number_map("reported", tuple(metrics)),
        gains=_gains(fields, metrics),
        reference=fields.optional_text("reference"),
        cited=fields.flag("cited"),
        run=fields.texts("run") if "run" in fields else None,
        note=fields.optional_text("note"),
    )
    fields.end()
    if row.cited and row.runnable:
        raise fields.error("run", "a cited row is not run")
    if row.cited and row.reference is None:
        raise fields.error("reference", "a cited row names what it is cited from")
    return row


def _gains(fields: Fields, metrics: dict[str, Metric]) -> tuple[Gain, ...]:
    """Read ``gain: {over, metric, value}``, or ``gains: {over, values}`` where several columns print one."""
    several = fields.optional_child("gains")
    if several is not None:
        over, values = several.text("over"), several.number_map("values", tuple(metrics))
        several.end()
        return tuple(Gain(over, metric, value) for metric, value in values.items())
    one = fields.optional_child("gain")
    if one is None:
        return ()
    gain = Gain(one.text("over"), one.choice("metric", tuple(metrics)), one.number("value"))
    one.end()
    return (gain,)


def _claim(fields: Fields, metrics: dict[str, Metric]) -> Claim:
    claim = Claim(
        id=fields.name("id"),
        better=fields.text("better"),
        worse=fields.text("worse"),
        metric=fields.choice("metric", tuple(metrics)),
        gain=fields.number("gain"),
        sentence=fields.text("sentence"),
    )
    fields.end()
    return claim


def _check_references(table: Table, fields: Fields) -> None:
    """Check that ids are given once, and that gains and claims name rows that report the metric."""
    for what, ids in (("rows", [r.id for r in table.rows]), ("claims", [c.id for c in table.claims])):
        repeated = sorted({i for i in ids if ids.count(i) > 1})
        if repeated:
            raise fields.error(what, f"the id '{repeated[0]}' is given twice")
    rows = {row.id: row for row in table.rows}
    named = [(f"claims[{c.id}].{side}", getattr(c, side), c.metric) for c in table.claims for side in _SIDES]
    named += [(f"rows[{r.id}].gain.over", g.over, g.metric) for r in table.rows for g in r.gains]
    for where, row_id, metric in named:
        if row_id not in rows:
            raise fields.error(where, f"there is no row '{row_id}'")
        if metric not in rows[row_id].reported:
            raise fields.error(where, f"row '{row_id}' reports no {metric}")


_SIDES = ("better", "worse")
