"""What every reader asks of its boxes, and how a data set's problems are told."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exolight.errors import InputError

logger = logging.getLogger(__name__)

ROUNDING_PX = 1.5  # tools count corners from 0 or from 1 and round to whole pixels
ROUNDING_SIDE = 0.005  # and write fractions of a side with few digits
MAX_LOGGED = 20
_gathered: ContextVar[list[str] | None] = ContextVar("_gathered", default=None)


def check_boxes(
    boxes_xyxy: ArrayLike, labels: ArrayLike, image_hw: tuple[int, int], class_count: int, places: Sequence[str]
) -> tuple[NDArray[np.float32], list[str]]:
    """Clips boxes that stick out of their picture by no more than rounding, and names every box that cannot be right.

    Args:
        boxes_xyxy: (N, 4) px, as the annotation has them.
        labels: (N,) class index.
        image_hw: (height, width) px.
        class_count: labels must be in ``0 .. class_count - 1``.
        places: N times where the box stands (file and line, or key), to begin its problem with.

    Returns:
        (N, 4) float32 xyxy inside the picture (meaningless for the boxes with a problem), and one line per problem. A box may stick out
        by 1.5 px or 0.5 % of the side, whichever is more. Boxes are never dropped for being small.
    """
    boxes = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4)
    classes = np.asarray(labels).reshape(-1)
    height, width = image_hw
    limit = np.array([width, height, width, height], np.float64)
    allowed = np.maximum(ROUNDING_PX, ROUNDING_SIDE * limit)
    first, last = boxes[:, :2], boxes[:, 2:]
    # Comparisons with what is no number are false.
    right = ((boxes >= -allowed) & (boxes <= limit + allowed)).all(axis=1) & ((first < last) & (first < limit[:2]) & (last > 0)).all(axis=1)
    right &= (classes >= 0) & (classes < class_count)
    problems = [f"{places[i]}: {_wrong(boxes[i], classes[i], image_hw, class_count)}" for i in np.flatnonzero(~right).tolist()]
    return np.clip(boxes, 0, limit).astype(np.float32), problems


def _wrong(box: NDArray[np.float64], label: int, image_hw: tuple[int, int], class_count: int) -> str:
    """What is wrong with a box that cannot be right, and what to do."""
    x1, y1, x2, y2 = box.tolist()
    said = f"{x1:g}, {y1:g}, {x2:g}, {y2:g}"
    if not np.isfinite(box).all():
        return f"a box with a coordinate that is no number ({said}); draw it again"
    if x2 <= x1 or y2 <= y1:
        return f"a box without area (width {x2 - x1:g}, height {y2 - y1:g} px); remove it or draw it again"
    if 0 <= label < class_count:
        return f"box outside the picture (x1, y1, x2, y2 = {said} px in {image_hw[1]} x {image_hw[0]} px); annotate this very picture"
    return f"class {label}, but there are {class_count} class names; correct the number or the list of names"


def raise_problems(problems: Sequence[str]) -> None:
    """Raises one ``InputError`` where there are problems: the first one and how many more; those (up to 20) are logged, one a line.

    Within ``gathered`` it adds all of them to the list there instead.
    """
    if not problems:
        return
    elsewhere = _gathered.get()
    if elsewhere is not None:
        elsewhere += problems
        return
    for problem in problems[1 : MAX_LOGGED + 1]:
        logger.warning("%s", problem)
    more = len(problems) - 1
    raise InputError(problems[0] + (f" (and {more} more problem{'s' if more > 1 else ''}, logged above)" if more else ""))


@contextmanager
def gathered() -> Iterator[list[str]]:
    """A list of all that readers find wrong meanwhile, in place of the error that it would be.

    For checks of a whole data set: they want to know everything, and see the rest of the data. What readers return then is all that can be read, boxes with a
    problem included, whose coordinates mean nothing and whose class may not exist.
    """
    problems: list[str] = []
    token = _gathered.set(problems)
    try:
        yield problems
    finally:
        _gathered.reset(token)
