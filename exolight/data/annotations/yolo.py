"""YOLO text annotation: one .txt a picture, a line an object, ``class cx cy w h`` in fractions of the picture's sides.

Written by makesense.ai, LabelImg (with classes.txt), Roboflow (with data.yaml), CVAT, Label Studio; the format is described at
https://docs.ultralytics.com/datasets/detect/. More than six numbers are a polygon: ``class x1 y1 x2 y2 ...``; of exactly six the last is
a confidence, as predictions carry it.
"""

import logging
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from exolight.annotated_image import AnnotatedImage, AnnotationSet
from exolight.data.annotations.check import check_boxes, raise_problems
from exolight.data.annotations.documents import FURTHEST, read_text
from exolight.data.annotations.pictures import annotated_picture, existing_folder, find_files
from exolight.data.annotations.yolo_description import FILE_NAMES, MAX_CLASSES, read_description
from exolight.errors import InputError
from exolight.micrograph import PICTURE_SUFFIXES, read_size

logger = logging.getLogger(__name__)

LAYOUT = "images/ with labels/, or .txt files beside the pictures, with or without a data.yaml"
_CLASS_LISTS = ("classes.txt", "labels/classes.txt", "labels.txt", "labels/labels.txt", "obj.names")  # of LabelImg and Label Studio, of makesense.ai, of CVAT
NO_LABELS = re.compile(r"(classes|labels|train|val|valid|validation|test|obj|_darknet|requirements|licen[cs]e|readme.*)\.txt", re.IGNORECASE)


class _Object(NamedTuple):
    """One line: class, xyxy in fractions of the sides, polygon (K, 2) in fractions or None, and where the line stands."""

    label: int
    box: tuple[float, float, float, float]
    polygon: NDArray[np.float64] | None
    place: str


def read_yolo(root: str | Path) -> AnnotationSet:
    """Pictures with YOLO text files, described by a data.yaml or lying in one of the usual layouts.

    A picture's labels are looked for in ``labels/`` in place of ``images/`` in its path, then beside it, then in ``labels/`` beside it. A
    picture with an empty label file or none has no objects. Names come from data.yaml, else from classes.txt, labels.txt
    or obj.names, else they are the numbers ("object" where all are 0). Outlines are given for pictures whose every object is a polygon.

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
    texts = {str(path) for path in find_files(root, (".txt",))}
    candidates = {picture: _label_paths(picture, root) for picture in dict.fromkeys((*pictures, *on_disk))}
    labels = {picture: next((path for path in candidates[picture] if path in texts or Path(path).is_file()), None) for picture in pictures}
    if not any(labels.values()):
        raise InputError(f"{root}: not one of {len(pictures)} pictures has a label file; wanted {LAYOUT}, such as {candidates[pictures[0]][0]}")
    problems = [
        f"{path}: annotation of a picture that does not exist; add {path.stem} ({', '.join(PICTURE_SUFFIXES)}) or remove the file"
        for path in _orphans(root, texts, candidates)
    ]
    objects: dict[Path, list[_Object]] = {}
    for picture, path in labels.items():
        objects[picture], wrong = _read_labels(Path(path)) if path else ([], [])
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


def _label_paths(picture: Path, root: Path) -> list[str]:
    """Where the labels of a picture may lie, most usual first."""
    folders, name = picture.parts[:-1], f"{picture.stem}.txt"
    paths = [os.path.join(*folders, name), os.path.join(*folders, "labels", name)]  # noqa: PTH118 - ten thousand times, which takes pathlib a second
    above = len(root.parts) if folders[: len(root.parts)] == root.parts else 0
    last = next((i for i in range(len(folders) - 1, above - 1, -1) if folders[i] == "images"), None)
    if last is not None:
        paths.insert(0, os.path.join(*folders[:last], "labels", *folders[last + 1 :], name))  # noqa: PTH118
    return paths


def _orphans(root: Path, texts: set[str], candidates: Mapping[Path, Sequence[str]]) -> list[Path]:
    """Label files, in a folder called labels or beside pictures, that belong to no picture."""
    wanted = {path for paths in candidates.values() for path in paths}
    folders = {str(picture.parent) for picture in candidates}
    others = [path for path in map(Path, sorted(texts - wanted)) if not NO_LABELS.fullmatch(path.name)]
    return [path for path in others if "labels" in path.relative_to(root).parts[:-1] or (str(path.parent) in folders and _looks_like_labels(path))]


def _looks_like_labels(path: Path) -> bool:
    """Whether a text beside pictures is a label file and no note: nothing but numbers."""
    try:
        return bool([float(word) for word in read_text(path).split()])
    except ValueError:
        return False


def _read_labels(path: Path) -> tuple[list[_Object], list[str]]:
    """The objects of one file, and a problem for every line that is none."""
    try:
        lines = read_text(path).splitlines()
    except InputError as problem:
        return [], [str(problem)]
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
    if not all(abs(number) <= FURTHEST for number in numbers):
        raise ValueError(f"a coordinate that is no number, or far outside: {' '.join(words)[:60]!r}")
    if count > 6:
        polygon = np.array(numbers[1:], np.float64).reshape(-1, 2)
        (x1, y1), (x2, y2) = polygon.min(axis=0).tolist(), polygon.max(axis=0).tolist()
        return _Object(int(numbers[0]), (x1, y1, x2, y2), polygon, place)
    cx, cy, w, h = numbers[1:5]
    return _Object(int(numbers[0]), (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2), None, place)


def has_class_names(root: Path) -> bool:
    """Whether a data set says what its classes are called."""
    return any((root / name).is_file() for name in (*FILE_NAMES, *_CLASS_LISTS))


def _names_without_yaml(root: Path, labels: set[int]) -> list[str]:
    for path in (root / name for name in _CLASS_LISTS):
        if path.is_file():
            names = [line.strip() for line in read_text(path).splitlines() if line.strip()]
            if names:
                return names
    return [str(number) for number in range(max(labels) + 1)] if labels - {0} else ["object"]


def _annotate(picture: Path, objects: Sequence[_Object], root: Path, class_count: int) -> tuple[AnnotatedImage, list[str]]:
    """The picture in pixels, and the problems of its boxes. Raises ``InputError`` where the picture cannot be read."""
    height, width = image_hw = read_size(picture)
    side = np.array([width, height], np.float64)
    boxes = np.array([entry.box for entry in objects], np.float64).reshape(-1, 4) * (width, height, width, height)
    labels = [entry.label for entry in objects]
    clipped, problems = check_boxes(boxes, labels, image_hw, class_count, [entry.place for entry in objects])
    polygons = [entry.polygon for entry in objects if entry.polygon is not None]
    outlines = tuple(np.clip(polygon * side, 0, side).astype(np.float32) for polygon in polygons) if len(polygons) == len(objects) else None
    return annotated_picture(picture, root, image_hw, clipped, labels, outlines=outlines), problems
