"""A frozen backbone stays bit for bit what it was, and moves afterwards; everything else moves all the time."""

from types import SimpleNamespace
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.utils.data import DataLoader

from exolight.training.freezing import FreezeBackbone

State = dict[str, Tensor]


class Transfer(lightning.LightningModule):
    """The shape of a detector: a backbone with BatchNorm and a head with one."""

    def __init__(self, optimizer: str) -> None:
        super().__init__()
        self.optimizer = optimizer
        self.detector = nn.Module()
        self.detector.backbone = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3))
        self.detector.head = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))

    def training_step(self, batch: Tensor, index: int) -> Tensor:
        found = self.detector.head(self.detector.backbone(batch))
        return (found**2).mean() + found[:, 0].mean() + self.detector.backbone[0].weight.sum() * 0.1

    def validation_step(self, batch: Tensor, index: int) -> None:
        assert not self.training

    def configure_optimizers(self) -> Any:
        if self.optimizer == "sgd":
            return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
        return torch.optim.AdamW(self.parameters(), lr=0.1, weight_decay=0.1)


class Notes(Callback):
    """The weights and statistics at the end of every epoch."""

    def __init__(self) -> None:
        self.states: list[State] = []
        self.training: list[bool] = []
        self.differentiated: list[bool] = []

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Any, *_: Any) -> None:
        self.training.append(pl_module.detector.backbone.training)
        self.differentiated.append(any(p.requires_grad for p in pl_module.detector.backbone.parameters()))

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.states.append({name: value.clone() for name, value in pl_module.state_dict().items()})


def moved(before: State, after: State, part: str) -> dict[str, bool]:
    return {name: not torch.equal(value, after[name]) for name, value in before.items() if f"detector.{part}." in name}


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("frozen", [0, 2])
def test_frozen_for_two_epochs(optimizer: str, frozen: int) -> None:
    torch.manual_seed(0)
    module, notes = Transfer(optimizer), Notes()
    start = {name: value.clone() for name, value in module.state_dict().items()}
    trainer = lightning.Trainer(
        max_epochs=4, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        num_sanity_val_steps=1, callbacks=[FreezeBackbone(frozen), notes],
    )  # fmt: skip
    loader = DataLoader(torch.randn(4, 1, 4, 4), batch_size=2)  # type: ignore[arg-type]
    trainer.fit(module, loader, loader)
    states = [start, *notes.states]
    for epoch in range(4):
        in_backbone = moved(states[epoch], states[epoch + 1], "backbone")
        assert len(in_backbone) == 7
        # The convolution's bias is taken out again by the BatchNorm behind it, but decay and rounding move it.
        expected = epoch >= frozen
        assert all(value == expected for name, value in in_backbone.items() if name != "detector.backbone.0.bias"), (epoch, in_backbone)
        assert not in_backbone["detector.backbone.0.bias"] or expected
        assert all(value for name, value in moved(states[epoch], states[epoch + 1], "head").items() if name != "detector.head.0.bias")
    assert notes.training == notes.differentiated == [i // 2 >= frozen for i in range(8)]


def test_with_several_devices_gradients_are_thrown_away() -> None:
    """DDP wants a gradient of every parameter at every step: requires_grad stays, the optimiser sees none."""
    module = Transfer("sgd")
    freeze = FreezeBackbone(1)
    trainer: Any = SimpleNamespace(current_epoch=0, world_size=2)
    freeze.on_train_epoch_start(trainer, module)
    assert all(p.requires_grad for p in module.parameters())
    module.training_step(torch.randn(2, 1, 4, 4), 0).backward()
    freeze.on_before_optimizer_step(trainer, module, torch.optim.SGD(module.parameters(), lr=0.1))
    assert all(p.grad is None for p in module.detector.backbone.parameters())
    assert all(p.grad is not None for p in module.detector.head.parameters())
    trainer.current_epoch = 1
    freeze.on_train_epoch_start(trainer, module)
    assert module.detector.backbone.training
