"""labelme's JSON (https://github.com/wkentaro/labelme), a file a picture."""

import base64
import io
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from exolight.annotated_image import AnnotationSet
from exolight.data.annotations import shapes
from exolight.data.annotations.assemble import Entry, assemble, with_unannotated
from exolight.data.annotations.documents import find_documents, mapping, number, points, read_json, shown
from exolight.data.annotations.pictures import Pictures
from exolight.data.annotations.shapes import Shape
from exolight.errors import InputError

logger = logging.getLogger(__name__)

MOST_PIXELS = 1 << 26  # of a mask
_NO_AREA = ("point", "points", "line", "linestrip")


def read_labelme(root: str | Path, images: str | Path | None = None) -> AnnotationSet:
    """Pictures with their rectangles, circles, polygons and masks; a picture without a file counts as one without objects.

    A picture is found by ``imagePath``, else by the name of the JSON. Lines and points are no objects and are left out, with a warning.
    Outlines are given for pictures without rectangles.

    Args:
        root: a folder, or one JSON.
        images: the folder of the pictures, under root or anywhere; by default anywhere below root.

    Raises:
        InputError: no labelme JSON, a picture missing or of another size than its JSON says, or shapes that cannot be right: all are
            gathered first.
    """
    folder, files, problems = find_documents(Path(root), ".json", read_json, is_labelme, "labelme JSON (shapes and imagePath)")
    pictures = Pictures(folder, images)
    entries: list[Entry] = []
    left_out: list[str] = []
    for file, content in files.items():
        drawn: list[Shape] = []
        for position, shape in enumerate(content["shapes"]):
            place = f"{file}: shapes[{position}]"
            if isinstance(shape, dict) and shape.get("shape_type") in _NO_AREA:
                left_out.append(place)
                continue
            try:
                drawn.append(_shape(mapping(shape, "a shape"), place))
            except ValueError as error:
                problems.append(f"{place}: {error}; draw the object again")
        try:
            size_hw = (number(content.get("imageHeight") or 0, "imageHeight"), number(content.get("imageWidth") or 0, "imageWidth"))
            entries.append(Entry(_picture(str(content["imagePath"]), file, pictures), str(file), drawn, size_hw))
        except ValueError as error:
            problems.append(f"{file}: {error}")
    if left_out:
        logger.warning("%d lines or points have no area and are left out, first %s", len(left_out), left_out[0])
    if Path(root).is_dir():
        entries = with_unannotated(entries, pictures)
    return assemble(entries, pictures.root, problems)


def is_labelme(content: object) -> bool:
    """Whether a JSON is one of labelme's."""
    return isinstance(content, dict) and isinstance(content.get("shapes"), list) and isinstance(content.get("imagePath"), str)


def _picture(name: str, file: Path, pictures: Pictures) -> Path:
    try:
        return pictures.find(name, file.parent)
    except InputError as error:
        try:
            return pictures.find(file.stem, file.parent)
        except InputError:
            raise error from None


def _shape(shape: Mapping[str, Any], place: str) -> Shape:
    """Raises ``ValueError`` with what is wrong with a shape."""
    name = shape.get("label")
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"label is {shown(name)}, wanted the name of a class")
    kind, corners = shape.get("shape_type", "polygon"), points(shape.get("points"), "points")  # before version 3.15 all shapes were polygons
    if kind in ("polygon", "oriented_rectangle"):
        return shapes.polygon(place, name.strip(), corners)
    if kind not in ("rectangle", "circle", "mask"):
        raise ValueError(f"shape_type {shown(kind)} is unknown; wanted polygon, rectangle, circle or mask")
    if len(corners) != 2:
        raise ValueError(f"a {kind} of {len(corners)} points, wanted 2")
    if kind == "circle":
        centre, rim = corners
        radius = float(np.hypot(*(rim - centre)))
        return shapes.ellipse(place, name.strip(), (float(centre[0]), float(centre[1])), (radius, radius))
    if kind == "mask":
        left, top = (int(value) for value in corners.min(axis=0))
        pixels = _decoded(shape.get("mask"), np.abs(corners[1] - corners[0]) + 1)
        return shapes.stencil(place, name.strip(), pixels, (left, top))
    return shapes.rectangle(place, name.strip(), shapes.extent(corners))


def _decoded(text: object, size_wh: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(h, w) bool of a PNG in base64. Raises ``ValueError`` where it is none, or of another size than its two points say."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(str(text), validate=True)), formats=("PNG",)) as picture:
            if picture.size == tuple(size_wh.tolist()) and picture.width * picture.height <= MOST_PIXELS:
                return np.asarray(picture.convert("L")) > 0
            found = f"{picture.width} x {picture.height} px, its points {size_wh[0]:g} x {size_wh[1]:g}"
    except Exception as error:  # decoders raise anything on a damaged file
        raise ValueError("mask is no PNG that can be read") from error
    raise ValueError(f"mask is {found}")
