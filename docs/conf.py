"""Sphinx configuration of the site."""

project = "contrastbench"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "contrastbench"
exclude_patterns = ["_build"]
myst_heading_anchors = 3
