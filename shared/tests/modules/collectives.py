"""What ranks do together, importable by name."""

from __future__ import annotations

import torch
from torch import Tensor

from contrastbench.core.batch_norm import GlobalBatchNorm
from contrastbench.core.distributed import gather_rows, rank, world_size


def gathered_gradients() -> tuple[Tensor, Tensor, Tensor]:
    """Return gathered rows, one more of each rank than of the one before, and the gradients of both terms of a sum."""
    rows = torch.full((rank() + 1, 2), float(rank()), requires_grad=True)
    added = torch.zeros(3, 2, requires_grad=True)
    doubled = added * 2  # before what is gathered, so that its gradient is formed after
    gathered = gather_rows(rows)
    ((gathered + doubled) * torch.arange(6.0).view(3, 2)).sum().backward()
    assert rows.grad is not None
    assert added.grad is not None
    return gathered.detach(), rows.grad, added.grad


def normalised() -> dict[str, Tensor]:
    """Normalise rows, of which this rank holds its part, and return results and gradients, its part of them."""
    generator = torch.Generator().manual_seed(0)
    rows, weights = torch.randn(2, 11, 3, generator=generator, dtype=torch.float64)
    part = slice(None) if world_size() == 1 else (slice(0, 11), slice(11, 11))[rank()]
    mine = rows[part].clone().requires_grad_()
    norm = GlobalBatchNorm(3).double()
    out = norm(mine)
    (out.sin() * weights[part]).sum().backward()
    return {"out": out.detach(), "grad": mine.grad, "weight": norm.weight.grad}
