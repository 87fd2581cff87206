"""Predictions beside the truth: the scores of a prediction whose pictures somebody has annotated."""

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from exolight.annotated_image import AnnotatedImage
from exolight.detections import Detections
from exolight.errors import InputError
from exolight.micrograph import read_micrograph

if TYPE_CHECKING:  # matplotlib is long to import, and a prediction without a truth needs none
    from matplotlib.figure import Figure

    from exolight.evaluation.records import ImageResult

Found = Mapping[Path, Detections]
Diameters = Mapping[Path, NDArray[np.float64]]


class Truth:
    """The annotation of pictures that are predicted.

    Args:
        path: any annotation that ``exolight.data.annotations.detect`` can read.
        pictures: the files that are predicted; those that the annotation does not know are not scored.
        class_names: of the detector. Classes are the same where their names are, or where both sides know only one.

    Raises:
        InputError: the annotation cannot be read, knows none of the pictures, or has no class of the detector's.
    """

    def __init__(self, path: Path, pictures: Sequence[Path], class_names: Sequence[str]) -> None:
        from exolight.data.annotations.detect import read_annotations

        annotations, self.format = read_annotations(path, pictures[0].parent if pictures else None)
        self.path, self.class_names = path, list(class_names)
        self.labels = _labels(annotations.class_names, class_names, path)
        by_path = {image.path.resolve(): image for image in annotations.images if image.path is not None}
        by_stem: dict[str, list[AnnotatedImage]] = {}
        for image in annotations.images:
            by_stem.setdefault(_stem(image.name), []).append(image)
        found = {picture: by_path.get(picture.resolve()) for picture in pictures}
        # By name only where that is no guess: grid 1/001.png is not grid 2/001.png.
        taken = {id(image) for image in found.values() if image is not None}
        counts = Counter(_stem(picture.name) for picture, image in found.items() if image is None)
        for picture in [picture for picture, image in found.items() if image is None]:
            namesakes = by_stem.get(_stem(picture.name), [])
            if len(namesakes) == 1 and counts[_stem(picture.name)] == 1 and id(namesakes[0]) not in taken:
                found[picture] = namesakes[0]
        self.images = {picture: image for picture, image in found.items() if image is not None}
        if not self.images:
            raise InputError(f"truth={path}: not one of {len(pictures)} pictures is among the {len(annotations.images)} annotated there ({self.format})")

    def fits(self, picture: Path, hw: tuple[int, ...]) -> bool:
        """Whether the annotation knows a picture, and at this size: another size is another picture of the same name."""
        image = self.images.get(picture)
        return image is not None and image.image_hw == hw

    def scores(
        self,
        found: Found,
        threshold: float,
        pixel_sizes_nm: Mapping[Path, float | None] | None = None,
        temperature: float | None = None,
        diameters_px: Diameters | None = None,
    ) -> dict[str, Any]:
        """Average precision and recall (COCO's), what ``threshold`` gives at IoU 0.5, and what ``beyond_scores`` adds, as JSON knows it: None where undefined.

        ``pictures`` and ``objects`` say how many were scored, ``best_f1`` and ``best_threshold`` what another threshold would have given.

        Args:
            found: detections, the weak ones too, of each picture that was predicted.
            threshold: the score of the operating point.
            pixel_sizes_nm: nm per pixel that the pictures were measured with, where known; they win over what the annotation says.
            temperature: of the scores, fitted on other pictures; None: it is fitted on these.
            diameters_px: of the detections of each picture, where they were measured otherwise than by their boxes.
        """
        from exolight.evaluation.average_precision import average_precision  # here: it takes torchmetrics along
        from exolight.evaluation.curves import best_f1, confidence_curves, score_at
        from exolight.evaluation.summary import beyond_scores

        results, images = self._results(found, pixel_sizes_nm, diameters_px)
        best = best_f1(confidence_curves(results, len(self.class_names)))
        numbers = average_precision(results, self.class_names) | score_at(results, threshold)
        numbers |= {"threshold": threshold, "best_f1": best.f1, "best_threshold": best.threshold}
        numbers |= beyond_scores(results, images, len(self.class_names), threshold, temperature)
        plain = {name: float(value) if np.isfinite(value) else None for name, value in numbers.items()}  # JSON has no nan
        objects = sum(int((~result.truth_ignore).sum()) for result in results)
        return {"truth": str(self.path), "format": self.format, "pictures": len(results), "objects": objects} | plain

    def figures(
        self,
        found: Found,
        threshold: float,
        pixel_sizes_nm: Mapping[Path, float | None] | None = None,
        temperature: float | None = None,
        diameters_px: Diameters | None = None,
    ) -> "dict[str, Figure]":
        """The figures of a prediction beside its truth by file name; see ``score_figures``. The arguments are those of ``scores``."""
        from exolight.reporting.scores import score_figures  # here: it takes matplotlib along

        results, images = self._results(found, pixel_sizes_nm, diameters_px)
        return score_figures(results, images, self.class_names, threshold, temperature)

    def _results(
        self, found: Found, pixel_sizes_nm: Mapping[Path, float | None] | None, diameters_px: Diameters | None
    ) -> "tuple[list[ImageResult], list[AnnotatedImage]]":
        """What was found beside what the annotation has of the detector's classes, and the annotated pictures, read from the files that were predicted."""
        from exolight.evaluation.records import ImageResult

        results, images = [], []
        for index, (picture, detections) in enumerate(found.items()):
            image = self.images[picture]
            known = np.isin(image.labels, list(self.labels))
            labels = np.array([self.labels[label] for label in image.labels[known].tolist()], np.int64)
            parts = (detections.boxes, detections.scores, detections.labels)
            measured = (diameters_px or {}).get(picture)
            results.append(ImageResult(index, image.name, *parts, image.boxes[known], labels, image.ignore[known], measured))
            size = (pixel_sizes_nm or {}).get(picture) or image.pixel_size_nm
            images.append(replace(image, reader=partial(read_micrograph, picture), pixel_size_nm=size))
        return results, images


def _labels(theirs: Sequence[str], ours: Sequence[str], path: Path) -> dict[int, int]:
    """Label of the annotation -> label of the detector."""
    if len(theirs) == len(ours) == 1:
        return {0: 0}
    labels = {index: list(ours).index(name) for index, name in enumerate(theirs) if name in ours}
    if not labels:
        raise InputError(f"truth={path}: it knows the classes {list(theirs)}, the detector {list(ours)}: none in common")
    return labels


def _stem(name: str) -> str:
    return unicodedata.normalize("NFC", Path(name).stem)
