"""From specimen to file: transmission, optics, dose, detector, export. Each step is a function of arrays.

Amplitude contrast alone, as negative stain is used: electrons that stain and carbon scatter outside the objective aperture are lost, so that transmission
falls exponentially with mass thickness (L. Reimer, H. Kohl, Transmission Electron Microscopy, 5th ed. 2008, ch. 6). Phase contrast comes in as the first
Fresnel fringe only.
"""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from exolight.simulation.grid import Field
from exolight.simulation.ranges import InstrumentRanges, uniform

# Mean free paths between losses to the aperture, nm: of the order that contrast thicknesses of some 10 (heavy elements) and 20 (carbon) ug/cm2 at
# 80-100 kV and a small aperture give for dried uranyl acetate and amorphous carbon. They set the scale of stain in nm; only ratios show in a picture.
STAIN_MFP_NM = 35.0
CARBON_MFP_NM = 110.0


@dataclass(frozen=True)
class Instrument:
    """Settings of one recording; see ``InstrumentRanges``. ``tilt`` is where the field lies in the beam: x, y, in half sides."""

    fringe_nm: float
    fringe: float
    blur_px: float
    vignetting: float
    tilt: tuple[float, float]
    electrons: float
    camera_blur_px: float
    readout: float
    hot_pixels: float
    level: float
    gamma: float
    bits: int
    inverted: bool
    resampling: float
    jpeg_quality: int | None
    marks: int | None  # seed of what is burned in


def random_instrument(rng: np.random.Generator, ranges: InstrumentRanges) -> Instrument:
    """The settings of one recording."""
    low, high = ranges.resampling
    resampled = rng.random() < ranges.resampled_fraction
    resampling = math.exp(rng.uniform(math.log(low), math.log(high)))
    bits = 16 if rng.random() < ranges.sixteen_bit_fraction else 8
    jpeg, quality = rng.random() < ranges.jpeg_fraction, round(uniform(rng, ranges.jpeg_quality))
    marks, seed = rng.random() < ranges.marks_fraction, int(rng.integers(2**31))
    return Instrument(
        fringe_nm=uniform(rng, ranges.fringe_nm),
        fringe=uniform(rng, ranges.fringe),
        blur_px=uniform(rng, ranges.blur_px),
        vignetting=uniform(rng, ranges.vignetting),
        tilt=(float(rng.uniform(-0.3, 0.3)), float(rng.uniform(-0.3, 0.3))),
        electrons=uniform(rng, ranges.electrons),
        camera_blur_px=uniform(rng, ranges.camera_blur_px),
        readout=uniform(rng, ranges.readout),
        hot_pixels=uniform(rng, ranges.hot_pixels),
        level=uniform(rng, ranges.level),
        gamma=uniform(rng, ranges.gamma),
        bits=8 if jpeg else bits,
        inverted=bool(rng.random() < ranges.inverted_fraction),
        resampling=resampling if resampled else 1.0,
        jpeg_quality=quality if jpeg else None,
        marks=seed if marks else None,
    )


def transmission(stain: Field, carbon: Field | float, whole: Field | None = None) -> Field:
    """Stain and carbon (H, W) nm -> share of the electrons (H, W) that reach the image: exp(-t / mean free path), all of them where the film is gone."""
    depth = stain * np.float32(1 / STAIN_MFP_NM) + np.asarray(carbon * np.float32(1 / CARBON_MFP_NM), np.float32)
    return np.exp(-depth if whole is None else -depth * whole)


def fresnel_fringe(intensity: Field, width_nm: float, strength: float, pixel_size_nm: float) -> Field:
    """Bright and dark line along every edge, as slightly out of focus; (H, W).

    To first order in the defocus, intensity * (1 + wavelength * defocus / 2 pi * Laplacian(phase)) (transport of intensity, M. R. Teague, J. Opt. Soc.
    Am. 73 (1983) 1434), with a phase that goes with the mass thickness. ``width_nm`` is sqrt(wavelength * defocus); what is finer than that the
    transfer function damps. A fringe much finer than a pixel leaves no trace.
    """
    sigma = width_nm / 2 / pixel_size_nm
    if strength <= 0 or sigma < 0.3:
        return intensity
    depth = cv2.GaussianBlur(-np.log(np.maximum(intensity, 1e-4)), (0, 0), sigma)
    return np.asarray(intensity * np.maximum(1 + np.float32(strength * sigma**2) * cv2.Laplacian(depth, cv2.CV_32F), 0), np.float32)


def illumination(hw: tuple[int, int], vignetting: float, tilt: tuple[float, float]) -> Field:
    """The beam's brightness (H, W), 1 at its middle: exp(-vignetting * r^2), r = 1 in the corners of a field that lies in the middle."""
    y, x = (np.linspace(-1, 1, side, dtype=np.float32) - np.float32(off) for side, off in zip(hw, tilt[::-1], strict=True))
    return np.asarray(np.exp(y * y * np.float32(-vignetting / 2))[:, None] * np.exp(x * x * np.float32(-vignetting / 2))[None, :], np.float32)


def point_spread(intensity: Field, sigma_px: float) -> Field:
    """Blur (H, W) by a Gaussian of ``sigma_px``."""
    return intensity if sigma_px < 0.2 else np.asarray(cv2.GaussianBlur(intensity, (0, 0), sigma_px), np.float32)


def expose(rng: np.random.Generator, intensity: Field, electrons: float) -> Field:
    """Electrons counted in each pixel (H, W) where ``intensity`` 1 is a mean of ``electrons``: Poisson, whose normal limit is used (dozens and more)."""
    mean = intensity * np.float32(electrons)
    return np.asarray(np.maximum(mean + np.sqrt(mean) * rng.standard_normal(mean.shape, dtype=np.float32), 0), np.float32)


def detect(rng: np.random.Generator, electrons: Field, blur_px: float, readout: float, hot_pixels: float) -> Field:
    """What the camera reads (H, W), in electrons: its point spread correlates the noise, its electronics add white noise, some pixels are always bright."""
    signal = point_spread(electrons, blur_px)
    signal = signal + np.float32(readout) * rng.standard_normal(signal.shape, dtype=np.float32)
    count = int(rng.poisson(hot_pixels * signal.size))
    signal.ravel()[rng.integers(signal.size, size=count)] += float(electrons.mean()) * rng.uniform(1, 6, count)
    return signal


def digitise(signal: Field, film: float, level: float, gamma: float, bits: int, inverted: bool) -> NDArray[Any]:
    """Signal (H, W) -> grey levels, uint8 or uint16: ``film`` becomes ``level`` of full scale, values above full scale saturate."""
    share = np.clip(signal * np.float32(1 / film), 0, None) ** np.float32(gamma) * np.float32(level)
    share = np.clip(1 - share if inverted else share, 0, 1)
    return np.rint(share * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)


def resample(pixels: NDArray[Any], hw: tuple[int, int]) -> NDArray[Any]:
    """Export at another size: area means where it shrinks, cubic where it grows."""
    if pixels.shape == hw:
        return pixels
    return np.asarray(cv2.resize(pixels, hw[::-1], interpolation=cv2.INTER_AREA if pixels.shape[0] > hw[0] else cv2.INTER_CUBIC))


def jpeg(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Grey levels (H, W) after a JPEG of ``quality``."""
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, quality))[1], cv2.IMREAD_GRAYSCALE), np.uint8)
