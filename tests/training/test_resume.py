"""A training that was cut off and resumed ends bit for bit where it would have ended."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import lightning
import pandas as pd
import pytest
import torch
from lightning.pytorch.callbacks import Callback

EPOCHS, CUT = 4, 2


class PowerCut(Callback):
    """Ends the process's training when epoch ``at`` begins."""

    def __init__(self, at: int) -> None:
        self.at = at

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.current_epoch == self.at:
            raise RuntimeError("power cut")


class Runs(NamedTuple):
    whole: Path
    resumed: Path
    printed: str


@pytest.fixture(scope="module")
def runs(train_program: Callable[..., Any], tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """The same training twice: at one go; and cut off after two epochs, the last with mosaic, to be resumed from last.ckpt without naming the folder."""
    folder = tmp_path_factory.mktemp("resume (Proença, 1)")
    # Validation in the second and fourth epoch: the cut and the resumption meet epochs with and without one.
    arguments = [
        *tiny, f"trainer.max_epochs={EPOCHS}", "data.num_workers=2", "augmentation=strong", f"augmentation.close_mosaic={EPOCHS - CUT}",
        "trainer.check_val_every_n_epoch=2", "scheduler.warmup_batches=4", "module.nominal_batch=8", "callbacks.average.ramp=3", "callbacks.freeze.epochs=1",
    ]  # fmt: skip
    whole = train_program(*arguments, f"hydra.run.dir={folder}/whole", figures=False)
    assert whole.status == 0, whole.err
    cut = train_program(*arguments, f"hydra.run.dir={folder}/cut", "+callbacks.cut._target_=test_resume.PowerCut", f"+callbacks.cut.at={CUT}")
    assert cut.status == 1
    assert "power cut" in cut.err
    assert not (folder / "cut" / "metrics.json").exists()
    assert len(pd.read_csv(folder / "cut" / "results.csv")) == CUT
    resumed = train_program(*arguments, f"resume={folder}/cut/checkpoints/last.ckpt", figures=False)
    assert resumed.status == 0, resumed.err
    return Runs(folder / "whole", folder / "cut", resumed.out + resumed.err)


def checkpoint(folder: Path, name: str) -> dict[str, Any]:
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)


def assert_same(a: Any, b: Any, where: str = "") -> None:
    """Equality of nested plain values, tensors bit for bit."""
    assert type(a) is type(b), where
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}/{i}")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    else:
        assert a == b or (a != a and b != b), where


@pytest.mark.parametrize("name", ["last", "best"])
def test_the_weights_are_bitwise_equal(runs: Runs, name: str) -> None:
    whole, resumed = checkpoint(runs.whole, name), checkpoint(runs.resumed, name)
    for part in ("state_dict", "current_model_state", "averaging_state", "optimizer_states", "lr_schedulers", "exolight"):
        assert_same(whole[part], resumed[part], part)
    assert whole["epoch"] == resumed["epoch"]
    assert whole["global_step"] == resumed["global_step"]


def test_training_went_on_after_the_cut(runs: Runs) -> None:
    """Guards the comparison above against two trainings in which nothing happens: raw and averaged weights differ, and epochs do."""
    last = checkpoint(runs.resumed, "last")
    assert last["epoch"] == EPOCHS - 1
    differ = [name for name, value in last["state_dict"].items() if not torch.equal(value, last["current_model_state"][name])]
    assert len(differ) > 100
    losses = pd.read_csv(runs.resumed / "results.csv")["train/box"]
    assert losses.nunique() == EPOCHS


def test_the_table_has_each_epoch_once(runs: Runs) -> None:
    whole, resumed = pd.read_csv(runs.whole / "results.csv"), pd.read_csv(runs.resumed / "results.csv")
    assert resumed["epoch"].tolist() == list(range(EPOCHS))
    pd.testing.assert_frame_equal(whole, resumed[whole.columns], check_exact=True)
    assert set(whole.columns) == set(resumed.columns)
    assert resumed["val/map"].notna().tolist() == [False, True, False, True]


def test_nothing_warns_about_loading(runs: Runs) -> None:
    assert "weights_only" not in runs.printed
    assert "mid-epoch" not in runs.printed
    assert "dirpath has changed" not in runs.printed


@pytest.mark.parametrize(("other", "said"), [("model=n_p2", "strides"), ("head=distribution", "its network differs in head:")])
def test_resuming_another_network_is_refused(runs: Runs, train_program: Callable[..., Any], tiny: list[str], tmp_path: Path, other: str, said: str) -> None:
    last = runs.whole / "checkpoints" / "last.ckpt"
    found = train_program(*tiny, other, f"resume={last}", f"hydra.run.dir={tmp_path}")
    assert found.status == 2
    assert said in found.err


def test_a_finished_training_has_nothing_left_to_do(runs: Runs, train_program: Callable[..., Any], tiny: list[str], tmp_path: Path) -> None:
    shutil.copytree(runs.whole, tmp_path / "run")
    found = train_program(*tiny, f"trainer.max_epochs={EPOCHS}", f"resume={tmp_path}/run/checkpoints/last.ckpt", figures=False)
    assert found.status == 0, found.err
    assert "nothing is left to train" in found.out
    assert_same(checkpoint(runs.whole, "last"), checkpoint(tmp_path / "run", "last"))
