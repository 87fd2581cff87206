"""AnnotatedImage: what is known about one picture's objects, and how to read the picture."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from exolight.micrograph import Micrograph


@dataclass(frozen=True)
class AnnotatedImage:
    """One picture's objects in pixels of the picture as recorded. A picture without objects is data, not an error.

    Attributes:
        name: identifies the picture within its data set and in every table: its path under the root, with '/'.
        reader: returns the picture; a plain function or a ``functools.partial`` of one, so that it pickles to loader workers.
        image_hw: (height, width) in pixels.
        boxes: (N, 4) float32 xyxy in pixels; x2 and y2 are exclusive.
        labels: (N,) int64 index into the data set's class names.
        ignore: (N,) bool; True for a region that counts neither way (a crowd, an object nobody could decide).
        path: the file, or None for a picture that has none (a simulated one).
        group: specimen, donor or source; pictures of one group never stand on both sides of a split. None: the picture is a group of its own.
        pixel_size_nm: nanometres per pixel, where the annotation knows it; the picture itself may know it too.
        outlines: N outlines of (K, 2) float32 x, y in pixels (largest piece of an object), or None where only boxes are known.
        diameters_nm: (N,) float32 area-equivalent diameter in nm, where the true one is known (simulation), else None.
        morphology: N names (cup, solid, ...), where known, else None.
        fresh: where pictures are simulated, makes another one of the same kind for an epoch >= 0, the same whenever it is asked for that epoch; training
            then sees it instead of this one. A plain function or a ``functools.partial`` of one, like ``reader``. None: the picture is what it is.
    """

    name: str
    reader: Callable[[], Micrograph]
    image_hw: tuple[int, int]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    ignore: NDArray[np.bool_]
    path: Path | None = None
    group: str | None = None
    pixel_size_nm: float | None = None
    outlines: tuple[NDArray[np.float32], ...] | None = field(default=None, repr=False)
    diameters_nm: NDArray[np.float32] | None = field(default=None, repr=False)
    morphology: tuple[str, ...] | None = field(default=None, repr=False)
    fresh: Callable[[int], "AnnotatedImage"] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        count = len(self.boxes)
        if self.boxes.shape != (count, 4) or self.boxes.dtype != np.float32:
            raise ValueError(f"{self.name}: boxes must be (N, 4) float32, not {self.boxes.shape} {self.boxes.dtype}")
        if self.labels.shape != (count,) or self.ignore.shape != (count,):
            raise ValueError(f"{self.name}: {count} boxes, but {len(self.labels)} labels and {len(self.ignore)} ignore flags")

    def read(self) -> Micrograph:
        """The picture itself. Raises ``InputError`` where it cannot be read."""
        return self.reader()


class AnnotationSet(NamedTuple):
    """All pictures of a data set and the names of its classes (``labels`` index them)."""

    images: list[AnnotatedImage]
    class_names: list[str]
