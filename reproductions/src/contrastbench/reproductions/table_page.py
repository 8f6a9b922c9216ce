"""The page of one table: under each study reported beside reproduced, dot plots, the records; then the paper's own."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from contrastbench.reproductions import plots, render
from contrastbench.reproductions.ledger import Record
from contrastbench.reproductions.plan import Study
from contrastbench.reproductions.report import Report, make_reports
from contrastbench.reproductions.tables import Claim, Table

GAINS = (
    "Dots are seeds, the bar is their mean, the line its 95 % interval, the diamond the gain the paper reports (an "
    "arrow where that lies beyond the axis). Right of the dashed line the claim holds."
)
ROWS = "Dots are seeds, the bar is their mean, the line its 95 % interval."


def table_page(table: Table, records: Sequence[Record], links: Path | None) -> dict[str, str]:
    """Return the page of a table and its pictures, by file name.

    Args:
        table: the table.
        records: its records.
        links: the folder of records as seen from the page; None for a page without links to them.
    """
    files: dict[str, str] = {}
    parts = [
        f"# {table.paper}, {table.id}: {table.title}",
        f"From the {table.source.place}; {table.data}.",
    ]
    for report in make_reports(table, records):
        study = report.study
        own = [record for record in records if record.study == study]
        parts.append(f"## {study.profile} on {study.data}, fidelity {study.fidelity}")
        parts.append(render.markdown(report))
        for what, name, panels, legend in (
            ("Gains by seed", "gains", plots.gain_panels(report), GAINS),
            ("Numbers by seed", "rows", plots.row_panels(report), ROWS),
        ):
            if panels:
                file = f"{table.id}-{study_slug(study)}-{name}.svg"
                label = f"{what}: {table.name}, {render.study_text(study)}"
                files[file] = plots.draw(panels, label)
                parts.append(f"![{label}]({file})\n\n{legend}")
        parts.append(f"```\n{_command(table, study, own)}\n```")
        parts.append(_records(report, own, links))
    parts.append("## As reported\n\n" + render.reported_markdown(table))
    if not table.runnable:
        parts.append("No row of this table can be run yet.")
    if table.claims:
        parts.append("## What the paper claims of it")
        parts.append("\n".join(f"- {_claim(table, claim)}" for claim in table.claims))
    parts += [f"Note: {note}" for note in table.notes]
    return {f"{table.id}.md": "\n\n".join(part.strip() for part in parts) + "\n", **files}


def study_slug(study: Study) -> str:
    """Return a study as part of a file name."""
    parts = [study.profile, study.data, study.fidelity]
    if study.overrides:
        # overrides hold characters that no file name should
        parts.append(hashlib.sha256("\n".join(study.overrides).encode()).hexdigest()[:8])
    return "-".join(parts)


def _command(table: Table, study: Study, records: Sequence[Record]) -> str:
    """Return what makes the study's records anew, as a shell takes it."""
    words = [table.name, f"profile={study.profile}", f"data={study.data}", f"fidelity={study.fidelity}"]
    # what is drawn has a seed; all else lies somewhere
    if not all("seed" in record.config.get("data", {}) for record in records):
        words.append("data.root=FOLDER")
    return f"nox -s reproduce-table -- {shlex.join([*words, *study.overrides])}"


def _claim(table: Table, claim: Claim) -> str:
    better, worse = (render.row_name(table, table.row(row)) for row in (claim.better, claim.worse))
    sentence = " ".join(claim.sentence.split())
    return f"{better} over {worse}, {claim.metric} by {claim.gain:g}: “{sentence}”"


def _records(report: Report, records: Sequence[Record], links: Path | None) -> str:
    order = {row.id: i for i, row in enumerate(report.table.rows)}
    grid = [("row", "seed", "record", "begun", "time", "memory", "source", "revision")]
    for record in sorted(records, key=lambda r: (order.get(r.row, len(order)), r.seed, r.started)):
        file = record.place.name
        link = f"[{record.run_id[:8]}]({(links / record.place).as_posix()})" if links is not None else file
        memory = "-" if record.peak_memory_bytes is None else f"{record.peak_memory_bytes / 2**30:.1f} GiB"
        revision = str(record.git.get("revision") or "-")[:8] + (" (changed)" if record.git.get("dirty") else "")
        time = f"{record.wall_seconds:.0f} s" + (f", with {record.shared_with}" if record.shared_with else "")
        told = (record.started[:10], time, memory, record.source[:8], revision)
        grid.append((record.row, str(record.seed), link, *told))
    table = render.grid(grid[0], grid[1:])
    return f"<details>\n<summary>The {len(records)} records</summary>\n\n{table}\n\n</details>"


def links_between(page: Path, records: Path) -> Path:
    """Return the folder of records as seen from a page's folder, both as they lie on disk."""
    return Path(os.path.relpath(records.resolve(), page.resolve()))
