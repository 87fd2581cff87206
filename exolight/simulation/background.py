"""What a picture shows besides vesicles: the grain of the film, uneven illumination, debris and aggregates that a detector has to leave alone.

All lengths are given in nm and scaled with the picture, so that the same scene looks the same at any magnification.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

# Standard deviation (nm) and share of the variance of the Gaussian blurs of white noise that add up to the grain. Fitted to the autocorrelation
# measured on a real field at 1.92 nm/px: 0.78 / 0.55 / 0.38 / 0.21 / 0.11 at lags of 1 / 2 / 4 / 8 / 12 px.
_GRAIN = ((0.0, 0.07), (1.6, 0.33), (4.0, 0.30), (12.0, 0.30))
_COARSE_PX = 3.0  # from this sigma on noise is made on a coarser grid: the same look, a fraction of the time


def grain(rng: np.random.Generator, hw: tuple[int, int], pixel_size_nm: float) -> NDArray[np.float32]:
    """Grain of the carbon film (H, W), mean 0 and a standard deviation of about 1; finer or coarser from picture to picture."""
    total = np.zeros(hw, np.float32)
    for sigma_nm, share in _GRAIN:
        total += np.float32(math.sqrt(share) * rng.uniform(0.7, 1.25)) * blurred_noise(rng, hw, sigma_nm / pixel_size_nm)
    return total


def blurred_noise(rng: np.random.Generator, hw: tuple[int, int], sigma_px: float) -> NDArray[np.float32]:
    """White noise through a Gaussian of ``sigma_px``, (H, W), with a standard deviation of 1 to a few per cent."""
    step = max(int(2 * sigma_px / _COARSE_PX), 1)
    noise = rng.standard_normal([max(math.ceil(side / step), 2) for side in hw], dtype=np.float32)
    sigma = sigma_px / step
    if sigma > 0.3:
        kernel = np.asarray(cv2.getGaussianKernel(2 * math.ceil(3 * sigma) + 1, sigma), np.float32)
        unit = kernel / np.sqrt((kernel**2).sum())  # each pass keeps the variance
        noise = np.asarray(cv2.sepFilter2D(noise, -1, unit, unit), np.float32)
    return noise if step == 1 else np.asarray(cv2.resize(noise, hw[::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def illumination(rng: np.random.Generator, hw: tuple[int, int], drift: float, vignetting: float) -> NDArray[np.float32]:
    """Brightness (H, W) round 1: film and stain of uneven thickness over the field (``drift``, standard deviation), and a darker rim of the field of view.

    ``vignetting`` is the loss at the corners of a field centred near the picture's middle.
    """
    field = np.asarray(cv2.resize(rng.standard_normal((4, 4), dtype=np.float32), hw[::-1], interpolation=cv2.INTER_CUBIC), np.float32)
    field -= field.mean()
    height, width = hw
    x = np.linspace(-1, 1, width, dtype=np.float32) + np.float32(rng.uniform(-0.3, 0.3))
    y = np.linspace(-1, 1, height, dtype=np.float32) + np.float32(rng.uniform(-0.3, 0.3))
    radius_squared = (y[:, None] ** 2 + x[None, :] ** 2) / 2
    return np.asarray(np.exp(drift * field - vignetting * radius_squared), np.float32)


def debris(rng: np.random.Generator, hw: tuple[int, int], pixel_size_nm: float, specks_per_um2: float, aggregates_per_um2: float) -> NDArray[np.float32]:
    """Density (H, W) of all that lies about and is no vesicle: protein and lipoprotein specks, threads, membrane scraps, and spiky aggregates in stain."""
    area_um2 = hw[0] * hw[1] * (pixel_size_nm / 1000) ** 2
    scale = 1 / pixel_size_nm
    stain = np.zeros(hw, np.float32)
    for sigma_nm, share in ((2.0, 0.45), (3.5, 0.47), (6.0, 0.08)):  # specks, the finest the most, some drawn out to threads
        count = int(rng.poisson(share * specks_per_um2 * area_um2))
        steps = rng.choice((1, 2, 3, 5), count, p=(0.5, 0.25, 0.15, 0.10))
        points = _threads(rng, _somewhere(rng, hw, count), steps, 1.5 * sigma_nm * scale, 0.7, rng.uniform(0.08, 0.38, count))
        stain -= _blobs(points, hw, sigma_nm * scale)
    scraps = int(rng.poisson(0.4 * aggregates_per_um2 * area_um2))  # bits and hooks of membrane
    points = _threads(rng, _somewhere(rng, hw, scraps), rng.integers(3, 10, scraps), 7.0 * scale, 0.35, rng.uniform(0.12, 0.3, scraps))
    stain -= _blobs(points, hw, 6.0 * scale)
    for centre in _somewhere(rng, hw, int(rng.poisson(aggregates_per_um2 * area_um2))):
        _add_aggregate(rng, stain, centre, rng.uniform(12, 40), pixel_size_nm)
    return stain


def _add_aggregate(rng: np.random.Generator, stain: NDArray[np.float32], centre: NDArray[np.float64], size_nm: float, pixel_size_nm: float) -> None:
    """Add a puddle of stain with a heap of bright crumbs and short spikes in it to ``stain`` (H, W), in place."""
    size = size_nm / pixel_size_nm
    _add_puddle(stain, centre, rng.uniform(0.9, 1.6) * size, rng.uniform(0.3, 0.9))
    spikes = int(rng.integers(5, 9) + size_nm * rng.uniform(0.2, 0.7))
    starts = centre + rng.normal(size=(spikes, 2)) * rng.uniform(0.25, 0.6, 2) * size
    points = _threads(rng, starts, rng.integers(1, 5, spikes), 3.5 / pixel_size_nm, 0.4, rng.uniform(0.1, 0.5, spikes))
    low = np.maximum(np.floor(points[:, :2].min(axis=0)).astype(int) - 16, 0)
    high = np.maximum(np.ceil(points[:, :2].max(axis=0)).astype(int) + 16, 0)
    view = stain[low[1] : high[1], low[0] : high[0]]  # only where it is
    if view.size:
        view -= 1.4 * _blobs(points - (*low, 0), (view.shape[0], view.shape[1]), 2.6 / pixel_size_nm)


def _somewhere(rng: np.random.Generator, hw: tuple[int, int], count: int) -> NDArray[np.float64]:
    """(count, 2) random points x, y of a picture."""
    return rng.random((count, 2)) * (hw[1], hw[0])


def _threads(
    rng: np.random.Generator, starts: NDArray[np.float64], steps: NDArray[np.int64], step_px: float, bend: float, strength: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The points of K walks, ``steps`` (K,) long from ``starts`` (K, 2), as rows of x px, y px, strength.

    A walk turns by ``bend`` rad (standard deviation) a step, and each has a bias to one side, so that long ones curl into hooks.
    """
    count, longest = len(starts), int(steps.max(initial=1))
    turns = rng.normal(size=(count, 1)) * bend + rng.normal(size=(count, longest)) * bend
    headings = rng.uniform(0, 2 * math.pi, (count, 1)) + np.cumsum(turns, axis=1)
    walks = starts[:, None] + step_px * np.cumsum(np.stack((np.cos(headings), np.sin(headings)), axis=2), axis=1)
    heights = strength[:, None] * rng.uniform(0.5, 1.2, (count, longest))
    walked = np.arange(longest) < steps[:, None]
    return np.column_stack((walks[walked], heights[walked]))


def _blobs(points: NDArray[np.float64], hw: tuple[int, int], sigma_px: float) -> NDArray[np.float32]:
    """Gaussian spots at ``points`` (K, 3) = x, y, height, each in a faint dark seam of stain; where many meet the sum saturates. (H, W)."""
    impulses = np.zeros(hw, np.float32)
    column, row = np.floor(points[:, 0]).astype(int), np.floor(points[:, 1]).astype(int)
    inside = (column >= 0) & (row >= 0) & (column < hw[1]) & (row < hw[0])
    np.add.at(impulses, (row[inside], column[inside]), points[inside, 2])
    sigma = max(sigma_px, 0.5)
    taps = 2 * math.ceil(3 * sigma) + 1
    spots = np.asarray(cv2.GaussianBlur(impulses, (taps, taps), sigma), np.float32) * np.float32(2 * math.pi * sigma**2)
    spots -= cv2.blur(spots, (taps, taps))
    return np.asarray(np.tanh(spots * np.float32(2.2)) * np.float32(0.6), np.float32)


def _add_puddle(stain: NDArray[np.float32], centre: NDArray[np.float64], sigma_px: float, depth: float) -> None:
    """Add a round puddle of stain to ``stain`` (H, W), in place."""
    reach = 3 * sigma_px
    left, top = max(int(centre[0] - reach), 0), max(int(centre[1] - reach), 0)
    view = stain[top : max(int(centre[1] + reach) + 1, 0), left : max(int(centre[0] + reach) + 1, 0)]
    x = np.exp(-(((np.arange(view.shape[1]) + left + 0.5 - centre[0]) / sigma_px) ** 2) / 2)
    y = np.exp(-(((np.arange(view.shape[0]) + top + 0.5 - centre[1]) / sigma_px) ** 2) / 2)
    view += (depth * y[:, None] * x[None, :]).astype(np.float32)
