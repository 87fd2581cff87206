"""Which cells and anchors answer for which object. Pure functions."""

from typing import NamedTuple

import torch
from torch import Tensor

from exolight.models.anchors import MATCH_RATIO

REACH = 0.5  # of a cell: how near an object's centre has to be to a neighbour cell


class Assignment(NamedTuple):
    """K pairs of a prediction and an object on one level; all tensors are (K,) int64.

    An object may be paired several times (anchors, neighbour cells) or never; a prediction may be claimed by several objects.
    """

    image: Tensor
    row: Tensor
    column: Tensor
    anchor: Tensor
    target: Tensor


def assign(targets: Tensor, anchors: Tensor, grid_hw: tuple[int, int], stride: int, ratio: float = MATCH_RATIO) -> Assignment:
    """Pair objects with predictions of one level, as YOLOv5 published it.

    Args:
        targets: (M, 6) image index, class, centre x, centre y, width, height; lengths as shares of the input's width and height.
        anchors: (A, 2) width, height in px.
        grid_hw: cells of the level, (height, width).
        stride: px a cell.
        ratio: an object of (w, h) goes to an anchor (w_a, h_a) when max(w / w_a, w_a / w, h / h_a, h_a / h) is less.

    Returns:
        Pairs with the object's own cell and with those of its two nearest neighbours, left or right and above or below, that lie within half a cell and inside
        the grid.
    """
    height, width = grid_hw
    scale = targets.new_tensor([width, height])
    centre, size = targets[:, 2:4] * scale, targets[:, 4:6] * scale * stride

    quotient = size[None] / anchors[:, None]  # (A, M, 2)
    anchor, target = torch.nonzero(torch.maximum(quotient, 1 / quotient).amax(dim=2) < ratio, as_tuple=True)
    centre = centre[target]

    # Objects in the left half of their cell go to the left neighbour too, and so on; none beyond the rim.
    low = (centre % 1 < REACH) & (centre > 1)
    high = (centre % 1 > 1 - REACH) & (centre < scale - 1)
    steps = centre.new_tensor([[0, 0], [-1, 0], [0, -1], [1, 0], [0, 1]])
    chosen = torch.stack((torch.ones_like(low[:, 0]), low[:, 0], low[:, 1], high[:, 0], high[:, 1]))  # (5, K)
    step, pair = torch.nonzero(chosen, as_tuple=True)
    cell = (centre[pair].floor() + steps[step]).long()
    target = target[pair]
    return Assignment(
        image=targets[target, 0].long(),
        row=cell[:, 1].clamp(0, height - 1),
        column=cell[:, 0].clamp(0, width - 1),
        anchor=anchor[pair],
        target=target,
    )
