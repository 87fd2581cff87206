"""VGG Image Annotator, versions 1 and 2: JSON, project files and CSV, https://www.robots.ox.ac.uk/~vgg/software/via/; also what makesense.ai calls VGG JSON."""

import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from exolight.annotated_image import AnnotationSet
from exolight.data.annotations import shapes
from exolight.data.annotations.assemble import Entry, assemble, warn_of_unlisted
from exolight.data.annotations.documents import find_documents, mapping, number, read_csv, read_json, shown
from exolight.data.annotations.pictures import Pictures
from exolight.data.annotations.shapes import Shape
from exolight.errors import InputError

logger = logging.getLogger(__name__)

COLUMNS = ["filename", "file_size", "file_attributes", "region_count", "region_id", "region_shape_attributes", "region_attributes"]
UNNAMED = "object"
CLASS_ATTRIBUTES = ("class", "label", "type", "category", "name")  # which attribute names the class, where there are several
_NO_AREA = ("polyline", "point", "line")


class _Region(NamedTuple):
    place: str
    shape: Any  # as it stands there: nothing is certain about either
    attributes: Any


class _Picture(NamedTuple):
    place: str
    file: Path
    name: str
    regions: list[_Region]


def read_via(root: str | Path, images: str | Path | None = None) -> AnnotationSet:
    """Pictures with their rectangles, circles, ellipses and polygons; only pictures that are listed, with or without objects.

    The class is the value of the one region attribute there is; of several, the one called class, label, type, category or name. Without
    any, all objects are of the class "object". Lines and points are no objects and are left out, with a warning. Outlines are given for
    pictures without rectangles.

    Args:
        root: a folder, or the JSON or CSV itself.
        images: the folder of the pictures, under root or anywhere; by default anywhere below root.

    Raises:
        InputError: no VIA annotation, a picture missing, region attributes of which none is the class, or shapes that cannot be right: all
            are gathered first.
    """
    folder, listed, problems = _read(Path(root))
    attribute = _class_attribute([region for picture in listed for region in picture.regions], folder)
    pictures = Pictures(folder, images)
    entries: list[Entry] = []
    left_out: list[str] = []
    for place, file, name, regions in listed:
        drawn: list[Shape] = []
        for region in regions:
            try:
                described = mapping(region.shape, "shape_attributes")
                if described.get("name") in _NO_AREA:
                    left_out.append(region.place)
                else:
                    drawn.append(_shape(described, _class_name(region.attributes, attribute), region.place))
            except ValueError as error:
                problems.append(f"{region.place}: {error}; draw the object again")
        try:
            entries.append(Entry(pictures.find(name, file.parent), place, drawn))
        except InputError as error:
            problems.append(f"{place}: {error}")
    if left_out:
        logger.warning("%d lines or points have no area and are left out, first %s", len(left_out), left_out[0])
    warn_of_unlisted(entries, pictures)
    return assemble(entries, pictures.root, problems)


def is_via(content: object) -> bool:
    """Whether a JSON is a project of VIA 2, or pictures with regions as versions 1 and 2 export them."""
    if not isinstance(content, dict):
        return False
    listed = content.get("_via_img_metadata", content)
    if not isinstance(listed, dict) or not (listed or "_via_img_metadata" in content):
        return False
    return all(isinstance(entry, dict) and "filename" in entry and "regions" in entry for entry in listed.values())


def is_via_table(rows: Sequence[tuple[int, list[str]]]) -> bool:
    """Whether a CSV begins with VIA's columns (version 1.0 has a # before them)."""
    return bool(rows) and [cell.strip().lstrip("#") for cell in rows[0][1]][: len(COLUMNS)] == COLUMNS


def _read(root: Path) -> tuple[Path, list[_Picture], list[str]]:
    """The data set's folder, its pictures and what is wrong: from JSON, else from CSV."""
    listed: list[_Picture] = []
    if root.suffix.lower() != ".csv":
        try:
            folder, files, problems = find_documents(root, ".json", read_json, is_via, "VIA annotation (JSON: pictures with regions)")
            for file, content in files.items():
                for key, entry in content.get("_via_img_metadata", content).items():
                    place = f"{file}: {shown(key)}"
                    try:
                        listed.append(_Picture(place, file, str(entry["filename"]), list(_regions(entry["regions"], place))))
                    except ValueError as error:
                        problems.append(f"{place}: {error}; export it again")
            return folder, listed, problems
        except InputError:
            if root.is_file():
                raise
    kind = f"VIA annotation (JSON: pictures with regions; CSV: a first line {','.join(COLUMNS[:3])},...)"
    folder, tables, problems = find_documents(root, ".csv", read_csv, is_via_table, kind)
    for file, rows in tables.items():
        found: dict[str, _Picture] = {}
        for line, row in rows[1:]:
            place = f"{file}:{line}"
            try:
                name, *_, shape, attributes = _cells(row)
                picture = found.setdefault(name, _Picture(place, file, name, []))
                if shape:  # a picture without regions has a row, too
                    picture.regions.append(_Region(place, shape, attributes))
            except ValueError as error:
                problems.append(f"{place}: {error}; export it again")
        listed += found.values()
    return folder, listed, problems


def _cells(row: Sequence[str]) -> list[Any]:
    """A file name, which older versions write with its commas as they are, and the shape and attributes of a region."""
    more = len(row) - len(COLUMNS)
    if more < 0:
        raise ValueError(f"{len(row)} columns, wanted {len(COLUMNS)}")
    try:
        return [",".join(row[: more + 1]), json.loads(row[-2] or "{}"), json.loads(row[-1] or "{}")]
    except (ValueError, RecursionError):
        raise ValueError(f"{shown(row[-2])}, {shown(row[-1])} are not both JSON") from None


def _regions(regions: Any, place: str) -> Iterator[_Region]:
    """Of a picture: a list, or in version 1 names with values. Raises ``ValueError`` for anything else."""
    if not isinstance(regions, list):
        regions = list(mapping(regions, "regions").values())
    for position, region in enumerate(regions):
        region = mapping(region, f"regions[{position}]")
        yield _Region(f"{place}: regions[{position}]", region.get("shape_attributes"), region.get("region_attributes"))


def _class_attribute(regions: Sequence[_Region], folder: Path) -> str | None:
    """Which attribute names the class. Raises ``InputError`` where several may."""
    names = {key for region in regions if isinstance(region.attributes, dict) for key in region.attributes}
    if len(names) < 2:
        return next(iter(names), None)
    usual = [name for wanted in CLASS_ATTRIBUTES for name in sorted(names) if name.casefold() == wanted]
    if not usual:
        raise InputError(f"{folder}: the regions have the attributes {shown(sorted(names))}; call the one that names the class 'class'")
    return usual[0]


def _class_name(attributes: Any, attribute: str | None) -> str:
    """The value of the class's attribute; a checkbox has the chosen options as names. Raises ``ValueError`` for several options."""
    value = attributes.get(attribute) if isinstance(attributes, dict) and attribute is not None else None
    if isinstance(value, dict):
        chosen = [key for key, on in value.items() if on]
        if len(chosen) > 1:
            raise ValueError(f"{attribute} is {shown(chosen)}, wanted one class")
        value = chosen[0] if chosen else None
    return (str(value).strip() if isinstance(value, str | int | float) else "") or UNNAMED


def _shape(described: Mapping[str, Any], name: str, place: str) -> Shape:
    """Raises ``ValueError`` with what is wrong with a shape."""

    def value(key: str, default: object = None) -> float:
        return number(described.get(key, default), key)

    kind = described.get("name")
    if kind == "rect":
        x, y = value("x"), value("y")
        return shapes.rectangle(place, name, (x, y, x + value("width"), y + value("height")))
    if kind == "circle":
        return shapes.ellipse(place, name, (value("cx"), value("cy")), (value("r"), value("r")))
    if kind == "ellipse":
        return shapes.ellipse(place, name, (value("cx"), value("cy")), (value("rx"), value("ry")), math.degrees(value("theta", 0)))
    if kind == "polygon":
        xs, ys = described.get("all_points_x"), described.get("all_points_y")
        if not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys):
            raise ValueError(f"all_points_x and all_points_y are {shown(xs)} and {shown(ys)}, wanted two lists of one length")
        return shapes.polygon(place, name, [(number(x, "all_points_x"), number(y, "all_points_y")) for x, y in zip(xs, ys, strict=True)])
    raise ValueError(f"the shape {shown(kind)} is unknown; wanted rect, circle, ellipse or polygon")
