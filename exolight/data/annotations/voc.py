"""Pascal VOC XML annotation, a file a picture, as LabelImg, makesense.ai, Roboflow and CVAT write it.

http://host.robots.ox.ac.uk/pascal/VOC/voc2012/devkit_doc.pdf. These tools write corners (xmin, ymin, xmax, ymax) as edges counted from 0, so that the
width is xmax - xmin; the challenge itself counted pixels from 1, the last one included. What the tools write is meant here.
"""

from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from exolight.annotated_image import AnnotationSet
from exolight.data.annotations.assemble import Entry, assemble, with_unannotated
from exolight.data.annotations.documents import find_documents, number, read_xml
from exolight.data.annotations.pictures import Pictures
from exolight.data.annotations.shapes import Shape
from exolight.errors import InputError


def read_voc(root: str | Path, images: str | Path | None = None) -> AnnotationSet:
    """Pictures and boxes of VOC files; a picture without a file counts as one without objects.

    A picture is found by ``filename``, else by the name of the XML (LabelImg keeps the old name of a renamed picture). Objects marked
    ``difficult`` count neither way, as in the challenge. Outlines are given for pictures whose every object has Roboflow's ``polygon``.

    Args:
        root: a folder, or one XML.
        images: the folder of the pictures, under root or anywhere; by default anywhere below root.

    Raises:
        InputError: no VOC file, a picture missing or of another size than its XML says, or boxes that cannot be right: all are gathered first.
    """
    folder, files, problems = find_documents(Path(root), ".xml", read_xml, is_voc, "Pascal VOC XML annotation (<annotation> with <object>s)")
    pictures = Pictures(folder, images)
    entries: list[Entry] = []
    for file, annotation in files.items():
        shapes: list[Shape] = []
        for position, node in enumerate(annotation.findall("object"), start=1):
            place = f"{file}: object {position}"
            try:
                shapes.append(_shape(node, place))
            except ValueError as error:
                problems.append(f"{place}: {error}; draw the object again")
        try:
            size_hw = (_number(annotation, "size/height", 0.0), _number(annotation, "size/width", 0.0))
            entries.append(Entry(_picture(annotation, file, pictures), str(file), shapes, size_hw))
        except ValueError as error:
            problems.append(f"{file}: {error}")
    if Path(root).is_dir():
        entries = with_unannotated(entries, pictures)
    return assemble(entries, pictures.root, problems)


def is_voc(annotation: Element) -> bool:
    """Whether an XML is a VOC annotation."""
    return annotation.tag == "annotation"


def _picture(annotation: Element, file: Path, pictures: Pictures) -> Path:
    name = (annotation.findtext("filename") or "").strip()
    try:
        return pictures.find(name or file.stem, file.parent)
    except InputError as error:
        try:
            return pictures.find(file.stem, file.parent)
        except InputError:
            raise error from None


def _shape(node: Element, place: str) -> Shape:
    name = (node.findtext("name") or "").strip()
    if not name:
        raise ValueError("an object without a <name>")
    if node.find("bndbox") is None:
        raise ValueError("an object without a <bndbox>")
    x1, y1, x2, y2 = (_number(node, f"bndbox/{key}") for key in ("xmin", "ymin", "xmax", "ymax"))
    corners: list[tuple[float, float]] = []
    while node.find(f"polygon/x{len(corners) + 1}") is not None:
        next_one = len(corners) + 1
        corners.append((_number(node, f"polygon/x{next_one}"), _number(node, f"polygon/y{next_one}")))
    outline = np.array(corners, np.float64) if len(corners) >= 3 else None
    return Shape(place, name, (x1, y1, x2, y2), outline, (node.findtext("difficult") or "0").strip() in ("1", "true", "True"))


def _number(node: Element, path: str, default: float | None = None) -> float:
    """Raises ``ValueError`` where nothing stands there that is a number, or nothing at all without a ``default``."""
    text = node.findtext(path)
    if default is not None and not (text or "").strip():
        return default
    return number(text, f"<{path.rsplit('/', 1)[-1]}>")
