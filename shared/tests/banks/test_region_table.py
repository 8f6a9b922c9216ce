import pytest
import torch
from torch.nn import functional as F

from contrastbench.core.banks import RegionTable, region_means
from contrastbench.core.errors import InputError
from contrastbench.core.testing import assert_close


def test_a_region_is_the_mean_of_its_pixels(generator):
    # issue 28: labels at another stride than the features averaged the wrong pixels
    embeddings = F.normalize(torch.randn(3, 4, 5, 6, generator=generator, dtype=torch.float64), dim=-1)
    labels = torch.randint(0, 5, (3, 4, 5), generator=generator)
    labels[labels == 4] = 255
    labels[1][labels[1] == 0] = -1
    means, present = region_means(embeddings, labels, 4)
    for b in range(3):
        for c in range(4):
            members = [embeddings[b, y, x] for y in range(4) for x in range(5) if labels[b, y, x] == c]
            assert bool(present[b, c]) == bool(members)
            if members:
                mean = sum(members) / len(members)
                assert_close(means[b, c], mean / mean.norm())
    assert not present[1, 0]


def test_a_region_of_more_pixels_than_half_precision_counts_has_unit_length():
    embeddings = torch.zeros(1, 300, 300, 2, dtype=torch.float16)
    embeddings[..., 0] = 1
    means, _ = region_means(embeddings, torch.zeros(1, 300, 300, dtype=torch.int64), 1)
    assert means.tolist() == [[[1, 0]]]
    assert means.dtype == torch.float16


def test_entries_are_by_class_and_image_and_stay_until_replaced():
    table = RegionTable(3, 5, 2)
    means = torch.arange(12.0).view(2, 3, 2)
    table.write(means, torch.tensor([[True, False, True], [True, True, False]]), torch.tensor([4, 0]))
    assert table.held.tolist() == [
        [True, False, False, False, True],
        [True, False, False, False, False],
        [False, False, False, False, True],
    ]
    assert table.keys[2, 4].tolist() == [4, 5]
    # class 0 gone from image 4: its entry stays; class 2 is replaced
    table.write(means[1:] + 100, torch.tensor([[False, False, True]]), torch.tensor([4]))
    assert table.keys[0, 4].tolist() == [0, 1]
    assert table.keys[2, 4].tolist() == [110, 111]


def test_of_an_image_given_twice_the_later_stays():
    table = RegionTable(1, 2, 1)
    table.write(torch.tensor([[[1.0]], [[2.0]]]), torch.ones(2, 1, dtype=torch.bool), torch.tensor([1, 1]))
    assert table.keys[0, 1].item() == 2


@pytest.mark.parametrize("index", [-1, 5])
def test_an_image_outside_the_table_is_named(index):
    table = RegionTable(1, 5, 1)
    with pytest.raises(InputError, match=r"outside the region table's 0\.\.4"):
        table.write(torch.ones(1, 1, 1), torch.ones(1, 1, dtype=torch.bool), torch.tensor([index]))
    assert not table.held.any()
