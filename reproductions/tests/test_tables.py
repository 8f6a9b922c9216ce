from pathlib import Path
from typing import Any

import pytest
import yaml

from contrastbench.core.errors import InputError
from contrastbench.reproductions.locate import papers_dir
from contrastbench.reproductions.tables import Table, all_tables, find_table, load_paper, load_table

TABLES = all_tables()

MISPRINTED = {
    ("pixel-contrast/table-2", "pixel"): "prints 80.5 (+2.6) over 78.1; its text confirms 80.5",
}
"""Gains that the paper prints and that are not the difference of the numbers it prints."""


def test_the_tables_of_pixel_contrast_are_all_there() -> None:
    names = [table.id for table in TABLES if table.paper == "pixel-contrast"]
    assert names == [f"table-{n}" for n in range(1, 8)] + ["supplement-table-1", "supplement-table-2"]
    assert load_paper("pixel-contrast").year == 2021
    runnable = {table.id: len(table.runnable) for table in TABLES if table.paper == "pixel-contrast" and table.runnable}
    assert runnable == {"table-1": 3, "table-2": 5, "table-3": 7}


def test_the_tables_of_dcl_are_all_there() -> None:
    runnable = {table.id: len(table.runnable) for table in TABLES if table.paper == "dcl"}
    assert runnable == {
        **{"table-1": 8, "table-2": 2, "table-3": 5, "table-4": 6, "table-5": 2, "table-6": 4, "table-7": 0},
        **{"table-8": 2, "table-9": 2, "figure-2": 1},
    }


def test_the_tables_of_contextrast_with_numbers_are_all_there() -> None:
    runnable = {table.id: len(table.runnable) for table in TABLES if table.paper == "contextrast"}
    assert runnable == {
        "table-2": 11,
        "table-3": 7,
        "table-4": 3,
        "table-5": 6,
        "table-6": 4,
        "table-7": 5,
        "table-8": 6,
    }


def test_the_tables_of_the_long_tail_are_all_there() -> None:
    rows = {table.id: len(table.rows) for table in TABLES if table.paper == "longtail"}
    assert rows == {"table-1": 5, "table-2": 14, "table-3": 4, "table-4": 4, "table-5": 4}
    named = [row.name for table in TABLES for row in table.rows if table.paper == "longtail" and row.reference]
    assert len([name for name in named if name.startswith(("ShapeMask", "Mask^X"))]) == 4


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_printed_gains_and_claims_are_differences_of_printed_numbers(table: Table) -> None:
    for row in table.rows:
        for gain in row.gains:
            over = table.row(gain.over).reported[gain.metric]
            difference = pytest.approx(row.reported[gain.metric] - over)
            assert (gain.value == difference) is ((table.name, row.id) not in MISPRINTED), (row.id, gain)
    for claim in table.claims:
        better, worse = (table.row(r).reported[claim.metric] for r in (claim.better, claim.worse))
        sign = 1 if table.metrics[claim.metric].better == "higher" else -1
        assert claim.gain == pytest.approx(sign * (better - worse)), claim.id
        assert claim.gain > 0, claim.id


@pytest.mark.parametrize("path", sorted(papers_dir().glob("*/paper.yaml")), ids=lambda p: p.parent.name)
def test_every_paper_is_described(path: Path) -> None:
    assert load_paper(path.parent.name).title


def content() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((papers_dir() / "pixel-contrast" / "table-1.yaml").read_text())
    return loaded


def change(table: dict[str, Any], field: str, value: Any) -> None:
    *path, last = field.split(".")
    node: Any = table
    for part in path:
        node = node[int(part)] if part.isdigit() else node[part]
    if value is ...:
        del node[last]
    else:
        node[last] = value


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("title", ..., "title: missing; expected a text"),
        ("title", 3, "title: expected a text, found 3"),
        ("titel", "x", "titel: unknown field"),
        ("source.page", "six", "source.page: expected a number, found 'six'"),
        ("source.document", "blog", "source.document: expected one of paper, supplement, found 'blog'"),
        ("metrics.mIoU.better", "more", "metrics.mIoU.better: expected one of higher, lower"),
        ("rows", {}, "rows: expected a list of mappings"),
        ("rows.1.reported.mIoU", "78,9", "rows[1].reported.mIoU: expected a number, found '78,9'"),
        ("rows.1.reported.mIoU", True, "rows[1].reported.mIoU: expected a number, found True"),
        ("rows.1.reported", {"mAP": 3}, "rows[1].reported.mAP: unknown field"),
        ("rows.1.id", "In tra", "rows[1].id: 'In tra' is not a name"),
        ("rows.1.id", "inter", "rows: the id 'inter' is given twice"),
        ("rows.1.gain.over", "base", "rows[intra].gain.over: there is no row 'base'"),
        ("rows.1.cited", True, "rows[1].run: a cited row is not run"),
        ("rows.1.run", "objective=none", "rows[1].run: expected a list of texts"),
        ("claims.0.better", "intre", "claims[inter-over-baseline].better: there is no row 'intre'"),
        ("claims.0.metric", "AP", "claims[0].metric: expected one of mIoU"),
    ],
)
def test_a_broken_table_names_the_file_and_the_field(tmp_path: Path, field: str, value: Any, message: str) -> None:
    table = content()
    change(table, field, value)
    (tmp_path / "some").mkdir()
    path = tmp_path / "some" / "table-1.yaml"
    path.write_text(yaml.safe_dump(table))
    with pytest.raises(InputError) as error:
        load_table("some", "table-1", tmp_path)
    assert str(error.value).startswith(f"{path}: {message}")


def test_yaml_cannot_run_code(tmp_path: Path) -> None:
    (tmp_path / "some").mkdir()
    mark = tmp_path / "mark"
    text = f'title: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ["{mark}"]]'
    (tmp_path / "some" / "table-1.yaml").write_text(text)
    with pytest.raises(InputError, match="not valid YAML"):
        load_table("some", "table-1", tmp_path)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pixel-contrst/table-1", "did you mean 'pixel-contrast'"),
        ("pixel-contrast/table-9", "unknown table of pixel-contrast 'table-9'"),
        ("pixel-contrast", "names a paper, not a table"),
        ("pixel-contrast/", "names a paper, not a table"),
    ],
)
def test_an_unknown_table_suggests_the_nearest(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_table(name)
