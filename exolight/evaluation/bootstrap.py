"""How far scores would move with other specimens: percentile bootstrap intervals (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exolight.evaluation.curves import match
from exolight.evaluation.records import ImageResult

NAMES = ("map", "map_50", "precision", "recall", "f1", "count_bias", "count_mae")
IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)

Floats = NDArray[np.float64]


def bootstrap_intervals(
    results: Sequence[ImageResult],
    num_classes: int,
    threshold: float,
    groups: Sequence[str | None] | None = None,
    replicates: int = 1000,
    seed: int = 0,
    ranked: Sequence[ImageResult] | None = None,
) -> dict[str, tuple[float, float]]:
    """95 % intervals of ``NAMES``: the 2.5th and 97.5th percentile of the weighted scores when groups are drawn anew, with replacement.

    They tell what other specimens of that kind would have given the same detector, not what another training would. Of fewer than about ten groups they are
    too narrow. Replicates where a score is undefined are left out; (nan, nan) where it is in all of them, and where there are fewer than two groups to draw.

    Args:
        groups: the specimen of each picture; pictures of one specimen are drawn together. None: the picture is a group of its own.
        ranked: the same pictures' results for average precision, where their suppression was another.
    """
    groups = [None] * len(results) if groups is None else groups
    if len(set(_units(groups))) < 2:
        return dict.fromkeys(NAMES, (float("nan"), float("nan")))
    weights = bootstrap_weights(groups, replicates, seed)
    scores = weighted_precision(ranked or results, num_classes, weights) | weighted_counts(results, num_classes, threshold, weights)
    return {name: _percentiles(values) for name, values in scores.items()}


def bootstrap_weights(groups: Sequence[str | None], replicates: int, seed: int = 0) -> NDArray[np.int64]:
    """How often each of P pictures is in each of R replicates, (R, P): as many groups as there are, drawn with replacement, each with all its pictures."""
    units = _units(groups)
    number = max(units) + 1
    return np.random.default_rng(seed).multinomial(number, np.full(number, 1 / number), replicates)[:, units]


def weighted_precision(results: Sequence[ImageResult], num_classes: int, weights: ArrayLike) -> dict[str, Floats]:
    """``map`` and ``map_50``, each (R,), if picture p occurred ``weights[r, p]`` times: what ``average_precision`` gives for such a list.

    Quicker than that: pictures are matched once for each IoU; a replicate only sums weights anew. nan where no truth is left.

    Args:
        weights: (R, P), not negative; need not be whole.
    """
    weight = _checked(weights, results)
    positives = weight @ _truths(results, num_classes)  # (R, C)
    precisions = []  # (I,) of (R,)
    for iou in IOUS:
        picture, _, label, true = _ranking(results, iou)
        each = np.column_stack([_average_precision(picture[label == c], true[label == c], positives[:, c], weight) for c in range(num_classes)])  # (R, C)
        precisions.append(_ratio(np.where(positives > 0, each, 0).sum(axis=1), (positives > 0).sum(axis=1)))
    return {"map": np.mean(precisions, axis=0), "map_50": precisions[0]}


def weighted_counts(results: Sequence[ImageResult], num_classes: int, threshold: float, weights: ArrayLike) -> dict[str, Floats]:
    """``precision``, ``recall``, ``f1``, ``count_bias``, ``count_mae``, each (R,), if picture p occurred ``weights[r, p]`` times.

    They are what ``score_at`` (IoU 0.5) gives for such a list, all classes together; nan where a score is undefined. ``weights`` as in ``weighted_precision``.
    """
    weight, truths = _checked(weights, results), _truths(results, num_classes).sum(axis=1)
    picture, score, _, true = _ranking(results, IOUS[0])
    strong = score >= threshold
    each, right = (np.bincount(picture[mask], minlength=len(results)) for mask in (strong, strong & true))  # (P,)
    found, hits, there, pictures, difference = weight @ each, weight @ right, weight @ truths, weight.sum(axis=1), each - truths
    return {
        "precision": _ratio(hits, found),
        "recall": _ratio(hits, there),
        "f1": _ratio(2 * hits, found + there),
        "count_bias": _ratio(weight @ difference, pictures),
        "count_mae": _ratio(weight @ np.abs(difference), pictures),
    }


def _checked(weights: ArrayLike, results: Sequence[ImageResult]) -> Floats:
    weight = np.asarray(weights, np.float64)
    if weight.ndim != 2 or weight.shape[1] != len(results):
        raise ValueError(f"weights of shape {weight.shape} for {len(results)} pictures: (replicates, pictures) are needed, one group for each picture")
    return weight


def _truths(results: Sequence[ImageResult], num_classes: int) -> Floats:
    """(P, C) how many there are."""
    return np.array([np.bincount(r.truth_labels[~r.truth_ignore], minlength=num_classes) for r in results], np.float64).reshape(-1, num_classes)


def _units(groups: Sequence[str | None]) -> list[int]:
    """What is drawn as one: a number for each picture, counted from 0, the same for pictures of one group."""
    keys = [("picture", index) if group is None else ("group", group) for index, group in enumerate(groups)]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return [numbers[key] for key in keys]


def _ranking(results: Sequence[ImageResult], iou: float) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_]]:
    """All pictures' detections that are not ignored, the best score first: the picture's index, score, label, and whether it is true, each (N,)."""
    matches = [match(result, iou) for result in results]
    picture = np.repeat(np.arange(len(results)), [len(result.boxes) for result in results])
    score = np.concatenate([np.zeros(0, np.float32), *(result.scores for result in results)])
    label = np.concatenate([np.zeros(0, np.int64), *(result.labels for result in results)])
    true, ignored = (np.concatenate([np.zeros(0, np.bool_), *column]) for column in ([m.true for m in matches], [m.ignored for m in matches]))
    order = np.argsort(-score, kind="stable")
    order = order[~ignored[order]]
    return picture[order], score[order], label[order], true[order]


def _average_precision(picture: NDArray[np.int64], true: NDArray[np.bool_], positives: Floats, weights: Floats) -> Floats:
    """COCO's 101-point average precision in each replicate, (R,), of one class's N detections in descending order of score; 0 where nothing is true.

    Precision peaks where a true detection comes in, so that only those places are looked at.
    """
    at = np.flatnonzero(true)
    values = np.zeros(len(weights))
    if not len(at):
        return values
    picture = picture[: at[-1] + 1]
    for replicate in np.flatnonzero(positives > 0):
        each = weights[replicate][picture]
        found = np.cumsum(each)[at]
        hits = np.cumsum(each[at])
        precision = np.divide(hits, found, out=np.zeros_like(hits), where=found > 0)
        envelope = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)  # 0 beyond the largest recall
        values[replicate] = envelope[np.searchsorted(hits / positives[replicate], RECALLS)].mean()
    return values


def _percentiles(values: Floats) -> tuple[float, float]:
    values = values[~np.isnan(values)]
    low, high = np.percentile(values, (2.5, 97.5)) if len(values) else (np.nan, np.nan)
    return float(low), float(high)


def _ratio(part: ArrayLike, whole: ArrayLike) -> Floats:
    """nan where the whole is 0."""
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.divide(part, whole, out=np.full_like(whole, np.nan), where=whole > 0)
