"""From pixels as recorded to the network's input and back: normalise, one rescale, pad. The same for training and prediction; numpy and OpenCV only."""

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

PADDING_GREY = 114  # of 255; the value that YOLOv5 pads with
PERCENTILES = (0.5, 99.5)
FIELD_STEP = 64  # px; a multiple of every level's stride
# Histograms and percentiles of a float picture are taken from about this many of its pixels.
SAMPLE = 1_000_000


class Placement(NamedTuple):
    """Where a picture lies in the network's input: input px = picture px * scale + offset, separately in x and y."""

    scale_x: float
    scale_y: float
    offset_x: float = 0.0
    offset_y: float = 0.0

    def to_input(self, boxes: NDArray[np.floating]) -> NDArray[np.float32]:
        """(N, 4) xyxy in picture px -> (N, 4) xyxy in px of the input."""
        scale, offset = np.tile([self.scale_x, self.scale_y], 2), np.tile([self.offset_x, self.offset_y], 2)
        return (boxes * scale + offset).astype(np.float32)

    def to_image(self, boxes: NDArray[np.floating]) -> NDArray[np.float32]:
        """The inverse of ``to_input``."""
        scale, offset = np.tile([self.scale_x, self.scale_y], 2), np.tile([self.offset_x, self.offset_y], 2)
        return ((boxes - offset) / scale).astype(np.float32)


def grey_range(pixels: NDArray[np.generic]) -> tuple[float, float]:
    """The grey values that become black and white: the 0.5 and 99.5 percent points of the pixels (H, W) that show the specimen.

    Burned-in bars, letters, strips and saturated areas are flat, and a micrograph's grain never is over long: a pixel counts when it differs from its right or
    from its lower neighbour, and most pixels of the 5 x 5 around it do too. Without the latter the rims of white letters alone could be more than 0.5 % of a
    small picture. Where under a tenth of the picture counts (a drawing, an empty frame), all pixels do.
    """
    counting = grain(pixels) if min(pixels.shape) > 1 else None
    if counting is None or np.count_nonzero(counting) < 0.1 * pixels.size:
        counting = None
    if pixels.dtype in (np.uint8, np.uint16):
        levels = 2 ** (8 * pixels.dtype.itemsize)
        cumulative = np.cumsum(cv2.calcHist([np.ascontiguousarray(pixels)], [0], counting, [levels], [0, levels]), dtype=np.float64)
        low, high = np.searchsorted(cumulative, np.array(PERCENTILES) / 100 * cumulative[-1])
    else:
        values = pixels.ravel() if counting is None else pixels[counting > 0]
        low, high = np.percentile(values[:: max(1, values.size // SAMPLE)].astype(np.float64), PERCENTILES)
    return float(low), float(high)


def grain(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """(H, W), 255 where a picture of at least 2 x 2 px is nowhere flat around, else 0; see ``grey_range``. In OpenCV, because large fields go through here."""
    differs = np.zeros(pixels.shape, dtype=np.uint8)
    differs[:, :-1] = cv2.compare(pixels[:, :-1], pixels[:, 1:], cv2.CMP_NE).reshape(pixels.shape[0], -1)
    differs[:-1] |= cv2.compare(pixels[:-1], pixels[1:], cv2.CMP_NE).astype(np.uint8, copy=False).reshape(-1, pixels.shape[1])
    mostly = (cv2.blur(differs, (5, 5), borderType=cv2.BORDER_REFLECT) > 0.6 * 255).astype(np.uint8)
    return differs * mostly.reshape(pixels.shape)


def normalise(pixels: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Stretch a whole picture (H, W) of any depth to 8 bits: ``grey_range`` becomes 0 to 255, what lies outside is clipped.

    To be applied to the WHOLE picture, before any tiling, so that tiles agree. A picture of one single value becomes middle grey.
    """
    if pixels.dtype not in (np.uint8, np.uint16, np.float32):
        pixels = pixels.astype(np.float32)
    low, high = grey_range(pixels)
    if high <= low:
        low, high = float(pixels.min()), float(pixels.max())
    if high <= low:
        return np.full(pixels.shape, 128, dtype=np.uint8)
    if pixels.dtype.kind == "u" and pixels.dtype.itemsize <= 2:
        levels = np.arange(2 ** (8 * pixels.dtype.itemsize), dtype=np.float32)
        table = np.clip((levels - low) * (255 / (high - low)) + 0.5, 0, 255).astype(np.uint8)
        if pixels.dtype.itemsize == 2:
            return table[pixels.astype(np.uint16, copy=False)]
        return np.asarray(cv2.LUT(pixels.astype(np.uint8, copy=False), table), dtype=np.uint8).reshape(pixels.shape)
    scaled = (pixels.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low)) + np.float32(0.5)
    return np.clip(scaled, 0, 255).astype(np.uint8)


def letterbox_factor(hw: tuple[int, int], size: int) -> float:
    """The factor by which a picture of ``hw`` just fits into a square of ``size`` px."""
    return min(size / hw[0], size / hw[1])


def rescale(image: NDArray[np.uint8], factor: float) -> tuple[NDArray[np.uint8], Placement]:
    """Resize (H, W) by ``factor``, to whole pixels, at least one; the placement holds the factors of x and y that this really took."""
    height, width = image.shape[:2]
    new_h, new_w = max(1, round(height * factor)), max(1, round(width * factor))
    if (new_h, new_w) != (height, width):
        # Averaging when shrinking keeps grain from turning into false detail.
        image = cv2.resize(image, (new_w, new_h), interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)  # type: ignore[assignment]
    return image, Placement(new_w / width, new_h / height)


def pad(image: NDArray[np.uint8], hw: tuple[int, int]) -> tuple[NDArray[np.uint8], int, int]:
    """Centre (H, W) in a grey field of ``hw``; returns it with the picture's left and top."""
    height, width = image.shape[:2]
    top, left = (hw[0] - height) // 2, (hw[1] - width) // 2
    if top < 0 or left < 0:
        raise ValueError(f"a picture of {height} x {width} px does not fit into {hw[0]} x {hw[1]} px")
    field = np.full(hw, PADDING_GREY, dtype=np.uint8)
    field[top : top + height, left : left + width] = image
    return field, left, top


def place(image: NDArray[np.uint8], size: int, factor: float | None = None) -> tuple[NDArray[np.uint8], Placement]:
    """Rescale a normalised picture once and pad it to at least (size, size), the picture in the middle.

    ``factor`` (recorded over wanted nm per pixel) sets the scale, and a picture that grows beyond ``size`` gets a field of its own, in steps of 64 px; without
    one the picture is scaled to fit exactly. Returns the input of the network and the placement that takes its boxes back to picture pixels.
    """
    image, placement = rescale(image, letterbox_factor((image.shape[0], image.shape[1]), size) if factor is None else factor)
    hw = tuple(size if side <= size else -(-side // FIELD_STEP) * FIELD_STEP for side in image.shape[:2])
    field, left, top = pad(image, (hw[0], hw[1]))
    return field, placement._replace(offset_x=float(left), offset_y=float(top))
