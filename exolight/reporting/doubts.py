"""What a person should know of a picture before believing its numbers: doubts about its pixel size, and how unlike those of the training it is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from exolight.detections import Detections

if TYPE_CHECKING:  # it takes torch along
    from exolight.inference.predictor import Prediction

TOLERANCE = 1.25  # pixel and object sizes this many times beyond the learned ones are pointed out


class Learned(NamedTuple):
    """What a detector has seen, to be compared with what it is shown.

    Attributes:
        object_size_px: smallest and largest object, px of the network's input, or None.
        input_pixel_sizes_nm: smallest and largest nm per px of the network's input, or None.
        pixel_size_nm: to which all its pictures were rescaled, or None.
    """

    object_size_px: Sequence[float] | None = None
    input_pixel_sizes_nm: Sequence[float] | None = None
    pixel_size_nm: float | None = None


def doubt(prediction: "Prediction", shown: Detections, learned: Learned) -> str | None:
    """What is doubtful about a picture, in words: its pixel size, and whether it is beyond what the detector has learned. None where nothing is."""
    return "; ".join(filter(None, (*prediction.micrograph.warnings, _unlike(prediction, shown, learned)))) or None


def _unlike(prediction: "Prediction", shown: Detections, learned: Learned) -> str | None:
    pixel_size, sizes, range_nm = prediction.micrograph.pixel_size_nm, learned.object_size_px, learned.input_pixel_sizes_nm
    if learned.pixel_size_nm is not None and pixel_size is None:
        return f"pixel size unknown: scaled to fit, not to the {learned.pixel_size_nm:g} nm per pixel of the training"
    if learned.pixel_size_nm is None and range_nm and pixel_size:
        seen = pixel_size / prediction.found.scale  # a coarse picture that is enlarged to the input looks like a fine one
        if not range_nm[0] / TOLERANCE <= seen <= range_nm[1] * TOLERANCE:
            return f"seen at {seen:.2g} nm per pixel, outside the training's {range_nm[0]:.2g} to {range_nm[1]:.2g} nm"
    if sizes and len(shown):
        median = float(np.median(shown.diameters_px)) * prediction.found.scale
        if not sizes[0] / TOLERANCE <= median <= sizes[1] * TOLERANCE:
            how = "smaller" if median < sizes[0] else "larger"
            return f"objects {how} than those of the training ({sizes[0]:.0f} to {sizes[1]:.0f} px of the network's input)"
    return None
