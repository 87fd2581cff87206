"""Criterion: what a loss over a head's raw numbers offers."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from exolight.losses.assignment import Assignment


class Criterion(nn.Module, ABC):
    """A loss for the raw numbers of one kind of head.

    Attributes:
        head: that kind, one of ``exolight.models.detector.HEADS``.
    """

    head: ClassVar[str]

    @abstractmethod
    def forward(self, raw: list[Tensor], targets: Tensor, ignored: Tensor, anchors: Tensor, strides: list[int]) -> dict[str, Tensor]:
        """Score raw numbers.

        Args:
            raw: L tensors, as the head gives them.
            targets: (M, 6) image index, class, centre x, centre y, width, height as shares of the input.
            ignored: (K, 6) like targets: regions that count neither way; predictions there that no object claims are left out, whatever the class.
            anchors: (L, A, 2) px; A is 0 for a head without.
            strides: L px.

        Returns:
            Named terms, each a scalar.
        """

    @abstractmethod
    def assignment(self, raw: list[Tensor], targets: Tensor, anchors: Tensor, strides: list[int]) -> list[Assignment]:
        """Which cells and anchors learn which object, level by level; arguments as ``forward``'s."""

    @abstractmethod
    def scaled(self, gains: Mapping[str, float], levels: int, classes: int, image_size: int) -> dict[str, float]:
        """The weights of the terms for this many ``levels`` and ``classes`` and pictures of ``image_size`` px."""
