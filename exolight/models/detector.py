"""Detector: backbone, neck, head and what they need to know; a plain ``nn.Module`` that anybody can lift out."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from exolight.errors import InputError
from exolight.models.anchors import default_anchors
from exolight.models.backbone import Backbone
from exolight.models.distribution_head import DistributionHead
from exolight.models.head import AnchorHead
from exolight.models.neck import PanFpn

HEADS = ("anchor", "distribution")


class Detector(nn.Module):
    """A YOLOv5-style one-stage detector on a timm backbone.

    Args:
        backbone: arguments of ``Backbone``: ``name`` and, rarely, ``options``.
        neck: arguments of ``PanFpn``: ``depth_multiple`` and ``width_multiple``.
        class_names: what the labels 0, 1, ... mean.
        in_chans: 1 (grey, the default) or 3.
        strides: levels, fine to coarse, each twice the one before; (4, 8, 16, 32) for tiny objects.
        anchors: L lists of A [width, height] in px; None: the published ones.
        mean, std: per-channel statistics of pictures in [0, 1]; None: those that the backbone was trained with.
        head: one of ``HEADS``: ``anchor``, YOLOv5's, or ``distribution``, which has no anchors and learns with another loss.

    All arguments are plain values, and ``config()`` returns those that build this detector again: a checkpoint holds them, and no code.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: Mapping[str, Any],
        neck: Mapping[str, Any],
        class_names: Sequence[str],
        in_chans: int = 1,
        strides: Sequence[int] = (8, 16, 32),
        anchors: Sequence[Sequence[Sequence[float]]] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        head: str = "anchor",
    ) -> None:
        super().__init__()
        if in_chans not in (1, 3):
            raise InputError(f"model.in_chans={in_chans}: pictures have 1 (grey) or 3 channels")
        if not class_names:
            raise InputError("a detector needs at least one class name")
        if len(strides) < 2 or any(b != 2 * a for a, b in pairwise(strides)):
            raise InputError(f"model.strides={list(strides)}: at least two levels, each twice as coarse as the one before, such as [8, 16, 32]")
        if head not in HEADS:
            raise InputError(f"model.head={head}: it can be {' or '.join(HEADS)}")
        if head == "distribution" and anchors is not None:
            raise InputError("model.anchors: head=distribution has none; leave them null, or use head=anchor")
        self.class_names = list(class_names)
        self.in_chans = in_chans
        self.strides = list(strides)
        self._neck_arguments = dict(neck)
        self.backbone = Backbone(**backbone, in_chans=in_chans, strides=strides)
        self.neck = PanFpn(self.backbone.channels, self.backbone.strides, strides, **neck)
        self.head: AnchorHead | DistributionHead
        if head == "anchor":
            self.head = AnchorHead(self.neck.channels, strides, anchors if anchors is not None else default_anchors(strides), self.num_classes)
        else:
            self.head = DistributionHead(self.neck.channels, strides, self.num_classes)
        for name, values in (("mean", mean or self.backbone.mean), ("std", std or self.backbone.std)):
            # Constants, not state: they come back with the constructor's arguments.
            self.register_buffer(name, torch.tensor(values).view(1, in_chans, 1, 1), persistent=False)
        # Convolutions on the CPU run faster so (benchmarks/RESULTS.md).
        self.to(memory_format=torch.channels_last)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def head_kind(self) -> str:
        """One of ``HEADS``."""
        return "anchor" if isinstance(self.head, AnchorHead) else "distribution"

    @property
    def anchors(self) -> Tensor:
        """(L, A, 2) width, height in px; A = 0 for a head without."""
        return self.head.anchors

    def forward(self, images: Tensor) -> list[Tensor]:
        """Pictures (B, in_chans, H, W), uint8 or floats in [0, 255], H and W multiples of the coarsest stride -> raw, for head and loss only."""
        x = (images.to(self.mean.dtype) / 255 - self.mean) / self.std
        return self.head(self.neck(self.backbone(x.contiguous(memory_format=torch.channels_last))))

    def decode(self, raw: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Raw -> boxes (B, N, 4) xyxy in px of the network's input, scores (B, N, C) in [0, 1]."""
        return self.head.decode(raw)

    def config(self) -> dict[str, Any]:
        """Plain constructor arguments that build this detector again, fitted anchors included."""
        return {
            "backbone": {"name": self.backbone.name, "options": dict(self.backbone.options)},
            "neck": dict(self._neck_arguments),
            "class_names": list(self.class_names),
            "in_chans": self.in_chans,
            "strides": list(self.strides),
            "anchors": self.anchors.tolist() if self.head_kind == "anchor" else None,
            "mean": self.mean.flatten().tolist(),
            "std": self.std.flatten().tolist(),
            "head": self.head_kind,
        }
