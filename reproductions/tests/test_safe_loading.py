"""Nothing that is loaded is run: not a table, not a configuration, not a record, not a checkpoint."""

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from contrastbench.core.building import build_metric
from contrastbench.core.errors import InputError
from contrastbench.reproductions.experiment import build
from contrastbench.reproductions.ledger import read_record
from contrastbench.reproductions.reading import read_yaml

HERE = Path(__file__).parent
SMOKE = ("profile=smoke", "seeds=1", "hydra/launcher=basic")


class Reach:
    """Makes a file when it is unpickled by a reader that runs what it is told."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("reached",)


def reached() -> bool:
    return Path("reached").exists()


def test_the_trap_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(Reach()))
    assert reached()


@pytest.mark.parametrize(
    "value",
    ["!!python/object/apply:os.mkdir [reached]", "!!python/name:os.mkdir", "!!python/object/new:os.mkdir [reached]"],
)
def test_a_table_or_a_configuration_cannot_name_objects(reproduce: Any, value: str) -> None:
    papers = Path("papers/toys")
    papers.mkdir(parents=True)
    for name in ("paper.yaml", "table-1.yaml"):
        (papers / name).write_text((HERE / "papers/toys" / name).read_text())
    table = papers / "table-1.yaml"
    table.write_text(f"{table.read_text()}\nextra: {value}\n")
    with pytest.raises(InputError, match="not valid YAML"):
        read_yaml(table)
    for words in (("list",), ("show", "toys/table-1"), ("report", "toys/table-1"), ("plan", "toys/table-1")):
        assert reproduce.published(words[0], "--papers", "papers", *words[1:]) == 2
        assert "not valid YAML" in reproduce.err
    # and as a configuration group of one's own
    conf = Path("conf/experiment")
    conf.mkdir(parents=True)
    (conf / "evil.yaml").write_text(f"_target_: toys.Toy\nseed: 0\njournal: {value}\n")
    search = f"hydra.searchpath=[file://{Path('conf').resolve()}]"
    with pytest.raises((InputError, yaml.YAMLError)):
        run_plan(search, "experiment=evil")
    assert not reached()


def run_plan(search: str, override: str) -> None:
    from contrastbench.reproductions.compose import compose, hydra_session

    with hydra_session():
        compose([search, override])


@pytest.mark.parametrize(
    "config",
    [
        {"_target_": "os.mkdir", "path": "reached"},
        {"_target_": "subprocess.Popen", "args": ["mkdir", "reached"]},
        {"_target_": "builtins.exec", "source": "import os; os.mkdir('reached')"},
        {"_target_": "subprocess.run", "args": ["mkdir", "reached"]},
    ],
)
def test_only_experiments_are_built_by_name(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="is no experiment"):
        build(config)
    assert not reached()


@pytest.mark.parametrize(
    "config", [{"type": "os.mkdir", "path": "reached"}, {"type": "subprocess.Popen", "args": ["mkdir", "reached"]}]
)
def test_only_metrics_are_built_by_name(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"not a class|measures nothing"):
        build_metric(config, {})
    assert not reached()


def test_only_modules_are_built_of_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from contrastbench.core.hosts.mmseg.network import _check_types

    monkeypatch.chdir(tmp_path)
    for name in ("subprocess.Popen", "os.mkdir"):
        with pytest.raises(InputError, match=r"is no nn\.Module"):
            _check_types({"backbone": {"type": "ResNetV1c"}, "decode_head": [{"sampler": {"type": name}}]})
    _check_types({"backbone": {"type": "mmseg.ResNetV1c"}, "decode_head": {"type": "torch.nn.Identity"}})


def test_a_record_is_read_and_never_built(reproduce: Any) -> None:
    assert reproduce("run", "toys/table-1", "seeds=1", "rows=plain", "hydra/launcher=basic") == 0
    (path,) = reproduce.records()
    record = json.loads(path.read_text())
    record["config"] = {"_target_": "os.mkdir", "path": "reached"}
    path.write_text(json.dumps(record))
    assert read_record(path).config == record["config"]
    for words in (("report", "toys/table-1", "--records", "runs/records"), ("show", "toys/table-1"), ("list",)):
        assert reproduce(*words) == 0
    assert not reached()


@pytest.mark.slow
@pytest.mark.parametrize("permissive", [False, True])
@pytest.mark.parametrize(
    ("table", "row", "file"),
    [("pixel-contrast/table-1", "baseline", "checkpoint.pth"), ("dcl/table-8", "baseline", "checkpoint.pth")],
)
def test_a_checkpoint_in_a_run_folder_runs_nothing(
    reproduce: Any, monkeypatch: pytest.MonkeyPatch, table: str, row: str, file: str, permissive: bool
) -> None:
    if permissive:
        # what torch does where it is not told otherwise; here it is
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    words = (table, *SMOKE, f"rows=[{row}]")
    assert reproduce.published("plan", *words) == 0, reproduce.err
    state = reproduce.folder / "runs" / "work" / reproduce.data["runs"][0]["id"] / "state"
    state.mkdir(parents=True)
    torch.save({"state_dict": {}, "model": {}, "meta": Reach()}, state / file)
    assert reproduce.published("run", *words) == 1
    assert "UnpicklingError" in reproduce.err
    assert not reached()
    assert reproduce.records() == []
