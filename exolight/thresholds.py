"""Thresholds: which of a detector's candidate boxes are kept."""

from dataclasses import dataclass

from exolight.errors import InputError


@dataclass(frozen=True)
class Thresholds:
    """What turns candidate boxes into detections.

    Attributes:
        score: keep boxes whose score is at least this, in [0, 1]. The case study's "confidence threshold".
        iou: of two boxes that overlap by more than this intersection over union, only the better one is kept, in [0, 1].
        max_detections: at most this many boxes a picture (a tile, where a large field is predicted in tiles), the best first.
        class_agnostic: whether boxes of different classes suppress each other.
    """

    score: float = 0.25
    iou: float = 0.45
    max_detections: int = 1000
    class_agnostic: bool = False

    def __post_init__(self) -> None:
        for name in ("score", "iou"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise InputError(f"thresholds.{name}={value} is no number from 0 to 1: give a fraction, such as 0.25")
        if not isinstance(self.max_detections, int) or self.max_detections < 1:
            raise InputError(f"thresholds.max_detections={self.max_detections}: a whole number, at least 1, is needed")
