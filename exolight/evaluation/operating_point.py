"""The operating point: the score that detections are counted from, and the overlap at which two of them are taken for one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from exolight.errors import InputError
from exolight.evaluation.bootstrap import bootstrap_weights, weighted_counts
from exolight.evaluation.curves import OperatingPoint, confidence_curves, operating_point
from exolight.evaluation.records import ImageResult

REPLICATES = 1000


@dataclass(frozen=True)
class Search:
    """What is asked of the operating point.

    Attributes:
        aim: "f1": the best F1; "precision" or "recall": at least ``value`` of it, and as much as possible of the other.
        value: the wanted precision or recall, above 0 and at most 1; None with "f1".
        ious: overlaps of suppression to try beside that of evaluation.
        store: whether the checkpoint takes over what is found.

    Raises:
        InputError: ``aim`` is none of these, ``value`` is missing or impossible or has no meaning, or an overlap is not in (0, 1].
    """

    aim: Literal["f1", "precision", "recall"] = "f1"
    value: float | None = None
    ious: Sequence[float] = ()
    store: bool = True

    def __post_init__(self) -> None:
        if self.aim not in ("f1", "precision", "recall"):
            raise InputError(f"operating_point.aim={self.aim}: f1, precision or recall is needed")
        if self.aim == "f1" and self.value is not None:
            raise InputError(f"operating_point.value={self.value} has no meaning with operating_point.aim=f1: give operating_point.aim=precision or recall")
        if self.aim != "f1" and not _share(self.value):
            raise InputError(f"operating_point.value={self.value}: the wanted {self.aim} is needed, above 0 and at most 1, such as operating_point.value=0.95")
        if not all(_share(iou) for iou in self.ious):
            raise InputError(f"operating_point.ious={list(self.ious)}: numbers above 0 and at most 1 are needed, such as [0.4,0.5,0.6]")

    def best(self, results: Sequence[ImageResult], num_classes: int) -> OperatingPoint:
        """The threshold that serves the aim best on ``results``."""
        return operating_point(confidence_curves(results, num_classes), self.aim, self.value or 1.0)

    def reached_by(self, point: OperatingPoint) -> bool:
        """Whether a point gives what is wanted."""
        return self.aim == "f1" or getattr(point, self.aim) >= (self.value or 0) - 1e-9


class Choice(NamedTuple):
    """An operating point and the overlap of suppression it is meant for."""

    point: OperatingPoint
    iou: float


def choose(tried: Mapping[float, Sequence[ImageResult]], num_classes: int, search: Search, usual: float, groups: Sequence[str | None]) -> Choice:
    """The best operating point of all overlaps that were tried: of those that reach the aim the one with the largest F1.

    The ``usual`` overlap stays unless the best one is surely better: unless it reaches the aim and the usual one does not, or its gain in F1, all classes
    together, is above 0 in at least 97.5 % of the replicates when groups are drawn anew, the same ones for both (paired bootstrap, see ``bootstrap_weights``).
    What may fail by chance, 2.5 %, is shared among the other overlaps that were tried (Bonferroni). Of fewer than two groups nothing can be said.

    Args:
        tried: the same pictures' results by the overlap of suppression, ``usual`` among them.
        groups: the specimen of each picture.
    """
    points = {iou: search.best(results, num_classes) for iou, results in tried.items()}
    best = max(points, key=lambda iou: (search.reached_by(points[iou]), points[iou].f1, iou == usual))
    alone = search.reached_by(points[best]) and not search.reached_by(points[usual])
    if best != usual and (alone or _surely_better(tried, points, best, usual, num_classes, groups)):
        return Choice(points[best], best)
    return Choice(points[usual], usual)


def _surely_better(
    tried: Mapping[float, Sequence[ImageResult]],
    points: Mapping[float, OperatingPoint],
    new: float,
    old: float,
    num_classes: int,
    groups: Sequence[str | None],
) -> bool:
    weights = bootstrap_weights(groups, REPLICATES) if groups else np.ones((1, 0))
    if (weights == 1).all():  # one group alone
        return False
    f1 = {iou: weighted_counts(tried[iou], num_classes, points[iou].threshold, weights)["f1"] for iou in (new, old)}
    gain = f1[new] - f1[old]
    gain = gain[np.isfinite(gain)]
    return bool(len(gain) and np.percentile(gain, 2.5 / (len(tried) - 1)) > 0)


def _share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1
