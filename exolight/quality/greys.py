"""What the grey levels alone tell: clipped ones, and pictures that are drawn and not recorded."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from exolight.quality.burned_in import Mask

JUMP = 0.1  # of the range: lines and areas of a drawing differ by more; neighbours in an unstretched 8 bit micrograph by a level or two


def clipped_share(extreme: Mask, specimen: Mask) -> float:
    """Share of the ``specimen`` (H, W) that is ``extreme`` (H, W): black or white beyond what was recorded. 0 where there is no specimen."""
    return float(extreme[specimen].mean()) if specimen.any() else 0.0


def drawn_share(pixels: NDArray[Any], step: int = 1) -> float:
    """Share of pixels (H, W) exactly as grey as their right, lower and lower right neighbours, looked at in every ``step``-th row and column.

    A recorded picture has noise, and even its clipped parts are not all of it; plots, drawings, text and label masks are one grey over most of their area.
    0 where the other pixels differ from their neighbours by a few grey levels alone, as in a micrograph that was stored with few of them.
    """
    corner = pixels[:-1:step, :-1:step]
    around = [pixels[y::step, x::step][: corner.shape[0], : corner.shape[1]] for y, x in ((0, 1), (1, 0), (1, 1))]
    flat = np.logical_and.reduce([corner == other for other in around])
    if flat.all() or not flat.any():
        return float(flat.all())
    jumps = np.max([np.abs(other[~flat].astype(np.float32) - corner[~flat]) for other in around], axis=0)
    spread = float(pixels.max()) - float(pixels.min())
    return float(flat.mean()) if np.median(jumps) >= JUMP * spread else 0.0
