"""How well sizes are measured: all diameters beside the true ones, and those of found vesicles beside their own true ones, where these are known."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from exolight.annotated_image import AnnotatedImage
from exolight.evaluation.curves import match
from exolight.evaluation.records import ImageResult, Images
from exolight.polygons import polygon_area

LARGEST_NM = 1e5
# Diameters in nm, from and up to: small EVs are mostly of 30 to 200 nm.
BANDS_NM = {"under_30nm": (0.0, 30.0), "30_60nm": (30.0, 60.0), "60_100nm": (60.0, 100.0), "100_200nm": (100.0, 200.0), "over_200nm": (200.0, LARGEST_NM)}

Floats = NDArray[np.float64]
Unit = Literal["nm", "px"]


class Sizes(NamedTuple):
    """Diameters in all pictures together, without objects that come within 1 px of a border, which may be cut, and without what lies on regions to ignore.

    Attributes:
        scores, found: (N,) of the detections: score and diameter as measured, see ``ImageResult``.
        true: (M,) of the truths: the area-equivalent diameter where it is known (see ``true_diameters_px``), else the box's.
        unit: nm where all pictures' nm per pixel are known.
    """

    scores: NDArray[np.float32]
    found: Floats
    true: Floats
    unit: Unit


def sizes(results: Sequence[ImageResult], images: Images) -> Sizes:
    """See ``Sizes``. ``results`` are in pixels of the pictures as recorded; ``image_id`` finds each in ``images``."""
    unit = _unit([images[result.image_id] for result in results])
    scores, found, true = [np.zeros(0, np.float32)], [np.zeros(0)], [np.zeros(0)]
    for result in results:
        image = images[result.image_id]
        factor = _factor(image, unit)
        kept = ~match(result).ignored & _whole(result.boxes, image.image_hw)
        scores.append(result.scores[kept])
        found.append(factor * _measured(result)[kept])
        real = ~result.truth_ignore & _whole(result.truth_boxes, image.image_hw)
        known = true_diameters_px(image)
        boxes = result.truth_boxes[real]
        true.append(factor * (_diameters(boxes) if known is None else known[_same(boxes, image)]))
    return Sizes(np.concatenate(scores), np.concatenate(found), np.concatenate(true), unit)


class DiameterPairs(NamedTuple):
    """Diameters of found vesicles.

    Attributes:
        values: (K, 2) as measured, and the true area-equivalent one.
        unit: nm where the nm per pixel of all pictures that have pairs are known.
    """

    values: Floats
    unit: Unit


def diameter_pairs(results: Sequence[ImageResult], images: Images, threshold: float) -> DiameterPairs:
    """The measured and the true diameter of every vesicle found at ``threshold`` (IoU 0.5).

    Those that come within 1 px of the picture's border are left out: what it cuts nobody can size. So are pictures that know no true diameters.

    Args:
        results: in pixels of the pictures as recorded; ``image_id`` finds each in ``images``.
        images: the truth. threshold: the lowest score that counts.
    """
    known = {result.image_id: true for result in results if len(result.truth_boxes) and (true := true_diameters_px(images[result.image_id])) is not None}
    unit = _unit([images[image_id] for image_id in known])
    pairs = [np.zeros((0, 2))]
    for result in results:
        if result.image_id not in known:
            continue
        image = images[result.image_id]
        matched = match(result)
        kept = matched.true & (result.scores >= threshold)
        kept[kept] = _whole(result.truth_boxes[matched.partner[kept]], image.image_hw)
        true = known[result.image_id][_same(result.truth_boxes[matched.partner[kept]], image)]
        pairs.append(_factor(image, unit) * np.column_stack((_measured(result)[kept], true)))
    return DiameterPairs(np.concatenate(pairs), unit)


def true_diameters_px(image: AnnotatedImage) -> Floats | None:
    """(N,) area-equivalent diameters of a picture's objects: those that the annotation knows, else those of its outlines; None where it has only boxes.

    Of an outline without area (a line one pixel wide) the box's diameter is taken.
    """
    if image.diameters_nm is not None and image.pixel_size_nm is not None:
        return image.diameters_nm.astype(np.float64) / image.pixel_size_nm
    if image.outlines is None:
        return None
    areas = np.array([polygon_area(outline) for outline in image.outlines], np.float64)
    return np.where(areas > 0, 2 * np.sqrt(areas / np.pi), _diameters(image.boxes))


def diameter_errors(pairs: Floats, unit: Unit = "nm") -> dict[str, float]:
    """Measured and true diameters (K, 2) -> how far they differ, in ``unit`` and as a share of the true one.

    ``diameters``: K; ``diameter_bias``, ``diameter_iqr``: median and interquartile range of the signed difference; ``diameter_error``: median of the absolute
    one; each also with ``_nm`` or ``_px``. nan, and K = 0, where there are no pairs.
    """
    difference = pairs[:, 0] - pairs[:, 1]
    errors = {"diameters": float(len(pairs))}
    for suffix, values in ((f"_{unit}", difference), ("", difference / pairs[:, 1])):
        low, median, high = np.percentile(values, (25, 50, 75)) if len(values) else (np.nan,) * 3
        absolute = np.median(np.abs(values)) if len(values) else np.nan
        errors |= {f"diameter_bias{suffix}": float(median), f"diameter_error{suffix}": float(absolute), f"diameter_iqr{suffix}": float(high - low)}
    return errors


def diameter_errors_by_size(pairs: DiameterPairs) -> dict[str, float]:
    """``diameter_errors`` of all pairs and, in nm, of those in each of ``BANDS_NM`` by their true diameter, as ``diameter_bias/30_60nm`` and so on.

    Empty where there are no pairs at all.
    """
    values, unit = pairs
    if not len(values):
        return {}
    errors = diameter_errors(values, unit)
    for band, (low, high) in BANDS_NM.items() if unit == "nm" else ():
        errors |= {f"{name}/{band}": value for name, value in diameter_errors(values[(values[:, 1] >= low) & (values[:, 1] < high)]).items()}
    return errors


def _unit(images: Sequence[AnnotatedImage]) -> Unit:
    return "nm" if images and all(image.pixel_size_nm is not None for image in images) else "px"


def _factor(image: AnnotatedImage, unit: Unit) -> float:
    return float(image.pixel_size_nm or 1) if unit == "nm" else 1.0


def _measured(result: ImageResult) -> Floats:
    return _diameters(result.boxes) if result.diameters_px is None else result.diameters_px


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
