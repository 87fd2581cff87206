"""Item: a picture with its objects, as writers take it."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from exolight.annotated_image import AnnotatedImage

MOST_APART = 0.5  # px, by which a box may change on its way through another format


class Drawn(NamedTuple):
    """One object: box (x1, y1, x2, y2) px, class index, outline (K, 2) px where it says all of the box, score where it is a detection."""

    box: tuple[float, float, float, float]
    label: int
    outline: NDArray[np.float64] | None
    score: float | None
    ignore: bool


class Item(NamedTuple):
    """A picture and what is known about it.

    Attributes:
        name: of its file below the folder of the pictures, with '/'.
        image: its objects.
        scores: (N,) confidences, where the objects are detections.
    """

    name: str
    image: AnnotatedImage
    scores: NDArray[np.float32] | None = None

    @property
    def stem(self) -> str:
        """The name without its suffix: what the file of a picture's annotation is called."""
        return PurePosixPath(self.name).with_suffix("").as_posix()

    def objects(self, ignored: bool = False) -> Iterator[Drawn]:
        """What is drawn; with ``ignored`` also the regions that count neither way."""
        for i, box in enumerate(self.image.boxes.astype(np.float64).tolist()):
            outline = None if self.image.outlines is None else _faithful(self.image.outlines[i].astype(np.float64), box)
            if ignored or not self.image.ignore[i]:
                score = None if self.scores is None else float(self.scores[i])
                yield Drawn(tuple(box), int(self.image.labels[i]), outline, score, bool(self.image.ignore[i]))


def _faithful(outline: NDArray[np.float64], box: list[float]) -> NDArray[np.float64] | None:
    """The outline, unless the box is more than it (an object in several pieces): who reads only the outline would get another box."""
    if len(outline) < 3:
        return None
    extent = np.concatenate([outline.min(axis=0), outline.max(axis=0)])
    return outline if np.abs(extent - box).max() <= MOST_APART / 2 else None


def rounded(value: float, digits: int = 2) -> str:
    """A number as short as it can be said: 12, 12.5, 12.25."""
    return f"{value:.{digits}f}".rstrip("0").rstrip(".")
