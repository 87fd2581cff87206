"""What a part's results say beyond precision and recall, under plain names for metrics.json."""

from collections.abc import Sequence

from exolight.evaluation.bootstrap import bootstrap_intervals
from exolight.evaluation.calibration import apply_temperature, fit_temperature, reliability, scored_detections
from exolight.evaluation.counts import count_agreement, count_pairs
from exolight.evaluation.errors import error_counts, touching
from exolight.evaluation.records import ImageResult, Images
from exolight.evaluation.size_bands import precision_by_size
from exolight.evaluation.sizes import diameter_errors_by_size, diameter_pairs

CALIBRATED_FROM = 0.1  # detections with lower scores are many, and nobody ever counts them


def beyond_scores(
    results: Sequence[ImageResult],
    images: Images,
    num_classes: int,
    threshold: float,
    temperature: float | None = None,
    ranked: Sequence[ImageResult] | None = None,
) -> dict[str, float]:
    """Errors by kind, agreement of counts, calibration, precision and diameters by size, and the uncertainty of the scores.

    Args:
        results: all pictures of a part, in pixels of the pictures as recorded. images: these, each found by its ``image_id``.
        threshold: the operating point.
        temperature: that of the validation part, to be judged on this one; None: it is fitted on this part.
        ranked: the same pictures' results for average precision, where their suppression was another.

    Returns:
        ``error_background``, ``error_duplicate``, ... ``error_missed``: how many (TIDE's kinds); ``touching`` and ``touching_found``: vesicles that touch, and
        the share found one by one; ``count_low``, ``count_high``, ``count_concordance``: limits of agreement, objects a picture, and Lin's coefficient;
        ``ece`` and ``ece_calibrated``: expected calibration error of scores from 0.1 on, before and after ``temperature``; NAME_low and NAME_high: 95 %
        bootstrap interval of a score by group; what ``precision_by_size`` and ``diameter_errors_by_size`` return, where sizes are known. nan where undefined.
    """
    near, agreement = touching(results, threshold), count_agreement(count_pairs(results, threshold))
    scores, true = scored_detections(results, CALIBRATED_FROM)
    temperature = fit_temperature(scores, true) if temperature is None else temperature
    numbers = {f"error_{kind}": float(count) for kind, count in error_counts(results, threshold).items() if kind != "true"}
    numbers |= {"touching": float(near.number), "touching_found": near.found}
    numbers |= {"count_low": agreement.low, "count_high": agreement.high, "count_concordance": agreement.concordance}
    calibrated = reliability(apply_temperature(scores, temperature), true).ece
    numbers |= {"ece": reliability(scores, true).ece, "temperature": temperature, "ece_calibrated": calibrated}
    groups = [images[result.image_id].group for result in results]
    for name, (low, high) in bootstrap_intervals(results, num_classes, threshold, groups, ranked=ranked).items():
        numbers |= {f"{name}_low": low, f"{name}_high": high}
    numbers |= precision_by_size(ranked or results, images, num_classes)
    return numbers | diameter_errors_by_size(diameter_pairs(results, images, threshold))
