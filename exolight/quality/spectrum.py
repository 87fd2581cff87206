"""Power spectra of a picture's patches, and what they tell without a model: emptiness and drift."""

import functools
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

BINS = 14  # of wave numbers, in equal steps of their logarithm
PATCHES = 5  # a side of the picture, at most
PERCENTILE = 75  # over patches: those that show something, yet so that letters in a few of them weigh nothing
Values = NDArray[np.float64]


class Spectra(NamedTuple):
    """Of P patches of ``side`` px, in K rings of waves.

    Attributes:
        power: (P, K) mean power.
        direction: (P, K) complex, amplitude and twice the angle of ln(power) around the ring: 2 * mean of ln(power) * exp(2i angle).
        frequency: (K,) cycles per px.
        waves: (K,) how many each ring holds.
        side: px.
    """

    power: Values
    direction: NDArray[np.complex128]
    frequency: Values
    waves: Values
    side: int

    @property
    def typical(self) -> Values:
        """Power (K,) of patches that show something."""
        return np.asarray(np.percentile(self.power, PERCENTILE, axis=0), np.float64)


def spectra(picture: NDArray[Any], use: NDArray[np.bool_]) -> Spectra:
    """Of half overlapping patches of a picture (H, W) of at least 32 x 32 px, spread over those large.

    Patches of 128 px (64 or 32 px in small pictures), less their mean and slope, under a Hann window. ``use`` (h, w) is a map of the picture, of any size;
    patches whose middle it forbids are left out, unless it forbids all of them.
    """
    short = min(picture.shape)
    side = 128 if short >= 256 else 64 if short >= 64 else 32
    tops, lefts = (_starts(length, side) for length in picture.shape)
    corners = [(top, left) for top in tops for left in lefts]
    allowed = [corner for corner in corners if use[_middle(corner, side, picture.shape, use.shape)]] or corners
    patches = np.stack([picture[top : top + side, left : left + side] for top, left in allowed]).astype(np.float32)
    ramp = np.linspace(-1, 1, side, dtype=np.float32)
    ramp /= np.sqrt((ramp**2).mean())
    rows, columns = patches.mean(axis=2), patches.mean(axis=1)  # (P, side) each: all that a plane's fit needs
    patches -= (rows.mean(axis=1, keepdims=True) + (rows * ramp).mean(axis=1, keepdims=True) * ramp)[:, :, None]
    patches -= ((columns * ramp).mean(axis=1, keepdims=True) * ramp)[:, None, :]
    window = np.hanning(side + 2)[1:-1].astype(np.float32)
    window /= np.sqrt((window**2).mean())
    patches *= window[:, None] * window
    rings = _rings(side)
    power = np.empty((len(patches), len(rings.order)), np.float32)
    for patch, row in zip(patches, power, strict=True):
        # OpenCV's transform takes a fifth of NumPy's time, and SciPy's that long to import
        waves = cv2.dft(patch, flags=cv2.DFT_COMPLEX_OUTPUT)[:, : side // 2 + 1]
        np.take(waves[..., 0] ** 2 + waves[..., 1] ** 2, rings.order, out=row)
    power += np.float32(1e-6) * side**2  # far below the steps of 8 bits; ln 0 where a patch is plain
    means = np.add.reduceat(power, rings.starts, axis=1) / rings.waves / side**2
    # ln by waves is no smaller than by their mean: exponentially distributed power only shifts it
    turned = np.add.reduceat(np.log(power) * rings.turn, rings.starts, axis=1) * (2 / rings.waves)
    return Spectra(means, np.asarray(turned, np.complex128), rings.frequency, rings.waves, side)


def flatness(found: Spectra) -> float:
    """Least over largest power among the long waves (from a tenth of a patch's side on): 1 for noise alone, nearly 0 where there is anything to see.

    Film, stain and vesicles have far more power in long waves than in short ones; the noise of a blank field has the same in all.
    """
    power = found.typical[found.frequency < 10 / found.side]
    return float(power.min() / power.max())


def anisotropy(found: Spectra) -> float:
    """How much weaker waves along one direction are than those across it: the amplitude of ln(power) over the circle of directions.

    The mean over wave numbers, weighted by the share of their power that is not noise, of the median over patches: a fold, a tear or a rod makes single patches
    directed, but not most of them, and not always in the same direction. Drift (and astigmatism) does both.
    """
    common = np.median(found.direction.real, axis=0) + 1j * np.median(found.direction.imag, axis=0)
    power = found.typical
    weight = np.clip(1 - 1.5 * np.sort(power)[:2].mean() / power, 0, 1)
    return float(abs((common * weight).sum()) / max(weight.sum(), 1e-9))


class _Rings(NamedTuple):
    """Coefficients of half a transform, as ``rfft2`` gives it, by rings: their order, ``turn`` exp(2i angle) of each; where each ring starts, how many waves
    it has, and their mean wave number.
    """

    order: NDArray[np.intp]
    turn: NDArray[np.complex64]
    starts: NDArray[np.intp]
    waves: Values
    frequency: Values


@functools.cache
def _rings(side: int) -> _Rings:
    """For patches of ``side``."""
    y, x = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :]
    frequency = np.hypot(y, x)
    ring = np.digitize(frequency, np.geomspace(2 / side, 0.5, BINS + 1)) - 1
    # Waves of the first and the last column come twice, once each way. Half of them go, so that every ring is the same after a quarter turn.
    ring[((x == 0) | (x == 0.5)) & (y < 0) | (ring >= BINS)] = -1
    order = np.argsort(ring, axis=None, kind="stable")
    order = order[np.count_nonzero(ring < 0) :]
    count = np.bincount(ring.ravel()[order], minlength=BINS)
    frequency_sum = np.bincount(ring.ravel()[order], frequency.ravel()[order], minlength=BINS)
    kept = count > 0
    turn = np.exp(2j * np.arctan2(y, x)).ravel()[order]
    starts = np.concatenate([[0], np.cumsum(count[kept])[:-1]])
    even = np.add.reduceat(turn, starts) / count[kept]
    turn = turn - np.repeat(even, count[kept])
    return _Rings(order, turn.astype(np.complex64), starts, count[kept].astype(np.float64), frequency_sum[kept] / count[kept])


def _starts(length: int, side: int) -> list[int]:
    """First px of patches along one side of a picture, half overlapping or farther apart."""
    count = min(round((length - side) / (side / 2)) + 1, PATCHES)
    return [int(start) for start in np.linspace(0, length - side, max(count, 1))]


def _middle(corner: tuple[int, int], side: int, hw: tuple[int, ...], map_hw: tuple[int, ...]) -> tuple[int, int]:
    """Where the middle of a patch lies on a map of the picture."""
    row, column = (int((start + side / 2) / length * cells) for start, length, cells in zip(corner, hw, map_hw, strict=True))
    return row, column
