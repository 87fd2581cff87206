"""The moving average: its ramp by hand, and that it is what is validated, saved and kept."""

import math
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader

from exolight.training.averaging import RampedAverage


class Tiny(lightning.LightningModule):
    """One convolution and one BatchNorm (numbers and a counter to average), with a note of the weights at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
        self.steps: list[dict[str, Tensor]] = []
        self.validated: list[dict[str, Tensor]] = []

    def snapshot(self) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in self.net.state_dict().items()}

    def training_step(self, batch: Tensor, index: int) -> Tensor:
        if self.trainer.global_step:
            self.steps.append(self.snapshot())  # as the step before left it
        return (self.net(batch) ** 2).mean() + self.net[0].weight.sum()

    def validation_step(self, batch: Tensor, index: int) -> None:
        self.validated.append(self.snapshot())

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.5)


def fit(module: Tiny, average: RampedAverage, folder: Path, epochs: int, resume: str | None = None) -> None:
    pictures = torch.randn(6, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    loader = DataLoader(pictures, batch_size=2)  # type: ignore[arg-type]
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
        callbacks=[average, ModelCheckpoint(folder, filename="last", save_on_train_epoch_end=True, enable_version_counter=False)],
    )  # fmt: skip
    trainer.fit(module, loader, loader, ckpt_path=resume, weights_only=True)


def test_the_ramp_by_hand() -> None:
    average = RampedAverage(decay=0.99, ramp=100)
    assert average.decay_at(0) == 0
    assert average.decay_at(100) == pytest.approx(0.99 * (1 - 1 / math.e))
    assert average.decay_at(100000) == pytest.approx(0.99)
    assert RampedAverage(ramp=1).decay_at(90) == pytest.approx(0.91)  # the cap: (1 + 90) / (10 + 90)
    assert RampedAverage().decay_at(2000) == pytest.approx(0.9999 * (1 - math.exp(-1)))


def test_the_average_by_hand(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Tiny()
    fit(module, RampedAverage(decay=0.9, ramp=2), tmp_path, 2)
    raw = [*module.steps, {k.removeprefix("net."): v for k, v in torch.load(tmp_path / "last.ckpt", weights_only=True)["current_model_state"].items()}]
    assert len(raw) == 6
    wanted = {name: value.clone() for name, value in raw[0].items()}  # the first update copies
    for updates, step in enumerate(raw[1:], start=1):
        decay = min(0.9 * (1 - math.exp(-updates / 2)), (1 + updates) / (10 + updates))
        for name, value in step.items():
            wanted[name] = decay * wanted[name] + (1 - decay) * value if value.is_floating_point() else value
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    for name, value in wanted.items():
        torch.testing.assert_close(saved[f"net.{name}"], value)
    assert (saved["net.0.weight"] - raw[-1]["0.weight"]).abs().max() > 0.05


def test_validated_weights_are_the_average(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Tiny()
    fit(module, RampedAverage(decay=0.9, ramp=2), tmp_path, 2)
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    for name, value in module.validated[-1].items():
        assert torch.equal(value, saved["state_dict"][f"net.{name}"])
    assert not torch.equal(module.validated[-1]["0.weight"], saved["current_model_state"]["net.0.weight"])


def test_the_average_survives_saving_and_resuming(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = Tiny()
    first = {name: value.clone() for name, value in whole.state_dict().items()}
    fit(whole, RampedAverage(decay=0.9, ramp=2), tmp_path / "whole", 3)
    begun = Tiny()
    begun.load_state_dict(first)
    fit(begun, RampedAverage(decay=0.9, ramp=2), tmp_path / "cut", 1)
    fit(Tiny(), RampedAverage(decay=0.9, ramp=2), tmp_path / "cut", 3, resume=str(tmp_path / "cut" / "last.ckpt"))
    a, b = (torch.load(tmp_path / name / "last.ckpt", weights_only=True) for name in ("whole", "cut"))
    for part in ("state_dict", "current_model_state", "averaging_state"):
        for name, value in a[part].items():
            assert torch.equal(value, b[part][name]), (part, name)
    assert int(a["averaging_state"]["n_averaged"]) == 9
