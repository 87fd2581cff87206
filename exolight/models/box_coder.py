"""AnchorBoxCoder: numbers of the network <-> boxes in pixels."""

import torch
from torch import Tensor


class AnchorBoxCoder:
    """YOLOv5's published parametrisation.

    A cell (column, row) of a grid of ``stride`` px and an anchor of (w_a, h_a) px read raw numbers t as

        centre = (2 sigmoid(t_xy) - 0.5 + cell) * stride        reaches half a cell beyond the cell's own
        size   = (2 sigmoid(t_wh))^2 * anchor                   reaches 0 to 4 times the anchor

    so for every reachable box, ``decode(encode(boxes)) == boxes``.
    """

    @staticmethod
    def decode(raw: Tensor, cells: Tensor, anchors: Tensor, stride: float) -> Tensor:
        """raw (..., 4), cells (..., 2) as column, row, anchors (..., 2) px -> centre x, centre y, width, height in px (..., 4)."""
        sigma = raw.sigmoid()
        centre = (2 * sigma[..., :2] - 0.5 + cells) * stride
        size = (2 * sigma[..., 2:4]).square() * anchors
        return torch.cat((centre, size), dim=-1)

    @staticmethod
    def encode(boxes: Tensor, cells: Tensor, anchors: Tensor, stride: float) -> Tensor:
        """The inverse: centre x, centre y, width, height in px (..., 4) -> raw (..., 4); out of reach gives infinities or nan."""
        centre = (boxes[..., :2] / stride - cells + 0.5) / 2
        size = (boxes[..., 2:] / anchors).sqrt() / 2
        return torch.cat((centre, size), dim=-1).logit()
