"""Where the tables and the published records lie: beside the package when installed, else in the source tree."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_DISTRIBUTION = _PACKAGE.parents[2]


def _beside(name: str) -> Path:
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _DISTRIBUTION / name


def papers_dir() -> Path:
    """Return the folder of the tables: ``<paper>/paper.yaml`` and ``<paper>/<table>.yaml``."""
    return _beside("papers")


def published_dir() -> Path:
    """Return the folder of the published records: ``<paper>/<table>/<profile>/<data>/*.json``."""
    return _beside("results")
