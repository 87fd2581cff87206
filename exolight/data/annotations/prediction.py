"""What a prediction of exolight has left in its folder, read as an annotation: to be corrected in a tool, or to be looked at beside another."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exolight.annotated_image import AnnotationSet
from exolight.data.annotations.assemble import assemble
from exolight.data.annotations.coco import coco_entries, is_coco
from exolight.data.annotations.documents import number, read_csv, read_json
from exolight.data.annotations.pictures import PREDICTION_TABLES, Pictures, is_prediction
from exolight.errors import InputError

COCO = "detections.coco.json"
_COLUMNS = (("image", "x1", "y1", "x2", "y2", "score", "class"), ("image", "width", "height", "error"))


def read_prediction(root: str | Path, images: str | Path | None = None) -> AnnotationSet:
    """Pictures with what was found in them. Arguments and errors are those of ``read_scored``."""
    return read_scored(root, images)[0]


def read_scored(root: str | Path, images: str | Path | None = None) -> tuple[AnnotationSet, list[NDArray[np.float32]]]:
    """Pictures with what was found in them, outlines included where they were traced, and for each picture the scores (N,) of its boxes.

    Of an interrupted prediction what is finished counts. Pictures that could not be read or were not analysable are left out: they are not known to be empty.

    Args:
        root: the folder of a prediction, or one of its tables.
        images: the folder of the pictures, under root or anywhere. By default they are not looked for, and only their sizes are known.

    Raises:
        InputError: no prediction, a table that is damaged, or a picture that is not in ``images``, or there in another size.
    """
    folder = prediction_folder(Path(root))
    if folder is None:
        raise InputError(f"{root}: no prediction of exolight; wanted a folder with {' and '.join(PREDICTION_TABLES)}")
    root, file = folder, folder / COCO
    content = read_json(file) if file.is_file() else _from_tables(root)
    if not is_coco(content):
        raise InputError(f"{file}: damaged; predict the pictures again, or remove this file: the tables say the same")
    names: list[str] = []
    pictures = None if images is None else Pictures(root, images)
    entries, problems = coco_entries(content, file, names, pictures)
    found = assemble(entries, root if pictures is None else pictures.root, problems, names)
    return found, [np.array([shape.score or 0.0 for shape in entry.shapes], np.float32) for entry in entries]


def prediction_folder(path: Path) -> Path | None:
    """The folder of a prediction, of which that folder or one of its tables is named; None for anything else."""
    folder = path.parent if path.name in (*PREDICTION_TABLES, COCO) and path.is_file() else path
    return folder if is_prediction(folder) else None


def _from_tables(root: Path) -> dict[str, Any]:
    """A COCO data set of both tables, as far as an interrupted prediction has come. Raises ``InputError`` where they are damaged."""
    vesicles, pictures = (_table(root / name, columns) for name, columns in zip(PREDICTION_TABLES, _COLUMNS, strict=True))
    done = [row for row in pictures if not row["error"] and row.get("count") != ""]
    ids = {row["image"]: number for number, row in enumerate(done)}
    names = sorted({row["class"] for row in vesicles}) or ["object"]
    found = [row for row in vesicles if row["image"] in ids]  # the rows of a picture's vesicles are written before its own
    return {
        "images": [{"id": ids[row["image"]], "file_name": row["image"], "width": row["width"], "height": row["height"]} for row in done],
        "annotations": [
            {"id": number, "image_id": ids[row["image"]], "category_id": names.index(row["class"]), "bbox": _bbox(row), "score": row["score"]}
            for number, row in enumerate(found)
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(names)],
    }


def _table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows, each with its ``place``; a last one that was cut off is left out. Raises ``InputError`` for another table or a damaged row."""
    lines = read_csv(path)
    header = lines[0][1] if lines else []
    if not set(columns) <= set(header):
        raise InputError(f"{path}: a table without the columns {', '.join(sorted(set(columns) - set(header)))}; predict the pictures again")
    rows: list[dict[str, str]] = []
    for position, (line, row) in enumerate(lines[1:], start=2):
        if len(row) == len(header):
            rows.append(dict(zip(header, row, strict=True)) | {"place": f"{path}:{line}"})
        elif position < len(lines):
            raise InputError(f"{path}:{line}: {len(row)} columns where the first line has {len(header)}; predict the pictures again")
    return rows


def _bbox(row: Mapping[str, str]) -> list[float]:
    try:
        x1, y1, x2, y2 = (number(row[key], key) for key in ("x1", "y1", "x2", "y2"))
    except ValueError as error:
        raise InputError(f"{row['place']}: {error}; predict the pictures again") from error
    return [x1, y1, x2 - x1, y2 - y1]
