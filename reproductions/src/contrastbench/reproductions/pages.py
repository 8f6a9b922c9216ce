"""The results as pages and pictures, from records alone."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from contrastbench.core.errors import InputError
from contrastbench.reproductions import index_pages
from contrastbench.reproductions.ledger import read_records
from contrastbench.reproductions.report import make_reports
from contrastbench.reproductions.side_by_side import find_harnesses
from contrastbench.reproductions.side_by_side_page import side_by_side_page
from contrastbench.reproductions.table_page import links_between, table_page
from contrastbench.reproductions.tables import all_tables, load_paper

BEGIN, END = "<!-- status: begin -->", "<!-- status: end -->"


def pages(records: Path, folder: Path | None = None) -> dict[str, str]:
    """Return every results page and its pictures by path within the results folder.

    Args:
        records: folder of records.
        folder: the results folder, from which the records are linked; None for pages without such links.
    """
    tables = all_tables(None)
    found = {table.name: read_records(records, table.paper, table.id) for table in tables}
    reports = {table.name: make_reports(table, found[table.name]) for table in tables}
    told = {
        "index.md": index_pages.all_tables_page(tables, reports),
        "claims.md": index_pages.claims_page(tables, reports),
        **side_by_side_page(find_harnesses(tables, chain.from_iterable(found.values()))),
    }
    for paper in dict.fromkeys(table.paper for table in tables):
        own = [table for table in tables if table.paper == paper]
        told[f"{paper}/index.md"] = index_pages.paper_page(load_paper(paper), own, reports)
        links = None if folder is None else links_between(folder / paper, records)
        for table in own:
            made = table_page(table, found[table.name], links)
            told |= {f"{paper}/{name}": text for name, text in made.items()}
    return told


def status(records: Path, prefix: str = "") -> str:
    """Return the status table: how much of each paper was run in each profile, and how its claims came out.

    Args:
        records: folder of records.
        prefix: what comes before a paper's page in its link.
    """
    tables = all_tables(None)
    reports = {table.name: make_reports(table, read_records(records, table.paper, table.id)) for table in tables}
    return index_pages.status(tables, reports, prefix)


def with_status(readme: str, records: Path, prefix: str) -> str:
    """Return a README with its status table written anew.

    Raises:
        InputError: it has no place for the table.
    """
    if BEGIN not in readme or END not in readme:
        raise InputError(f"the README has no place for the status; put {BEGIN} and {END} around it")
    head, _, rest = readme.partition(BEGIN)
    return f"{head}{BEGIN}\n{status(records, prefix)}\n{END}{rest.partition(END)[2]}"


def write(folder: Path, readme: Path | None, records: Path) -> list[Path]:
    """Write all pages, and the README's status where one is given; return what was written.

    Args:
        folder: the results folder of the docs; pages and pictures of tables that are gone are removed.
        readme: the README, which links to that folder.
        records: folder of records.
    """
    written = []
    told = pages(records, folder)
    for stale in lying(folder) - set(told):
        (folder / stale).unlink()
    for path, text in told.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
        written.append(folder / path)
    if readme is not None:
        prefix = f"{folder.resolve().relative_to(readme.resolve().parent).as_posix()}/"
        readme.write_text(with_status(readme.read_text(encoding="utf-8"), records, prefix), encoding="utf-8")
        written.append(readme)
    return written


def lying(folder: Path) -> set[str]:
    """Return the pages and pictures that lie in a results folder, by path within it."""
    return {path.relative_to(folder).as_posix() for kind in ("*.md", "*.svg") for path in folder.rglob(kind)}
