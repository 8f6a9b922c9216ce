"""Sphinx configuration of the site."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "contrastbench"
html_title = "contrastbench"
html_theme = "furo"
extensions = [
    "myst_parser",
    "api_pages",
    "inline_svg",
    "mathml",
    "sections",
    "table_cells",
]
exclude_patterns = ["_build", "_ext"]
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = [("tables.js", {"defer": "defer"})]
html_copy_source = False
html_show_copyright = False
html_math_renderer = "mathml"

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
