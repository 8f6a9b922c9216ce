"""The pages say what the records say, and nothing else."""

from __future__ import annotations

import pytest

from contrastbench.core.errors import InputError
from contrastbench.reproductions import pages
from contrastbench.reproductions.locate import published_dir
from contrastbench.reproductions.tables import all_tables


def test_every_table_has_a_page_with_all_its_reported_numbers():
    told = pages.pages(published_dir())
    for table in all_tables():
        page = told[f"{table.paper}/{table.id}.md"]
        for row in table.rows:
            assert row.name in page
            for value in row.reported.values():
                assert f"{value:g}" in page


def test_without_records_nothing_is_reproduced(tmp_path):
    told = pages.pages(tmp_path)
    assert "±" not in "".join(told.values())
    assert told["index.md"].count("not run") == len(all_tables())


def test_stale_pages_go_and_the_readme_keeps_the_rest(tmp_path):
    folder, readme = tmp_path / "docs/results", tmp_path / "README.md"
    (folder / "gone").mkdir(parents=True)
    (folder / "gone/table-9.md").write_text("old")
    readme.write_text(f"before\n{pages.BEGIN}\nold\n{pages.END}\nafter\n")
    pages.write(folder, readme, published_dir())
    assert not (folder / "gone/table-9.md").exists()
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "(docs/results/pixel-contrast/table-1.md)" in text
    with pytest.raises(InputError, match="no place for the status"):
        pages.with_status("no marks", published_dir(), "")
