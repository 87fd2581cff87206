"""Where a detector errs at an operating threshold: classes confused, the kinds of error and what each costs, and vesicles that touch."""

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from exolight.boxes import paired_iou
from exolight.evaluation.curves import Match, confidence_curves, match
from exolight.evaluation.records import ImageResult

T_F, T_B = 0.5, 0.1  # IoU of foreground and of background (Bolya et al., sec. 2.2)
GAP_PX = 2.0


class Confusion(NamedTuple):
    """What the objects of C classes were taken for.

    Attributes:
        true, false, missed: detections of an object of their class, all other detections, objects that no detection of their class found.
        matrix: (C + 1, C + 1) rows predicted, columns true. The last row holds the objects that nothing found, the last column the detections of nothing.
            The diagonal sums to ``true``, the rest of the first C rows to ``false``, the rest of the first C columns to ``missed``.
    """

    true: int
    false: int
    missed: int
    matrix: NDArray[np.int64]


class Kind(IntEnum):
    """What a detection or a truth is (Bolya et al., TIDE, ECCV 2020, arXiv:2008.08115, sec. 2.2). Own truths are those of the detection's class.

    Of a false detection the first that fits, in the order of the authors' program: LOCALISATION: its largest IoU with its own truths is in [t_b, t_f).
    CLASSIFICATION: with others it is at least t_f. DUPLICATE: with its own it is at least t_f, but a better detection has that truth. BOTH: with others it is
    in [t_b, t_f). BACKGROUND: with all it is under t_b. A truth that was not found has the kind of the error that finds it once repaired, else it is MISSED.
    """

    UNCOUNTED = -1  # under the threshold, or on a region to ignore, or such a region
    TRUE = 0
    CLASSIFICATION = 1
    LOCALISATION = 2
    BOTH = 3
    DUPLICATE = 4
    BACKGROUND = 5
    MISSED = 6


class Kinds(NamedTuple):
    """The kinds of one picture's N detections and M truths.

    Attributes:
        detections: (N,) a ``Kind`` each, never MISSED. truths: (M,) UNCOUNTED, TRUE, CLASSIFICATION, LOCALISATION or MISSED.
        repairs: (N,) int64 the truth that this detection, an error of class or place, finds once it is repaired, -1 for none: the truth it overlaps most, if
            nothing has found it and no error of a better score repairs it.
    """

    detections: NDArray[np.int64]
    truths: NDArray[np.int64]
    repairs: NDArray[np.int64]


class Touching(NamedTuple):
    """Truths that touch another one: how many there are, and which share is found, each by a detection of its own (nan where there are none)."""

    number: int
    found: float


def confusion(results: Sequence[ImageResult], num_classes: int, threshold: float, iou: float = 0.5) -> Confusion:
    """Confusion counts over all pictures of the detections with at least ``threshold``; regions to ignore, and what lies on them, are left out.

    Detections are first matched within their class, so that the diagonal is what precision and recall count; what is left over is then matched whatever its
    class, the best score first. YOLO programs match once, whatever the class and the largest IoU first: there a box of the wrong class can cost a true one.
    """
    matrix = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    background = num_classes
    for result in results:
        matched = _match_at(result, threshold, iou)
        left = np.flatnonzero(~matched.true & ~matched.ignored)
        lost = np.flatnonzero(~matched.found & ~result.truth_ignore)
        rest = match(
            result._replace(
                boxes=result.boxes[left], scores=result.scores[left], labels=np.zeros_like(left),
                truth_boxes=result.truth_boxes[lost], truth_labels=np.zeros_like(lost), truth_ignore=result.truth_ignore[lost],
            ), iou,
        )  # fmt: skip
        column = np.full(len(result.boxes), background)
        column[matched.true] = result.labels[matched.true]
        column[left[rest.true]] = result.truth_labels[lost[rest.partner[rest.true]]]
        np.add.at(matrix, (result.labels[~matched.ignored], column[~matched.ignored]), 1)
        matrix[background] += np.bincount(result.truth_labels[lost[~rest.found]], minlength=num_classes + 1)
    true = int(np.trace(matrix))
    return Confusion(true, int(matrix[:-1].sum()) - true, int(matrix[:, :-1].sum()) - true, matrix)


def error_kinds(result: ImageResult, threshold: float = 0.0, t_f: float = T_F, t_b: float = T_B) -> Kinds:
    """The one kind of each detection and each truth of a picture at a score threshold; see ``Kind``."""
    matched = _match_at(result, threshold, t_f)
    boxes, truth = (torch.from_numpy(each).double() for each in (result.boxes, result.truth_boxes))
    overlaps = paired_iou(boxes[:, None], truth[None]).numpy() * ~result.truth_ignore  # (N, M)
    same = result.labels[:, None] == result.truth_labels[None]
    own, other = overlaps * same, overlaps * ~same
    best_own, best_other = own.max(axis=1, initial=0), other.max(axis=1, initial=0)  # (N,)
    cases = {
        Kind.UNCOUNTED: matched.ignored,
        Kind.TRUE: matched.true,
        Kind.LOCALISATION: (best_own >= t_b) & (best_own < t_f),
        Kind.CLASSIFICATION: best_other >= t_f,
        Kind.DUPLICATE: best_own >= t_f,
        Kind.BOTH: best_other >= t_b,
    }
    detections = np.select(list(cases.values()), [np.int64(kind) for kind in cases], np.int64(Kind.BACKGROUND))
    truths = np.select([result.truth_ignore, matched.found], [np.int64(Kind.UNCOUNTED), np.int64(Kind.TRUE)], np.int64(Kind.MISSED))
    repairs = np.full(len(detections), -1, np.int64)
    order = np.argsort(-result.scores, kind="stable")
    for index in order[np.isin(detections[order], (Kind.CLASSIFICATION, Kind.LOCALISATION))]:
        target = int((own if detections[index] == Kind.LOCALISATION else other)[index].argmax())
        if truths[target] == Kind.MISSED:
            repairs[index], truths[target] = target, detections[index]
    return Kinds(detections, truths, repairs)


def error_counts(results: Sequence[ImageResult], threshold: float, t_f: float = T_F, t_b: float = T_B) -> dict[str, int]:
    """How many detections with at least ``threshold`` are ``true`` and of each kind of error, and how many truths are ``missed``, over all pictures.

    All but ``missed`` sum to the detections that count. Truths that an error of class or place stands for are not ``missed``.
    """
    kinds = [error_kinds(result, threshold, t_f, t_b) for result in results]
    names = [kind for kind in Kind if kind not in (Kind.UNCOUNTED, Kind.MISSED)]
    counts = {kind.name.lower(): sum(int((each.detections == kind).sum()) for each in kinds) for kind in names}
    return counts | {"missed": sum(int((each.truths == Kind.MISSED).sum()) for each in kinds)}


def ap_gains(results: Sequence[ImageResult], num_classes: int, t_f: float = T_F, t_b: float = T_B) -> dict[str, float]:
    """What repairing each kind of error alone adds to the average precision at IoU ``t_f``, over detections of all scores (Bolya et al., sec. 2.3: dAP).

    A wrong class or place is put right where nothing else finds that truth, else the detection goes; so do detections that are wrong in both, duplicates and
    those of background; missed truths are taken away. The gains do not add up to what is missing to 1. Each is the mean over the classes with truth before and
    after the repair, nan where there is none: where all truths are missed, nothing is left to be found.
    """
    kinds = [error_kinds(result, 0.0, t_f, t_b) for result in results]
    before = confidence_curves(results, num_classes, t_f).average_precision
    gains = {}
    for kind in Kind:
        if kind > Kind.TRUE:
            repaired = [_repair(result, each, kind) for result, each in zip(results, kinds, strict=True)]
            gained = confidence_curves(repaired, num_classes, t_f).average_precision - before
            gained = gained[~np.isnan(gained)]
            gains[kind.name.lower()] = float(gained.mean()) if len(gained) else float("nan")
    return gains


def touching(results: Sequence[ImageResult], threshold: float, iou: float = 0.5, gap_px: float = GAP_PX) -> Touching:
    """Whether vesicles that touch are told apart: how many truths' boxes overlap another truth's or are less than ``gap_px`` pixels from it, and which share
    of these is found by the detections with at least ``threshold``, one detection for one truth. Regions to ignore are no neighbours.
    """
    number = found = 0
    for result in results:
        boxes = result.truth_boxes[~result.truth_ignore].astype(np.float64)
        apart = np.maximum(boxes[:, None, :2] - boxes[None, :, 2:], 0)  # (M, M, 2) how far i begins behind the end of j, in x and in y
        gaps = np.linalg.norm(np.maximum(apart, apart.swapaxes(0, 1)), axis=2)
        np.fill_diagonal(gaps, np.inf)
        close = gaps.min(axis=1, initial=np.inf) < gap_px
        number += int(close.sum())
        found += int(_match_at(result, threshold, iou).found[~result.truth_ignore][close].sum())
    return Touching(number, found / number if number else float("nan"))


def _match_at(result: ImageResult, threshold: float, iou: float) -> Match:
    """``match`` where detections under the threshold count neither way; they never displace better ones, so that the others' match stands."""
    matched = match(result, iou)
    strong = result.scores >= threshold
    true, found = matched.true & strong, np.zeros_like(matched.found)
    found[matched.partner[true]] = True
    return Match(true, matched.ignored | ~strong, found, np.where(strong, matched.partner, -1))


def _repair(result: ImageResult, kinds: Kinds, kind: Kind) -> ImageResult:
    """The picture as if errors of one kind had not happened. Repaired boxes lie on their truths, so that matching anew changes nothing else."""
    wrong = kinds.detections == kind
    mended, kept = wrong & (kinds.repairs >= 0), ~wrong | (kinds.repairs >= 0)
    boxes, labels = result.boxes.copy(), result.labels.copy()
    boxes[mended], labels[mended] = result.truth_boxes[kinds.repairs[mended]], result.truth_labels[kinds.repairs[mended]]
    left = kinds.truths != kind if kind == Kind.MISSED else np.ones(len(kinds.truths), np.bool_)
    return result._replace(
        boxes=boxes[kept], scores=result.scores[kept], labels=labels[kept],
        truth_boxes=result.truth_boxes[left], truth_labels=result.truth_labels[left], truth_ignore=result.truth_ignore[left],
    )  # fmt: skip
