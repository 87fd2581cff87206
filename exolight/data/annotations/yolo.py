"""YOLO text annotation: one .txt a picture, a line an object, ``class cx cy w h`` in fractions of the picture's sides.

Written by makesense.ai, LabelImg (with classes.txt), Roboflow (with data.yaml), CVAT, Label Studio; the format is described at
https://docs.ultralytics.com/datasets/detect/. More than six numbers are a polygon: ``class x1 y1 x2 y2 ...``; of exactly six the last is
a confidence, as predictions carry it.
"""

import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exolight.annotated_image import AnnotatedImage, AnnotationSet
from exolight.data.annotations.check import check_boxes, raise_problems
from exolight.data.annotations.pictures import annotated_picture, existing_folder, find_files
from exolight.data.annotations.yolo_description import read_description
from exolight.errors import InputError
from exolight.micrograph import PICTURE_SUFFIXES, read_size

logger = logging.getLogger(__name__)

LAYOUT = "images/ with labels/, or .txt files beside the pictures, with or without a data.yaml"
MAX_CLASSES = 1000  # without a list of names, a larger number is a damaged line and no class
_NO_LABELS = re.compile(r"(classes|train|val|valid|validation|test|obj|_darknet|requirements|licen[cs]e|readme.*)\.txt", re.IGNORECASE)


@dataclass(frozen=True)
class _Object:
    """One line: class, xyxy in fractions of the sides, polygon (K, 2) in fractions or None, and where the line stands."""

    label: int
    box: tuple[float, float, float, float]
    polygon: NDArray[np.float64] | None
    place: str


def read_yolo(root: str | Path) -> AnnotationSet:
    """Pictures with YOLO text files, described by a data.yaml or lying in one of the usual layouts.

    A picture's labels are looked for in ``labels/`` in place of ``images/`` in its path, then beside it, then in ``labels/`` beside it. A
    picture with an empty label file or none has no objects. Names come from data.yaml, else classes.txt, else they are the numbers
    ("object" where all are 0). Outlines are given for pictures whose every object is a polygon.

    Raises:
        InputError: nothing there, no picture has a label file, a label file has no picture, or lines that cannot be right: all of them
            are gathered first.
    """
    root = existing_folder(root, LAYOUT)
    on_disk = find_files(root, PICTURE_SUFFIXES)
    description = read_description(root)
    pictures = on_disk if description.pictures is None else description.pictures
    if not pictures:
        raise InputError(f"{root}: no pictures ({', '.join(PICTURE_SUFFIXES)}) in it; wanted {LAYOUT}")
    labels = {picture: next((path for path in _label_paths(picture, root) if path.is_file()), None) for picture in pictures}
    if not any(labels.values()):
        raise InputError(f"{root}: not one of {len(pictures)} pictures has a label file; wanted {LAYOUT}, such as {_label_paths(pictures[0], root)[0]}")
    problems = [
        f"{path}: annotation of a picture that does not exist; add {path.stem} ({', '.join(PICTURE_SUFFIXES)}) or remove the file"
        for path in _orphans(root, {*on_disk, *pictures})
    ]
    objects: dict[Path, list[_Object]] = {}
    for picture, path in labels.items():
        objects[picture], wrong = _read_labels(path) if path else ([], [])
        problems += wrong
    names = description.names or _names_without_yaml(root, {entry.label for found in objects.values() for entry in found})
    annotated: list[AnnotatedImage] = []
    for picture, found in objects.items():
        try:
            image, wrong = _annotate(picture, found, root, len(names))
        except InputError as problem:
            problems.append(str(problem))
            continue
        annotated.append(image)
        problems += wrong
    raise_problems(problems)
    without = sum(path is None for path in labels.values())
    if without:
        logger.info("%s: %d of %d pictures have no label file and count as pictures without objects", root, without, len(pictures))
    return AnnotationSet(annotated, names)


def _label_paths(picture: Path, root: Path) -> list[Path]:
    """Where the labels of a picture may lie, most usual first."""
    name = f"{picture.stem}.txt"
    paths = [picture.with_name(name), picture.parent / "labels" / name]
    below = picture.parent.relative_to(root).parts if picture.is_relative_to(root) else picture.parent.parts
    if "images" in below:
        last = len(picture.parent.parts) - 1 - below[::-1].index("images")
        paths.insert(0, Path(*picture.parent.parts[:last], "labels", *picture.parent.parts[last + 1 :], name))
    return paths


def _orphans(root: Path, pictures: set[Path]) -> list[Path]:
    """Label files, in a folder called labels or beside pictures, that belong to no picture."""
    wanted = {path for picture in pictures for path in _label_paths(picture, root)}
    folders = {picture.parent for picture in pictures}
    texts = [path for path in find_files(root, (".txt",)) if path not in wanted and not _NO_LABELS.fullmatch(path.name)]
    return [path for path in texts if "labels" in path.relative_to(root).parts[:-1] or (path.parent in folders and _looks_like_labels(path))]


def _looks_like_labels(path: Path) -> bool:
    """Whether a text beside pictures is a label file and no note: nothing but numbers."""
    try:
        return bool([float(word) for word in path.read_text("utf-8-sig").split()])
    except ValueError:
        return False


def _read_labels(path: Path) -> tuple[list[_Object], list[str]]:
    """The objects of one file, and a problem for every line that is none."""
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        return [], [f"{path}: cannot be read as text ({error}); export the labels again"]
    objects: list[_Object] = []
    problems: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            objects.append(_parse(line.split(), place))
        except ValueError as error:
            problems.append(f"{place}: {error}; wanted: class cx cy w h, in fractions of the picture")
    return objects, problems


def _parse(words: Sequence[str], place: str) -> _Object:
    """One line. Raises ``ValueError`` with what is wrong with it."""
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        raise ValueError(f"not all numbers: {' '.join(words)[:60]!r}") from None
    count = len(numbers)
    if count < 5 or (count > 6 and count % 2 == 0):
        raise ValueError(f"{count} numbers where a box has 5 (6 with a confidence) and a polygon an odd count from 7")
    if not math.isfinite(numbers[0]) or not 0 <= numbers[0] < MAX_CLASSES or numbers[0] != int(numbers[0]):
        raise ValueError(f"class {words[0]} is no whole number from 0 to {MAX_CLASSES - 1}")
    if count > 6:
        polygon = np.array(numbers[1:], np.float64).reshape(-1, 2)
        (x1, y1), (x2, y2) = polygon.min(axis=0).tolist(), polygon.max(axis=0).tolist()
        return _Object(int(numbers[0]), (x1, y1, x2, y2), polygon, place)
    cx, cy, w, h = numbers[1:5]
    return _Object(int(numbers[0]), (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2), None, place)


def _names_without_yaml(root: Path, labels: set[int]) -> list[str]:
    for path in (root / "classes.txt", root / "labels" / "classes.txt"):
        if path.is_file():
            names = [line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
            if names:
                return names
    return [str(number) for number in range(max(labels) + 1)] if labels - {0} else ["object"]


def _annotate(picture: Path, objects: Sequence[_Object], root: Path, class_count: int) -> tuple[AnnotatedImage, list[str]]:
    """The picture in pixels, and the problems of its boxes. Raises ``InputError`` where the picture cannot be read."""
    height, width = image_hw = read_size(picture)
    side = np.array([width, height], np.float64)
    boxes = np.array([entry.box for entry in objects], np.float64).reshape(-1, 4) * np.tile(side, 2)
    labels = [entry.label for entry in objects]
    clipped, problems = check_boxes(boxes, labels, image_hw, class_count, [entry.place for entry in objects])
    polygons = [entry.polygon for entry in objects if entry.polygon is not None]
    outlines = tuple(np.clip(polygon * side, 0, side).astype(np.float32) for polygon in polygons) if len(polygons) == len(objects) else None
    return annotated_picture(picture, root, image_hw, clipped, labels, outlines=outlines), problems
