import pytest
import torch
from torch.nn import functional as F

from contrastbench.core.losses import KeyTable, select_pairs
from contrastbench.core.samplers import HardestPairs, RandomPairs, SemiHardPairs


def problem(generator):
    anchors = F.normalize(torch.randn(10, 6, generator=generator), dim=1)
    labels = torch.randint(0, 3, (10,), generator=generator)
    other = F.normalize(torch.randn(40, 6, generator=generator), dim=1)
    other_labels = torch.randint(-1, 4, (40,), generator=generator)
    return anchors, labels, [KeyTable(anchors, labels), KeyTable(other, other_labels)]


@pytest.mark.parametrize("rows_at_once", [1 << 25, 100])
@pytest.mark.parametrize("sampler", [RandomPairs(), HardestPairs(), SemiHardPairs()], ids=lambda s: type(s).__name__)
def test_positives_are_of_the_class_and_negatives_are_not(sampler, rows_at_once, generator, monkeypatch):
    monkeypatch.setattr("contrastbench.core.losses.sampled._CHUNK_ELEMENTS", rows_at_once)
    anchors, labels, tables = problem(generator)
    key_labels = torch.cat([t.labels for t in tables])
    eligible = ~torch.eye(10, dtype=torch.bool)
    eligible[:, 3] = False
    chosen = select_pairs(anchors, labels, tables, sampler, 4, 6, (1, 2), eligible=eligible)
    for i in range(10):
        positives = [j for j in chosen.positives[i].tolist() if j >= 0]
        negatives = [j for j in chosen.negatives[i].tolist() if j >= 0]
        assert positives
        assert negatives
        assert all(key_labels[j] == labels[i] for j in positives)
        assert all(key_labels[j] >= 0 and key_labels[j] != labels[i] for j in negatives)
        assert not {i, 3} & {*positives, *negatives}


def test_hard_means_far_for_positives_and_near_for_negatives(generator):
    anchors, labels, tables = problem(generator)
    keys, key_labels = torch.cat([t.keys for t in tables]), torch.cat([t.labels for t in tables])
    chosen = select_pairs(anchors, labels, tables, HardestPairs(), 2, 2, (0,))
    for i in range(10):
        similarity = keys @ anchors[i]
        own = torch.nonzero(key_labels == labels[i]).squeeze(1)
        rest = torch.nonzero((key_labels >= 0) & (key_labels != labels[i])).squeeze(1)
        assert set(chosen.positives[i].tolist()) == set(own[similarity[own].argsort()[:2]].tolist())
        assert set(chosen.negatives[i].tolist()) == set(rest[similarity[rest].argsort(descending=True)[:2]].tolist())


def test_chunks_and_the_same_key_choose_the_same(generator, monkeypatch):
    anchors, labels, tables = problem(generator)
    whole = select_pairs(anchors, labels, tables, SemiHardPairs(0.5), 3, 5, (7, 1))
    assert not torch.equal(whole.negatives, select_pairs(anchors, labels, tables, SemiHardPairs(0.5), 3, 5, (7, 2))[1])
    monkeypatch.setattr("contrastbench.core.losses.sampled._CHUNK_ELEMENTS", 1)
    pieces = select_pairs(anchors, labels, tables, SemiHardPairs(0.5), 3, 5, (7, 1))
    assert torch.equal(whole.positives, pieces.positives)
    assert torch.equal(whole.negatives, pieces.negatives)


def test_a_class_without_keys_gives_none(generator):
    anchors, _, tables = problem(generator)
    alone = torch.full((10,), 9)
    chosen = select_pairs(anchors, alone, tables[1:], RandomPairs(), 3, 3, (0,))
    assert (chosen.positives == -1).all()
    assert (chosen.negatives >= 0).all()
