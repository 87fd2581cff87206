"""AnchorHead: one 1 x 1 convolution a level says, for every cell and anchor, where a box is and whether there is one."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from exolight.boxes import cxcywh_to_xyxy
from exolight.models.box_coder import AnchorBoxCoder


class AnchorHead(nn.Module):
    """YOLOv5's coupled head.

    Boxes with objectness and classes have convolutions of their own, so that other classes leave every box weight in place. One class needs no class scores.

    Args:
        in_channels: channels of the neck's maps, fine to coarse.
        strides: their strides in px.
        anchors: L lists of A [width, height] in px.
        num_classes: C.
    """

    anchors: Tensor

    def __init__(self, in_channels: Sequence[int], strides: Sequence[int], anchors: Sequence[Sequence[Sequence[float]]], num_classes: int) -> None:
        super().__init__()
        self.strides = list(strides)
        self.num_classes = num_classes
        self.register_buffer("anchors", torch.tensor(anchors, dtype=torch.float32))
        self.num_anchors = self.anchors.shape[1]
        self.boxes = nn.ModuleList(nn.Conv2d(c, self.num_anchors * 5, 1) for c in in_channels)
        self.classes = nn.ModuleList(nn.Conv2d(c, self.num_anchors * num_classes, 1) for c in in_channels) if num_classes > 1 else nn.ModuleList()
        self._add_prior()

    @torch.no_grad()
    def _add_prior(self) -> None:
        """Start from the prior of 8 objects in a picture of 640 px and of evenly likely classes (focal loss, arXiv:1708.02002, sec. 3.3)."""
        for conv, stride in zip(self.boxes, self.strides, strict=True):
            conv.get_parameter("bias").view(self.num_anchors, 5)[:, 4] += math.log(8 / (640 / stride) ** 2)
        for conv in self.classes:
            conv.get_parameter("bias").add_(math.log(0.6 / (self.num_classes - 0.99999)))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps (B, c, H_i, W_i) -> raw numbers (B, H_i, W_i, A, 5 + C): x, y, w, h, objectness, classes; no classes where C = 1."""
        raw = []
        for i, x in enumerate(maps):
            batch, _, height, width = x.shape
            # Channels last: for maps in that memory format the reshape is free.
            out = self.boxes[i](x).permute(0, 2, 3, 1).reshape(batch, height, width, self.num_anchors, 5)
            if len(self.classes):
                scores = self.classes[i](x).permute(0, 2, 3, 1).reshape(batch, height, width, self.num_anchors, self.num_classes)
                out = torch.cat((out, scores), dim=-1)
            raw.append(out)
        return raw

    def decode(self, raw: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Raw numbers -> boxes (B, N, 4) xyxy in px of the network's input and scores (B, N, C) in [0, 1], N over all cells and anchors."""
        boxes, scores = [], []
        for level, anchors, stride in zip(raw, self.anchors, self.strides, strict=True):
            values = level.float()
            batch, height, width = values.shape[:3]
            rows, columns = torch.meshgrid(
                torch.arange(height, device=values.device, dtype=values.dtype), torch.arange(width, device=values.device, dtype=values.dtype), indexing="ij"
            )
            cells = torch.stack((columns, rows), dim=-1)[:, :, None, :]
            decoded = AnchorBoxCoder.decode(values[..., :4], cells, anchors, stride)
            boxes.append(cxcywh_to_xyxy(decoded).reshape(batch, -1, 4))
            score = values[..., 4:5].sigmoid()
            if len(self.classes):
                score = score * values[..., 5:].sigmoid()
            scores.append(score.reshape(batch, -1, self.num_classes))
        return torch.cat(boxes, dim=1), torch.cat(scores, dim=1)
