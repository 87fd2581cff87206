"""Pascal VOC XML, a file a picture, with edges counted from 0 as LabelImg has them."""

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from exolight.data.writers.item import Item, rounded


def write_voc(items: Iterable[Item], class_names: Sequence[str], out: Path) -> None:
    """annotations/NAME.xml of every picture; the pictures belong into images/. Regions that count neither way are ``difficult``; there are no outlines."""
    for item in items:
        height, width = item.image.image_hw
        root = ElementTree.Element("annotation")
        name = PurePosixPath(item.name)
        _add(root, "folder", (PurePosixPath("images") / name.parent).as_posix())
        _add(root, "filename", name.name)
        size = ElementTree.SubElement(root, "size")
        for key, value in (("width", width), ("height", height), ("depth", 1)):
            _add(size, key, str(value))
        for one in item.objects(ignored=True):
            node = ElementTree.SubElement(root, "object")
            _add(node, "name", class_names[one.label])
            _add(node, "pose", "Unspecified")
            _add(node, "truncated", "0")
            _add(node, "difficult", str(int(one.ignore)))
            box = ElementTree.SubElement(node, "bndbox")
            for key, corner in zip(("xmin", "ymin", "xmax", "ymax"), one.box, strict=True):
                _add(box, key, rounded(corner))
        ElementTree.indent(root)
        path = out / "annotations" / f"{item.stem}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _add(parent: ElementTree.Element, tag: str, text: str) -> None:
    ElementTree.SubElement(parent, tag).text = text
