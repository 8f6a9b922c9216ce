import hashlib
from collections import Counter

import cv2
import numpy as np
import pytest

from contrastbench.core.data.scenes import (
    CLASSES,
    PARTS,
    THINGS,
    VOID,
    Scene,
    SceneSet,
    draw,
    fine_categories,
)
from contrastbench.core.data.scenes.taxonomy import KINDS, kind_probabilities
from contrastbench.core.errors import InputError

MODEST = SceneSet(seed=3, train=60, val=4, size=(96, 192))


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw(MODEST, "train", index) for index in range(MODEST.train)]


def digest(scene: Scene) -> str:
    content = hashlib.sha256()
    for array in (scene.image, scene.semantic, scene.instance, scene.parts):
        content.update(np.ascontiguousarray(array))
    content.update(repr(scene.instances).encode())
    return content.hexdigest()


def test_a_scene_depends_on_seed_split_and_index_alone():
    first = [digest(draw(MODEST, "train", index)) for index in range(4)]
    other = SceneSet(seed=3, train=1000, val=7, size=(96, 192))
    assert [digest(draw(other, "train", index)) for index in (3, 2, 1, 0)] == first[::-1]
    assert len({*first, digest(draw(MODEST, "val", 0)), digest(draw(SceneSet(seed=4), "train", 0))}) == 6


def test_global_random_state_is_neither_read_nor_changed():
    np.random.seed(1)  # noqa: NPY002
    before = digest(draw(MODEST, "val", 1))
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    assert digest(draw(MODEST, "val", 1)) == before
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_layouts_of_the_arrays(scenes: list[Scene]):
    for scene in scenes:
        assert (scene.image.dtype, scene.image.shape) == (np.uint8, (96, 192, 3))
        assert (scene.semantic.dtype, scene.semantic.shape) == (np.uint8, (96, 192))
        assert (scene.instance.dtype, scene.instance.shape) == (np.int32, (96, 192))
        assert (scene.parts.dtype, scene.parts.shape) == (np.int32, (96, 192))
        assert set(np.unique(scene.semantic)) <= {*range(len(CLASSES)), VOID}


def test_every_pixel_of_a_thing_is_in_one_instance_of_its_class(scenes: list[Scene]):
    for scene in scenes:
        assert np.array_equal(scene.instance > 0, np.isin(scene.semantic, THINGS))
        assert [instance.id for instance in scene.instances] == list(range(1, scene.instance.max() + 1))
        for instance in scene.instances:
            mask = scene.instance == instance.id
            assert set(scene.semantic[mask]) == {instance.class_id}
            assert instance.kind in KINDS[instance.class_id]
            assert instance.area == mask.sum()
            rows, columns = np.nonzero(mask)
            left, top, width, height = instance.box
            assert (left, top) == (columns.min(), rows.min())
            assert (left + width - 1, top + height - 1) == (columns.max(), rows.max())


def test_parts_lie_inside_their_object(scenes: list[Scene]):
    seen = Counter()
    for scene in scenes:
        owners = {part.id: instance.id for instance in scene.instances for part in instance.parts}
        assert sorted(owners) == list(range(1, scene.parts.max() + 1))
        for instance in scene.instances:
            for part in instance.parts:
                mask = scene.parts == part.id
                assert np.all(scene.instance[mask] == owners[part.id])
                assert part.area == mask.sum() > 0
                seen[part.name] += 1
    assert set(seen) <= set(PARTS)
    assert all(seen[name] for name in ("wheel", "vehicle_window", "head", "bag", "saddle", "sign_symbol"))


def test_objects_hide_one_another(scenes: list[Scene]):
    shapes = (np.pad(scene.instance, 1) for scene in scenes)
    touching = sum(bool(np.any((a[:, 1:] != a[:, :-1]) & (a[:, 1:] > 0) & (a[:, :-1] > 0))) for a in shapes)
    assert touching > len(scenes) / 3


def test_every_class_is_common_enough_to_be_learned(scenes: list[Scene]):
    labels = np.stack([scene.semantic for scene in scenes])
    for class_id, name in enumerate(CLASSES):
        mask = labels == class_id
        assert mask.mean() > 0.004, name
        assert mask.any(axis=(1, 2)).mean() > 0.3, name


def test_void_is_at_the_border_and_only_in_some_scenes(scenes: list[Scene]):
    with_void = [scene for scene in scenes if (scene.semantic == VOID).any()]
    assert 0.2 < len(with_void) / len(scenes) < 0.8
    for scene in with_void:
        _, pieces = cv2.connectedComponents((scene.semantic == VOID).astype(np.uint8))
        border = np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]])
        assert set(np.unique(pieces)) - {0} <= set(border)
        assert not scene.parts[scene.semantic == VOID].any()


def test_colour_alone_does_not_tell_the_classes(scenes: list[Scene]):
    """A classifier by nearest mean colour, fitted on the very scenes it is tried on, fails."""
    pixels = np.concatenate([scene.image.reshape(-1, 3) for scene in scenes]).astype(np.float32)
    labels = np.concatenate([scene.semantic.ravel() for scene in scenes])
    pixels, labels = pixels[labels != VOID], labels[labels != VOID]
    means = np.stack([pixels[labels == c].mean(0) for c in range(len(CLASSES))])
    guesses = np.argmin(((means**2).sum(1) - 2 * pixels @ means.T), axis=1)
    table = np.bincount(labels * np.int64(len(CLASSES)) + guesses, minlength=len(CLASSES) ** 2)
    table = table.reshape(len(CLASSES), len(CLASSES))
    iou = np.diag(table) / (table.sum(0) + table.sum(1) - np.diag(table))
    assert 1 < 100 * iou.mean() < 25


def test_light_varies(scenes: list[Scene]):
    brightness = np.array([scene.image.mean() for scene in scenes])
    assert brightness.min() < 70
    assert brightness.max() > 120


@pytest.mark.parametrize("index", range(4))
def test_a_scene_keeps_its_composition_at_another_size(index: int):
    small = draw(SceneSet(seed=3, train=4, size=(96, 192)), "train", index)
    large = draw(SceneSet(seed=3, train=4, size=(384, 768)), "train", index)
    shrunk = cv2.resize(large.semantic, (192, 96), interpolation=cv2.INTER_NEAREST)
    assert (shrunk == small.semantic).mean() > 0.9
    kinds = Counter(instance.kind for instance in large.instances)
    assert Counter(instance.kind for instance in small.instances) <= kinds


def test_full_resolution_and_other_aspects_draw():
    assert draw(SceneSet(train=1, size=(1024, 2048)), "train", 0).image.shape == (1024, 2048, 3)
    assert draw(SceneSet(train=1, size=(120, 160)), "train", 0).image.shape == (120, 160, 3)
    assert draw(SceneSet(train=1, size=(32, 32)), "train", 0).image.shape == (32, 32, 3)


def test_kinds_have_a_long_tail():
    scene_set = SceneSet(size=(32, 64))
    counts: Counter[str] = Counter()
    for split in ("train", "val"):
        for index in range(scene_set.count(split)):
            counts.update(instance.kind for instance in draw(scene_set, split, index).instances)
    ordered = [count for _, count in counts.most_common()]
    assert len(ordered) >= 40
    assert ordered[0] >= 500
    assert ordered[-1] <= 2
    assert ordered[0] >= 100 * ordered[len(ordered) * 3 // 4]
    assert sum(count <= 10 for count in ordered) >= 10
    assert sum(10 < count <= 100 for count in ordered) >= 10


@pytest.mark.parametrize("thing", THINGS)
def test_kind_probabilities_fall(thing: int):
    probabilities = kind_probabilities(thing)
    assert probabilities.sum() == pytest.approx(1)
    assert np.all(np.diff(probabilities) < 0)


def test_every_kind_can_be_drawn_and_looks_different():
    from contrastbench.core.data.scenes.bicycles import draw_bicycle
    from contrastbench.core.data.scenes.camera import Camera
    from contrastbench.core.data.scenes.canvas import Canvas
    from contrastbench.core.data.scenes.people import draw_person
    from contrastbench.core.data.scenes.signs import draw_sign
    from contrastbench.core.data.scenes.sprite import Sprite
    from contrastbench.core.data.scenes.taxonomy import BICYCLE, CAR, PERSON, SIGN
    from contrastbench.core.data.scenes.vehicles import draw_vehicle

    camera = Camera(focal=1.2, height=1.6, horizon=0.4, centre=1.0, yaw=0.0)
    for thing in THINGS:
        looks = set()
        for kind in KINDS[thing]:
            canvas, rng = Canvas((128, 256)), np.random.default_rng(0)
            sprite = Sprite(canvas, camera, (8.0, 0.0), thing, kind)
            if thing == CAR:
                draw_vehicle(sprite, kind, side=True, night=False, rng=rng)
            elif thing == PERSON:
                draw_person(sprite, kind, rng)
            elif thing == BICYCLE:
                draw_bicycle(sprite, kind, side=True, rng=rng)
            elif thing == SIGN:
                draw_sign(sprite, kind, 2.0, rng)
            looks.add(np.asarray(canvas.colours)[canvas.seen].tobytes())
        assert len(looks) == len(KINDS[thing])


def test_category_names_are_unique():
    names = [category.name for category in fine_categories()]
    assert len(set(names)) == len(names)
    assert 40 <= len(names) - len(PARTS) <= 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"train": -5}, "train is -5"),
        ({"size": (8, 192)}, "size is"),
        ({"size": (96, 192, 3)}, "size is"),
    ],
)
def test_bad_sets_are_refused(arguments: dict[str, object], message: str):
    with pytest.raises(InputError, match=message):
        SceneSet(**arguments)


def test_bad_places_in_a_set_are_refused():
    with pytest.raises(InputError, match="did you mean 'train'"):
        draw(SceneSet(), "trian", 0)
    with pytest.raises(InputError, match="there is no image 400"):
        draw(SceneSet(), "train", 400)


def test_identity_names_the_set():
    sets = [SceneSet(), SceneSet(seed=1), SceneSet(train=401), SceneSet(val=201), SceneSet(size=(96, 160))]
    assert len({scene_set.identity for scene_set in sets}) == len(sets)
    assert SceneSet(size=[96, 192]).identity == SceneSet().identity
