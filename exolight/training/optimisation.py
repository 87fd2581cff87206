"""What the optimiser is given: parameter groups, and a learning rate over time."""

import math
from typing import Any, Literal

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from exolight.errors import InputError
from exolight.models.detector import Detector


def parameter_groups(detector: Detector, lr: float, weight_decay: float, backbone_lr_scale: float = 1.0) -> list[dict[str, Any]]:
    """Groups for a torch optimiser: weight decay on weights only (ndim > 1), the backbone with a learning rate of its own.

    Each group says its ``kind``, "weight", "norm" or "bias", for the warm-up to treat biases apart.
    """
    groups: dict[tuple[bool, str], list[nn.Parameter]] = {}
    for name, parameter in detector.named_parameters():
        kind = "weight" if parameter.ndim > 1 else "bias" if name.endswith("bias") else "norm"
        groups.setdefault((name.startswith("backbone."), kind), []).append(parameter)
    return [
        {"params": found, "lr": lr * (backbone_lr_scale if backbone else 1.0), "weight_decay": weight_decay if kind == "weight" else 0.0, "kind": kind}
        for (backbone, kind), found in groups.items()
    ]


class WarmupSchedule(LRScheduler):
    """Warm-up, then a linear or cosine decline, in optimiser steps.

    While warming up, learning rates rise from 0 (SGD's for biases fall from ``bias_start``; Adam's steps would be that large) and momentum from
    ``momentum_start``, as YOLOv5 published it.

    Args:
        optimizer: with the groups of ``parameter_groups``.
        total_steps: of the whole training.
        steps_per_epoch: optimiser steps an epoch; may be a fraction of batches.
        batches_per_step: accumulated batches.
        shape: of the decline.
        final_fraction: of the learning rate, at the end.
        warmup_epochs: the warm-up's length, but at least
        warmup_batches: batches, and at most half of the training.
        bias_start: learning rate of biases at the first step, with SGD.
        momentum_start: SGD's momentum (Adam's beta_1) at the first step.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int,
        steps_per_epoch: float,
        batches_per_step: int = 1,
        shape: Literal["linear", "cosine"] = "linear",
        final_fraction: float = 0.01,
        warmup_epochs: float = 3.0,
        warmup_batches: int = 100,
        bias_start: float = 0.1,
        momentum_start: float = 0.8,
    ) -> None:
        if shape not in ("linear", "cosine"):
            raise InputError(f"scheduler.shape={shape} is unknown: use linear or cosine")
        self.total_steps = max(1, total_steps)
        self.warmup_steps = min(max(warmup_epochs * steps_per_epoch, warmup_batches / batches_per_step) if warmup_epochs > 0 else 0, self.total_steps / 2)
        self.shape, self.final_fraction = shape, final_fraction
        self.bias_start, self.momentum_start = bias_start, momentum_start
        self.momenta = [group.get("momentum", group.get("betas", (0.0,))[0]) for group in optimizer.param_groups]
        super().__init__(optimizer)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Where the schedule stands; its length and shape are those it was built with, so that a run resumed with more epochs declines over all of them."""
        super().load_state_dict({key: value for key, value in state_dict.items() if key not in ("total_steps", "warmup_steps", "shape", "final_fraction")})

    def decline(self, step: int) -> float:
        """The share of the learning rate at ``step``, warm-up aside."""
        progress = min(step / self.total_steps, 1.0)
        left = 1 - progress if self.shape == "linear" else (1 + math.cos(math.pi * progress)) / 2
        return self.final_fraction + (1 - self.final_fraction) * left

    def get_lr(self) -> list[float | Any]:
        step = self.last_epoch
        risen = min(step / self.warmup_steps, 1.0) if self.warmup_steps else 1.0
        rates = []
        for base, momentum, group in zip(self.base_lrs, self.momenta, self.optimizer.param_groups, strict=True):
            start = self.bias_start if group.get("kind") == "bias" and "momentum" in group else 0.0
            rates.append(start + (base * self.decline(step) - start) * risen)
            now = self.momentum_start + (momentum - self.momentum_start) * risen
            if "momentum" in group:
                group["momentum"] = now
            elif "betas" in group:
                group["betas"] = (now, group["betas"][1])
        return rates
