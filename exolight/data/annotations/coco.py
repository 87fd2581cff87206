"""COCO JSON annotation (https://cocodataset.org/#format-data), as Roboflow, CVAT, Label Studio and makesense.ai write it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exolight.annotated_image import AnnotationSet
from exolight.data.annotations.assemble import Entry, assemble, warn_of_unlisted
from exolight.data.annotations.documents import FURTHEST, number, read_json, shown
from exolight.data.annotations.pictures import Pictures, data_set_of, existing_folder
from exolight.data.annotations.shapes import Shape, extent
from exolight.errors import InputError
from exolight.micrograph import check_pixel_size
from exolight.polygons import polygon_area

LAYOUT = "one *.json, or train|valid|test/_annotations.coco.json, or annotations/*.json, with the pictures beside it or in images/"
_PATTERNS = ("*.json", "*/_annotations.coco.json", "annotations/*.json")

_KEY = int | float | str  # what an id may be

Record = Mapping[str, Any]


def read_coco(root: str | Path, images: str | Path | None = None, annotations: str | None = None) -> AnnotationSet:
    """Pictures and boxes of a COCO file, or of several (Roboflow's parts) whose classes are merged by name.

    Class ids become 0, 1, ... in the order of the file's ids; Roboflow's parent category without annotations is dropped. A crowd
    (``iscrowd`` 1) becomes a region to ignore. A box that is absent is the extent of the polygons. A picture's ``pixel_size_nm`` is taken
    where it is given. Outlines (largest polygon) are given for pictures whose every object has polygons.

    Args:
        root: a folder, or the JSON itself.
        images: the folder of the pictures, under root or anywhere; by default anywhere below root.
        annotations: the JSON's path under root, where there are several.

    Raises:
        InputError: no COCO JSON or several, a picture missing or of another size than the JSON says, annotations of unknown pictures or
            classes, or boxes that cannot be right: all of them are gathered first.
    """
    root = Path(root)
    if root.is_file():
        root, annotations = (folder := data_set_of(root)), root.relative_to(folder).as_posix()
    root = existing_folder(root, LAYOUT)
    files = _coco_files(root, annotations)
    pictures = Pictures(root, images)
    names: list[str] = []
    entries: list[Entry] = []
    problems: list[str] = []
    for file, content in files.items():
        more, wrong = coco_entries(content, file, names, pictures)
        entries += more
        problems += wrong
    warn_of_unlisted(entries, pictures)
    return assemble(entries, pictures.root, problems, names)


def is_coco(content: object) -> bool:
    """Whether a JSON is a COCO annotation."""
    if not isinstance(content, dict):
        return False
    lists = [content.get(key) for key in ("images", "annotations", "categories")]
    return all(isinstance(value, list) and all(isinstance(entry, dict) for entry in value) for value in lists)


def _coco_files(root: Path, annotations: str | None) -> dict[Path, Record]:
    """The COCO files meant, read."""
    if annotations is not None:
        file = root / annotations
        content = read_json(file)
        if not is_coco(content):
            raise InputError(f"{file}: no COCO annotation: it lacks the lists images, annotations or categories; export as COCO JSON")
        return {file: content}
    for pattern in _PATTERNS:
        found = {path: content for path in sorted(root.glob(pattern)) if not path.name.startswith(".") and is_coco(content := read_json(path))}
        if len(found) > 1 and pattern != "*/_annotations.coco.json":
            raise InputError(f"{root}: {len(found)} COCO files ({', '.join(path.name for path in found)}); say which with data.source.annotations")
        if found:
            return found
    raise InputError(f"{root}: no COCO annotation in it; wanted {LAYOUT}")


def _classes(content: Record, file: Path, names: list[str]) -> dict[Any, str]:
    """Class names by category id; new ones are added to ``names``."""
    try:
        categories = sorted(((entry["id"], str(entry["name"]), str(entry.get("supercategory"))) for entry in content["categories"]), key=lambda c: c[0])
        used = {key for entry in content["annotations"] if isinstance(key := entry.get("category_id"), _KEY)}
        others = {key: [parent for other, _, parent in categories if other != key] for key, _, _ in categories}
    except KeyError as error:
        raise InputError(f"{file}: categories: a category without {error}; every one needs a number id and a name; export it again") from error
    except (TypeError, RecursionError) as error:
        raise InputError(f"{file}: categories: every category needs a number id and a name ({error}); export it again") from error
    classes: dict[Any, str] = {}
    for key, name, _ in categories:
        parents = others[key]
        if key == 0 and key not in used and parents and all(parent == name for parent in parents):
            continue  # Roboflow's: the name of the project, above the real classes
        if name not in names:
            names.append(name)
        classes[key] = name
    if not classes:
        raise InputError(f"{file}: categories: there is none; name at least one class and export again")
    return classes


def coco_entries(content: Record, file: Path, names: list[str], pictures: Pictures | None) -> tuple[list[Entry], list[str]]:
    """The pictures of one file with their objects, and a problem for everything that cannot be right.

    Args:
        content: for which ``is_coco`` is true. file: where it stands.
        names: of classes, to which new ones are added.
        pictures: where they are; None: they are not looked for.

    Raises:
        InputError: categories without number or name.
    """
    classes = _classes(content, file, names)
    entries: list[Entry] = []
    objects, problems = _objects_by_picture(content, file)
    taken = Counter(str(record.get("file_name")) for record in content["images"])
    ids = Counter(str(record.get("id")) for record in content["images"])
    for position, record in enumerate(content["images"]):
        place = f"{file}: images[{position}]"
        key, name = record.get("id"), record.get("file_name")
        if not isinstance(key, _KEY) or not isinstance(name, str):
            problems.append(f"{place}: without id or file_name; export it again")
            continue
        if ids[str(key)] > 1 or taken[name] > 1:
            problems.append(f"{place}: id {shown(key)} or file_name {shown(name)} is there twice; remove one of the two")
            continue
        shapes, wrong = _shapes(objects.get(key, []), classes)
        problems += wrong
        try:
            path = Path(name) if pictures is None else pictures.find(name, file.parent)
            size_hw = (number(record.get("height") or 0, "height"), number(record.get("width") or 0, "width"))
            size = _pixel_size(record)
        except ValueError as error:
            problems.append(f"{place}: {error}")
            continue
        entries.append(Entry(path, str(file), shapes, size_hw, pixel_size_nm=size, on_disk=pictures is not None))
    return entries, problems


def _pixel_size(record: Record) -> float | None:
    """nm per pixel of a picture. Raises ``ValueError`` where it says an impossible one."""
    value = record.get("pixel_size_nm")
    if value is None:
        return None
    try:
        size = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{record['file_name']}: pixel_size_nm is {shown(value)}; wanted a number") from error
    check_pixel_size(size, record["file_name"])
    return size


def _objects_by_picture(content: Record, file: Path) -> tuple[dict[Any, list[tuple[str, Record]]], list[str]]:
    """(place, annotation) by picture id, and a problem for every annotation of a picture that is not listed."""
    known = {record.get("id") for record in content["images"] if isinstance(record.get("id"), _KEY)}
    objects: dict[Any, list[tuple[str, Record]]] = {}
    problems: list[str] = []
    for position, record in enumerate(content["annotations"]):
        place, picture = f"{file}: annotations[{position}] (id {shown(record.get('id'))})", record.get("image_id")
        if isinstance(picture, _KEY) and picture in known:
            objects.setdefault(picture, []).append((place, record))
        else:
            problems.append(f"{place}: image_id {shown(picture)} is not among the images; remove it or list the picture")
    return objects, problems


def _shapes(objects: Sequence[tuple[str, Record]], classes: Mapping[Any, str]) -> tuple[list[Shape], list[str]]:
    """The objects of one picture, and a problem for every one that cannot be right."""
    shapes: list[Shape] = []
    problems: list[str] = []
    for place, annotation in objects:
        category = annotation.get("category_id")
        if not isinstance(category, _KEY) or category not in classes:
            problems.append(f"{place}: category_id {shown(category)} is not among the categories; add it or remove the annotation")
            continue
        try:
            polygons = _polygons(annotation)
            box = _box(annotation, polygons)
        except ValueError as error:
            problems.append(f"{place}: {error}; draw the object again")
            continue
        shapes.append(
            Shape(
                place,
                classes[category],
                box,
                max(polygons, key=polygon_area) if polygons else None,
                ignore=bool(annotation.get("iscrowd") or annotation.get("ignore")),
                score=_score(annotation),
            )
        )
    return shapes, problems


def _score(annotation: Record) -> float | None:
    try:
        return None if annotation.get("score") is None else number(annotation["score"], "score")
    except ValueError:
        return None


def _polygons(annotation: Record) -> list[NDArray[np.float64]]:
    """The polygons (K, 2) px of an annotation; none where it has only a box or a run-length mask. Raises ``ValueError`` for what is none."""
    segmentation = annotation.get("segmentation")
    if not isinstance(segmentation, list):
        return []
    try:
        pieces = [np.array(piece, np.float64).reshape(-1, 2) for piece in segmentation if piece]
    except (TypeError, ValueError, OverflowError):
        pieces = [np.full((3, 2), np.nan)]
    if not all((np.abs(piece) <= FURTHEST).all() for piece in pieces):
        raise ValueError(f"segmentation is {shown(segmentation)}, wanted lists of numbers x1, y1, x2, y2, ...")
    return [piece for piece in pieces if len(piece) >= 3]


def _box(annotation: Record, polygons: Sequence[NDArray[np.float64]]) -> tuple[float, float, float, float]:
    """xyxy px of an annotation. Raises ``ValueError`` with what is wrong with it."""
    bbox = annotation.get("bbox")
    if bbox:
        if not isinstance(bbox, list) or len(bbox) != 4:
            raise ValueError(f"bbox is {shown(bbox)}, wanted x, y, width, height")
        x, y, w, h = (number(value, "bbox") for value in bbox)
        return x, y, x + w, y + h
    if not polygons:
        raise ValueError("no bbox and no polygon (run-length masks are not decoded), a bbox is needed")
    return extent(np.concatenate(polygons))
