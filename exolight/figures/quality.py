"""On an overlay: what of a picture was not analysed, and why. OpenCV only, as ``overlays``."""

import cv2
import numpy as np
from numpy.typing import NDArray

TINT = (255, 96, 64)  # RGB, that no score has
SHARE = 0.25  # of the tint; the picture shows through


def shade(canvas: NDArray[np.uint8], mask: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
    """An (H, W, 3) RGB picture with ``mask`` (h, w), a map of it of any size, tinted; in place, and returned. None masks nothing."""
    if mask is not None:
        where = cv2.resize(mask.astype(np.uint8), canvas.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0
        canvas[where] = (canvas[where] * (1 - SHARE) + np.array(TINT) * SHARE).astype(np.uint8)
    return canvas


def stamp(canvas: NDArray[np.uint8], words: str) -> NDArray[np.uint8]:
    """An (H, W, 3) RGB picture with words on a dark strip along its upper edge, as large as the width allows; in place, and returned."""
    height, width = canvas.shape[:2]
    size = float(np.clip(min(height, width) / 800, 0.4, 3.0))
    size *= min(1.0, 0.93 * width / cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, size, max(1, round(size)))[0][0])
    pen = max(1, round(size))
    (_, letters), base = cv2.getTextSize(words, cv2.FONT_HERSHEY_SIMPLEX, size, pen)
    strip = canvas[: letters + 2 * base]
    strip[:] = (strip * 0.35).astype(np.uint8)
    cv2.putText(canvas, words, (max(1, width // 100), letters + base), cv2.FONT_HERSHEY_SIMPLEX, size, TINT, pen, cv2.LINE_AA)
    return canvas
