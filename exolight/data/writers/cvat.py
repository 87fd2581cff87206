"""CVAT for images 1.1: one XML, to be uploaded into a task with pictures of the same names."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.etree import ElementTree

from exolight.data.writers.item import Item, rounded


def write_cvat(items: Iterable[Item], class_names: Sequence[str], out: Path) -> None:
    """annotations.xml; the pictures belong into images/. Regions that count neither way are left out, because CVAT has none."""
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    labels = ElementTree.SubElement(ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task"), "labels")
    for name in class_names:
        ElementTree.SubElement(ElementTree.SubElement(labels, "label"), "name").text = name
    for number, item in enumerate(items):
        height, width = item.image.image_hw
        image = ElementTree.SubElement(root, "image", id=str(number), name=item.name, width=str(width), height=str(height))
        for one in item.objects():
            common = {"label": class_names[one.label], "source": "file", "occluded": "0", "z_order": "0"}
            if one.outline is not None:
                points = ";".join(f"{rounded(x)},{rounded(y)}" for x, y in one.outline.tolist())
                ElementTree.SubElement(image, "polygon", common | {"points": points})
            else:
                corners = zip(("xtl", "ytl", "xbr", "ybr"), map(rounded, one.box), strict=True)
                ElementTree.SubElement(image, "box", common | dict(corners))
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(out / "annotations.xml", encoding="utf-8", xml_declaration=True)
