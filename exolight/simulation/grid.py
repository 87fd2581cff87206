"""Grid: the pixels that a scene in nanometres is drawn on."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]  # (H, W)


class Grid(NamedTuple):
    """``hw`` = (height, width) pixels of ``pixel_size_nm``; (0, 0) nm is the outer corner of the first pixel."""

    hw: tuple[int, int]
    pixel_size_nm: float

    @property
    def extent_nm(self) -> tuple[float, float]:
        """(height, width) nm."""
        return self.hw[0] * self.pixel_size_nm, self.hw[1] * self.pixel_size_nm

    def coarser(self, step: int) -> "Grid":
        """The same field, or a little more, in pixels ``step`` times as large."""
        return Grid((math.ceil(self.hw[0] / step), math.ceil(self.hw[1] / step)), self.pixel_size_nm * step)

    def window(self, low_nm: tuple[float, float], high_nm: tuple[float, float]) -> tuple[slice, slice]:
        """Rows and columns of the pixels between two corners x, y nm; empty slices where the grid has none."""
        left, top = (max(math.floor(v / self.pixel_size_nm), 0) for v in low_nm)
        right, bottom = (max(min(math.ceil(v / self.pixel_size_nm), side), 0) for v, side in zip(high_nm, self.hw[::-1], strict=True))
        return slice(top, max(bottom, top)), slice(left, max(right, left))

    def around(self, centre_nm: tuple[float, float], reach_nm: float) -> tuple[slice, slice]:
        """Rows and columns of the pixels within ``reach_nm`` of a point x, y nm, in either direction."""
        x, y = centre_nm
        return self.window((x - reach_nm, y - reach_nm), (x + reach_nm, y + reach_nm))

    def offsets(self, window: tuple[slice, slice], centre_nm: tuple[float, float]) -> tuple[Field, Field]:
        """x (1, w) and y (h, 1) distance in nm of the window's pixel centres from a point."""
        size = self.pixel_size_nm
        y, x = ((np.arange(s.start, s.stop) + 0.5) * size - c for s, c in zip(window, centre_nm[::-1], strict=True))
        return x[None, :].astype(np.float32), y[:, None].astype(np.float32)
