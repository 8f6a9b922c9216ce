"""The site, built strictly and opened in a browser."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import Chromium, find_chromium
from filelock import FileLock

from contrastbench.reproductions.ledger import read_records
from contrastbench.reproductions.locate import published_dir
from contrastbench.reproductions.report import make_reports
from contrastbench.reproductions.tables import all_tables

for needed in ("sphinx", "myst_parser", "furo"):
    pytest.importorskip(needed, reason=f"{needed} is not installed")

ROOT = Path(__file__).parents[1]
NARROW, WIDE = (390, 844), (1280, 900)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="session")
def site(tmp_path_factory, worker_id) -> Path:
    """The site, built once however many processes test it; a warning is an error."""
    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "site"
    with FileLock(f"{folder}.lock"):
        if not (folder / "index.html").exists():
            command = [sys.executable, "-m", "sphinx", "-q", "--fail-on-warning", "--keep-going", "-b", "html"]
            environment = {**os.environ, "PYTHONWARNINGS": "default"}
            done = subprocess.run(
                [*command, "-d", f"{folder}-doctrees", str(ROOT / "docs"), str(folder)],
                capture_output=True,
                text=True,
                check=False,
                env=environment,
            )
            assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def worker_id(request) -> str:
    return getattr(request.config, "workerinput", {}).get("workerid", "master")


@pytest.fixture
def browser(site) -> Iterator[Chromium]:
    executable = find_chromium()
    if executable is None:
        pytest.skip("there is no Chromium on this machine; apt-get install chromium")
    with Chromium(executable) as opened:
        opened.resize(*WIDE)
        yield opened


def column(browser: Chromium, table: str, name: str) -> list[str]:
    """The cells in view below a heading, top to bottom."""
    return browser.evaluate(
        f"""(() => {{
            const table = document.querySelector({table!r});
            const names = [...table.tHead.rows[0].cells].map(head => head.textContent.trim());
            const rows = [...table.tBodies[0].rows].filter(row => row.offsetParent !== null);
            return rows.map(row => row.cells[names.indexOf({name!r})].textContent.trim());
        }})()"""
    )


def press(browser: Chromium, table: str, name: str) -> None:
    found = browser.evaluate(
        f"""(() => {{
            const buttons = [...document.querySelectorAll({table!r} + " th button")];
            const button = buttons.find(button => button.textContent.trim() === {name!r});
            if (button) button.click();
            return Boolean(button);
        }})()"""
    )
    assert found, f"no heading {name} to sort by"


def set_value(browser: Chromium, field: str, value: str) -> None:
    browser.evaluate(
        f"""(() => {{
            const field = document.querySelector({field!r});
            field.value = {value!r};
            field.dispatchEvent(new Event(field.tagName === "SELECT" ? "change" : "input"));
        }})()"""
    )


def verdicts() -> Counter[str]:
    """How the claims came out, from the records; claims that no study tells of are not run."""
    counts: Counter[str] = Counter()
    for table in all_tables():
        reports = make_reports(table, read_records(published_dir(), table.paper, table.id))
        for claim in table.claims:
            told = [report.verdicts[claim.id].outcome for report in reports if claim.id in report.verdicts]
            counts.update(told or ["not run"])
    return counts


def test_every_page_loads_without_a_word_on_the_console(site, browser):
    files = sorted(path for path in site.rglob("*.html") if "_static" not in path.parts)
    assert len(files) > 60
    for file in files:
        browser.problems.clear()
        browser.open(file.as_uri())
        assert browser.problems == [], file.relative_to(site)
        assert browser.evaluate("document.documentElement.dataset.tables") == "ready"
        assert browser.evaluate("document.querySelector('article') !== null && document.title !== ''")
    # nothing is asked of a network
    assert {url.partition(":")[0] for url in browser.requested} <= {"file", "data", "about"}


def test_the_console_is_listened_to(tmp_path, browser):
    """What the test above relies on."""
    bad = tmp_path / "bad.html"
    bad.write_text("<script>console.error('first')</script><script>second()</script><img src='third.png'>")
    browser.open(bad.as_uri())
    told = " ".join(browser.problems)
    assert "first" in told
    assert "second is not defined" in told
    assert "third.png" in told


def test_the_results_sort(site, browser):
    browser.open((site / "results/index.html").as_uri())
    rows = "article table"
    before = column(browser, rows, "table")
    assert len(before) >= len(all_tables())
    press(browser, rows, "rows run here")
    counts = [int(cell.split()[0]) for cell in column(browser, rows, "rows run here")]
    assert counts == sorted(counts)
    assert len(set(counts)) > 3
    press(browser, rows, "rows run here")
    counts = [int(cell.split()[0]) for cell in column(browser, rows, "rows run here")]
    assert counts == sorted(counts, reverse=True)
    assert browser.evaluate("document.querySelector('th[aria-sort]').getAttribute('aria-sort')") == "descending"
    press(browser, rows, "paper")
    papers = column(browser, rows, "paper")
    assert papers == sorted(papers)
    assert sorted(column(browser, rows, "table")) == sorted(before)
    # what is not there comes last, whichever way
    for _ in range(2):
        press(browser, rows, "seeds")
        seeds = column(browser, rows, "seeds")
        assert set(seeds[seeds.index("-") :]) == {"-"}


def test_numbers_sort_as_numbers(site, browser):
    browser.open((site / "results/pixel-contrast/table-3.html").as_uri())
    press(browser, "article table", "reproduced mIoU (%)")
    means = [float(cell.split(" ±")[0]) for cell in column(browser, "article table", "reproduced mIoU (%)")]
    assert len(means) == 7
    assert means == sorted(means)


def test_the_results_filter(site, browser):
    browser.open((site / "results/index.html").as_uri())
    set_value(browser, ".table-tools select[data-column=paper]", "dcl")
    assert set(column(browser, "article table", "paper")) == {"dcl"}
    set_value(browser, ".table-tools input", "nuclei")
    assert column(browser, "article table", "data") == ["nuclei"]
    assert browser.evaluate("document.querySelector('.table-tools output').textContent").startswith("1 of ")
    set_value(browser, ".table-tools input", "")
    set_value(browser, ".table-tools select[data-column=paper]", "")
    assert len(column(browser, "article table", "paper")) >= len(all_tables())


def test_the_claims_filter_by_verdict_and_are_as_many_as_the_records_say(site, browser):
    browser.open((site / "results/claims.html").as_uri())
    browser.evaluate("document.querySelectorAll('article table')[1].id = 'claims'")
    counts = verdicts()
    assert counts["reproduced"]
    for verdict, count in counts.items():
        set_value(browser, ".table-tools select[data-column=verdict]", verdict)
        assert column(browser, "#claims", "verdict") == [verdict] * count
    colours = browser.evaluate(
        "['reproduced', 'contradicted', 'undecided'].map("
        "name => getComputedStyle(document.querySelector('.verdict-' + name)).color)"
    )
    assert len(set(colours)) == 3


@pytest.mark.parametrize("page", ["index", "results/index", "results/claims", "results/dcl/table-8", "use/dcl"])
def test_a_phone_reads_it(site, browser, page):
    browser.resize(*NARROW)
    browser.open((site / f"{page}.html").as_uri())
    assert browser.evaluate("document.documentElement.scrollWidth") <= NARROW[0]
    if page.startswith("results/"):
        scrolled = browser.evaluate(
            """(() => {
                const boxes = [...document.querySelectorAll(".table-wrapper")];
                const box = boxes.find(box => box.scrollWidth > box.clientWidth + 20);
                box.scrollLeft = 150;
                const [first, second] = box.querySelector("tbody tr").cells;
                const left = box.getBoundingClientRect().left;
                return [box.scrollLeft, first.getBoundingClientRect().left - left,
                        second.getBoundingClientRect().left - first.getBoundingClientRect().right];
            })()"""
        )
        assert scrolled[0] == 150
        assert abs(scrolled[1]) < 8, "the first column stays in view"
        assert scrolled[2] < -100, "the others move below it"


def test_plots_stand_in_the_page_and_follow_light_and_dark(site, browser):
    seen = []
    for dark in (False, True):
        browser.resize(*WIDE, dark=dark)
        browser.open((site / "results/dcl/table-8.html").as_uri())
        assert browser.evaluate("document.querySelectorAll('article svg.dots').length") == 6
        seen.append(
            browser.evaluate(
                "['svg.dots text', 'svg.dots .seed', 'svg.dots path.paper'].map(name => {"
                " const style = getComputedStyle(document.querySelector(name));"
                " return name.includes('paper') ? style.stroke : style.fill; })"
            )
        )
    assert all(light != dark for light, dark in zip(*seen, strict=True))
    # the page's own choice beats the system's
    browser.evaluate("document.body.dataset.theme = 'light'")
    fill = "getComputedStyle(document.querySelector('svg.dots text')).fill"
    assert browser.evaluate(fill) == seen[0][0]


def test_without_scripts_all_is_there_to_read(site, browser):
    browser.open((site / "results/index.html").as_uri(), scripts=False)
    assert browser.evaluate("document.documentElement.dataset.tables") is None
    assert len(column(browser, "article table", "table")) >= len(all_tables())
