"""What people burn into pictures: scale bars with their length, a panel letter, a line of text."""

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX)
_LENGTHS_NM = (20, 50, 100, 200, 500, 1000, 2000, 5000)


def burn_in(rng: np.random.Generator, pixels: NDArray[Any], pixel_size_nm: float) -> None:
    """Write a scale bar of a round length, and at random a panel letter and a line of text, into grey levels (H, W), in place."""
    height, width = pixels.shape
    ink = 0 if rng.random() < 0.5 else int(np.iinfo(pixels.dtype).max)
    cover = np.zeros((height, width), np.uint8)  # OpenCV writes on eight bits only
    size = max(height / 512, 0.4) * rng.uniform(0.4, 0.8)
    font, stroke = int(rng.choice(_FONTS)), max(round(2 * size), 1)
    wanted = rng.uniform(0.1, 0.35) * width * pixel_size_nm
    length_nm = min(_LENGTHS_NM, key=lambda nm: abs(math.log(nm / wanted)))
    length, thick = round(length_nm / pixel_size_nm), max(round(rng.uniform(2, 8) * height / 512), 1)
    margin = round(0.04 * height)
    left = margin if rng.random() < 0.5 else width - margin - length
    bottom = height - margin
    cv2.rectangle(cover, (left, bottom - thick), (left + length - 1, bottom - 1), 255, cv2.FILLED)
    if rng.random() < 0.8:
        label = f"{length_nm} nm" if length_nm < 1000 else f"{length_nm // 1000} um"
        cv2.putText(cover, label, (left, bottom - thick - round(8 * size)), font, size, 255, stroke, cv2.LINE_AA)
    if rng.random() < 0.4:
        letter = "ABCDEFabcdef"[int(rng.integers(12))]
        cv2.putText(cover, letter, (margin, margin + round(24 * size)), font, 1.6 * size, 255, stroke + 1, cv2.LINE_AA)
    if rng.random() < 0.25:
        text = f"HV={int(rng.choice((80, 100, 120)))}kV  x{int(rng.integers(8, 60))}000"
        cv2.putText(cover, text, (round(0.35 * width), margin + round(16 * size)), font, 0.7 * size, 255, stroke, cv2.LINE_AA)
    share = cover.astype(np.float32) / 255
    pixels[...] = np.rint(pixels * (1 - share) + ink * share).astype(pixels.dtype)
