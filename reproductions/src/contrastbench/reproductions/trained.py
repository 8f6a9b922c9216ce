"""What trained networks show: the figures of the papers, and predictions, each made by one command.

The rows that are needed are trained, once, in a folder of their own in which weights are kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from rich.console import Console

from contrastbench.core.errors import InputError, unknown_name
from contrastbench.reproductions.carry_out import carry_out
from contrastbench.reproductions.experiment import build
from contrastbench.reproductions.ledger import write_atomically
from contrastbench.reproductions.plan import ENGINE_KEYS, IRRELEVANT, make_plan
from contrastbench.reproductions.provenance import revision
from contrastbench.reproductions.tables import Table, find_table

RUNS = "runs/pictures"
"""Where the runs of pictures are kept, unless the user says runs=FOLDER."""


@dataclass(frozen=True)
class Trained:
    """A row that was trained: its name, its run's name, its experiment and the folder with its weights."""

    name: str
    run_id: str
    experiment: Any
    folder: Path


@dataclass(frozen=True)
class Figure:
    """A figure: what it shows, the table and the rows it is made of, and what draws it.

    ``draw`` is given the rows, the image (or how many) and the file, and returns the numbers that the picture shows.
    """

    text: str
    table: str
    rows: tuple[str, ...]
    draw: Callable[[Sequence[Trained], int, Path], Mapping[str, Any]]


def draw(name: str, overrides: Sequence[str], image: int, path: Path, console: Console) -> None:
    """Train what a figure needs, if it is not there yet, and draw it. Call it inside a ``hydra_session``.

    Beside the picture, a file of the same name and the suffix ``.json`` holds the numbers it shows and what they are
    of.

    Args:
        name: one of :data:`FIGURES`.
        overrides: Hydra overrides, as for a run; the first seed asked for is drawn.
        image: place of the image in the validation split, or how many images, as the figure has it.
        path: the picture; its suffix names the format.
        console: where progress is shown.

    Raises:
        InputError: no such figure, bad overrides, a run that failed, or a picture that cannot be written.
    """
    if name not in FIGURES:
        raise unknown_name("figure", name, FIGURES)
    figure = FIGURES[name]
    trained = train(find_table(figure.table), figure.rows, overrides, console)
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = figure.draw(trained, image, path)
    told = [word for word in overrides if _says_something(word.partition("=")[0])]
    about = {"figure": name, "table": figure.table, "overrides": told, "revision": revision()}
    runs = {row.name: row.run_id for row in trained}
    text = json.dumps({**about, "runs": runs, "numbers": numbers}, indent=1, sort_keys=True)
    write_atomically(path.with_suffix(".json"), text + "\n")


def _says_something(key: str) -> bool:
    """Whether an override changes what is shown, and not where it is kept."""
    return key not in ENGINE_KEYS and key.rpartition(".")[2] not in IRRELEVANT


def train(table: Table, rows: Sequence[str], overrides: Sequence[str], console: Console) -> list[Trained]:
    """Return rows of a table, trained with the first seed asked for, their weights kept. Inside a ``hydra_session``.

    Raises:
        InputError: bad overrides, or a run that failed.
    """
    given = {word.partition("=")[0] for word in overrides}
    defaults = {"runs": RUNS, "seeds": "1", "rows": f"[{','.join(rows)}]", "keep_weights": "true"}
    words = [*overrides, *(f"{key}={value}" for key, value in defaults.items() if key not in given)]
    plan = make_plan(table, words)
    carried = carry_out(plan, console)
    if carried.failures:
        raise InputError(f"a run that is needed failed: {carried.failures[0].message}")
    first = {run.row: run for run in reversed(plan.runs)}
    return [
        Trained(
            table.row(row).name,
            first[row].id,
            build(first[row].experiment),
            plan.runs_dir / "work" / first[row].id / "state",
        )
        for row in rows
        if row in first
    ]


def write_predictions(
    table: Table, row: str, overrides: Sequence[str], split: str, folder: Path, console: Console
) -> int:
    """Train a row of semantic segmentation, if it is not there yet, and write its predictions of a split.

    Of Cityscapes' test split these are the files that the benchmark's server takes (Contextrast, Table 3).

    Returns:
        The number of images.

    Raises:
        InputError: bad overrides, a run that failed, a row of another kind, no such split, or a folder that holds
            something else.
    """
    (trained,) = train(table, [row], overrides, console)
    if not hasattr(trained.experiment, "write_predictions"):
        raise InputError(f"row '{row}' of {table.name} does not predict label maps; name one of semantic segmentation")
    return int(trained.experiment.write_predictions(trained.folder, folder, split))


def _negatives(trained: Sequence[Trained], image: int, path: Path) -> Mapping[str, Any]:
    from contrastbench.contextrast.pictures import bane_picture
    from contrastbench.core.hosts.mmseg.one_image import see

    (row,) = trained
    seen = see(row.experiment, {"before training": None, "after training": row.folder}, "val", image)
    stages = bane_picture(
        seen.image,
        seen.labels,
        seen.predictions,
        path,
        percent=row.experiment.objective["percent"],
        ignore_index=seen.source.ignore_index,
        classes=seen.source.classes,
        palette=seen.source.palette,
    )
    return {name: asdict(stage) for name, stage in stages.items()}


def _similarity(trained: Sequence[Trained], image: int, path: Path) -> Mapping[str, Any]:
    from contrastbench.contextrast.curves import similarity_picture
    from contrastbench.contextrast.similarity import similarity_by_distance
    from contrastbench.core.hosts.mmseg.observing import observing

    (row,) = trained
    with observing(row.experiment, row.folder) as (objective, batches):
        curves = similarity_by_distance(cast(Any, objective), batches).compute()
    similarity_picture(curves, path)
    return curves


def _clusters(trained: Sequence[Trained], most: int, path: Path) -> Mapping[str, Any]:
    from contrastbench.longtail.pictures.finished import draw_clusters

    (row,) = trained
    return draw_clusters(row.experiment, row.folder, path, most or 24)


def _disc(trained: Sequence[Trained], images: int, path: Path) -> Mapping[str, Any]:
    from contrastbench.longtail.pictures.finished import draw_disc

    (row,) = trained
    return draw_disc(row.experiment, row.folder, path, images or 4)


def _features(trained: Sequence[Trained], images: int, path: Path) -> Mapping[str, Any]:
    import torch

    from contrastbench.core.hosts.torchvision.features import roi_features
    from contrastbench.dcl.features import sample_pixels, silhouette, tsne_picture

    panels = {}
    for row in trained:
        features, masks = roi_features(row.experiment, row.folder, images)
        # the same pixels of both networks
        panels[row.name] = sample_pixels(features, masks, 16, torch.Generator().manual_seed(0))
    tsne_picture(panels, path, seed=0)
    return {name: {"silhouette": silhouette(*panel)} for name, panel in panels.items()}


FIGURES: dict[str, Figure] = {
    "contextrast/negatives": Figure(
        "Boundary-aware negatives of a validation image, before and after training (Contextrast, Figure 3)",
        "contextrast/table-6",
        ("bane",),
        _negatives,
    ),
    "contextrast/similarity": Figure(
        "Similarity of erroneous pixels to their class's anchor by their distance from the error's edge, over the "
        "validation split (Contextrast, Figure 5)",
        "contextrast/table-6",
        ("bane",),
        _similarity,
    ),
    "dcl/features": Figure(
        "t-SNE of RoI features without and with the loss, from the first validation images (DCL, Figure 4)",
        "dcl/table-8",
        ("baseline", "dcl"),
        _features,
    ),
    "longtail/clusters": Figure(
        "Contact sheet of discovered clusters, each with its label or as novel (Weng et al., Figures 4 and 6)",
        "longtail/table-5",
        ("ours",),
        _clusters,
    ),
    "longtail/disc": Figure(
        "Proposals of the first validation images in the Poincare disc, parents tied to their children (Weng et al., "
        "Figure 3)",
        "longtail/table-5",
        ("ours",),
        _disc,
    ),
}
"""The figures there are."""
