"""ImageResult: what was found in one picture beside what is there; and how the results of several processes come together."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch.distributed as dist
from numpy.typing import NDArray

from exolight.annotated_image import AnnotatedImage
from exolight.detections import Detections


class ImageResult(NamedTuple):
    """One picture's detections, made at score >= 0.001 (as by ``thresholds=evaluation``), and its truth. Plain numpy: lists of them travel between processes.

    Boxes are (N, 4) float32 xyxy in pixels of one and the same image: the sizes in ``map_small`` and so on are meant in those pixels.

    Attributes:
        image_id: identifies the picture within its data set (its index there).
        name: the picture's name in tables.
        boxes, scores, labels: the detections: (N, 4) float32, (N,) float32, (N,) int64.
        truth_boxes, truth_labels: (M, 4) float32, (M,) int64.
        truth_ignore: (M,) bool, regions that count neither way.
        diameters_px: (N,) measured of the detections; None: their boxes', sqrt(width * height).
    """

    image_id: int
    name: str
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    truth_boxes: NDArray[np.float32]
    truth_labels: NDArray[np.int64]
    truth_ignore: NDArray[np.bool_]
    diameters_px: NDArray[np.float64] | None = None

    @property
    def detections(self) -> Detections:
        """The detections alone."""
        return Detections(self.boxes, self.scores, self.labels)


# The pictures that results are of, by their ``image_id``.
Images = Sequence[AnnotatedImage] | Mapping[int, AnnotatedImage]


def gather(results: Sequence[ImageResult]) -> list[ImageResult]:
    """All processes' results, each picture once, by ascending ``image_id``: on every rank the list that one process would have made.

    Call it once an evaluation and on every rank, also one without results: it is one collective of objects, so that unequal numbers of pictures cannot
    desynchronise the ranks; and pictures that a distributed sampler repeats to fill up count once (of repeats the lowest rank's stays).
    Without an initialised process group it only sorts and drops repeats.
    """
    everyone: list[Sequence[ImageResult]] = [list(results)]
    if dist.is_available() and dist.is_initialized():
        everyone = [[] for _ in range(dist.get_world_size())]
        dist.all_gather_object(everyone, list(results))
    unique: dict[int, ImageResult] = {}
    for rank in everyone:
        for result in rank:
            unique.setdefault(result.image_id, result)
    return [unique[image_id] for image_id in sorted(unique)]
