"""The pages say what the records say, and nothing else."""

from __future__ import annotations

import json
import re
import shutil
import statistics
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from contrastbench.core.errors import InputError
from contrastbench.reproductions import pages
from contrastbench.reproductions.locate import published_dir
from contrastbench.reproductions.tables import Table, all_tables, find_table

OUTCOMES = ("reproduced", "contradicted", "undecided", "not run")


def cells(page: str, first: str) -> list[dict[str, str]]:
    """The rows, by heading, of every table of a page whose first heading this is."""
    found = []
    for block in re.findall(r"(?:^\|.*\|\n)+", page, re.MULTILINE):
        lines = [re.split(r"(?<!\\) \| ", line.removeprefix("| ").removesuffix(" |")) for line in block.splitlines()]
        if lines[0][0] == first:
            found += [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]
    return found


def published(table: Table) -> list[dict]:
    """The records of a table as they lie, without the engine's reading of them."""
    return [json.loads(p.read_text()) for p in sorted((published_dir() / table.paper / table.id).glob("*/*/*.json"))]


def test_every_table_has_a_page_with_all_its_reported_numbers():
    told = pages.pages(published_dir())
    for table in all_tables():
        page = told[f"{table.paper}/{table.id}.md"]
        for row in table.rows:
            assert row.name in page
            for value in row.reported.values():
                assert f"{value:g}" in page
        for claim in table.claims:
            assert " ".join(claim.sentence.split()) in page


def test_what_is_reproduced_is_what_the_files_hold():
    told = pages.pages(published_dir())
    seen = 0
    for table in all_tables():
        page = told[f"{table.paper}/{table.id}.md"]
        for profile, data in {(r["profile"], r["data"]) for r in published(table)}:
            (section,) = (s for s in page.split("\n## ") if s.startswith(f"{profile} on {data}, fidelity paper"))
            lines = cells(section, "row")[: len(table.rows)]
            measured: dict[str, dict[str, dict[int, float]]] = {}
            for record in published(table):
                if (record["profile"], record["data"]) == (profile, data):
                    for name, metric in table.metrics.items():
                        value = record["metrics"].get(metric.measured, record.get(metric.measured))
                        if value is not None and metric.stands_for(data):
                            by_row = measured.setdefault(name, {}).setdefault(record["row"], {})
                            by_row[record["seed"]] = value / metric.divided_by
            for name, by_row in measured.items():
                printed = [str(r.reported[name]).partition(".")[2] for r in table.rows if name in r.reported]
                largest = max(abs(statistics.fmean(values.values())) for values in by_row.values())
                points = "%" in table.metrics[name].unit
                digits = max([2 if points or largest >= 2 else 3 if largest >= 0.2 else 4, *map(len, printed)])
                for row, line in zip(table.rows, lines, strict=True):
                    if row.id in by_row:
                        values = list(by_row[row.id].values())
                        mean = f"{statistics.fmean(values):.{digits}f}"
                        spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
                        told_here = line[f"reproduced {name} ({table.metrics[name].unit})"]
                        assert told_here == mean + spread, f"{table.name}, {row.id}, {name}"
                        seen += 1
    assert seen > 50


def test_the_claims_and_their_counts_agree():
    told = pages.pages(published_dir())
    claims = cells(told["claims.md"], "claim")
    tables = cells(told["index.md"], "table")
    # a claim about data that no study of its table is on stands among the claims alone
    studied = {t["table"] for t in tables if t["profile"] != "-"}
    elsewhere = sum(c["profile"] == "-" and c["table"] in studied for c in claims)
    for outcome in OUTCOMES:
        beside = elsewhere if outcome == "not run" else 0
        assert sum(c["verdict"] == outcome for c in claims) == sum(int(t[outcome]) for t in tables) + beside
    totals = cells(told["claims.md"], "paper")
    for outcome in OUTCOMES[:3]:
        assert sum(c["verdict"] == outcome for c in claims) == sum(int(t[outcome]) for t in totals)
    assert len({(c["paper"], c["table"], c["claim"]) for c in claims}) == sum(len(t.claims) for t in all_tables())
    for line in claims:
        page = told[f"{line['paper']}/{re.findall(r'[(](.*)[.]md', line['table'])[0].partition('/')[2]}.md"]
        if line["verdict"] != "not run":
            assert f"| {line['claim']} | {line['reported gain']} | {line['measured gain (95 % interval)']} |" in page


def test_the_plots_have_a_dot_for_every_seed_where_the_files_say():
    told = pages.pages(published_dir())
    table = find_table("pixel-contrast/table-1")
    records = [r for r in published(table) if r["data"] == "camvid"]
    by_row = {row.id: {r["seed"]: r["metrics"]["mIoU"] for r in records if r["row"] == row.id} for row in table.rows}
    rows = drawn(told["pixel-contrast/table-1-cpu-camvid-paper-rows.svg"])
    assert [values for _, values in rows] == [rounded(by_row[row.id]) for row in table.rows]
    gains = drawn(told["pixel-contrast/table-1-cpu-camvid-paper-gains.svg"])
    for claim, (marks, values) in zip(table.claims, gains, strict=True):
        better, worse = by_row[claim.better], by_row[claim.worse]
        assert values == rounded({seed: better[seed] - worse[seed] for seed in better.keys() & worse.keys()})
        assert marks["reported"] == pytest.approx(claim.gain)
        assert marks["mean"] == pytest.approx(statistics.fmean(values.values()), abs=0.02)
    for svg in (text for path, text in told.items() if path.endswith(".svg")):
        assert "nan" not in svg.lower()
        ElementTree.fromstring(svg)


def rounded(values: dict[int, float]) -> dict[int, float]:
    return {seed: float(f"{value:.2f}") for seed, value in values.items()}


def drawn(svg: str) -> list[tuple[dict[str, float], dict[int, float]]]:
    """Each line's marks and dots, by their titles; dots must stand in the order of their values."""
    space = "{http://www.w3.org/2000/svg}"
    found = []
    for line in ElementTree.fromstring(svg).iter(f"{space}g"):
        dots = [(float(dot.get("cx")), dot[0].text.split()) for dot in line.iter(f"{space}circle")]
        places = sorted((x, float(words[2])) for x, words in dots)
        assert [value for _, value in places] == sorted(value for _, value in places)
        titles = [path[0].text.split() for path in line.iter(f"{space}path")]
        marks = {words[0]: float(words[1]) for words in titles if words[0] in ("mean", "reported")}
        found.append((marks, {int(words[1].rstrip(":")): float(words[2]) for _, words in dots}))
    return found


def test_a_record_that_changes_changes_its_pages(tmp_path):
    copy = tmp_path / "records"
    shutil.copytree(published_dir() / "pixel-contrast/table-1", copy / "pixel-contrast/table-1")
    before = pages.pages(copy)
    path = sorted((copy / "pixel-contrast/table-1/cpu/scenes").glob("inter-seed1-*.json"))[0]
    record = json.loads(path.read_text())
    record["metrics"]["mIoU"] += 30
    path.write_text(json.dumps(record))
    after = pages.pages(copy)
    changed = {re.sub(r"^side-by-side-.*svg$", "side-by-side", n) for n in before if before[n] != after[n]}
    assert changed == {
        "claims.md",
        "side-by-side.md",
        "side-by-side",
        "pixel-contrast/table-1.md",
        "pixel-contrast/table-1-cpu-scenes-paper-gains.svg",
        "pixel-contrast/table-1-cpu-scenes-paper-rows.svg",
    }


def test_each_record_is_linked_from_its_page(tmp_path):
    folder = tmp_path / "docs/results"
    pages.write(folder, None, published_dir())
    for table in all_tables():
        page = folder / table.paper / f"{table.id}.md"
        linked = {(page.parent / t).resolve() for t in re.findall(r"\]\(([^)]+\.json)\)", page.read_text())}
        assert linked == {p.resolve() for p in (published_dir() / table.paper / table.id).glob("*/*/*.json")}


def test_without_records_nothing_is_reproduced(tmp_path):
    told = pages.pages(tmp_path)
    assert "±" not in "".join(told.values())
    assert not [path for path in told if path.endswith(".svg")]
    assert {line["verdict"] for line in cells(told["claims.md"], "claim")} == {"not run"}
    assert {line["profile"] for line in cells(told["index.md"], "table")} == {"-"}


def test_stale_pages_go_and_the_readme_keeps_the_rest(tmp_path):
    folder, readme = tmp_path / "docs/results", tmp_path / "README.md"
    (folder / "gone").mkdir(parents=True)
    stale = [folder / "gone/table-9.md", folder / "gone/table-9-cpu-scenes-paper-rows.svg"]
    for file in stale:
        file.write_text("old")
    readme.write_text(f"before\n{pages.BEGIN}\nold\n{pages.END}\nafter\n")
    pages.write(folder, readme, published_dir())
    assert not any(map(Path.exists, stale))
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "(docs/results/pixel-contrast/index.md)" in text
    with pytest.raises(InputError, match="no place for the status"):
        pages.with_status("no marks", published_dir(), "")


@pytest.mark.parametrize(("data", "root"), [("scenes", False), ("camvid", True)])
def test_the_command_on_a_page_says_where_data_must_lie(data, root):
    page = pages.pages(published_dir())["contextrast/table-6.md"]
    (command,) = (line for line in page.splitlines() if f"data={data} " in line and line.startswith("nox"))
    assert ("data.root=FOLDER" in command) is root
