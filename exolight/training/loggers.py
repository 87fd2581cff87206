"""Weights & Biases without waiting for it: offline where there is no account, and every run ended."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.loggers import WandbLogger

log = logging.getLogger(__name__)


def wandb_logger(
    save_dir: str | Path,
    project: str = "exolight",
    name: str | None = None,
    group: str | None = None,
    tags: list[str] | None = None,
    mode: Literal["auto", "online", "offline"] = "auto",
) -> WandbLogger:
    """A W&B logger that never asks and never stops a training.

    ``mode="auto"`` is online where an API key is configured and W&B can be reached, and otherwise offline; ``wandb sync`` uploads an offline run later.
    """
    import wandb

    def logger(chosen: str) -> WandbLogger:
        settings = wandb.Settings(init_timeout=15, console="off", silent=True)
        extra: dict[str, Any] = {"group": group, "tags": tags, "settings": settings, "mode": chosen}
        return WandbLogger(name=name, save_dir=str(save_dir), project=project, offline=chosen == "offline", **extra)

    if mode != "auto":
        return logger(mode)
    if not (os.environ.get("WANDB_API_KEY") or wandb.api.api_key):
        return logger("offline")
    try:
        online = logger("online")
        _ = online.experiment  # begins the run
        return online
    except wandb.errors.CommError as error:
        log.warning("W&B cannot be reached (%s): this run is kept offline for a later wandb sync", str(error).partition("\n")[0])
        return logger("offline")


@contextmanager
def runs_ended() -> Iterator[None]:
    """End W&B's run, where one was begun, as finished or as failed: the next job of a sweep would go on in it."""
    status = 1
    try:
        yield
        status = 0
    finally:
        wandb = sys.modules.get("wandb")
        if wandb is not None and wandb.run is not None:
            wandb.finish(exit_code=status)
