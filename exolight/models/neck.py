"""PAN-FPN: features are mixed from coarse to fine, then from fine to coarse (FPN, arXiv:1612.03144; PANet, arXiv:1803.01534)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from exolight.models.layers import C3, SPPF, Conv


def level_channels(stride: int, width_multiple: float) -> int:
    """Channels of the level at ``stride``: 32 a pixel of stride up to 1024, times the width, in steps of 8."""
    return max(8, round(min(32 * stride, 1024) * width_multiple / 8) * 8)


class PanFpn(nn.Module):
    """YOLOv5's neck over any number of levels, each twice as coarse as the one before.

    Args:
        in_channels: channels of the backbone's features, fine to coarse.
        in_strides: their strides.
        strides: strides of the levels to return; those beyond the backbone's are made by strided convolutions.
        depth_multiple: 3 of it, rounded and at least 1, is the number of bottlenecks in each C3.
        width_multiple: channels are this share of 256, 512, 1024 at strides 8, 16, 32.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        in_strides: Sequence[int],
        strides: Sequence[int] = (8, 16, 32),
        depth_multiple: float = 0.33,
        width_multiple: float = 0.25,
    ) -> None:
        super().__init__()
        self.channels = [level_channels(s, width_multiple) for s in strides]
        depth = max(1, round(3 * depth_multiple))

        found = list(in_channels)
        self.extra = nn.ModuleList()
        for out in self.channels[len(in_strides) :]:
            self.extra.append(Conv(found[-1], out, 3, 2))
            found.append(out)

        self.pool = SPPF(found[-1], self.channels[-1])
        found[-1] = self.channels[-1]
        fine_to_coarse = list(range(len(strides) - 1))
        # Coarse to fine: reduce the coarse map to the fine level's width, enlarge, join, mix.
        self.reduce = nn.ModuleList(Conv(self.channels[i + 1], self.channels[i], 1) for i in fine_to_coarse)
        self.mix_down = nn.ModuleList(C3(found[i] + self.channels[i], self.channels[i], depth, shortcut=False) for i in fine_to_coarse)
        # Fine to coarse: shrink, join what was reduced on the way down, mix.
        self.shrink = nn.ModuleList(Conv(self.channels[i], self.channels[i], 3, 2) for i in fine_to_coarse)
        self.mix_up = nn.ModuleList(C3(2 * self.channels[i], self.channels[i + 1], depth, shortcut=False) for i in fine_to_coarse)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Backbone features, fine to coarse -> as many maps as levels, (B, channels[i], H / strides[i], W / strides[i])."""
        maps = list(features)
        for conv in self.extra:
            maps.append(conv(maps[-1]))
        x = self.pool(maps[-1])
        reduced: list[Tensor] = []
        for i in reversed(range(len(self.reduce))):
            reduced.insert(0, self.reduce[i](x))
            x = self.mix_down[i](torch.cat((functional.interpolate(reduced[0], scale_factor=2.0, mode="nearest"), maps[i]), dim=1))
        out = [x]
        for shrink, mix, side in zip(self.shrink, self.mix_up, reduced, strict=True):
            out.append(mix(torch.cat((shrink(out[-1]), side), dim=1)))
        return out
