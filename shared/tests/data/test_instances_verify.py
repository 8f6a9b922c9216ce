import json
from dataclasses import replace
from pathlib import Path

import pytest
from written_instances import write_folder, write_pictures

from contrastbench.core.data.instances import folder, verify_instances
from contrastbench.core.errors import InputError


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTRASTBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "data")


def test_same_content_has_the_same_name_wherever_it_lies(root: Path, tmp_path: Path) -> None:
    copy = write_folder(tmp_path / "copy")
    content = json.loads((copy / "instances.json").read_text())
    content["info"] = {"description": "written elsewhere"}
    (copy / "instances.json").write_text(json.dumps(content, indent=1))

    name = verify_instances(folder(root))

    assert len(name) == 64
    assert verify_instances(folder(copy)) == name


def test_other_content_has_another_name(root: Path, tmp_path: Path) -> None:
    name = verify_instances(folder(root))

    assert verify_instances(folder(root, val_every=2)) != name
    write_pictures(root / "images", ["other.png", "0001.png"])
    picture = verify_instances(folder(root))
    assert picture != name
    source = folder(root)
    annotations = [{**source.train["annotations"][0], "iscrowd": 1}, *source.train["annotations"][1:]]
    assert verify_instances(replace(source, train={**source.train, "annotations": annotations})) != picture


def test_files_are_read_once(root: Path) -> None:
    calls: list[tuple[int, int]] = []

    first = verify_instances(folder(root), lambda done, total: calls.append((done, total)))
    second = verify_instances(folder(root), lambda done, total: calls.append((done, total)))

    assert first == second
    assert calls == [(done, 6) for done in range(1, 7)]


def test_broken_image_is_named_and_nothing_kept(root: Path) -> None:
    path = root / "images" / "0002.png"
    path.write_bytes(path.read_bytes()[:-40])

    for _ in range(2):
        with pytest.raises(InputError, match=r"image '.*0002\.png'.*does not decode"):
            verify_instances(folder(root))


def test_image_of_another_size_is_named(root: Path) -> None:
    write_pictures(root / "images", ["0004.png"], (32, 24))

    with pytest.raises(InputError, match=r"0004\.png' is 32x24 pixels .* for 24x32"):
        verify_instances(folder(root))


def test_image_that_is_gone_is_named(root: Path) -> None:
    source = folder(root)
    (root / "images" / "0005.png").unlink()

    with pytest.raises(InputError, match=r"0005\.png' is gone"):
        verify_instances(source)


def test_masks_given_as_bytes_count_as_text(root: Path) -> None:
    source = folder(root)
    entry = source.train["annotations"][0]
    as_bytes = {**entry, "segmentation": {**entry["segmentation"], "counts": entry["segmentation"]["counts"].encode()}}
    other = replace(source, train={**source.train, "annotations": [as_bytes, *source.train["annotations"][1:]]})

    assert verify_instances(other) == verify_instances(source)
