"""How well sizes are measured: all diameters beside the true ones, and those of found vesicles beside their own true ones, where these are known."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from exolight.annotated_image import AnnotatedImage
from exolight.evaluation.curves import match
from exolight.evaluation.records import ImageResult, Images

LARGEST_NM = 1e5
# Diameters in nm, from and up to: small EVs are mostly of 30 to 200 nm.
BANDS_NM = {"under_30nm": (0.0, 30.0), "30_60nm": (30.0, 60.0), "60_100nm": (60.0, 100.0), "100_200nm": (100.0, 200.0), "over_200nm": (200.0, LARGEST_NM)}

Floats = NDArray[np.float64]


class Sizes(NamedTuple):
    """Diameters in all pictures together, without objects that come within 1 px of a border, which may be cut, and without what lies on regions to ignore.

    Attributes:
        scores, found: (N,) of the detections: score and the box's diameter, sqrt(width * height).
        true: (M,) of the truths: the area-equivalent diameter where it is known, else the box's.
        unit: nm where all pictures' nm per pixel are known.
    """

    scores: NDArray[np.float32]
    found: Floats
    true: Floats
    unit: Literal["nm", "px"]


def sizes(results: Sequence[ImageResult], images: Images) -> Sizes:
    """See ``Sizes``. ``results`` are in pixels of the pictures as recorded; ``image_id`` finds each in ``images``."""
    in_nm = bool(results) and all(images[result.image_id].pixel_size_nm is not None for result in results)
    scores, found, true = [np.zeros(0, np.float32)], [np.zeros(0)], [np.zeros(0)]
    for result in results:
        image = images[result.image_id]
        factor = float(image.pixel_size_nm or 1) if in_nm else 1.0
        kept = ~match(result).ignored & _whole(result.boxes, image.image_hw)
        scores.append(result.scores[kept])
        found.append(factor * _diameters(result.boxes[kept]))
        real = ~result.truth_ignore & _whole(result.truth_boxes, image.image_hw)
        if image.diameters_nm is None or not in_nm:
            true.append(factor * _diameters(result.truth_boxes[real]))
        else:
            true.append(image.diameters_nm[_same(result.truth_boxes[real], image)].astype(np.float64))
    return Sizes(np.concatenate(scores), np.concatenate(found), np.concatenate(true), "nm" if in_nm else "px")


def diameter_pairs(results: Sequence[ImageResult], images: Images, threshold: float) -> Floats:
    """(K, 2) nm: the box's diameter sqrt(width * height) and the true area-equivalent one of every vesicle found at ``threshold`` (IoU 0.5).

    Those that come within 1 px of the picture's border are left out: what it cuts nobody can size. So are pictures that know no true diameters or no nm per
    pixel.

    Args:
        results: in pixels of the pictures as recorded; ``image_id`` finds each in ``images``.
        images: the truth. threshold: the lowest score that counts.
    """
    pairs = [np.zeros((0, 2))]
    for result in results:
        image = images[result.image_id]
        if image.diameters_nm is None or image.pixel_size_nm is None or not len(result.truth_boxes):
            continue
        matched = match(result)
        kept = matched.true & (result.scores >= threshold)
        kept[kept] = _whole(result.truth_boxes[matched.partner[kept]], image.image_hw)
        measured = _diameters(result.boxes[kept]) * image.pixel_size_nm
        pairs.append(np.column_stack((measured, image.diameters_nm[_same(result.truth_boxes[matched.partner[kept]], image)])))
    return np.concatenate(pairs)


def diameter_errors(pairs: Floats) -> dict[str, float]:
    """Measured and true diameters (K, 2) nm -> how far they differ, in nm and as a share of the true one.

    ``diameters``: K; ``diameter_bias``, ``diameter_iqr``: median and interquartile range of the signed difference; ``diameter_error``: median of the absolute
    one; each also with ``_nm``. nan, and K = 0, where there are no pairs.
    """
    difference = pairs[:, 0] - pairs[:, 1]
    errors = {"diameters": float(len(pairs))}
    for unit, values in (("_nm", difference), ("", difference / pairs[:, 1])):
        low, median, high = np.percentile(values, (25, 50, 75)) if len(values) else (np.nan,) * 3
        absolute = np.median(np.abs(values)) if len(values) else np.nan
        errors |= {f"diameter_bias{unit}": float(median), f"diameter_error{unit}": float(absolute), f"diameter_iqr{unit}": float(high - low)}
    return errors


def diameter_errors_by_size(pairs: Floats) -> dict[str, float]:
    """``diameter_errors`` of all pairs (K, 2) nm and of those in each of ``BANDS_NM`` by their true diameter, as ``diameter_bias/30_60nm`` and so on.

    Empty where there are no pairs at all.
    """
    if not len(pairs):
        return {}
    errors = diameter_errors(pairs)
    for band, (low, high) in BANDS_NM.items():
        errors |= {f"{name}/{band}": value for name, value in diameter_errors(pairs[(pairs[:, 1] >= low) & (pairs[:, 1] < high)]).items()}
    return errors


def _whole(boxes: NDArray[np.float32], image_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Which boxes (N, 4) xyxy px stay at least 1 px away from the picture's border: the others may be cut by it."""
    height, width = image_hw
    return np.asarray(((boxes[:, :2] >= 1) & (boxes[:, 2:] <= (width - 1, height - 1))).all(axis=1))


def _diameters(boxes: NDArray[np.float32]) -> Floats:
    """(N, 4) xyxy -> (N,) sqrt(width * height)."""
    return np.sqrt(np.maximum(boxes[:, 2:] - boxes[:, :2], 0).astype(np.float64).prod(axis=1))


def _same(boxes: NDArray[np.float32], image: AnnotatedImage) -> NDArray[np.int64]:
    """Which of the picture's objects the truths (K, 4) of a result are: their order is another (regions to ignore come last), but not their boxes."""
    return np.abs(boxes[:, None] - image.boxes[None]).sum(axis=2).argmin(axis=1) if len(boxes) else np.zeros(0, np.int64)
