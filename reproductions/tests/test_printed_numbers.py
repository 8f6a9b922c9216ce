"""Every number in the tables, against the papers' own text where that is at hand."""

import os
import re
from collections import Counter
from pathlib import Path

import pytest

from contrastbench.reproductions.tables import Table, all_tables

TABLES = [table for table in all_tables() if table.paper == "pixel-contrast"]


def text_of(table: Table) -> str:
    root = os.environ.get("CONTRASTBENCH_TEST_DATA")
    if not root:
        pytest.skip("CONTRASTBENCH_TEST_DATA is not set; the papers' text lies beside the data it names")
    supplement = "-supplement" if table.source.document == "supplement" else ""
    path = Path(root).parent / "papers" / f"{table.paper}{supplement}.txt"
    if not path.is_file():
        pytest.skip(f"{path.name} is not there")
    return path.read_text(encoding="utf-8")


def printed(table: Table) -> str:
    """The lines of a table in its paper's text: the tabulated ones right before its caption."""
    lines = text_of(table).splitlines()
    (caption,) = [i for i, line in enumerate(lines) if line.startswith(f"Table {table.source.table}:")]
    found: list[str] = []
    for line in reversed(lines[:caption]):
        if "\t" in line:
            found.append(line)
        elif line.strip():
            break
    return "\n".join(reversed(found))


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_table_holds_the_numbers_the_paper_prints_and_no_other(table: Table) -> None:
    expected = Counter(float(number) for number in re.findall(r"\d+\.\d+", printed(table)))
    ours = Counter(value for row in table.rows for value in row.reported.values())
    ours += Counter(row.gain.value for row in table.rows if row.gain)
    assert ours == expected
    assert sum(ours.values()) >= len(table.rows)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_numbers_stand_in_the_order_of_the_paper(table: Table) -> None:
    expected = [float(number) for number in re.findall(r"\d+\.\d+", printed(table))]
    ours: list[float] = []
    for row in table.rows:
        # the column of seconds comes before that of mIoU, and a gain behind its number
        for metric in sorted(row.reported, key=lambda name: name == "mIoU"):
            ours.append(row.reported[metric])
        ours += [row.gain.value] if row.gain else []
    assert ours == expected


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_cited_rows_name_references_of_the_printed_table(table: Table) -> None:
    text = printed(table)
    for row in table.rows:
        if row.reference:
            assert row.reference in text, row.id
