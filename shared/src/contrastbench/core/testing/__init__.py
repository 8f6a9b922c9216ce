"""What tests of every distribution share: tolerances, loops to compare with, several ranks in one test."""

from contrastbench.core.testing.infonce import loop_infonce
from contrastbench.core.testing.ranks import run_ranks
from contrastbench.core.testing.tolerances import assert_close

__all__ = ["assert_close", "loop_infonce", "run_ranks"]
