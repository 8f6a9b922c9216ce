"""Configurations: every runnable row composes everywhere, and packages' own groups find their place."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contrastbench.core.errors import InputError
from contrastbench.reproductions.compose import choice, compose, container, hydra_session
from contrastbench.reproductions.plan import make_plan
from contrastbench.reproductions.tables import Row, Table, all_tables

ROWS = [(table, row) for table in all_tables() for row in table.runnable]
PROFILES = ("smoke", "cpu", "gpu", "paper")
DATA = {"semantic": ("scenes", "camvid", "cityscapes"), "instance": ("scenes", "coco", "cityscapes")}
DATA["discovery"] = DATA["supervised_tail"] = DATA["instance"]


@pytest.mark.parametrize(("table", "row"), ROWS, ids=lambda value: getattr(value, "name", None))
def test_every_runnable_row_composes_in_every_profile_and_on_all_data(table: Table, row: Row) -> None:
    own = (*table.run, *(row.run or ()))
    kind = next((o.partition("=")[2] for o in own if o.startswith("experiment=")), "semantic")
    baseline = not any(o.startswith("objective=") and o != "objective=none" for o in own)
    with hydra_session():
        for i, (profile, data) in enumerate(product(PROFILES, DATA[kind])):
            fidelity = ("paper", "released")[i % 2]
            root = [] if data == "scenes" else ["data.root=somewhere"]
            config = compose([*own, f"profile={profile}", f"data={data}", *root, f"fidelity={fidelity}"])
            experiment = container(config, "experiment")
            assert choice(config, "profile") == config.profile == profile
            assert config.fidelity == fidelity
            assert experiment["data"]["name"] == data
            assert experiment["seed"] == 0
            assert (experiment.get("objective") is None) == baseline


def test_rows_that_are_the_same_run_compose_alike() -> None:
    """The full method ends Tables 1, 2 and 3; the baseline begins them."""
    found: dict[str, list[object]] = {"baseline": [], "full": []}
    with hydra_session():
        for table, row in ROWS:
            name = "full" if row.reported == {"mIoU": 81.0} else row.id
            if table.paper == "pixel-contrast" and name in found:
                found[name].append(container(compose(list(row.run or ())), "experiment"))
    for experiments in found.values():
        assert len(experiments) == 3
        assert experiments[0] == experiments[1] == experiments[2]
    assert found["baseline"][0] != found["full"][0]


def test_a_data_set_without_a_root_asks_for_it() -> None:
    with hydra_session(), pytest.raises(InputError, match=r"data.root must be given: add data.root="):
        container(compose(["data=camvid"]), "experiment")


def test_the_paper_profile_is_the_papers() -> None:
    with hydra_session():
        config = compose(["profile=paper", "data.root=somewhere"])
    schedule = container(config, "schedule")
    assert choice(config, "data") == "cityscapes"
    assert container(config, "network.name") == "hrnetv2_w48"
    assert choice(config, "hydra/launcher") == "basic"
    assert (schedule["iterations"], schedule["batch_size"], schedule["crop"]) == (40000, 8, [512, 1024])
    optimizer = {"type": "SGD", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0005}
    assert schedule["optimizer"] == optimizer
    assert schedule["power"] == 0.9


def test_a_group_can_follow_the_profile_and_the_fidelity(tmp_path: Path) -> None:
    """The way a package scales its objective: defaults lists that look up the choices made elsewhere."""
    files = {
        "objective/mine.yaml": "defaults:\n- _self_\n- /mine/scale@_here_: ${profile}\n"
        "- /mine/fidelity@_here_: ${fidelity}\ntype: mine.Mine\nsamples: 1000\nweight: 1.0\n",
        "mine/scale/cpu.yaml": "samples: 10\n",
        "mine/scale/paper.yaml": "{}\n",
        "mine/fidelity/paper.yaml": "{}\n",
        "mine/fidelity/released.yaml": "weight: 0.1\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def objective(*overrides: str) -> object:
        searchpath = f"hydra.searchpath=[file://{tmp_path}]"
        return container(compose(["objective=mine", searchpath, *overrides]), "objective")

    with hydra_session():
        assert objective() == {"type": "mine.Mine", "samples": 10, "weight": 1.0}
        assert objective("fidelity=released") == {"type": "mine.Mine", "samples": 10, "weight": 0.1}
        paper = objective("profile=paper", "data.root=x", "objective.weight=2")
        assert paper == {"type": "mine.Mine", "samples": 1000, "weight": 2}


@pytest.mark.parametrize("folder", ["plain", "with space", "it's", "a,b=[c]"])
def test_a_searchpath_may_hold_any_character(tmp_path: Path, folder: str) -> None:
    group = tmp_path / folder / "objective"
    group.mkdir(parents=True)
    (group / "mine.yaml").write_text("type: mine.Mine\n")
    quoted = "'" + str(tmp_path / folder).replace("'", "\\'") + "'"
    with hydra_session():
        config = compose(["objective=mine", f"hydra.searchpath=[{quoted}]"])
    assert config.objective.type == "mine.Mine"


def test_a_table_whose_rows_are_different_experiments_follows_the_data(tmp_path: Path) -> None:
    """VOC's categories are those of pre-training on COCO's images, for the method and for full supervision."""
    (tmp_path / "images").mkdir()
    shapes = [(20, 3, 1), (30, 5, 2), (25, 1, 1), (35, 3, 2)]  # of a person, which VOC knows, and of a zebra
    annotations, images = [], []
    for number in range(6):
        Image.fromarray(np.full((64, 64, 3), 40 * number, np.uint8)).save(tmp_path / "images" / f"{number}.png")
        images.append({"id": number + 1, "file_name": f"{number}.png", "height": 64, "width": 64})
        for side, at, category in shapes:
            polygon = [at, at, at + side, at, at + side, at + side, at, at + side]
            about = {"image_id": number + 1, "category_id": category, "iscrowd": 0, "area": side * side}
            box = {"bbox": [at, at, side, side], "segmentation": [polygon]}
            annotations.append({"id": len(annotations) + 1, **about, **box})
    categories = [{"id": 1, "name": "person"}, {"id": 2, "name": "zebra"}]
    truth = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "instances.json").write_text(json.dumps(truth))
    with hydra_session():
        words = ["data=coco128", f"data.root={tmp_path}", "seeds=1"]
        plan = make_plan(next(t for t in all_tables() if t.name == "longtail/table-5"), words)
    by_row = {run.row: run.experiment for run in plan.runs}
    assert by_row["ours"]["known"] == "voc"
    assert by_row["mask-rcnn"]["evaluators"][0]["known"] == "voc"
