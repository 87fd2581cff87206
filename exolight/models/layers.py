"""The building blocks of YOLOv5's published neck: Conv, Bottleneck, C3 and SPPF.

All convolutions carry BatchNorm with eps 1e-3 and momentum 0.03 and a SiLU, as that design has it.
"""

import torch
from torch import Tensor, nn

BATCH_NORM_EPS = 1e-3
BATCH_NORM_MOMENTUM = 0.03


class Conv(nn.Sequential):
    """Convolution without bias, in ``groups``, BatchNorm, SiLU; same padding: (B, in, H, W) -> (B, out, H / stride, W / stride)."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(out_channels, eps=BATCH_NORM_EPS, momentum=BATCH_NORM_MOMENTUM),
            nn.SiLU(),
        )


class Bottleneck(nn.Module):
    """1 x 1 then 3 x 3 convolution, added to the input where ``shortcut``."""

    def __init__(self, channels: int, shortcut: bool = True) -> None:
        super().__init__()
        self.reduce = Conv(channels, channels, 1)
        self.expand = Conv(channels, channels, 3)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        y = self.expand(self.reduce(x))
        return x + y if self.shortcut else y


class C3(nn.Module):
    """Cross-stage-partial block with three 1 x 1 convolutions and ``depth`` bottlenecks on one of two half-width branches (CSPNet, arXiv:1911.11929)."""

    def __init__(self, in_channels: int, out_channels: int, depth: int = 1, shortcut: bool = True) -> None:
        super().__init__()
        hidden = out_channels // 2
        self.main = Conv(in_channels, hidden, 1)
        self.bypass = Conv(in_channels, hidden, 1)
        self.blocks = nn.Sequential(*(Bottleneck(hidden, shortcut) for _ in range(depth)))
        self.fuse = Conv(2 * hidden, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fuse(torch.cat((self.blocks(self.main(x)), self.bypass(x)), dim=1))


class SPPF(nn.Module):
    """Spatial pyramid pooling, fast: three stacked 5 x 5 max pools see 5, 9 and 13 cells around (SPP, arXiv:1406.4729)."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 5) -> None:
        super().__init__()
        hidden = in_channels // 2
        self.reduce = Conv(in_channels, hidden, 1)
        self.pool = nn.MaxPool2d(kernel, stride=1, padding=kernel // 2)
        self.fuse = Conv(4 * hidden, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = [self.reduce(x)]
        for _ in range(3):
            pooled.append(self.pool(pooled[-1]))
        return self.fuse(torch.cat(pooled, dim=1))
