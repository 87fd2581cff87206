"""Predictions beside the truth: the scores of a prediction whose pictures somebody has annotated."""

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exolight.annotated_image import AnnotatedImage
from exolight.detections import Detections
from exolight.errors import InputError


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

    def scores(self, found: Mapping[Path, Detections], threshold: float) -> dict[str, Any]:
        """Average precision and recall (COCO's), and what ``threshold`` gives: precision, recall, F1 at IoU 0.5, count error a picture.

        Args:
            found: detections, the weak ones too, of each picture that was predicted.
            threshold: the score of the operating point.
        """
        from exolight.evaluation.average_precision import average_precision  # here: it takes torchmetrics along
        from exolight.evaluation.curves import best_f1, confidence_curves, score_at
        from exolight.evaluation.records import ImageResult

        results = []
        for index, (picture, detections) in enumerate(found.items()):
            image = self.images[picture]
            known = np.isin(image.labels, list(self.labels))
            labels = np.array([self.labels[label] for label in image.labels[known].tolist()], np.int64)
            parts = (detections.boxes, detections.scores, detections.labels)
            results.append(ImageResult(index, image.name, *parts, image.boxes[known], labels, image.ignore[known]))
        best = best_f1(confidence_curves(results, len(self.class_names)))
        numbers = average_precision(results, self.class_names) | score_at(results, threshold)
        numbers |= {"threshold": threshold, "best_f1": best.f1, "best_threshold": best.threshold}
        plain = {name: float(value) if np.isfinite(value) else None for name, value in numbers.items()}  # JSON has no nan
        return {"truth": str(self.path), "format": self.format, "pictures": len(results), "objects": sum(len(r.truth_boxes) for r in results)} | plain


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
