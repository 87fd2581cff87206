"""How blurred a picture is: the Gaussian blur that its power spectrum shows.

A specimen in focus has a power spectrum that falls as a power of the wave number, k^-a. Out of focus, in a beam that is not parallel, every point becomes a
disc; in the spectrum a blur of standard deviation s px is a factor exp(-(2 pi s k)^2). The noise of the camera comes after it and stays. So

    P(k) = A k^-a exp(-(2 pi s k)^2) + N exp(-(2 pi n k)^2)

is fitted, least squares in ln P; n is what the camera and a later enlargement do to the noise. That the exponent a lies around 2.7 is put in as a prior: real
micrographs of vesicles and of particles have 2 to 3.5.
"""

import numpy as np
from numpy.typing import NDArray

from exolight.quality.spectrum import Spectra

Values = NDArray[np.float32]

EXPONENTS = np.arange(1.5, 4.01, 0.5, dtype=np.float32)
EXPONENT, EXPONENT_SD, PRIOR = 2.7, 0.6, 0.06  # the prior's mean, width and weight
BLURS_PX = np.concatenate([[0.05], np.geomspace(0.3, 25, 34)]).astype(np.float32)
NOISE_BLURS_PX = np.array([0.05, 0.4, 0.7, 1.1, 1.7], np.float32)
NOISE_PRIOR = 0.1  # weight of white noise against such that pretends to be a specimen
FINEST = 0.33  # cycles per px: shorter waves are what resampling, JPEG and the camera made of them
STEPS = 6  # of Gauss-Newton: more change nothing that shows


def blur_px(found: Spectra) -> float:
    """Standard deviation, in px, of the blur between specimen and noise; 0.05 where there is none to be seen.

    Nothing coarser than a quarter of a patch is told apart from 25 px; where noise hides all but the longest waves, the answer is uncertain.
    """
    use = found.frequency < FINEST
    k, power = found.frequency[use].astype(np.float32), np.log(found.typical[use]).astype(np.float32)  # exact enough, and twice as fast
    weight = np.sqrt(np.minimum(found.waves[use], 20.0)).astype(np.float32)
    weight /= weight.sum()
    # (exponents, blurs, noise blurs, K): ln of either part, each relative to its own amplitude
    exponents, blurs, noises = EXPONENTS[:, None, None, None], BLURS_PX[:, None, None], NOISE_BLURS_PX[:, None]
    shape = (len(EXPONENTS), len(BLURS_PX), len(NOISE_BLURS_PX), len(k))
    signal = np.broadcast_to(np.maximum(-exponents * np.log(k / k[0]) - (2 * np.pi * blurs) ** 2 * (k**2 - k[0] ** 2), -60), shape)
    noise = np.broadcast_to(-((2 * np.pi * noises * k) ** 2), shape)
    error = _misfit(signal, noise, power, weight)
    error = error + PRIOR * ((EXPONENTS[:, None, None] - EXPONENT) / EXPONENT_SD) ** 2 + NOISE_PRIOR * (NOISE_BLURS_PX - 0.4) ** 2
    return float(BLURS_PX[np.unravel_index(int(error.argmin()), error.shape)[1]])


def _misfit(signal: Values, noise: Values, power: Values, weight: Values) -> Values:
    """(...) weighted mean square of ln P minus its fit, for shapes (..., K) of signal and noise. Both amplitudes' ln are fitted by Gauss-Newton steps."""
    a = np.full(signal.shape[:-1], power[0])
    b = power[-1] - noise[..., -1]
    for _ in range(STEPS):
        rise, floor = np.exp(a[..., None] + signal), np.exp(b[..., None] + noise)
        model = rise + floor
        share, left = rise / model, power - np.log(model)  # d ln(model) / da; 1 - share is d ln(model) / db
        aa, ab, bb = ((u * v * weight).sum(axis=-1) for u, v in ((share, share), (share, 1 - share), (1 - share, 1 - share)))
        aa, bb = aa + 1e-4, bb + 1e-4
        ra, rb = (share * left * weight).sum(axis=-1), ((1 - share) * left * weight).sum(axis=-1)
        determinant = aa * bb - ab**2
        a = a + np.clip((bb * ra - ab * rb) / determinant, -2, 2)
        b = b + np.clip((aa * rb - ab * ra) / determinant, -2, 2)
    model = np.exp(a[..., None] + signal) + np.exp(b[..., None] + noise)
    return np.asarray((weight * (power - np.log(model)) ** 2).sum(axis=-1), np.float32)
