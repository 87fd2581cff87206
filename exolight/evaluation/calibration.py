"""Whether a score is a probability: reliability, expected calibration error, and one temperature that mends them (Guo et al., ICML 2017, arXiv:1706.04599)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from exolight.evaluation.curves import match
from exolight.evaluation.records import ImageResult

TEMPERATURES = (0.05, 20.0)  # the fit's bounds
SMALLEST = 1e-7  # a score of 0 or 1 has no finite logit; the fit takes it for one as near as float32 tells apart

Floats = NDArray[np.float64]


class Reliability(NamedTuple):
    """Scores against truth in B bins. A bin holds the scores above its lower edge, up to and including its upper one; the first also its lower edge.

    Attributes:
        edges: (B + 1,) of the bins' scores.
        mean_score: (B,) of the detections in a bin. share_true: (B,) of them. Both nan for an empty bin.
        counts: (B,) detections.
        ece: mean over detections of their bin's |share_true - mean_score| (Guo et al., eq. 3); nan without detections.
    """

    edges: Floats
    mean_score: Floats
    share_true: Floats
    counts: NDArray[np.int64]
    ece: float


def scored_detections(results: Sequence[ImageResult], threshold: float = 0.0, iou: float = 0.5) -> tuple[Floats, NDArray[np.bool_]]:
    """Scores (K,) of all detections with at least ``threshold``, and which of them are true at ``iou``, (K,); those on regions to ignore are left out.

    Detections are many at the lowest scores: without a threshold these decide the calibration error.
    """
    scores, true = [np.zeros(0)], [np.zeros(0, np.bool_)]
    for result in results:
        matched = match(result, iou)
        counted = (result.scores >= threshold) & ~matched.ignored
        scores.append(result.scores[counted].astype(np.float64))
        true.append(matched.true[counted])
    return np.concatenate(scores), np.concatenate(true)


def reliability(scores: ArrayLike, true: ArrayLike, bins: int = 10, equal_count: bool = False) -> Reliability:
    """Scores (K,) in [0, 1] and which detections are true (K,) -> whether the share of true ones is what the scores say.

    Args:
        bins: B bins of equal width from 0 to 1.
        equal_count: between quantiles of the scores instead, so that bins hold equally many detections; equal scores stay together, so that ties can make
            them unequal.
    """
    scores, true = np.asarray(scores, np.float64).ravel(), np.asarray(true, np.bool_).ravel()
    edges = np.linspace(0, 1, bins + 1)
    if equal_count and len(scores):
        edges = np.quantile(scores, edges)
    which = np.searchsorted(edges[1:-1], scores, side="left")
    counts = np.bincount(which, minlength=bins)
    mean_score, share_true = (
        np.divide(np.bincount(which, values, bins), counts, out=np.full(bins, np.nan), where=counts > 0) for values in (scores, true.astype(np.float64))
    )
    ece = float(np.nansum(counts * np.abs(share_true - mean_score)) / len(scores)) if len(scores) else float("nan")
    return Reliability(edges, mean_score, share_true, counts, ece)


def fit_temperature(scores: ArrayLike, true: ArrayLike) -> float:
    """The temperature that makes detections' scores (K,) the likeliest probabilities of being true (K,), within ``TEMPERATURES`` (Guo et al., sec. 4.2).

    Above 1 the scores promise too much. To be fitted on validation pictures and applied to others. The likelihood has one maximum, because its logarithm is
    concave in 1 / T; a detector that its scores separate without error has it at the lower bound. nan unless some are true and some are not.
    """
    true = np.asarray(true, np.bool_).ravel()
    if not true.any() or true.all():
        return float("nan")
    # of a detection's two outcomes the logit of the one that came about; its negative log likelihood is log(1 + exp(-logit / T))
    evidence = np.where(true, 1, -1) * logit(np.clip(np.asarray(scores, np.float64).ravel(), SMALLEST, 1 - SMALLEST))
    loss = lambda log_t: float(np.logaddexp(0, -evidence / np.exp(log_t)).mean())  # noqa: E731
    return float(np.exp(minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-6}).x))


def apply_temperature(scores: ArrayLike, temperature: float) -> Floats:
    """sigmoid(logit(score) / T): scores in [0, 1] -> float64 of the same shape and order. 0, 0.5 and 1 stay; so the threshold has to go the same way.

    What a temperature cannot mend is a detector whose scores of 0.5 are not true half of the time.
    """
    return expit(logit(np.asarray(scores, np.float64)) / temperature)
