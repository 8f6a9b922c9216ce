"""Names that all pictures share."""

from __future__ import annotations

NOVEL_NAME = "novel"
"""What a cluster without a label is called."""

NEEDS = "contrastbench-longtail[discovery]"
"""What to install for pictures."""
