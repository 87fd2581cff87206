"""What a run notes down while it goes: a table of epochs, and its speed."""

import time
from pathlib import Path
from typing import Any

import lightning
import pandas as pd
from lightning.pytorch.callbacks import Callback


class EpochTable(Callback):
    """results.csv: a row an epoch with every score, loss and learning rate; no scores where the epoch was not validated.

    A resumed run goes on in the same table; rows of epochs that it repeats are replaced.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._validated = False

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._validated = True

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        metrics = trainer.callback_metrics  # on every rank, for losses are averaged over them here
        # Lightning keeps the scores of the last validation.
        wanted = ("train/", "val/", "lr") if self._validated else ("train/", "lr")
        self._validated = False
        if not trainer.is_global_zero:
            return
        row: dict[str, float] = {"epoch": trainer.current_epoch}
        row |= {name: float(value) for name, value in metrics.items() if name.startswith(wanted)}
        before = read_table(self.path)
        before = before[before["epoch"] < trainer.current_epoch] if len(before) else before
        table = pd.concat([before, pd.DataFrame([row])], ignore_index=True) if len(before) else pd.DataFrame([row])
        part = self.path.with_suffix(".part")
        table.to_csv(part, index=False)
        part.replace(self.path)


def read_table(path: str | Path) -> pd.DataFrame:
    """The table of epochs, empty where there is none yet."""
    return pd.read_csv(path) if Path(path).is_file() else pd.DataFrame()


class Throughput(Callback):
    """Training pictures a second over all devices, loading and augmentation included, validation and the first epoch's first batch (start-up) left out."""

    def __init__(self) -> None:
        self.pictures = 0
        self.seconds = 0.0
        self._since: float | None = None

    @property
    def images_per_second(self) -> float | None:
        return self.pictures / self.seconds if self.seconds else None

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        now = time.perf_counter()
        if self._since is not None:
            self.pictures += len(batch.images) * trainer.world_size
            self.seconds += now - self._since
        self._since = now

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._since = None

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._since = None
