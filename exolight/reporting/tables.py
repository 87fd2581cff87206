"""The tables of a prediction: a row a vesicle, a row a picture, and the same as a COCO data set."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from exolight.data.writers.coco import coco_annotation
from exolight.detections import Detections
from exolight.measurement.shape import Shape
from exolight.measurement.vesicles import Greys, Measurement
from exolight.quality import Quality
from exolight.reporting.doubts import Learned, doubt

if TYPE_CHECKING:  # with it torch would come, which the comparison of finished predictions does without
    from exolight.inference.predictor import Prediction

Row = dict[str, Any]

IMAGE_COLUMNS = (
    "image", "width", "height", "count", "pixel_size_nm", "pixel_size_source", "quality_verdict", "quality_reason", "analysed_share",
    "views", "read_ms", "network_ms", "suppression_ms", "warning", "error",
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
_WORDS = {"image", "class", "measured_from", "pixel_size_source", "quality_verdict", "quality_reason", "warning", "error"}
_WHOLE_NUMBERS = {"width", "height", "count", "views"}


def vesicle_columns(contour: bool) -> tuple[str, ...]:
    """The columns of detections.csv, with or without those of outlines."""
    return VESICLE_COLUMNS + CONTOUR_COLUMNS if contour else VESICLE_COLUMNS


def vesicle_rows(
    name: str, prediction: "Prediction", shown: Detections, measured: Sequence[Measurement], class_names: Sequence[str], contour: bool
) -> list[Row]:
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


def image_row(name: str, prediction: "Prediction", shown: Detections, learned: Learned, quality: Quality | None = None, check_quality: bool = True) -> Row:
    """The row of images.csv of one picture that could be read.

    Args:
        shown: what counts. learned: what the detector knows.
        quality: of the picture; None: nobody looked.
        check_quality: whether one that is rejected has no count, which is not a count of 0, and whether what shows no film is left out of the analysed share
            of the picture; else the verdict is only told.
    """
    height, width = prediction.image.shape
    micrograph, found = prediction.micrograph, prediction.found
    rejected, share, warnings = False, 1.0, [doubt(prediction, shown, learned)]
    if quality is not None:
        rejected = check_quality and quality.verdict == "reject"
        share = 0.0 if rejected else round(quality.analysed_share, 4) if check_quality else 1.0
        warnings += [f"picture quality: {quality.faults}"] if quality.faults and not rejected else []
    return {
        "image": name,
        "width": width,
        "height": height,
        "count": None if rejected else len(shown),
        "pixel_size_nm": micrograph.pixel_size_nm,
        "pixel_size_source": micrograph.pixel_size_source,
        "quality_verdict": quality.verdict if quality else None,
        "quality_reason": quality.reason or None if quality else None,
        "analysed_share": share,
        "views": found.views,
        "read_ms": round(prediction.read_ms, 1),
        "network_ms": round(found.network_ms, 1),
        "suppression_ms": round(found.suppression_ms, 1),
        "warning": "; ".join(filter(None, warnings)) or None,
        "error": None,
    }


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
        outline = next(remaining[row["image"]]) if row["image"] in remaining else None
        box = [row[side] for side in ("x1", "y1", "x2", "y2")]
        annotation = {"id": index, "image_id": image_ids[row["image"]]}
        annotation |= coco_annotation(box, class_names.index(row["class"]) + 1, outline, row["score"])
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
        return lambda text: text.casefold() == "true"  # Excel saves TRUE
    return str if column in _WORDS else int if column in _WHOLE_NUMBERS else float
