"""The example config, as mmsegmentation's own tools would run it, on a small data set in the Cityscapes layout."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("mmseg", reason="mmsegmentation is not installed; pip install './shared[mmseg]'")

EXAMPLE = Path(__file__).parents[1] / "examples/hrnet_contrast.py"

# Of mmengine and mmsegmentation about themselves, in code that this project does not own.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*build_loss.*would be deprecated"),
    pytest.mark.filterwarnings("ignore:.*avg_non_ignore"),
    pytest.mark.filterwarnings("ignore:.*GPU.*"),
    pytest.mark.filterwarnings("ignore:.*pkg_resources"),
    pytest.mark.filterwarnings("ignore:The draw is False"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def config(root: Path, work_dir: Path):
    """The example with nothing changed but where the data lie, how much and how large, and what it would download."""
    from mmengine import Config

    made = Config.fromfile(EXAMPLE)
    size = (64, 128)
    for name in ("env_cfg", "visualizer"):  # the whole process's
        made.pop(name)
    made.model.pretrained = None
    made.model.data_preprocessor.size = size
    made.model.objective.num_images = 3
    made.model.objective.queue_length = 20
    for loader in (made.train_dataloader, made.val_dataloader):
        loader.dataset.data_root = str(root)
        loader.num_workers, loader.persistent_workers = 0, False
        for transform in loader.dataset.pipeline:
            if transform.type in ("RandomResize", "Resize"):
                transform.scale = size[::-1]
            if transform.type == "RandomCrop":
                transform.crop_size = size
    made.train_cfg.max_iters = made.train_cfg.val_interval = 2
    made.work_dir = str(work_dir)
    return made


@pytest.mark.slow
def test_it_trains_and_validates(tmp_path):
    from mmengine.registry import DefaultScope
    from mmengine.runner import Runner

    import contrastbench.core.hosts.mmseg  # noqa: F401  (what the config's custom_imports does)
    from contrastbench.core.data.scenes import SceneSet, export_cityscapes

    export_cityscapes(SceneSet(seed=0, train=3, val=1, size=(64, 128)), tmp_path / "data")
    with DefaultScope.overwrite_default_scope("mmseg"):
        runner = Runner.from_cfg(config(tmp_path / "data", tmp_path / "work"))
        runner.train()
        metrics = runner.val()
    objective = runner.model.objective
    assert int(objective.step) == 2
    assert objective.regions.held.any()
    assert 0 <= metrics["mIoU"] <= 100
    assert objective.queue.count.sum() > 0


def test_the_readme_shows_what_the_example_does():
    readme = (EXAMPLE.parents[1] / "README.md").read_text()
    example = EXAMPLE.read_text()
    for line in ('type="ObjectiveSegmentor"', 'type="contrastbench.pixel_contrast.PixelContrast"', '"sample_idx"'):
        assert line in readme
        assert line in example
