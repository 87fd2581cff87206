"""Layers, parameters and floating-point operations of a detector, as the field's tables give them."""

from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from exolight.models.detector import Detector


class Summary(NamedTuple):
    """``layers``: modules without children; ``gflops``: 10^9 multiplications and additions for one square picture of ``image_size`` px."""

    backbone: str
    layers: int
    parameters: int
    gflops: float
    image_size: int

    def __str__(self) -> str:
        return f"{self.backbone}: {self.layers} layers, {self.parameters / 1e6:.2f} M parameters, {self.gflops:.1f} GFLOPs at {self.image_size} px"


def summarise(detector: Detector, image_size: int = 640) -> Summary:
    """Count what ``detector`` is made of; its mode is left as it was, frozen layers included."""
    in_training = [module for module in detector.modules() if module.training]
    detector.eval()
    device = detector.mean.device
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        detector(torch.zeros(1, detector.in_chans, image_size, image_size, dtype=torch.uint8, device=device))
    for module in in_training:
        module.training = True
    layers = sum(1 for module in detector.modules() if not any(True for _ in module.children()) and not isinstance(module, nn.Identity))
    parameters = sum(p.numel() for p in detector.parameters())
    return Summary(detector.backbone.name, layers, parameters, counter.get_total_flops() / 1e9, image_size)
