"""The exponential moving average of the weights: it is what is validated, saved as best and predicted with."""

import math
from collections.abc import Sequence

import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


class RampedAverage(WeightAveraging):
    """Moving average whose decay rises, so that trainings of any length have one that follows.

    After u updates the decay is ``decay`` * (1 - exp(-u / ``ramp``)), YOLOv5's published rule, but at most (1 + u) / (10 + u): so the average never reaches
    back much further than a ninth of the training so far (polynomial-decay averaging, Shamir and Zhang, ICML 2013), however soon the ramp is over.
    """

    def __init__(self, decay: float = 0.9999, ramp: float = 2000.0) -> None:
        self.decay, self.ramp = decay, ramp
        super().__init__(multi_avg_fn=self._update)

    def decay_at(self, updates: int) -> float:
        """The weight of the average after ``updates`` updates."""
        return min(self.decay * (1 - math.exp(-updates / self.ramp)), (1 + updates) / (10 + updates))

    @torch.no_grad()
    def _update(self, averaged: Sequence[Tensor], current: Sequence[Tensor], updates: Tensor | int) -> None:
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(list(averaged), list(current), 1 - self.decay_at(int(updates)))
        else:  # counters are copied
            for old, new in zip(averaged, current, strict=True):
                old.copy_(new)
