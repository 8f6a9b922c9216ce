import math

import pytest
import torch
from scipy import ndimage

from contrastbench.contextrast.objective import Contextrast
from contrastbench.contextrast.similarity import SimilarityByDistance, similarity_by_distance
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


def test_batches_are_counted_with_the_anchors_and_regions_of_the_loss():
    torch.manual_seed(0)
    objective = Contextrast([4, 6], 3, layer_weights=(1.0, 1.0), dim=8)
    batches = [
        (
            (torch.randn(2, 4, 8, 8), torch.randn(2, 6, 4, 4)),
            torch.randn(2, 3, 8, 8),
            torch.randint(0, 3, (2, 8, 8)),
            torch.arange(2),
        )
        for _ in range(3)
    ]

    curves = similarity_by_distance(objective, iter(batches), bins=3)

    sums, counts = torch.zeros(2, 3, dtype=torch.float64), torch.zeros(2, 3, dtype=torch.int64)
    for features, logits, labels, _ in batches:
        embedded = [
            projector(f.permute(0, 2, 3, 1).reshape(-1, f.shape[1])).detach().reshape(2, *f.shape[2:], 8)
            for projector, f in zip(objective.projectors, features, strict=True)
        ]
        own = [
            torch.stack([v[labels[:, ::step, ::step] == c].mean(0) for c in range(3)])
            for v, step in zip(embedded, (1, 2), strict=True)
        ]
        for layer, (v, step) in enumerate(zip(embedded, (1, 2), strict=True)):
            truth, predicted = labels[:, ::step, ::step], logits.argmax(1)[:, ::step, ::step]
            anchors = 0.3 * own[0] + 0.7 * own[1] if layer == 0 else own[1]
            for c in range(3):
                wrong = (truth == c) & (predicted != c)
                for b in range(2):
                    distances = ndimage.distance_transform_edt(wrong[b])
                    for y, x in wrong[b].nonzero().tolist():
                        place = min(int(distances[y, x]), 2)
                        sums[layer, place] += torch.cosine_similarity(v[b, y, x], anchors[c], dim=0)
                        counts[layer, place] += 1
    assert curves.counts.tolist() == counts.tolist()
    torch.testing.assert_close(curves.sums, sums, rtol=1e-4, atol=1e-4)
