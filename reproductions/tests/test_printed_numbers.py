"""Every number in the tables, against the papers' own text where that is at hand."""

import os
import re
from collections import Counter
from itertools import takewhile
from pathlib import Path

import pytest

from contrastbench.reproductions.tables import Table, all_tables

PIPED = [table for table in all_tables() if table.paper == "longtail"]  # whose text has them in Markdown
TABLES = [table for table in all_tables() if table.source.kind == "table" and table not in PIPED]
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


def piped(table: Table) -> list[list[str]]:
    """The cells of a Markdown table in its paper's text, line by line; empty lines part it from its caption."""
    lines = text_of(table).splitlines()
    (caption,) = [i for i, line in enumerate(lines) if line.startswith(f"Table {table.source.number}. ")]
    last = next(i for i in range(caption - 1, 0, -1) if lines[i].strip())
    rows = takewhile(lambda line: line.startswith("|"), reversed(lines[: last + 1]))
    header_and_rule, *body = [[cell.strip() for cell in line.strip("|").split("|")] for line in reversed(list(rows))][
        1:
    ]
    assert all(set(cell) <= {"-"} for cell in header_and_rule)
    return body


def plain(label: str) -> str:
    """A label without TeX, references and spaces."""
    for command, sign in (("\\alpha", "α"), ("\\beta", "β"), ("\\mathcal", ""), ("\\text", "")):
        label = label.replace(command, sign)
    return re.sub(r"[\s${}]", "", label)


@pytest.mark.parametrize("table", PIPED, ids=lambda table: table.name)
def test_the_rows_are_those_of_the_paper_to_the_last_digit(table: Table) -> None:
    cells = piped(table)
    assert [plain(line[0]) for line in cells] == [plain(row.name) for row in table.rows]
    numbers = [[float(cell) for cell in line if re.fullmatch(r"[\d.]+", cell)] for line in cells]
    assert numbers == [list(row.reported.values()) for row in table.rows]
    assert all(len(line) == len(table.reported) for line in numbers)
    for line, row in zip(cells, table.rows, strict=True):
        if "supervision" in row.settings:
            assert plain(line[1]).lower() == plain(row.settings["supervision"]).lower()
        if "clusters" in row.settings:
            assert f"={row.settings['clusters']}" in line[0]


@pytest.mark.parametrize("table", PIPED, ids=lambda table: table.name)
def test_claims_are_sentences_of_the_paper(table: Table) -> None:
    lines = (line for line in text_of(table).splitlines() if not line.startswith("Figure"))  # which cut a word in two
    text = re.sub(r"[\s-]", "", "".join(lines))
    for claim in table.claims:
        assert re.sub(r"[\s-]", "", claim.sentence) in text, claim.id


def test_the_misprints_of_the_long_tail_are_printed_and_in_no_claim() -> None:
    (table,) = (table for table in PIPED if table.id == "table-2")
    misprinted = {row.id: row for row in table.rows if row.reported["mAP50"] > 0.5}
    assert sorted(row.reported["mAP50"] for row in misprinted.values()) == [0.628, 0.703, 0.868]
    assert all("likely meant" in (row.note or "") for row in misprinted.values())
    named = {row for claim in table.claims if claim.metric == "mAP50" for row in (claim.better, claim.worse)}
    assert not named & misprinted.keys()


def _in_order(numbers: list[float], line: list[float]) -> bool:
    rest = iter(line)
    return all(number in rest for number in numbers)
