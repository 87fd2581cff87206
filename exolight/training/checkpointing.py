"""Checkpoints of a training run: written atomically, the best and the last."""

import logging
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint

from exolight.checkpoint import write_atomically

log = logging.getLogger(__name__)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint files, but a kill while writing leaves the old file whole, also where the temporary folder is on another file system."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        write_atomically(plain(checkpoint), path)


def plain(value: Any) -> Any:
    """Containers, numbers, strings and tensors as they are, paths and NumPy or config scalars as plain Python: what ``weights_only=True`` loads."""
    if isinstance(value, torch.Tensor) or value is None or type(value) in (bool, int, float, str, bytes):
        return value
    if isinstance(value, dict):
        # OrderedDict included: torch's own state dicts load as plain ones.
        return {plain(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, set, frozenset)):
        return [plain(v) for v in value]
    if isinstance(value, tuple):
        return tuple(plain(v) for v in value)
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item") and callable(value.item):
        return value.item()
    raise TypeError(f"a checkpoint holds plain values and tensors only, not {type(value).__name__}")


class BestCheckpoint(ModelCheckpoint):
    """best.ckpt: the averaged weights of the epoch with the best ``monitor``, or of the last one where nothing is held out to score them."""

    def __init__(self, dirpath: str | Path, monitor: str = "val/map") -> None:
        super().__init__(dirpath, filename="best", monitor=monitor, mode="max", auto_insert_metric_name=False, enable_version_counter=False)

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        held_out = getattr(trainer, "datamodule").datasets["val"].images  # noqa: B009  (Lightning attaches it)
        if stage == "fit" and not any((~image.ignore).any() for image in held_out):
            if held_out:
                log.warning("none of the %d validation pictures has an object: no epoch can be called the best, best.ckpt will be the last", len(held_out))
            self.monitor = None
            self._save_on_train_epoch_end = True


class LastCheckpoint(ModelCheckpoint):
    """last.ckpt at the end of every epoch: ``resume=`` goes on from it exactly."""

    def __init__(self, dirpath: str | Path) -> None:
        super().__init__(dirpath=dirpath, filename="last", save_top_k=1, save_on_train_epoch_end=True, enable_version_counter=False)

    @property
    def state_key(self) -> str:
        return "LastCheckpoint"
