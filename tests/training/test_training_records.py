"""The table of epochs and the measurement of speed."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from exolight.training import records
from exolight.training.loggers import runs_ended
from exolight.training.records import EpochTable, Throughput, read_table


def trainer(epoch: int, rank_zero: bool = True, **metrics: float) -> Any:
    named = {name.replace("__", "/"): torch.tensor(value) for name, value in metrics.items()}
    return SimpleNamespace(current_epoch=epoch, is_global_zero=rank_zero, callback_metrics=named, world_size=1)


def end(table: EpochTable, at: Any, validated: bool = True) -> None:
    if validated:
        table.on_validation_end(at, None)  # type: ignore[arg-type]
    table.on_train_epoch_end(at, None)  # type: ignore[arg-type]


def test_a_row_an_epoch(tmp_path: Path) -> None:
    table = EpochTable(tmp_path / "results.csv")
    end(table, trainer(0, val__map=0.25, train__box=2.0, lr=0.5, mAP50=0.5))
    end(table, trainer(1, val__map=0.5, val__map_large=0.75, train__box=1.0, lr=0.25))
    found = read_table(tmp_path / "results.csv")
    wanted = pd.DataFrame({"epoch": [0, 1], "val/map": [0.25, 0.5], "train/box": [2.0, 1.0], "lr": [0.5, 0.25], "val/map_large": [np.nan, 0.75]})
    pd.testing.assert_frame_equal(found, wanted)
    assert [p.name for p in tmp_path.iterdir()] == ["results.csv"]


def test_scores_of_an_earlier_epoch_are_not_repeated(tmp_path: Path) -> None:
    table = EpochTable(tmp_path / "results.csv")
    for epoch in range(4):
        end(table, trainer(epoch, val__map=epoch // 2 / 10, train__box=1.0), validated=epoch % 2 == 1)
    assert read_table(tmp_path / "results.csv")["val/map"].isna().tolist() == [True, False, True, False]


def test_a_resumed_run_replaces_what_it_repeats(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    for epoch in range(4):
        end(EpochTable(path), trainer(epoch, train__box=float(epoch)))
    for epoch in range(2, 4):
        end(EpochTable(path), trainer(epoch, train__box=epoch + 10.0))
    assert read_table(path)["train/box"].tolist() == [0, 1, 12, 13]
    assert read_table(path)["epoch"].tolist() == [0, 1, 2, 3]


def test_only_the_first_process_writes(tmp_path: Path) -> None:
    end(EpochTable(tmp_path / "results.csv"), trainer(0, rank_zero=False, train__box=1.0))
    assert not list(tmp_path.iterdir())


def test_no_table_is_an_empty_one(tmp_path: Path) -> None:
    assert len(read_table(tmp_path / "none.csv")) == 0


def test_throughput_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two epochs of three batches of four pictures, a second each, with long pauses for start and validation: four a second over each of two devices."""
    clock = [0.0]
    monkeypatch.setattr(records.time, "perf_counter", lambda: clock[0])
    speed = Throughput()
    assert speed.images_per_second is None
    batch = SimpleNamespace(images=torch.zeros(4, 1, 2, 2))
    at: Any = SimpleNamespace(world_size=2)
    for _ in range(2):
        clock[0] += 100
        for index in range(3):
            clock[0] += 1
            speed.on_train_batch_end(at, None, None, batch, index)  # type: ignore[arg-type]
        speed.on_validation_start(at, None)  # type: ignore[arg-type]
        clock[0] += 50
        speed.on_train_epoch_end(at, None)  # type: ignore[arg-type]
    assert speed.images_per_second == pytest.approx(8.0)


class Wandb(SimpleNamespace):
    """The part of wandb that ends runs."""

    def __init__(self, running: bool) -> None:
        super().__init__(run="a run" if running else None, ended=[])

    def finish(self, exit_code: int) -> None:
        self.ended.append(exit_code)


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt, SystemExit])
def test_every_wandb_run_is_ended(running: bool, error: type[BaseException] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = Wandb(running)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    if error is None:
        with runs_ended():
            pass
    else:
        with pytest.raises(error), runs_ended():
            raise error
    assert wandb.ended == ([0 if error is None else 1] if running else [])
