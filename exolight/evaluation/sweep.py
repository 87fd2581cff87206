"""What a score threshold changes: counts, precision, recall and size as it rises."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from exolight.evaluation.calibration import scored_detections
from exolight.evaluation.records import ImageResult, Images
from exolight.evaluation.sizes import sizes

THRESHOLDS = 201

Floats = NDArray[np.float64]


class ThresholdSweep(NamedTuple):
    """Over T thresholds, all pictures and classes together, without what lies on regions to ignore.

    Attributes:
        grid: (T,) from 0 to 1; at each the detections with at least that score count.
        number: (T,) detections a picture; nan without pictures.
        precision: (T,) nan where nothing is found. recall: (T,) nan where nothing is there.
        diameter: (T,) median of the measured diameters of detections that no border cuts, in ``unit``; nan where there are none.
        true_number, true_diameter: what ``number`` and ``diameter`` should be: of the truths; nan where there are none.
        unit: nm where all pictures' nm per pixel are known.
    """

    grid: Floats
    number: Floats
    precision: Floats
    recall: Floats
    diameter: Floats
    true_number: float
    true_diameter: float
    unit: Literal["nm", "px"]


def threshold_sweep(results: Sequence[ImageResult], images: Images) -> ThresholdSweep:
    """See ``ThresholdSweep``; arguments as of ``sizes``."""
    scores, true = scored_detections(results)
    order = np.argsort(-scores, kind="stable")
    grid = np.linspace(0, 1, THRESHOLDS)
    found = np.searchsorted(-scores[order], -grid.astype(np.float32), side="right")  # in the scores' own precision, as suppression compares them
    hits = np.concatenate(([0], np.cumsum(true[order])))[found]
    truths = sum(int((~result.truth_ignore).sum()) for result in results)
    every = sizes(results, images)
    diameter = [float(np.median(kept)) if len(kept := every.found[every.scores >= threshold]) else np.nan for threshold in grid.tolist()]
    return ThresholdSweep(
        grid,
        found / len(results) if results else np.full(len(grid), np.nan),
        np.divide(hits, found, out=np.full(len(grid), np.nan), where=found > 0),
        hits / truths if truths else np.full(len(grid), np.nan),
        np.array(diameter),
        truths / len(results) if results else np.nan,
        float(np.median(every.true)) if len(every.true) else np.nan,
        every.unit,
    )
