"""Plots stand in the page itself, so that they follow its light and dark; in the repository they are images."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.transforms import SphinxTransform


class InlinePlots(SphinxTransform):
    """Put the SVG files below ``results`` in place of the images that name them, each style once a page."""

    default_priority = 200

    def apply(self, **kwargs: Any) -> None:
        """Replace the images of one page."""
        styled = False
        for image in list(self.document.findall(nodes.image)):
            file = Path(self.env.doc2path(self.env.docname)).parent / image["uri"]
            if file.suffix != ".svg" or not self.env.docname.startswith("results/"):
                continue
            self.env.note_dependency(str(file))
            drawn = file.read_text(encoding="utf-8")
            if styled:
                drawn = re.sub(r"<style>.*?</style>\n", "", drawn, flags=re.DOTALL)
            styled = True
            image.replace_self(nodes.raw("", f'<div class="plot">{drawn}</div>', format="html"))


def setup(app: Any) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.add_transform(InlinePlots)
    return {"parallel_read_safe": True}
