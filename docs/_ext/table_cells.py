"""What a table's cells hold tells how they are shown: verdicts in their colour, short ones on one line."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.transforms import SphinxTransform

OUTCOMES = ("reproduced", "contradicted", "undecided", "not run")
SHORT = 26  # letters


class MarkedCells(SphinxTransform):
    """Give each cell a class: ``short`` or ``words`` by its length, ``verdict-...`` below a heading "verdict"."""

    default_priority = 210

    def apply(self, **kwargs: Any) -> None:
        """Mark the tables of one page."""
        for table in self.document.findall(nodes.table):
            heads = [entry.astext() for head in table.findall(nodes.thead) for entry in head.findall(nodes.entry)]
            for body in table.findall(nodes.tbody):
                for row in body.findall(nodes.row):
                    for head, cell in zip(heads, row.findall(nodes.entry), strict=True):
                        _mark(head, cell)


def _mark(head: str, cell: nodes.entry) -> None:
    text = cell.astext()
    cell["classes"].append("short" if len(text) <= SHORT else "words")
    outcome = next((o for o in OUTCOMES if text.startswith(o)), None)
    if head == "verdict" and outcome is not None:
        cell["classes"].append(f"verdict-{outcome.replace(' ', '-')}")


def setup(app: Any) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.add_transform(MarkedCells)
    return {"parallel_read_safe": True}
