"""COCO JSON annotation (https://cocodataset.org/#format-data), as Roboflow, CVAT, Label Studio and makesense.ai write it."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exolight.annotated_image import AnnotatedImage, AnnotationSet
from exolight.data.annotations.check import check_boxes, raise_problems
from exolight.data.annotations.pictures import annotated_picture, existing_folder
from exolight.errors import InputError
from exolight.micrograph import check_pixel_size, read_size

LAYOUT = "one *.json, or train|valid|test/_annotations.coco.json, or annotations/*.json, with the pictures beside it or in images/"
_PATTERNS = ("*.json", "*/_annotations.coco.json", "annotations/*.json")

Entry = Mapping[str, Any]


def read_coco(root: str | Path, annotations: str | None = None, images: str | None = None) -> AnnotationSet:
    """Pictures and boxes of a COCO file, or of several (Roboflow's parts) whose classes are merged by name.

    Class ids become 0, 1, ... in the order of the file's ids; Roboflow's parent category without annotations is dropped. A crowd
    (``iscrowd`` 1) becomes a region to ignore. A box that is absent is the extent of the polygons. A picture's ``pixel_size_nm`` is taken
    where it is given. Outlines (largest polygon) are given for pictures whose every object has polygons.

    Args:
        root: a folder, or the JSON itself.
        annotations: the JSON's path under root, where there are several.
        images: the folder of the pictures under root; by default beside the JSON, in its images/, or so under root.

    Raises:
        InputError: no COCO JSON or several, a picture missing or of another size than the JSON says, annotations of unknown pictures or
            classes, or boxes that cannot be right: all of them are gathered first.
    """
    root = Path(root)
    if root.is_file():
        root, annotations = root.parent, root.name
    root = existing_folder(root, LAYOUT)
    files = _coco_files(root, annotations)
    names: list[str] = []
    classes = {file: _classes(content, file, names) for file, content in files.items()}
    annotated: list[AnnotatedImage] = []
    problems: list[str] = []
    seen: set[Path] = set()
    for file, content in files.items():
        folders = [root / images] if images else list(dict.fromkeys([file.parent, file.parent / "images", root, root / "images"]))
        pictures, wrong = _pictures(content, file, folders)
        problems += wrong
        objects, wrong = _objects_by_picture(content, file)
        problems += wrong
        for number, (path, entry) in pictures.items():
            if path in seen:
                problems.append(f"{file}: {path} is listed twice, here as {entry['file_name']}; remove one of the two")
                continue
            seen.add(path)
            try:
                image, wrong = _annotate(path, entry, objects.get(number, []), classes[file], len(names), root, file)
            except InputError as problem:
                problems.append(str(problem))
                continue
            annotated.append(image)
            problems += wrong
    raise_problems(problems)
    if not annotated:
        raise InputError(f"{next(iter(files))}: no pictures listed; export the annotations again, with the pictures")
    return AnnotationSet(annotated, names)


def _coco_files(root: Path, annotations: str | None) -> dict[Path, Entry]:
    """The COCO files meant, read."""
    if annotations is not None:
        file = root / annotations
        content = _read_json(file)
        if not _is_coco(content):
            raise InputError(f"{file}: no COCO annotation: it lacks the lists images, annotations or categories; export as COCO JSON")
        return {file: content}
    for pattern in _PATTERNS:
        found = {path: content for path in sorted(root.glob(pattern)) if not path.name.startswith(".") and _is_coco(content := _read_json(path))}
        if len(found) > 1 and pattern != "*/_annotations.coco.json":
            raise InputError(f"{root}: {len(found)} COCO files ({', '.join(path.name for path in found)}); say which with data.annotations")
        if found:
            return found
    raise InputError(f"{root}: no COCO annotation in it; wanted {LAYOUT}")


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text("utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"{file}: no such file; check data.root and data.annotations") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{file}: no JSON that can be read ({error}); export it again") from error


def _is_coco(content: object) -> bool:
    if not isinstance(content, dict):
        return False
    lists = [content.get(key) for key in ("images", "annotations", "categories")]
    return all(isinstance(value, list) and all(isinstance(entry, dict) for entry in value) for value in lists)


def _classes(content: Entry, file: Path, names: list[str]) -> dict[Any, int]:
    """Label by category id; new names are added to ``names``."""
    try:
        categories = sorted(((entry["id"], str(entry["name"]), str(entry.get("supercategory"))) for entry in content["categories"]), key=lambda c: c[0])
    except (KeyError, TypeError) as error:
        raise InputError(f"{file}: categories: every category needs a number id and a name ({error}); export it again") from error
    used = {entry.get("category_id") for entry in content["annotations"]}
    labels: dict[Any, int] = {}
    for number, name, _ in categories:
        others = [parent for other, _, parent in categories if other != number]
        if number == 0 and number not in used and others and all(parent == name for parent in others):
            continue  # Roboflow's: the name of the project, above the real classes
        if name not in names:
            names.append(name)
        labels[number] = names.index(name)
    if not labels:
        raise InputError(f"{file}: categories: there is none; name at least one class and export again")
    return labels


def _pictures(content: Entry, file: Path, folders: Sequence[Path]) -> tuple[dict[Any, tuple[Path, Entry]], list[str]]:
    """Path and entry of every picture by its id, and a problem for every entry that has no file of its own."""
    pictures: dict[Any, tuple[Path, Entry]] = {}
    problems: list[str] = []
    taken = Counter(str(entry.get("file_name")) for entry in content["images"])
    ids = Counter(str(entry.get("id")) for entry in content["images"])
    for position, entry in enumerate(content["images"]):
        place = f"{file}: images[{position}]"
        name = str(entry.get("file_name"))
        path = _find(name, folders)
        if "id" not in entry or "file_name" not in entry:
            problems.append(f"{place}: without id or file_name; export it again")
        elif ids[str(entry["id"])] > 1 or taken[name] > 1:
            problems.append(f"{place}: id {entry['id']} or file_name {name} is there twice; remove one of the two")
        elif path is None:
            problems.append(f"{place}: there is no picture {name} in {' or '.join(str(folder) for folder in folders)}; add it or say data.images")
        else:
            pictures[entry["id"]] = (path, entry)
    return pictures, problems


def _find(name: str, folders: Sequence[Path]) -> Path | None:
    """The file; a path of the annotator's machine that is not here is tried by its last part alone."""
    posix = name.replace("\\", "/")
    candidates = [folder / wanted for wanted in (posix, PurePosixPath(posix).name) for folder in folders]
    return next((path for path in candidates if path.is_file()), None)


def _objects_by_picture(content: Entry, file: Path) -> tuple[dict[Any, list[tuple[str, Entry]]], list[str]]:
    """(place, annotation) by picture id, and a problem for every annotation of a picture that is not listed."""
    known = {entry.get("id") for entry in content["images"]}
    objects: dict[Any, list[tuple[str, Entry]]] = {}
    problems: list[str] = []
    for position, entry in enumerate(content["annotations"]):
        place = f"{file}: annotations[{position}] (id {entry.get('id')})"
        if entry.get("image_id") in known:
            objects.setdefault(entry["image_id"], []).append((place, entry))
        else:
            problems.append(f"{place}: image_id {entry.get('image_id')} is not among the images; remove it or list the picture")
    return objects, problems


def _annotate(
    path: Path, entry: Entry, objects: Sequence[tuple[str, Entry]], classes: Mapping[Any, int], class_count: int, root: Path, file: Path
) -> tuple[AnnotatedImage, list[str]]:
    """The picture with its objects, and their problems. Raises ``InputError`` where the picture itself is wrong."""
    image_hw = read_size(path)
    said = (entry.get("height") or image_hw[0], entry.get("width") or image_hw[1])
    if said != image_hw:
        raise InputError(f"{file}: {path.name} is {said[1]} x {said[0]} px here, the file {image_hw[1]} x {image_hw[0]}; use the pictures annotated")
    pixel_size_nm = entry.get("pixel_size_nm")
    if pixel_size_nm is not None:
        pixel_size_nm = _number(pixel_size_nm, f"{file}: {path.name}: pixel_size_nm")
        check_pixel_size(pixel_size_nm, f"{file}: {path.name}")
    problems: list[str] = []
    good: list[tuple[str, list[float], int, bool]] = []
    outlines: list[NDArray[np.float32]] = []
    for place, annotation in objects:
        if annotation.get("category_id") not in classes:
            problems.append(f"{place}: category_id {annotation.get('category_id')} is not among the categories; add it or remove the annotation")
            continue
        try:
            polygons = _polygons(annotation)
            good.append((place, _box(annotation, polygons), classes[annotation["category_id"]], bool(annotation.get("iscrowd") or annotation.get("ignore"))))
        except (TypeError, ValueError) as error:
            problems.append(f"{place}: {error}; draw the object again")
            continue
        if polygons:
            outlines.append(np.clip(max(polygons, key=_area), 0, (image_hw[1], image_hw[0])).astype(np.float32))
    labels = [label for _, _, label, _ in good]
    boxes, wrong = check_boxes([box for _, box, _, _ in good], labels, image_hw, class_count, [place for place, _, _, _ in good])
    drawn = tuple(outlines) if len(outlines) == len(good) else None
    ignore = [crowd for _, _, _, crowd in good]
    return annotated_picture(path, root, image_hw, boxes, labels, ignore=ignore, outlines=drawn, pixel_size_nm=pixel_size_nm), problems + wrong


def _number(value: object, where: str) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise InputError(f"{where} is {value!r}; wanted a number") from error


def _polygons(annotation: Entry) -> list[NDArray[np.float64]]:
    """The polygons (K, 2) px of an annotation; none where it has only a box or a run-length mask."""
    segmentation = annotation.get("segmentation")
    if not isinstance(segmentation, list):
        return []
    pieces = [np.array(piece, np.float64).reshape(-1, 2) for piece in segmentation if len(piece)]
    return [piece for piece in pieces if len(piece) >= 3]


def _area(polygon: NDArray[np.float64]) -> float:
    """Shoelace formula, px²."""
    x, y = polygon[:, 0], polygon[:, 1]
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def _box(annotation: Entry, polygons: Sequence[NDArray[np.float64]]) -> list[float]:
    """xyxy px of an annotation. Raises ``ValueError`` with what is wrong with it."""
    bbox = annotation.get("bbox")
    if bbox:
        if not isinstance(bbox, list) or len(bbox) != 4:
            raise ValueError(f"bbox is {bbox!r}, wanted x, y, width, height")
        x, y, w, h = (float(number) for number in bbox)
        return [x, y, x + w, y + h]
    if not polygons:
        raise ValueError("no bbox and no polygon (run-length masks are not decoded), a bbox is needed")
    points = np.concatenate(polygons)
    return [*points.min(axis=0).tolist(), *points.max(axis=0).tolist()]
