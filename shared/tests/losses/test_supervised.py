import pytest
import torch
from torch.nn import functional as F

from contrastbench.core.losses import supervised_infonce
from contrastbench.core.testing import assert_close, loop_infonce


def problem(generator, dtype=torch.float64):
    batch = F.normalize(torch.randn(12, 5, generator=generator, dtype=dtype), dim=1).requires_grad_()
    labels = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 3])
    bank = [F.normalize(torch.randn(n, 5, generator=generator, dtype=dtype), dim=1) for n in (3, 0, 4, 1)]
    return batch, labels, bank


@pytest.mark.parametrize("with_bank", [False, True])
def test_equals_a_loop_with_every_key_but_itself(with_bank, generator):
    batch, labels, bank = problem(generator)
    eligible = ~torch.eye(12, dtype=torch.bool)
    loss, count = supervised_infonce(
        batch, labels, batch, labels, 0.2, eligible=eligible, bank=bank if with_bank else ()
    )
    for i, c in enumerate(labels.tolist()):
        positives = [batch[j].tolist() for j in range(12) if j != i and labels[j] == c]
        negatives = [batch[j].tolist() for j in range(12) if labels[j] != c]
        if with_bank:
            positives += bank[c].tolist()
            negatives += [k for other in range(4) if other != c for k in bank[other].tolist()]
        expected = loop_infonce(batch[i].tolist(), positives, negatives, 0.2)
        assert float(loss[i].detach()) == pytest.approx(expected, rel=1e-12)
        assert int(count[i]) == len(positives)


def test_gradcheck_through_both_sides(generator):
    batch, labels, bank = problem(generator)
    eligible = ~torch.eye(12, dtype=torch.bool)
    assert torch.autograd.gradcheck(
        lambda x: supervised_infonce(x, labels, x, labels, 0.5, eligible=eligible, bank=bank)[0], batch
    )


@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0])
def test_finite_with_one_class_and_before_the_bank_holds_anything(temperature, generator):
    batch = F.normalize(torch.randn(4, 5, generator=generator), dim=1).requires_grad_()
    labels = torch.zeros(4, dtype=torch.int64)
    empty = [torch.empty(0, 5), torch.empty(0, 5)]
    for bank in ((), empty):
        loss, count = supervised_infonce(
            batch, labels, batch, labels, temperature, eligible=~torch.eye(4, dtype=torch.bool), bank=bank
        )
        (grad,) = torch.autograd.grad(loss.sum(), batch)
        assert loss.tolist() == [0, 0, 0, 0]
        assert torch.equal(grad, torch.zeros_like(grad))
        assert count.tolist() == [3, 3, 3, 3]


def test_a_class_alone_has_no_positive_and_no_loss(generator):
    batch, _, _ = problem(generator)
    labels = torch.arange(12)
    loss, count = supervised_infonce(batch, labels, batch, labels, 0.1, eligible=~torch.eye(12, dtype=torch.bool))
    assert count.sum() == 0
    assert loss.abs().sum() == 0


def test_full_precision_under_autocast(generator):
    batch, labels, bank = problem(generator, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside, _ = supervised_infonce(batch, labels, batch, labels, 0.1, bank=bank)
    outside, _ = supervised_infonce(batch, labels, batch, labels, 0.1, bank=bank)
    assert_close(inside, outside)
    assert inside.dtype == torch.float32
