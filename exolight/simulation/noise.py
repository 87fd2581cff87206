"""Random fields: what film, membranes and noise have in common."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from exolight.simulation.grid import Field, Grid

_COARSE_PX = 2.4  # from this sigma on noise is made on a coarser grid: the same look, a fraction of the time


def blurred_noise(rng: np.random.Generator, hw: tuple[int, int], sigma_px: float) -> Field:
    """White noise through a Gaussian of ``sigma_px``, (H, W), with a standard deviation of 1 to a few per cent."""
    step = max(int(2 * sigma_px / _COARSE_PX), 1)
    noise = rng.standard_normal([max(math.ceil(side / step), 2) for side in hw], dtype=np.float32)
    sigma = sigma_px / step
    if sigma > 0.3:
        kernel = np.asarray(cv2.getGaussianKernel(2 * math.ceil(3 * sigma) + 1, sigma), np.float32)
        unit = kernel / np.sqrt((kernel**2).sum())  # each pass keeps the variance
        noise = np.asarray(cv2.sepFilter2D(noise, -1, unit, unit), np.float32)
    return noise if step == 1 else enlarged(noise, hw)


def enlarged(field: Field, hw: tuple[int, int]) -> Field:
    """A coarse field on a finer grid of ``hw``, smoothly."""
    return np.asarray(cv2.resize(field, hw[::-1], interpolation=cv2.INTER_CUBIC), np.float32)


class Texture:
    """Noise of unit variance, fine (2.5 nm) and coarse (8 nm), that mottles bodies and frays what would be too regular."""

    def __init__(self, rng: np.random.Generator, grid: Grid) -> None:
        self.fine = blurred_noise(rng, grid.hw, 2.5 / grid.pixel_size_nm)
        self.coarse = blurred_noise(rng, grid.hw, 8.0 / grid.pixel_size_nm)


def profile(rng: np.random.Generator, length: int, roughness: float) -> NDArray[np.float64]:
    """A line (length,) that wanders like the edge of torn film: the sum of octaves whose amplitude halves.

    Its values have a standard deviation of 0.57 ``roughness`` over many lines, round their own mean one of 0.4.
    """
    line = np.zeros(length)
    at = np.linspace(0, 1, length)
    for octave in range(1, 7):
        knots = 2**octave + 1
        line += roughness * 0.6 * 0.5 ** (octave - 1) * np.interp(at, np.linspace(0, 1, knots), rng.normal(size=knots))
    return line
