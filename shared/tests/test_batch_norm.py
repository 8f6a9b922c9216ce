import torch
from collectives import normalised
from torch import nn
from torch.testing import assert_close

from contrastbench.core.batch_norm import GlobalBatchNorm
from contrastbench.core.testing import run_ranks


def test_normalisation_is_torchs_on_one_rank_and_over_all_rows_on_two():
    rows = torch.randn(9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert_close(GlobalBatchNorm(4).double()(rows), nn.BatchNorm1d(4).double()(rows))
    one, (two, none) = normalised(), run_ranks(2, normalised)
    for name in ("out", "grad", "weight"):
        assert_close(two[name], one[name])
    assert none["out"].shape == (0, 3)
