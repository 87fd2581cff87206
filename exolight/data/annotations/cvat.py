"""CVAT's own annotation ("CVAT for images 1.1"): one XML for all pictures, https://docs.cvat.ai/docs/dataset_management/formats/xml_format/."""

import logging
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from exolight.annotated_image import AnnotationSet
from exolight.data.annotations import shapes
from exolight.data.annotations.assemble import Entry, assemble, warn_of_unlisted
from exolight.data.annotations.documents import find_documents, number, read_xml, shown
from exolight.data.annotations.pictures import Pictures
from exolight.data.annotations.shapes import Shape
from exolight.errors import InputError

logger = logging.getLogger(__name__)

MOST_PIXELS = 1 << 26  # of a mask
_NO_AREA = ("polyline", "points", "cuboid", "skeleton", "tag")


def read_cvat(root: str | Path, images: str | Path | None = None) -> AnnotationSet:
    """Pictures with their boxes (turned ones, too), polygons, ellipses and masks; only pictures that are listed, with or without objects.

    Classes are those of the task, in its order. Outlines are given for pictures without plain boxes. Lines, points, cuboids and tags are
    no objects and are left out, with a warning.

    Args:
        root: a folder, or the XML itself.
        images: the folder of the pictures, under root or anywhere; by default anywhere below root.

    Raises:
        InputError: no CVAT XML, or one of a video; a picture missing or of another size than the XML says, or shapes that cannot be right:
            all are gathered first.
    """
    folder, files, problems = find_documents(Path(root), ".xml", read_xml, is_cvat, "CVAT annotation (<annotations> with <image>s)")
    pictures = Pictures(folder, images)
    names: dict[str, None] = {}
    entries: list[Entry] = []
    left_out: list[str] = []
    for file, annotations in files.items():
        if annotations.find("track") is not None:
            raise InputError(f"{file}: the annotation of a video (<track>); export it from CVAT as CVAT for images 1.1")
        names |= dict.fromkeys(text.strip() for label in annotations.findall("meta//labels/label/name") if (text := label.text or "").strip())
        for image in annotations.findall("image"):
            place = f"{file}: image {shown(image.get('name'))}"
            drawn: list[Shape] = []
            for position, node in enumerate(image, start=1):
                where = f"{place}, {node.tag} {position}"
                if node.tag in _NO_AREA:
                    left_out.append(where)
                    continue
                try:
                    drawn.append(_shape(node, where))
                except ValueError as error:
                    problems.append(f"{where}: {error}; draw the object again")
            try:
                size_hw = (number(image.get("height", "0"), "height"), number(image.get("width", "0"), "width"))
                entries.append(Entry(pictures.find(image.get("name", ""), file.parent), str(file), drawn, size_hw))
            except ValueError as error:
                problems.append(f"{place}: {error}")
    if left_out:
        logger.warning("%d lines, points or tags have no area and are left out, first %s", len(left_out), left_out[0])
    warn_of_unlisted(entries, pictures)
    return assemble(entries, pictures.root, problems, list(names))


def is_cvat(annotations: Element) -> bool:
    """Whether an XML is a CVAT annotation."""
    return annotations.tag == "annotations" and any(annotations.find(tag) is not None for tag in ("image", "track", "meta"))


def _shape(node: Element, place: str) -> Shape:
    """Raises ``ValueError`` with what is wrong with a shape."""
    name = (node.get("label") or "").strip()
    if not name:
        raise ValueError("an object without a label")

    def value(key: str, default: str | None = None) -> float:
        return number(node.get(key, default), key)

    degrees = value("rotation", "0")
    if node.tag == "box":
        x1, y1, x2, y2 = (value(key) for key in ("xtl", "ytl", "xbr", "ybr"))
        return shapes.rectangle(place, name, (x1, y1, x2, y2), degrees)
    if node.tag == "polygon":
        corners = [[number(xy, "points") for xy in pair.split(",")] for pair in node.get("points", "").split(";") if pair.strip()]
        if any(len(corner) != 2 for corner in corners):
            raise ValueError(f"points are {shown(node.get('points'))}, wanted x,y;x,y;...")
        return shapes.polygon(place, name, corners)
    if node.tag == "ellipse":
        return shapes.ellipse(place, name, (value("cx"), value("cy")), (value("rx"), value("ry")), degrees)
    if node.tag == "mask":
        return _mask(node, place, name, [value(key) for key in ("left", "top", "width", "height")])
    raise ValueError(f"<{node.tag[:40]}> is no shape of this format; wanted box, polygon, ellipse or mask")


def _mask(node: Element, place: str, name: str, window: list[float]) -> Shape:
    """A run-length mask: lengths of runs, of background first, row by row within a window of the picture."""
    left, top, width, height = (int(value) for value in window)
    runs = [int(number(run, "rle")) for run in node.get("rle", "").split(",")]
    if width < 1 or height < 1 or width * height > MOST_PIXELS or min(runs) < 0 or sum(runs) != width * height:
        raise ValueError(f"rle does not fill its window of {width} x {height} px")
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    return shapes.stencil(place, name, pixels, (left, top))
