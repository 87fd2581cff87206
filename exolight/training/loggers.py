"""Weights & Biases without waiting for it: offline where there is no account."""

import os
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.loggers import WandbLogger


def wandb_logger(
    save_dir: str | Path,
    project: str = "exolight",
    name: str | None = None,
    group: str | None = None,
    tags: list[str] | None = None,
    mode: Literal["auto", "online", "offline"] = "auto",
) -> WandbLogger:
    """A W&B logger that never asks and never blocks.

    ``mode="auto"`` is online with an API key (environment or netrc) and otherwise offline; ``wandb sync`` uploads an offline run later.
    """
    import wandb

    if mode == "auto":
        mode = "online" if os.environ.get("WANDB_API_KEY") or wandb.api.api_key else "offline"
    settings = wandb.Settings(init_timeout=30, console="off", silent=True)
    extra: dict[str, Any] = {"group": group, "tags": tags, "settings": settings, "mode": mode}
    return WandbLogger(name=name, save_dir=str(save_dir), project=project, offline=mode == "offline", **extra)
