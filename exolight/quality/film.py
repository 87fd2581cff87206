"""Where a field shows no film: torn away, or covered by a bar of the grid."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from exolight.quality.burned_in import Mask

# Tuned on simulated tears and bars against the same presets without (benchmarks/quality.py). Lengths are px of a picture whose short side is 256 to 511 px.
SMOOTH = 0.65  # texture of what is no film, over the picture's median texture
CORE_AREA = 0.008  # of the picture, smooth
COVER = 0.15  # of the area is smooth core; the rest is its rim, over which texture is measured
# A core is looked at no further where so much of all around is brighter and so much is darker, by a share of the grey levels' span (5 to 95 percent points).
BETWEEN, MARGIN = 0.05, 0.1
BEYOND = 0.004  # share of the rest of the picture that is more extreme in grey
RAGGED, RAGGED_STILL = 5.0, 6.2  # length of the rim over the square root of the area; a straight cut has 1 to 2, stain between vesicles 5 to 40
STILL = 0.1  # texture over the picture's under which a more ragged area, with vesicles along its rim, is believed
# Slope of the rim over that of a perfect edge, at least: puddles of stain and bright patches fade slowly. The smoother the area is, the less is asked: few
# electrons come through a bar, and its edge is far from focus.
STEEP, STEEPER = 0.2, 1.2  # without any texture, and more for that of film
LEAST_REST = 0.02  # of the picture must be left to compare with
NECK_PX = 3  # radius; what hangs on by less is stain that runs off between vesicles
Field = NDArray[np.float32]


def bare(picture: NDArray[Any], ignored: Mask) -> Mask:
    """(H, W): where a reduced picture (H, W) shows a hole in the film or a bar of the grid; nothing in ``ignored`` (H, W) counts.

    Such an area is smoother than film (noise, but no grain), brighter or darker than all the rest, reaches the picture's border and has a plain, steep rim. It
    ends where the grey is half that of the rest. A hole within the field is not looked for: a large smooth particle looks the same.
    """
    grey = picture.astype(np.float32)
    level = _blur(grey, 2.0)
    texture = _blur((_blur(grey, 1.0) - _blur(grey, 4.0)) ** 2, 3.0) ** 0.5
    gradient = cv2.magnitude(*(cv2.Sobel(level, cv2.CV_32F, x, 1 - x, scale=1 / 8) for x in (1, 0)))
    slope = np.asarray(cv2.dilate(gradient, _disc(3)), np.float32)  # the steepest within reach of the rim
    found = np.zeros(grey.shape, bool)
    counted = texture[::2, ::2][~ignored[::2, ::2]]
    typical = float(np.median(counted)) if counted.size else 0.0
    if typical <= 0:
        return found
    smooth = cv2.morphologyEx(((texture < SMOOTH * typical) & ~ignored).astype(np.uint8), cv2.MORPH_OPEN, _disc(4))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(smooth, connectivity=4)
    low, high = np.percentile(level[::4, ::4], (5, 95))
    span = float(high - low)
    for index in range(1, count):
        if stats[index, cv2.CC_STAT_AREA] >= CORE_AREA * grey.size and not found[core := labels == index].any():
            found |= _area(core, level, slope, np.asarray(texture / typical, np.float32), ignored, span)
    return found


def _area(core: Mask, level: Field, slope: Field, texture: Field, ignored: Mask, span: float) -> Mask:
    """The area (H, W) that a smooth core belongs to; empty where it is film after all."""
    nothing = np.zeros(core.shape, bool)
    grey = float(np.median(level[core]))
    around = level[::4, ::4][~core[::4, ::4] & ~ignored[::4, ::4]] - grey
    if around.size and min(np.mean(around > MARGIN * span), np.mean(around < -MARGIN * span)) > BETWEEN:
        return nothing  # before anything that takes time: most smooth patches of film end here
    rest = _outside(core, 12, level, ignored)
    if rest is None:
        return nothing
    near = ((np.abs(level - grey) < 0.5 * abs(grey - float(np.median(rest)))) & ~ignored).astype(np.uint8)
    near = np.asarray(cv2.morphologyEx(near, cv2.MORPH_OPEN, _disc(NECK_PX)), np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(near, connectivity=4)
    index = int(np.bincount(labels[core & (near > 0)], minlength=count).argmax())
    x, y, w, h, size = stats[index]
    if index == 0 or (min(x, y) > 0 and x + w < core.shape[1] and y + h < core.shape[0]):
        return nothing
    area = labels == index
    rest = _outside(area, 4, level, ignored)
    if rest is None:
        return nothing
    middle = float(np.median(rest))
    beyond = np.mean(rest > grey) if grey > middle else np.mean(rest < grey)
    rim = area & (cv2.erode(area.astype(np.uint8), _disc(1)) == 0)  # not where the picture ends
    inner = _depth(area) > 8
    if not rim.any() or beyond > BEYOND or np.count_nonzero(core & area) < COVER * size:
        return nothing
    left = float(np.median(texture[inner])) if inner.any() else 1.0
    perfect = abs(grey - middle) / (2.0 * (2 * np.pi) ** 0.5)  # a step behind the blur of ``level``
    plain = np.count_nonzero(rim) <= (RAGGED_STILL if left < STILL else RAGGED) * size**0.5
    return area if plain and float(np.median(slope[rim])) > (STEEP + STEEPER * left) * perfect else nothing


def _outside(area: Mask, reach: int, level: Field, ignored: Mask) -> Field | None:
    """The greys of every second row and column, beyond ``reach`` px from an area; None where hardly any are left."""
    outside = (_depth(~area) > reach)[::2, ::2] & ~ignored[::2, ::2]
    return level[::2, ::2][outside] if outside.mean() >= LEAST_REST else None


def _depth(area: Mask) -> Field:
    """Distance (H, W) px to what is not in the area; the picture's border is not its end."""
    return np.asarray(cv2.distanceTransform(area.astype(np.uint8), cv2.DIST_L2, 3), np.float32)


def _blur(picture: Field, sigma: float) -> Field:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.float32)


def _disc(radius: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)), np.uint8)
