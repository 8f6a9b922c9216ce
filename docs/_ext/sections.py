"""What a README says is not said again: a line that is nothing but a link to one of its sections becomes that section.

In the repository such a line is a link like any other. Links within the section are
turned to where they lead from the page.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from sphinx.errors import ExtensionError

ROOT = Path(__file__).parents[2]
_LINE = re.compile(r"^\[[^\]]+\]\(((?:\.\./)+[\w./-]*README\.md)#([\w-]+)\)\n", re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")
_PAGES = {
    f"packages/{name}/README.md": f"docs/use/{name}.md" for name in ("contextrast", "dcl", "longtail", "pixel-contrast")
}


def fill(text: str, page: Path) -> str:
    """Return a page with the sections it links to in place of the links.

    Args:
        text: the page, Markdown.
        page: where it lies.

    Raises:
        ExtensionError: a README has no such section.
    """
    return _LINE.sub(lambda found: section(page.parent / found[1], found[2], page) + "\n", text)


def section(readme: Path, anchor: str, page: Path) -> str:
    """Return the body of a README's section, without its heading, as it reads on a page."""
    lines = readme.read_text(encoding="utf-8").splitlines()
    fenced, start, level = False, None, 0
    end = len(lines)
    for i, line in enumerate(lines):
        fenced ^= line.startswith("```")
        heading = None if fenced else re.match(r"(#+) (.*)", line)
        if heading is None:
            continue
        if start is not None and len(heading[1]) <= level:
            end = i
            break
        if start is None and _slug(heading[2]) == anchor:
            start, level = i + 1, len(heading[1])
    if start is None:
        raise ExtensionError(f"{page}: {readme} has no section #{anchor}")
    body = "\n".join(lines[start:end]).strip() + "\n"
    return _LINK.sub(lambda found: _turned(found[1], found[2], readme.resolve().parent, page.resolve().parent), body)


def _turned(text: str, target: str, at: Path, page: Path) -> str:
    if "://" in target:
        return f"[{text}]({target})"
    file, _, anchor = target.partition("#")
    lies = (at / file).resolve()
    inside = lies.relative_to(ROOT).as_posix()
    if not file or lies.is_dir():
        return text
    leads = ROOT / _PAGES.get(inside, inside)
    return f"[{text}]({Path(os.path.relpath(leads, page)).as_posix()}{'#' + anchor if anchor else ''})"


def _slug(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _read(app: Any, docname: str, content: list[str]) -> None:
    content[0] = fill(content[0], Path(app.env.doc2path(docname)))


def setup(app: Any) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True}
