"""The queue against a plain-Python model. The defects named are those of the authors' released code."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from contrastbench.core.banks import PixelQueue
from contrastbench.core.errors import InputError


class ModelQueue:
    """One list a class; the oldest entry makes room for the newest."""

    def __init__(self, num_classes: int, length: int) -> None:
        self.length = length
        self.classes: list[list[float]] = [[] for _ in range(num_classes)]

    def enqueue(self, keys: list[float], classes: list[int]) -> None:
        for key, c in zip(keys, classes, strict=True):
            self.classes[c] = [*self.classes[c], key][-self.length :]


def in_order(queue: PixelQueue, c: int) -> list[float]:
    """The class's keys from the oldest to the newest, read by pointer and count."""
    count, pointer, length = int(queue.count[c]), int(queue.pointer[c]), queue.keys.shape[1]
    return [float(queue.keys[c, (pointer - count + i) % length, 0]) for i in range(count)]


@given(
    length=st.integers(1, 9),
    batches=st.lists(st.lists(st.integers(0, 3), max_size=17), max_size=6),
)
def test_equals_the_model_at_sizes_that_do_not_divide(length, batches):
    queue, model, serial = PixelQueue(4, length, 2), ModelQueue(4, length), 1.0
    for classes in batches:
        keys = [serial + i for i in range(len(classes))]
        serial += len(classes)
        queue.enqueue(torch.tensor(keys).reshape(-1, 1).expand(-1, 2), torch.tensor(classes, dtype=torch.int64))
        model.enqueue(keys, classes)
        for c in range(4):
            assert in_order(queue, c) == model.classes[c]
            held = queue.keys[c, queue.held[c], 0].tolist()
            assert sorted(held) == sorted(model.classes[c])


def test_class_0_is_remembered_like_any_other():
    # issue 35: class 0 (road in Cityscapes) was skipped
    queue = PixelQueue(3, 4, 2)
    queue.enqueue(torch.ones(2, 2), torch.tensor([0, 0]))
    assert queue.held.sum(1).tolist() == [2, 0, 0]


def test_the_pointer_advances_by_what_was_written():
    # issues 18, 47 and 55: it advanced by 1
    queue = PixelQueue(2, 10, 1)
    queue.enqueue(torch.arange(3.0)[:, None], torch.tensor([1, 1, 1]))
    queue.enqueue(torch.arange(3.0, 7.0)[:, None], torch.tensor([1, 1, 1, 1]))
    assert queue.pointer.tolist() == [0, 7]
    assert queue.keys[1, :7, 0].tolist() == list(range(7))


def test_overflow_replaces_the_oldest():
    # issue 31: it overwrote the newest and started over
    queue = PixelQueue(1, 5, 1)
    for start in (0, 3):
        queue.enqueue(torch.arange(start, start + 3.0)[:, None], torch.zeros(3, dtype=torch.int64))
    assert in_order(queue, 0) == [1, 2, 3, 4, 5]


def test_nothing_is_held_before_it_is_written():
    # section 2.2.7: slots began as random unit vectors that counted as keys
    assert not PixelQueue(3, 4, 2).held.any()


def test_state_survives_a_checkpoint():
    queue = PixelQueue(2, 3, 1)
    queue.enqueue(torch.arange(4.0)[:, None], torch.tensor([0, 0, 0, 0]))
    restored = PixelQueue(2, 3, 1)
    restored.load_state_dict(queue.state_dict())
    assert in_order(restored, 0) == [1, 2, 3]


def test_keys_carry_no_gradient():
    queue = PixelQueue(1, 3, 2)
    queue.enqueue(torch.ones(1, 2, requires_grad=True) * 2, torch.tensor([0]))
    assert not queue.keys.requires_grad


def test_an_empty_size_is_refused():
    with pytest.raises(InputError, match="at least one class"):
        PixelQueue(0, 3, 2)
