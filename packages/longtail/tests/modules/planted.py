"""Clusters whose members are known, and the adjusted Rand index."""

import torch
from torch import Tensor

from contrastbench.longtail.geometry import expmap0, mobius_add


def planted(clusters: int, each: int, dim: int = 2, spread: float = 0.15, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return points ``[n, D]`` about centres some 2 to 5 apart or more, shuffled, and their clusters ``[n]``."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.zeros(0, dim, dtype=torch.float64)
    while len(centres) < clusters:
        new = expmap0(torch.randn(1, dim, dtype=torch.float64, generator=generator) * 1.2)
        apart = mobius_add(-new, centres).norm(dim=1)
        if (apart > 0.76).all():  # a distance of 2
            centres = torch.cat([centres, new])
    truth = torch.arange(clusters).repeat_interleave(each)[torch.randperm(clusters * each, generator=generator)]
    noise = expmap0(torch.randn(len(truth), dim, dtype=torch.float64, generator=generator) * spread / 2)
    return mobius_add(centres[truth], noise), truth


def adjusted_rand_index(a: Tensor, b: Tensor) -> float:
    """Return the index of Hubert and Arabie (1985): 1 for the same partition, 0 on average for unrelated ones."""
    table = torch.zeros(int(a.max()) + 1, int(b.max()) + 1, dtype=torch.float64)
    table.index_put_((a, b), torch.ones(len(a), dtype=torch.float64), accumulate=True)

    def pairs(counts: Tensor) -> Tensor:
        return (counts * (counts - 1) / 2).sum()

    rows, columns = pairs(table.sum(1)), pairs(table.sum(0))
    expected = rows * columns / pairs(table.sum())
    most = (rows + columns) / 2
    return float((pairs(table) - expected) / (most - expected)) if most != expected else 1.0
