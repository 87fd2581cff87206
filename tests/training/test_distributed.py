"""Two processes on one CPU train and score as one does, and leave one run folder."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
import pytest

from exolight.data.dataset import EpochSampler, ShardSampler

PROGRAM = Path(__file__).parents[2] / "train.py"
EXACT = ("map", "map_50", "map_75", "mar", "precision", "recall", "f1", "threshold", "count_mae")


class Run(NamedTuple):
    workplace: Path
    folder: Path
    data: list[str]
    printed: str

    def metrics(self) -> dict[str, Any]:
        return json.loads((self.folder / "metrics.json").read_text("utf-8"))


def draw_pictures(root: Path) -> None:
    """Ten YOLO pictures; every second one is empty, so that of two validation pictures the second process has the one without objects."""
    rng = np.random.default_rng(0)
    for i in range(10):
        picture = rng.normal(150, 6, (80, 96))
        rows = []
        for _ in range(0 if i % 2 else 4):
            x, y, radius = rng.uniform(14, 82), rng.uniform(14, 66), rng.uniform(6, 11)
            cv2.circle(picture, (round(x), round(y)), round(radius), 90, -1)
            rows.append(f"0 {x / 96} {y / 80} {2 * radius / 96} {2 * radius / 80}\n")
        root.mkdir(parents=True, exist_ok=True)
        (root / f"p{i}.png").write_bytes(cv2.imencode(".png", picture.clip(0, 255).astype(np.uint8))[1].tobytes())
        (root / f"p{i}.txt").write_text("".join(rows), "utf-8")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny: list[str]) -> Run:
    """One training by two processes, as typed in a shell: 5 training pictures in batches of 2, 2 for validation and 3 to test, so no number is even."""
    workplace = tmp_path_factory.mktemp("EV, (1)")
    root = workplace / "my pictures = 1"
    draw_pictures(root)
    split = "{train: [p0, p1, p2, p3, p4], val: [p6, p7], test: [p5, p8, p9]}"
    data = [*(a for a in tiny if not a.startswith("data.source")), "data=yolo", f"data.root={root}", f"data.split={split}"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PL_", "LOCAL_RANK"))} | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *data, "trainer=ddp_cpu", "trainer.max_epochs=2", "data.batch_size=2", "module.nominal_batch=4", "logger=tensorboard"],
        cwd=workplace, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = (workplace / "outputs" / "train").iterdir()
    return Run(workplace, folder, data, done.stdout + done.stderr)


def test_one_folder_with_one_of_each_file(run: Run) -> None:
    assert {path.name for path in run.workplace.iterdir()} == {"my pictures = 1", "outputs"}
    assert {path.name for path in run.folder.iterdir()} == {
        "checkpoints", "config.yaml", "figures", "metrics.json", "results.csv", "tensorboard", "test.txt", "train.log", "train.txt", "val.txt",
    }  # fmt: skip
    assert {path.name for path in (run.folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert pd.read_csv(run.folder / "results.csv")["epoch"].tolist() == [0, 1]
    log = (run.folder / "train.log").read_text("utf-8")
    for once in ("run folder:", "figures and metrics.json are in"):
        assert log.count(once) == 1
        assert run.printed.count(once) == 1


def test_two_processes_score_as_one(run: Run, train_program: Callable[..., Any], tmp_path: Path) -> None:
    best = f"checkpoint={run.folder}/checkpoints/best.ckpt"
    alone = train_program(*run.data, "fit=false", best, "data.batch_size=3", f"hydra.run.dir={tmp_path}/alone", figures=False)
    assert alone.status == 0, alone.err
    together, one = run.metrics(), json.loads((tmp_path / "alone" / "metrics.json").read_text("utf-8"))
    assert together["weights_sha256"] == one["weights_sha256"]
    for part in ("val", "test"):
        assert together[part]["map_50"] >= 0
        for name in EXACT:
            assert together[part].get(name) == pytest.approx(one[part].get(name), abs=1e-6), (part, name)


def test_validation_while_training_sees_the_weights_that_are_saved(run: Run) -> None:
    """Each process holds its own moving average; were they different, scores while training would not be those of the checkpoint."""
    table = pd.read_csv(run.folder / "results.csv")
    best = table.iloc[table["val/map"].argmax()]
    for name in ("map", "map_50", "threshold", "box", "objectness"):
        assert best[f"val/{name}"] == pytest.approx(run.metrics()["val"][name], abs=1e-6), name
    assert (table["train/box"] > 0).all()  # averaged over the processes, one of which may have had no object


@pytest.mark.parametrize(("count", "ranks"), [(1, 2), (2, 5), (3, 2), (7, 3), (4, 2)])
def test_ranks_share_pictures_in_equal_numbers(count: int, ranks: int) -> None:
    """Unequal numbers of batches would be unequal collectives, at which processes wait for each other for ever."""
    for make in (lambda rank: ShardSampler(count, rank, ranks), lambda rank: EpochSampler(count, 0, rank, ranks)):
        shares = [list(make(rank)) for rank in range(ranks)]
        assert {len(share) for share in shares} == {len(make(0))} == {-(-count // ranks)}
        seen = [key[1] if isinstance(key, tuple) else key for share in shares for key in share]
        assert set(seen) == set(range(count))
