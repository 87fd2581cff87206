"""Label Studio's JSON, the full export and JSON-MIN: tasks with results in percent of the picture, https://labelstud.io/guide/export#JSON."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np

from exolight.annotated_image import AnnotationSet
from exolight.data.annotations import shapes
from exolight.data.annotations.assemble import Entry, assemble, warn_of_unlisted
from exolight.data.annotations.documents import find_documents, mapping, number, points, read_json, shown
from exolight.data.annotations.pictures import Pictures
from exolight.data.annotations.shapes import Shape
from exolight.errors import InputError
from exolight.micrograph import PICTURE_SUFFIXES, read_size

logger = logging.getLogger(__name__)

_UPLOADED = re.compile(r"^[0-9a-f]{8}-")  # put before the name of a picture that was uploaded
_SHOWN = (*PICTURE_SUFFIXES, ".gif", ".webp")  # what a task may show
_RESULTS = {"annotations", "completions", "predictions"}
_WRITTEN = {"annotator", "annotation_id", "lead_time"}
UNNAMED = "object"
_KEYS = {"ellipse": {"radiusX", "radiusY"}, "polygon": {"points"}, "brush": {"rle"}, "rectangle": {"x", "y", "width", "height"}}  # what tells them apart


def read_label_studio(root: str | Path, images: str | Path | None = None) -> AnnotationSet:
    """Pictures with their rectangles (turned ones, too), polygons and ellipses; only pictures that are listed, with or without objects.

    Of a task that several people have annotated the annotation marked as ground truth is taken. A task nobody has annotated counts by its
    prediction, with a warning. Outlines are given for pictures without plain rectangles.

    Args:
        root: a folder, or the JSON itself.
        images: the folder of the pictures, under root or anywhere; by default anywhere below root.

    Raises:
        InputError: no Label Studio JSON, a picture missing or of another size than the JSON says, a task with several annotations, or shapes
            that cannot be right: all are gathered first.
    """
    folder, files, problems = find_documents(Path(root), ".json", read_json, is_label_studio, "Label Studio JSON (a list of tasks)")
    pictures = Pictures(folder, images)
    entries: list[Entry] = []
    predicted = 0
    for file, tasks in files.items():
        for position, task in enumerate(tasks):
            place = f"{file}: task {shown(task.get('id', position))}"
            try:
                results, from_prediction = _results(task)
                path = _picture(task, file, pictures)
            except ValueError as error:
                problems.append(f"{place}: {error}")
                continue
            predicted += from_prediction
            drawn, sizes, wrong = _shapes(results, path, place)
            problems += wrong
            entries.append(Entry(path, place, drawn, sizes[0] if sizes else (None, None)))
            if any(size != sizes[0] for size in sizes):
                problems.append(f"{place}: its results name several sizes of the picture, such as {sizes[0]} and {sizes[-1]}; annotate it again")
    if predicted:
        logger.warning("%s: %d pictures count by predictions that nobody has corrected", folder, predicted)
    warn_of_unlisted(entries, pictures)
    return assemble(entries, pictures.root, problems)


def is_label_studio(content: object) -> bool:
    """Whether a JSON is a list of Label Studio's tasks: in the full export each has ``data`` and results, in JSON-MIN what is written about every task."""
    if not isinstance(content, list) or not content or not all(isinstance(task, dict) for task in content):
        return False
    return all(_is_full(task) or ("id" in task and not _WRITTEN.isdisjoint(task)) for task in content)


def _is_full(task: Mapping[str, Any]) -> bool:
    return isinstance(task.get("data"), dict) and not _RESULTS.isdisjoint(task)


def _is_address(value: object) -> bool:
    return isinstance(value, str) and PurePosixPath(_path(value)).suffix.lower() in _SHOWN


def _path(address: str) -> str:
    """The path in an address: /data/upload/1/0a1b2c3d-a.png, /data/local-files/?d=folder/a.png, s3://bucket/a.png, https://..."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return address
    local = re.search(r"(?:^|&)d=([^&]*)", parts.query)
    return unquote(local[1] if local else parts.path).replace("\\", "/")


def _picture(task: Mapping[str, Any], file: Path, pictures: Pictures) -> Path:
    """Raises ``ValueError`` where the task shows no picture, or none that is here."""
    data = task["data"] if isinstance(task.get("data"), dict) else task
    address = next((value for value in data.values() if _is_address(value)), None)
    if address is None:
        raise ValueError(f"data is {shown(data)}, without the address of a picture; export the pictures' tasks only")
    path = PurePosixPath(_path(address))
    try:
        return pictures.find(str(path), file.parent)
    except InputError as error:
        if not _UPLOADED.match(path.name):
            raise
        try:
            return pictures.find(str(path.with_name(_UPLOADED.sub("", path.name))), file.parent)
        except InputError:
            raise error from None


def _results(task: Mapping[str, Any]) -> tuple[list[Any], bool]:
    """What was drawn in a task, and whether that is a prediction. Raises ``ValueError`` where it is not clear."""
    if not _is_full(task):  # JSON-MIN: a list for each control of the labelling interface
        return [value for values in task.values() if isinstance(values, list) for value in values if _kind(value)], False
    annotations = [entry for entry in _records(task, "annotations") or _records(task, "completions") if not entry.get("was_cancelled")]
    chosen = [entry for entry in annotations if entry.get("ground_truth")] or annotations
    if len(chosen) > 1:
        raise ValueError(f"{len(chosen)} annotations of one picture; mark one of them as ground truth, or delete the others")
    predictions = [] if chosen else _records(task, "predictions")
    if len(predictions) > 1:
        raise ValueError(f"nobody has annotated it, and there are {len(predictions)} predictions; annotate it, or leave one")
    results = [result for entry in chosen or predictions for result in _records(entry, "result")]
    return results, bool(predictions)


def _records(holder: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """A list of objects; none where nothing stands there. Raises ``ValueError`` for anything else."""
    value = holder.get(key) or []
    if not isinstance(value, list):
        raise ValueError(f"{key} is {shown(value)}, wanted a list")
    return [mapping(entry, f"{key}[{position}]") for position, entry in enumerate(value)]


def _kind(value: object) -> str | None:
    """Which shape the value of a result is."""
    if not isinstance(value, dict):
        return None
    named = next((kind for kind in _KEYS if f"{kind}labels" in value), None)
    return named or next((kind for kind, keys in _KEYS.items() if keys <= value.keys()), None)


def _shapes(results: list[dict[str, Any]], path: Path, place: str) -> tuple[list[Shape], list[tuple[float, float]], list[str]]:
    """The objects of one picture, the sizes (h, w) of it that they name, and a problem for each that cannot be right.

    The tags Rectangle and Labels give two results of one id: the shape, and its class, which has the same shape again.
    """
    drawn: dict[object, Shape] = {}
    sizes: list[tuple[float, float]] = []
    problems: list[str] = []
    for position, result in enumerate(results):
        where = f"{place}, result {position + 1}"
        try:
            value = result.get("value", result)  # JSON-MIN has the value alone
            kind = _kind(value)
            if kind is None:
                continue  # a choice, a text, a rating
            about = value | result  # JSON-MIN has both in one
            height, width = (number(about.get(f"original_{side}") or 0, f"original_{side}") for side in ("height", "width"))
            size = (height, width) if min(height, width) > 0 else read_size(path)
            if number(about.get("image_rotation") or 0, "image_rotation") % 360:
                raise ValueError("the picture was turned in the tool; turn it back")
            sizes.append(size)
            shape = _shape(kind, value, size, where)
            key = result.get("id") if isinstance(result.get("id"), str) else position
            drawn[key] = shape if key not in drawn or shape.name != UNNAMED else drawn[key]
        except InputError as error:
            problems.append(str(error))
        except ValueError as error:
            problems.append(f"{where}: {error}; draw the object again")
    return list(drawn.values()), sizes, problems


def _shape(kind: str, value: Mapping[str, Any], size_hw: tuple[float, float], place: str) -> Shape:
    """Raises ``ValueError`` with what is wrong with a shape."""
    labels = value.get(f"{kind}labels") or value.get("labels") or [UNNAMED]
    if not isinstance(labels, list) or len(labels) != 1 or not isinstance(labels[0], str):
        raise ValueError(f"labels are {shown(labels)}, wanted one class")
    name = labels[0].strip() or UNNAMED
    if kind == "brush":
        raise ValueError("a brush mask, which cannot be read; export the masks as PNG, or draw polygons")
    h, w = size_hw[0] / 100, size_hw[1] / 100

    def length(key: str, percent: float = 1.0, default: object = None) -> float:
        return number(value.get(key, default), key) * percent

    if kind == "polygon":
        return shapes.polygon(place, name, points(value.get("points"), "points") * np.array([w, h]))
    degrees = length("rotation", default=0)
    x, y = length("x", w), length("y", h)
    if kind == "ellipse":
        return shapes.ellipse(place, name, (x, y), (length("radiusX", w), length("radiusY", h)), degrees)
    return shapes.rectangle(place, name, (x, y, x + length("width", w), y + length("height", h)), degrees, about=(x, y))
