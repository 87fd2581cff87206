"""makesense.ai's CSV of rectangles: label,x,y,width,height,picture,width,height in px, with or without a line of names above."""

from collections.abc import Sequence
from pathlib import Path

from exolight.annotated_image import AnnotationSet
from exolight.data.annotations.assemble import Entry, assemble, with_unannotated
from exolight.data.annotations.documents import find_documents, number, read_csv
from exolight.data.annotations.pictures import Pictures
from exolight.data.annotations.shapes import Shape

COLUMNS = ["label_name", "bbox_x", "bbox_y", "bbox_width", "bbox_height", "image_name", "image_width", "image_height"]
LOOKED_AT = 20

Rows = Sequence[tuple[int, list[str]]]


def read_makesense(root: str | Path, images: str | Path | None = None) -> AnnotationSet:
    """Pictures and boxes of a CSV, or of several; the CSV says nothing of pictures without objects, so every other picture counts as one.

    Args:
        root: a folder, or the CSV itself.
        images: the folder of the pictures, under root or anywhere; by default anywhere below root.

    Raises:
        InputError: no such CSV, a picture missing or of another size than the CSV says, or boxes that cannot be right: all are gathered first.
    """
    kind = "makesense.ai CSV (rows such as vesicle,10,20,30,30,a.png,512,512)"
    folder, files, problems = find_documents(Path(root), ".csv", read_csv, is_makesense, kind)
    pictures = Pictures(folder, images)
    entries: list[Entry] = []
    for file, rows in files.items():
        found: dict[str, tuple[str, list[Shape], tuple[float, float]]] = {}
        for line, row in rows:
            place = f"{file}:{line}"
            if [cell.strip() for cell in row] == COLUMNS:
                continue
            try:
                name, shape, size_hw = _parse(row, place)
            except ValueError as error:
                problems.append(f"{place}: {error}; wanted {','.join(COLUMNS)}")
                continue
            _, drawn, first = found.setdefault(name, (place, [], size_hw))
            drawn.append(shape)
            if size_hw != first:
                problems.append(f"{place}: {name} is {size_hw[1]:g} x {size_hw[0]:g} px here and {first[1]:g} x {first[0]:g} px above; annotate it again")
        for name, (place, drawn, size_hw) in found.items():
            try:
                entries.append(Entry(pictures.find(name, file.parent), place, drawn, size_hw))
            except ValueError as error:
                problems.append(f"{place}: {error}")
    return assemble(with_unannotated(entries, pictures), pictures.root, problems)


def is_makesense(rows: Rows) -> bool:
    """Whether a CSV begins with makesense.ai's names of columns, or one of its first rows has numbers where it has."""
    return any([cell.strip() for cell in row] == COLUMNS or _fits(row) for _, row in rows[:LOOKED_AT])


def _fits(row: Sequence[str]) -> bool:
    try:
        return bool(_parse(row, ""))
    except ValueError:
        return False


def _parse(row: Sequence[str], place: str) -> tuple[str, Shape, tuple[float, float]]:
    """A picture's name, an object, and the picture's size (h, w). Commas in names are written as they are. Raises ``ValueError``."""
    if len(row) < len(COLUMNS):
        raise ValueError(f"{len(row)} columns")
    label, name = row[0].strip(), ",".join(row[5:-2]).strip()
    if not label or not name:
        raise ValueError("no name of a class or no name of a picture")
    x, y, w, h = (number(value, what) for value, what in zip(row[1:5], COLUMNS[1:5], strict=True))
    size_hw = (number(row[-1], COLUMNS[7]), number(row[-2], COLUMNS[6]))
    return name, Shape(place, label, (x, y, x + w, y + h)), size_hw
