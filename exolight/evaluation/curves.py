"""Matching detections with truth, and what follows: precision, recall and F1 against confidence, the operating point, counts."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from exolight.evaluation.records import ImageResult
from exolight.thresholds import Thresholds

CONFIDENCES = 1000  # points of the confidence grid
RECALLS = 1001  # points of the recall grid; average precision itself is COCO's mean of 101


class Match(NamedTuple):
    """What became of one picture's N detections and M truths. A detection that is neither true nor ignored is false, a truth neither found nor ignored missed.

    Attributes:
        true: (N,) bool, the detection found a truth.
        ignored: (N,) bool, it lies on an ignore region and counts neither way.
        found: (M,) bool, the truth was found; False for ignore regions.
        partner: (N,) int64 index of the truth or ignore region that the detection took, -1 for none.
    """

    true: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    found: NDArray[np.bool_]
    partner: NDArray[np.int64]


class ConfidenceCurves(NamedTuple):
    """Curves of C classes against confidence (T points) and against recall (R points).

    Attributes:
        confidence: (T,) from 0 to 1; at each the detections with at least that score count.
        precision: (C, T) share of the detections that are true; 1 where there are none, because none is false.
        recall: (C, T) share of the truths that are found; nan for a class without truth.
        f1: (C, T) 2 TP / (2 TP + FP + FN); nan for a class without truth.
        recall_grid: (R,) from 0 to 1.
        envelope: (C, R) the best precision at that recall or a higher one, 0 beyond the largest recall; nan for a class without truth.
        average_precision: (C,) COCO's 101-point average precision at the IoU asked for; nan for a class without truth.
    """

    confidence: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    recall_grid: NDArray[np.float64]
    envelope: NDArray[np.float64]
    average_precision: NDArray[np.float64]


class OperatingPoint(NamedTuple):
    """A score threshold and what it gives, as means over the classes that have truth."""

    threshold: float
    precision: float
    recall: float
    f1: float


def match(result: ImageResult, iou: float = 0.5) -> Match:
    """Give each detection, the best score first, the free truth of its class that it overlaps most, if by at least ``iou``; COCO's greedy rule.

    What finds no truth may lie on an ignore region of its class, which any number of detections share; there the overlap is measured against the detection's
    own area, because a region may be far larger (COCO's crowds).
    """
    count, truths = len(result.boxes), len(result.truth_boxes)
    partner, taken = np.full(count, -1, np.int64), np.zeros(truths, np.bool_)
    if count and truths:
        overlaps = _overlaps(result.boxes, result.truth_boxes, result.truth_ignore)
        overlaps[result.labels[:, None] != result.truth_labels[None, :]] = -1
        real, regions = overlaps.copy(), overlaps
        real[:, result.truth_ignore], regions[:, ~result.truth_ignore] = -1, -1
        order = np.argsort(-result.scores, kind="stable")
        for index in order[real.max(axis=1)[order] >= iou]:  # the others have no truth to compete for
            row = np.where(taken, -1, real[index])
            best = int(row.argmax())
            if row[best] >= iou:
                partner[index], taken[best] = best, True
        on_region = (partner < 0) & (regions.max(axis=1) >= iou)
        partner[on_region] = regions[on_region].argmax(axis=1)
    true = np.zeros(count, np.bool_)
    true[partner >= 0] = ~result.truth_ignore[partner[partner >= 0]]
    return Match(true, (partner >= 0) & ~true, taken, partner)


def confidence_curves(results: Sequence[ImageResult], num_classes: int, iou: float = 0.5) -> ConfidenceCurves:
    """Precision, recall and F1 over all pictures as the score threshold rises from 0 to 1, class by class; see ``ConfidenceCurves`` for the undefined cases."""
    matches = [match(result, iou) for result in results]
    scores = _concatenate([result.scores[~m.ignored] for result, m in zip(results, matches, strict=True)], np.float32)
    labels = _concatenate([result.labels[~m.ignored] for result, m in zip(results, matches, strict=True)], np.int64)
    true = _concatenate([m.true[~m.ignored] for m in matches], np.bool_)
    truths = _concatenate([result.truth_labels[~result.truth_ignore] for result in results], np.int64)
    confidence, recall_grid = np.linspace(0, 1, CONFIDENCES), np.linspace(0, 1, RECALLS)
    rows = []
    for label in range(num_classes):
        mine = labels == label
        order = np.argsort(-scores[mine], kind="stable")
        hits = np.cumsum(true[mine][order])
        positives = int((truths == label).sum())
        rows.append(
            (*_against_confidence(scores[mine][order], hits, positives, confidence), _envelope(hits, positives, recall_grid), _envelope(hits, positives).mean())
        )
    precision, recall, f1, envelope, average = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    return ConfidenceCurves(confidence, precision, recall, f1, recall_grid, envelope, average)


def best_f1(curves: ConfidenceCurves) -> OperatingPoint:
    """The threshold whose F1 is largest; see ``operating_point``."""
    return operating_point(curves)


def operating_point(curves: ConfidenceCurves, aim: Literal["f1", "precision", "recall"] = "f1", value: float = 1.0) -> OperatingPoint:
    """The threshold that serves an aim best, all being means over the classes with truth; of equal ones the middle of the widest plateau.

    Where nothing is found at any threshold, or nothing is there to be found, no threshold is better than another and the preset of ``Thresholds`` is returned.

    Args:
        aim: "f1": the largest F1. "precision": of the thresholds that reach ``value``, or come nearest to it where none does, the one with the largest recall.
            "recall": the same with both exchanged.
        value: the least precision or recall.
    """
    defined = ~np.isnan(curves.average_precision)
    if not defined.any():
        return OperatingPoint(Thresholds().score, float("nan"), float("nan"), float("nan"))
    precision, recall, f1 = (curve[defined].mean(axis=0) for curve in (curves.precision, curves.recall, curves.f1))
    threshold = Thresholds().score
    index = int(np.searchsorted(curves.confidence, threshold))
    if f1.max() > 0:
        wanted = f1
        if aim != "f1":
            held, wanted = (precision, recall) if aim == "precision" else (recall, precision)
            held = np.where(recall > 0, held, -1)  # a precision of 1 because nothing is found is nobody's aim
            wanted = np.where(held >= min(value, float(held.max())) - 1e-12, wanted, -1)
        # where the maximum begins and ends: +1 and -1 in the differences of the 0/1 mask
        steps = np.diff(np.concatenate(([0], wanted >= wanted.max() - 1e-12, [0])).astype(np.int8))
        starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1) - 1
        widest = int((ends - starts).argmax())
        index = int(starts[widest] + ends[widest]) // 2
        threshold = float(curves.confidence[index])
    return OperatingPoint(threshold, *(float(curve[index]) for curve in (precision, recall, f1)))


def score_at(results: Sequence[ImageResult], threshold: float, iou: float = 0.5) -> dict[str, float]:
    """What one score threshold gives over all pictures and classes together ("micro": every object weighs the same).

    Returns:
        ``precision`` (nan without detections), ``recall`` (nan without truth), ``f1`` (nan without either); ``count_bias`` and ``count_mae``: mean and mean
        absolute difference of found minus true number of objects a picture, ignored ones left out (nan without pictures).
    """
    hits = found = truths = 0
    differences = []
    for result in results:
        matched = match(result, iou)
        counted = (result.scores >= threshold) & ~matched.ignored  # weaker detections never displace stronger ones, so the match holds at every threshold
        real = int((~result.truth_ignore).sum())
        hits, found, truths = hits + int(matched.true[counted].sum()), found + int(counted.sum()), truths + real
        differences.append(int(counted.sum()) - real)
    return {
        "precision": _ratio(hits, found),
        "recall": _ratio(hits, truths),
        "f1": _ratio(2 * hits, found + truths),
        "count_bias": _ratio(sum(differences), len(differences)),
        "count_mae": _ratio(sum(map(abs, differences)), len(differences)),
    }


def _overlaps(boxes: NDArray[np.float32], truth: NDArray[np.float32], ignore: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(N, 4), (M, 4), (M,) -> (N, M): intersection over union with a truth, intersection over the detection's area with an ignore region."""
    a, b = boxes[:, None].astype(np.float64), truth[None].astype(np.float64)
    intersection = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0).prod(axis=-1)
    area_a, area_b = ((box[..., 2:] - box[..., :2]).prod(axis=-1) for box in (a, b))
    whole = np.where(ignore, area_a, area_a + area_b - intersection)
    return np.divide(intersection, whole, out=np.zeros_like(intersection), where=whole > 0)


def _against_confidence(
    scores: NDArray[np.float32], hits: NDArray[np.int64], positives: int, confidence: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Descending ``scores`` (n,) and their cumulated ``hits`` (n,) -> precision, recall, F1, each (T,)."""
    # compared in float32, as suppression compares scores with a threshold
    found = np.searchsorted(-scores, -confidence.astype(np.float32), side="right")
    true = np.concatenate(([0], hits))[found].astype(np.float64)
    precision = np.divide(true, found, out=np.ones_like(true), where=found > 0)
    if positives == 0:
        return precision, np.full_like(true, np.nan), np.full_like(true, np.nan)
    return precision, true / positives, 2 * true / (found + positives)


def _envelope(hits: NDArray[np.int64], positives: int, grid: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Interpolated precision on ``grid`` (COCO's 101 recalls by default) from cumulated ``hits`` (n,) in descending order of score."""
    grid = np.linspace(0, 1, 101) if grid is None else grid
    if positives == 0:
        return np.full_like(grid, np.nan)
    precision = hits / np.arange(1, len(hits) + 1)
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)  # 0 beyond the largest recall
    return best[np.searchsorted(hits / positives, grid, side="left")]


def _concatenate(parts: Sequence[NDArray], dtype: type) -> NDArray:
    """``np.concatenate`` that accepts no parts."""
    return np.concatenate([np.zeros(0, dtype), *parts])


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
