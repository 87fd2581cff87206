"""The tables of a prediction: a row a vesicle, a row a picture, and the same as a COCO data set."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exolight.detections import Detections
from exolight.inference.predictor import Prediction
from exolight.measurement.shape import Shape
from exolight.measurement.vesicles import Greys, Measurement
from exolight.reporting.doubts import Learned, doubt

Row = dict[str, Any]

IMAGE_COLUMNS = (
    "image", "width", "height", "count", "pixel_size_nm", "pixel_size_source", "views", "read_ms", "network_ms", "suppression_ms", "warning", "error",
)  # fmt: skip
VESICLE_COLUMNS = ("image", "x1", "y1", "x2", "y2", "score", "class", "diameter_px", "diameter_nm", "on_border")
# Of outlines: what ``Measurement.record`` gives, lengths and areas in px and in nm.
_LENGTHS = tuple(name for name in Shape._fields if name not in ("area", "diameter", "roundness"))
_OF_OUTLINE = tuple(f"{name}_{unit}" for name in _LENGTHS for unit in ("px", "nm"))
_GREYS = tuple(name if name == "halo_contrast" else f"grey_{name}" for name in Greys._fields)
CONTOUR_COLUMNS = (
    "measured_from", "quality", "box_diameter_px", "box_diameter_nm", "area_px2", "area_nm2", *_OF_OUTLINE, "roundness", *_GREYS,
)  # fmt: skip

_CORNERS = {"x1", "y1", "x2", "y2"}
_WORDS = {"image", "class", "measured_from", "pixel_size_source", "warning", "error"}
_WHOLE_NUMBERS = {"width", "height", "count", "views"}


def vesicle_columns(contour: bool) -> tuple[str, ...]:
    """The columns of detections.csv, with or without those of outlines."""
    return VESICLE_COLUMNS + CONTOUR_COLUMNS if contour else VESICLE_COLUMNS


def vesicle_rows(name: str, prediction: Prediction, shown: Detections, measured: Sequence[Measurement], class_names: Sequence[str], contour: bool) -> list[Row]:
    """The rows of detections.csv of one picture; in nm only where the pixel size is known.

    Args:
        shown: N detections of it. measured: the same ones, measured.
        contour: whether there are columns of outlines.
    """
    pixel_size = prediction.micrograph.pixel_size_nm
    rows = []
    for record, measurement in zip(shown.to_records(class_names), measured, strict=True):
        values = record | measurement.record() | (measurement.record(pixel_size) if pixel_size else {}) | {"measured_from": measurement.source}
        values |= {"image": name, "score": round(record["score"], 4)}
        rows.append({column: _plain(column, values.get(column)) for column in vesicle_columns(contour)})
    return rows


def image_row(name: str, prediction: Prediction, shown: Detections, learned: Learned) -> Row:
    """The row of images.csv of one picture that could be read."""
    height, width = prediction.image.shape
    micrograph, found = prediction.micrograph, prediction.found
    times = (round(prediction.read_ms, 1), round(found.network_ms, 1), round(found.suppression_ms, 1))
    values = (name, width, height, len(shown), micrograph.pixel_size_nm, micrograph.pixel_size_source, found.views, *times)
    return dict(zip(IMAGE_COLUMNS, (*values, doubt(prediction, shown, learned), None), strict=True))


def typed(row: Mapping[str, str]) -> Row:
    """A row of detections.csv or images.csv as text -> numbers, truth values, and None where nothing stands."""
    return {key: _kind(key)(value) if value != "" else None for key, value in row.items()}


def coco_dataset(vesicles: Sequence[Row], images: Sequence[Row], class_names: Sequence[str], outlines: Mapping[str, Sequence[NDArray | None]]) -> Row:
    """A COCO data set with a ``score`` in each annotation, as annotation tools import it; ids start at 1, boxes are x, y, width, height in px.

    Args:
        vesicles, images: rows of both tables.
        outlines: picture -> an outline (K, 2) px or None for each of its vesicles, in their order; pictures without outlines may be left out.
    """
    image_ids = {row["image"]: index for index, row in enumerate(images, 1)}
    remaining = {name: iter(of_picture) for name, of_picture in outlines.items()}
    annotations = []
    for index, row in enumerate(vesicles, 1):
        x, y, width, height = row["x1"], row["y1"], round(row["x2"] - row["x1"], 2), round(row["y2"] - row["y1"], 2)
        annotation: Row = {"id": index, "image_id": image_ids[row["image"]], "category_id": class_names.index(row["class"]) + 1}
        annotation |= {"bbox": [x, y, width, height], "area": round(width * height, 2), "iscrowd": 0, "score": row["score"]}
        outline = next(remaining[row["image"]]) if row["image"] in remaining else None
        if outline is not None:
            annotation |= {"area": row["area_px2"], "segmentation": [np.round(outline, 2).astype(float).ravel().tolist()]}
        annotations.append(annotation)
    return {
        "images": [{"id": image_ids[row["image"]], "file_name": row["image"], "width": row["width"], "height": row["height"]} for row in images],
        "annotations": annotations,
        "categories": [{"id": index, "name": name} for index, name in enumerate(class_names, 1)],
    }


@contextmanager
def open_table(path: Path, columns: Sequence[str]) -> Iterator[Callable[[Sequence[Row]], None]]:
    """A CSV file, new with its header or to be continued; yields what appends rows to it and hands them to the system at once."""
    new = not path.exists() or path.stat().st_size == 0
    with path.open("a", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.DictWriter(file, columns)
        if new:
            writer.writeheader()

        def write(rows: Sequence[Row]) -> None:
            writer.writerows(rows)
            file.flush()

        write([])
        yield write


def _plain(name: str, value: Any) -> Any:
    """Lengths to a hundredth, other numbers to six digits: nobody can measure better."""
    if not isinstance(value, float):
        return value
    return round(value, 2) if name in _CORNERS or name.endswith(("_px", "_nm", "_px2", "_nm2")) else float(f"{value:.6g}")


def _kind(column: str) -> Callable[[str], Any]:
    if column == "on_border":
        return "True".__eq__
    return str if column in _WORDS else int if column in _WHOLE_NUMBERS else float
