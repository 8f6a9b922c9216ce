"""Benchmarks: a problem, the formulations that solve it, and what each costs beside what the machine could do.

A benchmark is a file with ``CASES`` at its end. ``python FILE`` measures its own, ``nox -s bench`` those of all files.
"""

from contrastbench.core.testing.bench.case import Case, runs_anywhere

__all__ = ["Case", "runs_anywhere"]
