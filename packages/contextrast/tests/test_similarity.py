import math

import pytest
import torch

from contrastbench.contextrast.similarity import SimilarityByDistance
from contrastbench.core.errors import InputError


def drawn(seed, count=200):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(count, 3, generator=generator),
        torch.randint(-1, 4, (count,), generator=generator),
        torch.rand(count, generator=generator) < 0.5,
        torch.rand(count, generator=generator) * 8,
        torch.cat([torch.randn(3, 3, generator=torch.Generator().manual_seed(9)), torch.zeros(1, 3)]),
    )


def test_equals_a_loop():
    embeddings, classes, errors, distances, anchors = drawn(0)
    curve = SimilarityByDistance(["layer_1", "layer_4"], bins=5)

    curve.update(1, embeddings, classes, errors, distances, anchors)

    bins = [[] for _ in range(5)]
    for v, c, wrong, d in zip(embeddings, classes.tolist(), errors.tolist(), distances.tolist(), strict=True):
        if wrong and 0 <= c < 3:  # class 3 has no anchor
            a = anchors[c]
            bins[min(int(d), 4)].append(float(v @ a) / math.sqrt(float(v @ v) * float(a @ a)))
    result = curve.compute()
    assert result["layer_4"]["pixels"] == [len(b) for b in bins]
    assert result["layer_4"]["similarity"] == pytest.approx([sum(b) / len(b) for b in bins], rel=1e-5)
    assert result["layer_4"]["distance"] == [0, 1, 2, 3, 4]
    assert result["layer_1"] == {"distance": [0, 1, 2, 3, 4], "similarity": [None] * 5, "pixels": [0] * 5}


def test_planted_similarities_come_back_by_distance():
    # the farther from the edge, the nearer the anchor
    angle = torch.tensor([1.2, 0.8, 0.4, 0.0])
    embeddings = torch.stack([angle.cos(), angle.sin()], 1)
    curve = SimilarityByDistance(["only"], bins=4, width=2.0)
    ones = torch.ones(4)
    curve.update(
        0,
        5 * embeddings,
        torch.zeros(4).long(),
        ones > 0,
        torch.tensor([0.0, 2.9, 4.0, 99.0]),
        torch.tensor([[2.0, 0]]),
    )
    assert curve.compute()["only"]["similarity"] == pytest.approx(angle.cos().tolist(), rel=1e-6)


def test_parts_merge_to_the_whole():
    one, first, second = (SimilarityByDistance(["a"]) for _ in range(3))
    for seed in range(4):
        one.update(0, *drawn(seed))
        (first, second)[seed % 2].update(0, *drawn(seed))
    second.merge(first.state())
    assert second.compute()["a"]["pixels"] == one.compute()["a"]["pixels"]
    there = [s for s in one.compute()["a"]["similarity"] if s is not None]
    assert [s for s in second.compute()["a"]["similarity"] if s is not None] == pytest.approx(there, rel=1e-12)


def test_bad_options_are_named():
    with pytest.raises(InputError, match="layers, bins and a width above 0"):
        SimilarityByDistance([])
    with pytest.raises(InputError, match="width above 0"):
        SimilarityByDistance(["a"], width=0)
