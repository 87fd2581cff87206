"""DistributionHead: for every cell, without anchors, how far away the four sides of a box are, and how good a box of each class it is."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from exolight.models.layers import Conv

BINS = 16  # a side lies 0 to 15 strides from the cell's centre


class DistributionHead(nn.Module):
    """A decoupled head without anchors that says for each side how likely each distance is (generalized focal loss, arXiv:2006.04388).

    Boxes and scores have branches of their own: a depthwise and a pointwise convolution, then the last one. There is no objectness: a score says both whether
    an object of the class is there and how well the box fits it (sec. 3.1 there).

    Args:
        in_channels: channels of the neck's maps, fine to coarse.
        strides: their strides in px.
        num_classes: C.
    """

    anchors: Tensor

    def __init__(self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self.strides = list(strides)
        self.num_classes = num_classes
        self.register_buffer("anchors", torch.zeros(len(strides), 0, 2), persistent=False)
        self.boxes = nn.ModuleList(nn.Sequential(*_separable(c), nn.Conv2d(c, 4 * BINS, 1)) for c in in_channels)
        self.scores = nn.ModuleList(nn.Sequential(*_separable(c)) for c in in_channels)
        self.classes = nn.ModuleList(nn.Conv2d(c, num_classes, 1) for c in in_channels)
        self._add_prior()

    @torch.no_grad()
    def _add_prior(self) -> None:
        """Start from the prior of 5 objects in a picture of 640 px (focal loss, arXiv:1708.02002, sec. 3.3)."""
        for conv, stride in zip(self.classes, self.strides, strict=True):
            conv.get_parameter("bias").fill_(math.log(5 / self.num_classes / (640 / stride) ** 2))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps (B, c, H_i, W_i) -> raw numbers (B, H_i, W_i, 4 * BINS + C): logits of the distances left, up, right and down, then of the scores."""
        levels = zip(maps, self.boxes, self.scores, self.classes, strict=True)
        return [torch.cat((box(x), last(score(x))), dim=1).permute(0, 2, 3, 1) for x, box, score, last in levels]

    def decode(self, raw: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Raw numbers -> boxes (B, N, 4) xyxy in px of the network's input and scores (B, N, C) in [0, 1], N over all cells."""
        return decode_boxes(raw, self.strides), score_logits(raw).sigmoid()


def _separable(channels: int) -> list[nn.Module]:
    return [Conv(channels, channels, 3, groups=channels), Conv(channels, channels, 1)]


def decode_boxes(raw: list[Tensor], strides: Sequence[int]) -> Tensor:
    """The boxes (B, N, 4) xyxy px that raw numbers (B, H_i, W_i, 4 * BINS + C) mean: each side at the mean of its distribution."""
    logits = side_logits(raw)
    steps = torch.arange(BINS, device=logits.device, dtype=logits.dtype)
    centres, cell_strides = cells(raw, strides)
    distances = (functional.softmax(logits, dim=-1) * steps).sum(dim=-1) * cell_strides[:, None]
    return torch.cat((centres - distances[..., :2], centres + distances[..., 2:]), dim=-1)


def side_logits(raw: list[Tensor]) -> Tensor:
    """(B, N, 4, BINS) float32 of raw numbers (B, H_i, W_i, 4 * BINS + C)."""
    return torch.cat([level[..., : 4 * BINS].float().flatten(1, 2) for level in raw], dim=1).unflatten(-1, (4, BINS))


def score_logits(raw: list[Tensor]) -> Tensor:
    """(B, N, C) float32 of raw numbers (B, H_i, W_i, 4 * BINS + C)."""
    return torch.cat([level[..., 4 * BINS :].float().flatten(1, 2) for level in raw], dim=1)


def cells(raw: list[Tensor], strides: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The centres (N, 2) x, y in px of all levels' cells, row by row, and the stride (N,) in px of each."""
    centres, sizes = [], []
    for level, stride in zip(raw, strides, strict=True):
        rows, columns = (torch.arange(n, device=level.device, dtype=torch.float32) + 0.5 for n in level.shape[1:3])
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        centres.append(torch.stack((x, y), dim=-1).flatten(0, 1) * stride)
        sizes.append(torch.full_like(centres[-1][:, 0], float(stride)))
    return torch.cat(centres), torch.cat(sizes)
