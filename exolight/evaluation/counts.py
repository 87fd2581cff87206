"""How well objects are counted: the number found in each picture beside the true one."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exolight.evaluation.curves import match
from exolight.evaluation.records import ImageResult

AGREEMENT = 1.96  # standard deviations either side of the bias: 95 % of a normal distribution


class CountAgreement(NamedTuple):
    """Found against true numbers of objects in P pictures; differences are found minus true, objects a picture.

    Attributes:
        pictures: P.
        bias: mean difference, also Bland and Altman's. mae: mean absolute difference. Both nan without pictures.
        sd: standard deviation of the differences (P - 1). low, high: bias -+ 1.96 sd, the 95 % limits of agreement (Bland & Altman, Lancet 1986, 327:307). They
            hold where differences are about normal and do not grow with the number. nan for fewer than two pictures.
        concordance: Lin's coefficient (Biometrics 1989, 45:255) in [-1, 1]: 1 only where all numbers are equal, while Pearson's correlation forgives any bias
            and scale. nan for fewer than two pictures, or where all have the same number, found as it is.
    """

    pictures: int
    bias: float
    mae: float
    sd: float
    low: float
    high: float
    concordance: float


def count_pairs(results: Sequence[ImageResult], threshold: float, iou: float = 0.5) -> NDArray[np.int64]:
    """(P, 2) found and true numbers of objects of each picture; detections with at least ``threshold`` count.

    Regions to ignore do not count, nor do detections on them that find no truth at ``iou``: as in ``score_at``.
    """
    pairs = [(((result.scores >= threshold) & ~match(result, iou).ignored).sum(), (~result.truth_ignore).sum()) for result in results]
    return np.array(pairs, np.int64).reshape(-1, 2)


def count_agreement(pairs: ArrayLike) -> CountAgreement:
    """Found and true numbers (P, 2) -> how far they agree."""
    numbers = np.asarray(pairs, np.float64).reshape(-1, 2)
    difference = numbers[:, 0] - numbers[:, 1]
    if len(numbers) < 2:
        nan = float("nan")
        bias = float(difference[0]) if len(numbers) else nan
        return CountAgreement(len(numbers), bias, abs(bias), nan, nan, nan, nan)
    bias, sd = float(difference.mean()), float(difference.std(ddof=1))
    # Lin's equation 4 for a sample, with moments over P: 2 s_xy / (s_x^2 + s_y^2 + (x - y)^2)
    covariance = np.cov(numbers, rowvar=False, ddof=0)
    spread = float(np.trace(covariance)) + bias**2
    concordance = 2 * float(covariance[0, 1]) / spread if spread else float("nan")
    return CountAgreement(len(numbers), bias, float(np.abs(difference).mean()), sd, bias - AGREEMENT * sd, bias + AGREEMENT * sd, concordance)
