"""The store: what is read is what was written, what is damaged or interrupted is made again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from contrastbench.core.errors import InputError
from contrastbench.longtail import Proposals, ProposalStore, fingerprint, mask_intersections

pytest.importorskip("pycocotools", reason="needs core's data extra")


def proposals(count: int = 3, seed: int = 0, size: tuple[int, int] = (5, 9)) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(count, *size, generator=generator) < 0.4
    return masks, torch.randn(count, 4, generator=generator) * 100, torch.rand(count, generator=generator)


def equal(stored: Proposals, masks: Tensor, boxes: Tensor, scores: Tensor) -> bool:
    return all(map(torch.equal, (stored.masks(), stored.boxes, stored.scores), (masks, boxes, scores)))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 6), st.integers(0, 10**6), st.integers(1, 20), st.integers(1, 20))
def test_what_is_read_is_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, count: int, seed: int, height: int, width: int
) -> None:
    store = ProposalStore(tmp_path_factory.getbasetemp() / "store", "key")
    made = proposals(count, seed, (height, width))
    store.write(7, *made)
    read = store.read(7)
    assert len(read) == count
    assert read.size == (height, width)
    assert equal(read, *made)
    assert torch.equal(read.intersections(), mask_intersections(made[0]))
    store.write(7, made[0].numpy(), *made[1:])
    assert equal(store.read(7), *made)


def test_an_interrupted_pass_goes_on_with_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ProposalStore(tmp_path, "key")
    assert store.missing([5, 3, 4]) == [5, 3, 4]
    store.write(3, *proposals())
    assert store.missing([5, 3, 4]) == [5, 4]

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    # Killed between writing and putting in place; then again where there was a file already.
    monkeypatch.setattr(Path, "replace", killed)
    for image in (4, 3):
        with pytest.raises(KeyboardInterrupt):
            store.write(image, *proposals(seed=1))
    monkeypatch.undo()
    again = ProposalStore(tmp_path, "key")
    assert again.missing([5, 3, 4]) == [5, 4]
    assert equal(again.read(3), *proposals())
    for image in again.missing([5, 3, 4]):
        again.write(image, *proposals(seed=image))
    assert again.missing([5, 3, 4]) == []


def test_other_keys_are_other_proposals(tmp_path: Path) -> None:
    one, other = ProposalStore(tmp_path, "one"), ProposalStore(tmp_path, "other")
    one.write(1, *proposals(seed=1))
    assert other.missing([1]) == [1]
    other.write(1, *proposals(seed=2))
    assert equal(one.read(1), *proposals(seed=1))


def test_a_damaged_file_is_made_again(tmp_path: Path) -> None:
    store = ProposalStore(tmp_path, "key")
    store.write(1, *proposals())
    (file,) = (tmp_path / "key").iterdir()
    whole = file.read_bytes()
    damaged = [whole[:-1], whole[:4], b"", whole + b" ", whole.replace(b"size", b"sise")]
    damaged += [whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :] for i in range(0, len(whole), 7)]
    for content in damaged:
        file.write_bytes(content)
        assert store.missing([1]) == [1]
        with pytest.raises(InputError, match="image 1 are damaged"):
            store.read(1)
    store.write(1, *proposals())
    assert store.missing([1]) == []
    assert file.read_bytes() == whole


def test_bad_input(tmp_path: Path) -> None:
    store = ProposalStore(tmp_path, "key")
    masks, boxes, scores = proposals()
    with pytest.raises(InputError, match="image 9 are not there"):
        store.read(9)
    for arguments in ((masks.float(), boxes, scores), (masks[0], boxes, scores), (masks, boxes[:2], scores)):
        with pytest.raises(InputError, match=r"proposals of image 1 have masks .* expected bool \[n, H, W\]"):
            store.write(1, *arguments)
    with pytest.raises(InputError, match="not finite"):
        store.write(1, masks, boxes, scores / 0)
    assert store.missing([1]) == [1]
    for key in ("", "a/b", "..", ".hidden", "a b"):
        with pytest.raises(InputError, match="key of the proposals"):
            ProposalStore(tmp_path, key)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        ProposalStore(tmp_path / "file", "key")


def test_the_fingerprint_tells_weights_data_and_options_apart() -> None:
    weights = {"a": torch.arange(4.0), "b": torch.tensor(1)}

    def of(change: dict[str, Tensor] | None = None, data: str = "d", **options: Any) -> str:
        return fingerprint(weights | (change or {}), data, {"nms": 0.75, "count": 50} | options)

    assert of() == fingerprint(dict(reversed(weights.items())), "d", {"count": 50, "nms": 0.75})
    others = [
        of({"a": torch.tensor([0.0, 1.0, 2.0, 3.5])}),
        of({"a": torch.arange(4.0).reshape(2, 2)}),
        of({"a": torch.arange(4.0).to(torch.bfloat16)}),
        of({"c": torch.zeros(0)}),
        of({"b": torch.tensor(True)}),
        of(data="e"),
        of(nms=0.6),
        of(more=None),
    ]
    assert len({of(), *others}) == 9
    assert of().isalnum()  # fit for a key
