"""Keeping the backbone as it is for the first epochs of a transfer."""

from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.optim import Optimizer


class FreezeBackbone(Callback):
    """Freeze the detector's backbone, running statistics of its BatchNorm included, for the first ``epochs`` epochs.

    On one device gradients are not even computed. With several, DDP has to see the same parameters all the time, so they are computed and thrown away.
    """

    def __init__(self, epochs: int = 0) -> None:
        self.epochs = epochs

    def _frozen(self, trainer: lightning.Trainer) -> bool:
        return trainer.current_epoch < self.epochs

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        backbone: nn.Module = pl_module.detector.backbone
        frozen = self._frozen(trainer)
        if trainer.world_size == 1:
            for parameter in backbone.parameters():
                parameter.requires_grad_(not frozen)
        # The Trainer's own train() would let the running statistics move again.
        backbone.train(not frozen)

    def on_train_batch_start(self, trainer: lightning.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if self._frozen(trainer):
            pl_module.detector.backbone.eval()

    def on_before_optimizer_step(self, trainer: lightning.Trainer, pl_module: Any, optimizer: Optimizer) -> None:
        if self._frozen(trainer):
            for parameter in pl_module.detector.backbone.parameters():
                parameter.grad = None
