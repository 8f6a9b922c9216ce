from __future__ import annotations

import pytest
import torch

from contrastbench.core.errors import InputError
from contrastbench.core.hosts.generators import gather_generators, restore_generators

CPU = torch.device("cpu")


def test_generators_go_on_where_they_were() -> None:
    with torch.random.fork_rng(devices=[]):
        states = gather_generators(CPU)
        expected = torch.rand(3)
        # what a GPU left is no matter on a CPU
        restore_generators([{**states[0], "cuda": torch.zeros(16, dtype=torch.uint8)}], CPU)

        assert torch.equal(torch.rand(3), expected)


def test_another_number_of_ranks_is_refused() -> None:
    states = gather_generators(CPU)

    with pytest.raises(InputError, match="a run on 2 ranks, and there are 1 now"):
        restore_generators([*states, *states], CPU)
