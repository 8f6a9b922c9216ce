"""Measure all benchmarks of the workspace, or those that are named.

    python shared/benchmarks/run.py [NAME ...] [--device cpu|cuda] [--threads N] [--json FILE] [--list]

They are the files of ``shared/benchmarks/ops``, of the packages' ``benchmarks`` and of the reproductions'; each runs by
itself too, with the same arguments.
"""

from __future__ import annotations

import sys
from pathlib import Path

from contrastbench.core.testing.bench.command import main

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(ROOT.glob("shared/benchmarks/ops/*.py")) + [
    file for folder in ("packages/*", "reproductions") for file in sorted(ROOT.glob(f"{folder}/benchmarks/*.py"))
]

if __name__ == "__main__":
    sys.exit(main(FILES))
