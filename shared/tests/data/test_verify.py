import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_data import write_camvid, write_cityscapes

from contrastbench.core.data.sources import camvid, cityscapes
from contrastbench.core.data.verify import verify
from contrastbench.core.errors import InputError


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTRASTBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_camvid(tmp_path / "data")


def test_same_content_has_the_same_name_wherever_it_lies(root: Path, tmp_path: Path) -> None:
    copy = write_camvid(tmp_path / "copy")

    assert verify(camvid(root)) == verify(camvid(copy))


def test_other_content_has_another_name(root: Path, tmp_path: Path) -> None:
    assert verify(camvid(root)) != verify(camvid(write_camvid(tmp_path / "other", seed=1)))


def test_files_are_read_once(root: Path) -> None:
    calls: list[tuple[int, int]] = []

    first = verify(camvid(root), lambda done, total: calls.append((done, total)))
    second = verify(camvid(root), lambda done, total: calls.append((done, total)))

    assert first == second
    assert calls == [(done, 6) for done in range(1, 7)]


def test_a_changed_file_is_read_again(root: Path) -> None:
    before = verify(camvid(root))
    path = root / "train" / "0001.png"
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(path)

    assert verify(camvid(root)) != before


def test_cityscapes_ids_are_accepted(tmp_path: Path) -> None:
    assert len(verify(cityscapes(write_cityscapes(tmp_path / "town")))) == 64


def test_image_that_is_none_is_named(root: Path) -> None:
    (root / "val" / "0001.png").write_bytes(b"not an image")

    with pytest.raises(InputError, match=r"image '.*val/0001\.png'.*does not decode"):
        verify(camvid(root))


@pytest.mark.parametrize("folder", ["train", "trainannot"])
def test_truncated_file_is_named(root: Path, folder: str) -> None:
    path = root / folder / "0003.png"
    path.write_bytes(path.read_bytes()[:-40])

    with pytest.raises(InputError, match=rf"{folder}/0003\.png'.*does not decode"):
        verify(camvid(root))


def test_truncated_jpeg_is_named(root: Path) -> None:
    path = root / "train" / "0000.png"
    with Image.open(path) as image:
        image.save(path.with_suffix(".jpg"))
    path.unlink()
    path = path.with_suffix(".jpg")
    path.write_bytes(path.read_bytes()[:-100])

    with pytest.raises(InputError, match=r"0000\.jpg'.*does not decode"):
        verify(camvid(root))


def test_id_that_is_no_class_is_named(root: Path) -> None:
    ids = np.zeros((24, 32), np.uint8)
    ids[3, 4] = 17
    Image.fromarray(ids).save(root / "valannot" / "0000.png")

    with pytest.raises(InputError, match=r"valannot/0000\.png' holds the id 17"):
        verify(camvid(root))


def test_sizes_that_differ_are_named(root: Path) -> None:
    Image.fromarray(np.zeros((20, 32), np.uint8)).save(root / "trainannot" / "0002.png")

    with pytest.raises(InputError, match=r"0002\.png' is 24x32.*20x32"):
        verify(camvid(root))


def test_coloured_label_map_is_explained(root: Path) -> None:
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(root / "trainannot" / "0000.png")

    with pytest.raises(InputError, match="3 channels"):
        verify(camvid(root))


def test_the_first_bad_file_is_the_one_named(root: Path) -> None:
    for name in ("0003", "0001"):
        (root / "train" / f"{name}.png").write_bytes(b"")

    with pytest.raises(InputError, match=r"0001\.png"):
        verify(camvid(root))


def test_nothing_is_kept_of_bad_data(root: Path) -> None:
    path = root / "train" / "0001.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:50])
    status = path.stat()
    with pytest.raises(InputError):
        verify(camvid(root))
    with pytest.raises(InputError):
        verify(camvid(root))

    path.write_bytes(whole)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert len(verify(camvid(root))) == 64


def test_a_palette_image_counts_by_its_ids(root: Path) -> None:
    path = root / "trainannot" / "0000.png"
    with Image.open(path) as image:
        ids = np.asarray(image)
    before = verify(camvid(root))
    image = Image.fromarray(ids, "L").convert("P")
    image.putpalette(list(range(256)) * 3)
    image.save(path)

    assert verify(camvid(root)) != before  # other bytes, still accepted
