import torch
from collectives import gathered_gradients

from contrastbench.core.testing import run_ranks


def test_gathered_rows_and_the_gradients_of_a_sum_they_are_part_of():
    weight = torch.arange(6.0).view(3, 2)
    for number, (gathered, of_rows, of_added) in enumerate(run_ranks(2, gathered_gradients)):
        assert gathered.tolist() == [[0, 0], [1, 1], [1, 1]]
        # each rank uses all rows; what is added is its own
        assert torch.equal(of_rows, 2 * weight[number : 2 * number + 1])
        assert torch.equal(of_added, 2 * weight)
