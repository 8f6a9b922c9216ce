"""The elbow: on curves whose bend is known, and on planted clusters."""

from __future__ import annotations

import pytest
import torch
from planted import planted

from contrastbench.core.errors import InputError
from contrastbench.longtail.elbow import elbow, knee
from contrastbench.longtail.geometry import expmap0, mobius_add


def test_the_knee_of_known_curves():
    # slope 10 up to x = 4, then slope 1
    x = list(range(10))
    y = [10.0 * min(v, 4) + max(v - 4, 0) for v in x]
    assert knee(x, y) == 4
    assert knee([1000 * v for v in x], [v / 7 + 3 for v in y]) == 4  # of no unit
    # 1 - 1/x on [1, 9] is farthest above its chord where its slope is the chord's: 1/x^2 = 1/9
    x = [1 + i / 10 for i in range(81)]
    assert x[knee(x, [1 - 1 / v for v in x])] == pytest.approx(3)


def equidistant(clusters, each, generator):
    """Clusters on the axes, each as far from each: what a cluster more explains is the same up to their number."""
    centres = torch.eye(clusters, dtype=torch.float64).repeat_interleave(each, 0) * 0.8
    noise = torch.randn(len(centres), clusters, dtype=torch.float64, generator=generator)
    return mobius_add(centres, expmap0(noise * 0.05))


@pytest.mark.parametrize("space", ["poincare", "euclidean"])
def test_the_elbow_of_planted_clusters_is_their_number(space):
    points = equidistant(6, 25, torch.Generator().manual_seed(0))
    k, curve = elbow(points, [2, 3, 4, 5, 6, 7, 8, 10, 12], space=space, restarts=2)
    assert k == 6
    assert [p.k for p in curve] == [2, 3, 4, 5, 6, 7, 8, 10, 12]
    assert all(0 < p.explained < 1 for p in curve)
    assert curve[4].explained > 0.9
    total = {round(p.inertia / (1 - p.explained), 6) for p in curve}
    assert len(total) == 1


def test_mini_batches_may_be_used():
    points = equidistant(5, 60, torch.Generator().manual_seed(0))
    assert elbow(points, [2, 3, 4, 5, 6, 8, 10], batch_size=128, iterations=10, centroid="einstein")[0] == 5


def test_bad_input_is_named():
    points, _ = planted(3, 10)
    with pytest.raises(InputError, match="at least three numbers of clusters; 2 were given"):
        elbow(points, [2, 3])
    with pytest.raises(InputError, match="must increase"):
        elbow(points, [2, 4, 3])
    with pytest.raises(InputError, match="all points are the same"):
        elbow(torch.zeros(9, 2), [1, 2, 3])
    with pytest.raises(InputError, match="has no elbow"):
        knee([1, 2, 3], [0.0, 1.0, 2.0])
    with pytest.raises(InputError, match="31 clusters of 30 points"):
        elbow(points, [2, 3, 31])
