"""Detections: what was found in one picture, in pixels of that picture; filter, concatenate, to and from plain records."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Detections:
    """The boxes found in one picture. None at all is a result, not an error.

    Raises ``ValueError`` when the arrays disagree in length, have another shape or dtype than said here, or hold a number that is not finite.

    Attributes:
        boxes: (N, 4) float32 xyxy in pixels of the picture as recorded; x2 and y2 are exclusive.
        scores: (N,) float32 confidence in [0, 1].
        labels: (N,) int64 index into the detector's class names.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        count = len(self.boxes)
        for name, shape, dtype in (("boxes", (count, 4), np.float32), ("scores", (count,), np.float32), ("labels", (count,), np.int64)):
            array = getattr(self, name)
            if array.shape != shape or array.dtype != dtype:
                raise ValueError(f"{name} must be {shape} {np.dtype(dtype).name}, not {array.shape} {array.dtype.name}")
            if not np.isfinite(array).all():
                raise ValueError(f"{name} hold numbers that are not finite")

    @classmethod
    def empty(cls) -> "Detections":
        """A picture in which nothing was found."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))

    @classmethod
    def concatenate(cls, parts: Sequence["Detections"]) -> "Detections":
        """The detections of several parts of one picture (tiles, test-time views), in their order; of no parts, none."""
        if not parts:
            return cls.empty()
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("boxes", "scores", "labels")))

    @classmethod
    def from_records(cls, records: Iterable[Mapping[str, Any]], class_names: Sequence[str]) -> "Detections":
        """The inverse of ``to_records``. Raises ``ValueError`` where a record names a class that ``class_names`` does not hold."""
        rows = list(records)
        unknown = {row["class"] for row in rows} - set(class_names)
        if unknown:
            raise ValueError(f"unknown classes {sorted(unknown)}: the detector knows {list(class_names)}")
        boxes = np.array([[row["x1"], row["y1"], row["x2"], row["y2"]] for row in rows], np.float32).reshape(-1, 4)
        scores = np.array([row["score"] for row in rows], np.float32)
        return cls(boxes, scores, np.array([class_names.index(row["class"]) for row in rows], np.int64))

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def diameters_px(self) -> NDArray[np.float32]:
        """(N,) sqrt(width * height) in pixels: the diameter of a circle exactly, of an axis-parallel ellipse area-equivalently."""
        sides = np.maximum(self.boxes[:, 2:] - self.boxes[:, :2], 0)
        return np.sqrt(sides[:, 0] * sides[:, 1])

    def filter(self, mask: NDArray[np.bool_]) -> "Detections":
        """Those where ``mask`` (N,) is true, in their order."""
        if mask.shape != (len(self),) or mask.dtype != np.bool_:
            raise ValueError(f"the mask must be ({len(self)},) bool, not {mask.shape} {mask.dtype}")
        return Detections(self.boxes[mask], self.scores[mask], self.labels[mask])

    def above(self, score: float) -> "Detections":
        """Those whose score is at least ``score``, as in ``Thresholds``."""
        return self.filter(self.scores >= score)

    def to_records(self, class_names: Sequence[str]) -> list[dict[str, Any]]:
        """One dict of plain Python values a detection: x1, y1, x2, y2 (px), score, class (its name)."""
        rows = zip(self.boxes.tolist(), self.scores.tolist(), self.labels.tolist(), strict=True)
        return [{"x1": x1, "y1": y1, "x2": x2, "y2": y2, "score": score, "class": class_names[label]} for (x1, y1, x2, y2), score, label in rows]
