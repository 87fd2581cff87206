"""How well sizes are measured: the diameters of found vesicles beside their true ones, where those are known (simulated pictures)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from exolight.annotated_image import AnnotatedImage
from exolight.evaluation.curves import match
from exolight.evaluation.records import ImageResult


def diameter_pairs(results: Sequence[ImageResult], images: Sequence[AnnotatedImage], threshold: float) -> NDArray[np.float64]:
    """(K, 2) nm: the box's diameter sqrt(width * height) and the true area-equivalent one of every vesicle found at ``threshold`` (IoU 0.5).

    Those that the picture's border cuts are left out: nobody can size them. So are pictures that know no true diameters or no nm per pixel.

    Args:
        results: in pixels of the pictures as recorded; ``image_id`` indexes ``images``.
        images: the truth. threshold: the lowest score that counts.
    """
    pairs = [np.zeros((0, 2))]
    for result in results:
        image = images[result.image_id]
        if image.diameters_nm is None or image.pixel_size_nm is None or not len(result.truth_boxes):
            continue
        matched = match(result)
        height, width = image.image_hw
        truth = result.truth_boxes
        whole = (truth[:, 0] > 0) & (truth[:, 1] > 0) & (truth[:, 2] < width) & (truth[:, 3] < height)
        kept = matched.true & (result.scores >= threshold)
        kept[kept] = whole[matched.partner[kept]]
        sides = (result.boxes[kept, 2:] - result.boxes[kept, :2]).astype(np.float64)
        measured = np.sqrt(sides.prod(axis=1)) * image.pixel_size_nm
        # A result's truths are in an order of their own (regions to ignore come last): the same box is the same vesicle.
        which = np.abs(truth[matched.partner[kept]][:, None] - image.boxes[None]).sum(axis=2).argmin(axis=1)
        pairs.append(np.column_stack((measured, image.diameters_nm[which])))
    return np.concatenate(pairs)


def diameter_errors(pairs: NDArray[np.float64]) -> dict[str, float]:
    """Measured and true diameters (K, 2) nm -> medians of their difference, nm and share of the true one, signed (``bias``) and absolute (``error``).

    Empty where there are no pairs.
    """
    if not len(pairs):
        return {}
    difference = pairs[:, 0] - pairs[:, 1]
    relative = difference / pairs[:, 1]
    return {
        "diameter_bias_nm": float(np.median(difference)),
        "diameter_error_nm": float(np.median(np.abs(difference))),
        "diameter_bias": float(np.median(relative)),
        "diameter_error": float(np.median(np.abs(relative))),
    }
