"""Every number in the tables, against the papers' own text where that is at hand."""

import os
import re
from collections import Counter
from itertools import takewhile
from pathlib import Path

import pytest

from contrastbench.reproductions.tables import Table, all_tables

TABLES = [table for table in all_tables() if table.source.kind == "table"]
FIGURES = [table for table in all_tables() if table.source.kind == "figure"]

# How the first line of a table begins where its text does not stand right before its caption.
HEADERS = {
    "contextrast/table-2": "Method\tDescri",
    "contextrast/table-3": "Mathad\tClas",
    "contextrast/table-4": "\tB-mIoU (5px)",
    "contextrast/table-5": "\tMethod\t$A",
    "contextrast/table-6": "\tCCL (Ours)\tSamp",
    "contextrast/table-7": "w_h\t",
    "contextrast/table-8": "Ratio K",
    "dcl/table-1": "λ\t",
    "dcl/table-2": "learnable\t",
    "dcl/table-3": "τ\t",
    "dcl/table-4": "K\t",
    "dcl/table-5": "Method\tCOCO",
    "dcl/table-6": "Dataset\tDCL",
    "dcl/table-7": "\tBackbone\tDCL",
    "dcl/table-8": "\tAP _{val}",
    "dcl/table-9": "\tDataset\tDevice",
}
# References that the text of the table lost.
GARBLED = {("dcl/table-5", "[14]"), ("dcl/table-5", "[21]"), ("dcl/table-5", "[36]"), ("dcl/table-5", "[28]")}


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
    if table.name in HEADERS:
        (start,) = [i for i, line in enumerate(lines) if line.startswith(HEADERS[table.name])]
        return "\n".join(takewhile(lambda line: "\t" in line, lines[start:]))
    (caption,) = [i for i, line in enumerate(lines) if line.startswith(f"Table {table.source.number}:")]
    found: list[str] = []
    for line in reversed(lines[:caption]):
        if "\t" in line:
            found.append(line)
        elif line.strip():
            break
    return "\n".join(reversed(found))


def decimals(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+\.\d+", text)]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_table_holds_the_numbers_the_paper_prints_and_no_other(table: Table) -> None:
    expected = Counter(decimals(printed(table)))
    ours = Counter(value for row in table.rows for value in row.reported.values())
    ours += Counter(abs(gain.value) for row in table.rows for gain in row.gains)
    ours += Counter(number for row in table.rows for setting in row.settings.values() for number in decimals(setting))
    assert ours == expected
    assert sum(ours.values()) >= len(table.rows)


@pytest.mark.parametrize("table", [t for t in TABLES if t.paper == "pixel-contrast"], ids=lambda table: table.name)
def test_numbers_stand_in_the_order_of_the_paper(table: Table) -> None:
    ours: list[float] = []
    for row in table.rows:
        # the column of seconds comes before that of mIoU, and a gain behind its number
        for metric in sorted(row.reported, key=lambda name: name == "mIoU"):
            ours.append(row.reported[metric])
        ours += [gain.value for gain in row.gains]
    assert ours == decimals(printed(table))


@pytest.mark.parametrize("table", [t for t in TABLES if t.paper != "pixel-contrast"], ids=lambda table: table.name)
def test_every_row_stands_in_a_line_of_its_own(table: Table) -> None:
    """The numbers of a row are printed together, in the order of the columns."""
    lines = [decimals(line) for line in printed(table).splitlines()]
    for row in table.rows:
        numbers = list(row.reported.values())
        assert any(_in_order(numbers, line) for line in lines) or _in_order(numbers, [n for m in lines for n in m])


@pytest.mark.parametrize("table", FIGURES, ids=lambda table: table.name)
def test_the_numbers_of_a_figure_stand_in_the_text(table: Table) -> None:
    found = set(decimals(text_of(table)))
    assert {value for row in table.rows for value in row.reported.values()} <= found


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_cited_rows_name_references_of_the_printed_table(table: Table) -> None:
    text = printed(table)
    for row in table.rows:
        if row.reference and (table.name, row.reference) not in GARBLED:
            assert row.reference in text, row.id


def _in_order(numbers: list[float], line: list[float]) -> bool:
    rest = iter(line)
    return all(number in rest for number in numbers)
