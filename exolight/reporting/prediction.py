"""What a prediction leaves behind in its folder: tables, COCO and YOLO annotations, overlays and a summary."""

import csv
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from exolight.figures.overlays import draw_boxes
from exolight.inference.files import PREDICTION_TABLES
from exolight.inference.predictor import Failure, Prediction

VESICLE_COLUMNS = ("image", "x1", "y1", "x2", "y2", "score", "class", "diameter_px", "diameter_nm", "on_border")
IMAGE_COLUMNS = ("image", "width", "height", "count", "pixel_size_nm", "pixel_size_source", "milliseconds", "error")
BORDER_PX = 1.0  # a box this near to the picture's edge belongs to a vesicle that may be cut by it

Row = dict[str, Any]


def write_prediction(
    predictions: Iterable[Prediction | Failure], pictures: Sequence[Path], folder: Path, class_names: Sequence[str], settings: Mapping[str, Any]
) -> Row:
    """Write all files of a prediction into ``folder``, picture by picture, so that pictures don't pile up in memory.

    Args:
        predictions: one for each of ``pictures``; a picture that failed is listed with its reason and holds up no other.
        pictures: all files, from which names are made that differ where file names don't.
        folder: made if needed. Gets detections.csv (a row a vesicle), images.csv (a row a picture, zeros and failures included), detections.coco.json,
            labels/*.txt (YOLO: class cx cy w h confidence), overlays/*.png and summary.json.
        class_names: what the labels mean.
        settings: plain values for the summary: checkpoint, thresholds, and so on.

    Returns:
        The summary as written.
    """
    names = picture_names(pictures)
    stems = dict(zip(pictures, output_stems([names[path] for path in pictures]), strict=True))
    for kind in ("labels", "overlays"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    vesicles: list[Row] = []
    images: list[Row] = []
    failures: list[Row] = []
    vesicle_table, image_table = (folder / name for name in PREDICTION_TABLES)
    with _table(vesicle_table, VESICLE_COLUMNS) as write_vesicles, _table(image_table, IMAGE_COLUMNS) as write_images:
        for prediction in predictions:
            name, stem = names[prediction.path], stems[prediction.path]
            if isinstance(prediction, Failure):
                failures.append({"image": name, "reason": prediction.reason})
                write_images([{"image": name, "error": prediction.reason}])
                continue
            rows, row = vesicle_rows(name, prediction, class_names), image_row(name, prediction)
            vesicles.extend(rows)
            images.append(row)
            write_vesicles(rows)
            write_images([row])
            _write_labels(folder / "labels" / f"{stem}.txt", prediction)
            overlay = draw_boxes(prediction.image, prediction.detections.boxes, scores=prediction.detections.scores)
            _write_png(folder / "overlays" / f"{stem}.png", overlay)
    summary = summarise(vesicles, images, failures, class_names, settings)
    _write_json(folder / "detections.coco.json", coco_dataset(vesicles, images, class_names))
    _write_json(folder / "summary.json", summary)
    return summary


def picture_names(pictures: Sequence[Path]) -> dict[Path, str]:
    """The name of each file in the tables: its path under the folder that all share, with '/'; all of it where they share none (two drives)."""
    whole = {path: Path(os.path.abspath(path)) for path in pictures}  # noqa: PTH100 - unlike resolve() it leaves links as the user knows them
    try:
        root = Path(os.path.commonpath([path.parent for path in whole.values()])) if pictures else Path()
    except ValueError:
        return {path: there.as_posix() for path, there in whole.items()}
    return {path: there.relative_to(root).as_posix() for path, there in whole.items()}


def output_stems(names: Sequence[str]) -> list[str]:
    """A file name without suffix for each of ``names``: its stem where that is unique, else its whole path ('grid1__a.tif'), numbered if even that is taken.

    Upper and lower case count as equal, because they are on Windows and macOS.
    """
    stems = [Path(name).stem for name in names]
    folded = [stem.casefold() for stem in stems]
    repeated = {stem for stem in folded if folded.count(stem) > 1} if len(set(folded)) < len(folded) else set()
    taken = set(folded) - repeated
    result = []
    for name, stem in zip(names, stems, strict=True):
        wanted = stem
        if stem.casefold() in repeated:
            base = name.replace(":", "").strip("/").replace("/", "__")
            wanted, number = base, 2
            while wanted.casefold() in taken:
                wanted, number = f"{base}-{number}", number + 1
            taken.add(wanted.casefold())
        result.append(wanted)
    return result


def vesicle_rows(name: str, prediction: Prediction, class_names: Sequence[str]) -> list[Row]:
    """The rows of detections.csv of one picture. Diameters are sqrt(width * height); in nm only where the pixel size is known."""
    detections, pixel_size = prediction.detections, prediction.micrograph.pixel_size_nm
    height, width = prediction.image.shape
    rows = []
    for record, diameter in zip(detections.to_records(class_names), detections.diameters_px.tolist(), strict=True):
        x1, y1, x2, y2 = (round(record[key], 2) for key in ("x1", "y1", "x2", "y2"))
        on_border = x1 <= BORDER_PX or y1 <= BORDER_PX or x2 >= width - BORDER_PX or y2 >= height - BORDER_PX
        values = (name, x1, y1, x2, y2, round(record["score"], 4), record["class"], round(diameter, 2))
        rows.append(dict(zip(VESICLE_COLUMNS, (*values, round(diameter * pixel_size, 2) if pixel_size else None, on_border), strict=True)))
    return rows


def image_row(name: str, prediction: Prediction) -> Row:
    """The row of images.csv of one picture that could be read."""
    height, width = prediction.image.shape
    micrograph = prediction.micrograph
    values = (name, width, height, len(prediction.detections), micrograph.pixel_size_nm, micrograph.pixel_size_source, round(prediction.milliseconds, 1), None)
    return dict(zip(IMAGE_COLUMNS, values, strict=True))


def coco_dataset(vesicles: Sequence[Row], images: Sequence[Row], class_names: Sequence[str]) -> Row:
    """A COCO data set with a ``score`` in each annotation, as annotation tools import it; ids start at 1, boxes are x, y, width, height in px."""
    image_ids = {row["image"]: index for index, row in enumerate(images, 1)}
    annotations = []
    for index, row in enumerate(vesicles, 1):
        x, y, width, height = row["x1"], row["y1"], round(row["x2"] - row["x1"], 2), round(row["y2"] - row["y1"], 2)
        annotations.append(
            {"id": index, "image_id": image_ids[row["image"]], "category_id": class_names.index(row["class"]) + 1, "bbox": [x, y, width, height],
             "area": round(width * height, 2), "iscrowd": 0, "score": row["score"]}
        )  # fmt: skip
    return {
        "images": [{"id": image_ids[row["image"]], "file_name": row["image"], "width": row["width"], "height": row["height"]} for row in images],
        "annotations": annotations,
        "categories": [{"id": index, "name": name} for index, name in enumerate(class_names, 1)],
    }


def summarise(vesicles: Sequence[Row], images: Sequence[Row], failures: Sequence[Row], class_names: Sequence[str], settings: Mapping[str, Any]) -> Row:
    """Settings, counts and sizes of all pictures together. Vesicles that may be cut by the border are counted but not sized."""
    whole = [row for row in vesicles if not row["on_border"]]
    return {
        "version": version("exolight"),
        "settings": dict(settings),
        "images": len(images) + len(failures),
        "failed": len(failures),
        "vesicles": len(vesicles),
        "vesicles_on_border": len(vesicles) - len(whole),
        "vesicles_of_class": {name: sum(row["class"] == name for row in vesicles) for name in class_names},
        "vesicles_per_image": _statistics([row["count"] for row in images]),
        "diameter_px": _statistics([row["diameter_px"] for row in whole]),
        "diameter_nm": _statistics([row["diameter_nm"] for row in whole if row["diameter_nm"] is not None]),
        "failures": list(failures),
    }


def _statistics(values: Sequence[float]) -> dict[str, float] | None:
    """Count, mean, standard deviation (of the sample), extremes and quartiles; None of nothing, because JSON has no nan."""
    if not values:
        return None
    low, q25, median, q75, high = np.percentile(values, [0, 25, 50, 75, 100])
    spread = np.std(values, ddof=1) if len(values) > 1 else 0.0
    numbers = {"mean": np.mean(values), "std": spread, "min": low, "q25": q25, "median": median, "q75": q75, "max": high}
    return {"count": len(values)} | {name: round(float(number), 3) for name, number in numbers.items()}


@contextmanager
def _table(path: Path, columns: Sequence[str]) -> Iterator[Callable[[Sequence[Row]], None]]:
    """A CSV file with its header; yields what appends rows to it."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        yield writer.writerows


def _write_labels(path: Path, prediction: Prediction) -> None:
    height, width = prediction.image.shape
    detections = prediction.detections
    boxes = detections.boxes.astype(np.float64) / (width, height, width, height)
    centres, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    rows = zip(detections.labels, *centres.T, *sizes.T, detections.scores, strict=True)
    path.write_text("".join(f"{label} {x:.6f} {y:.6f} {w:.6f} {h:.6f} {score:.4f}\n" for label, x, y, w, h, score in rows), encoding="utf-8")


def _write_png(path: Path, rgb: NDArray[np.uint8]) -> None:
    """Encoded here and written by Python, because cv2.imwrite fails on non-ASCII names on Windows."""
    path.write_bytes(cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes())


def _write_json(path: Path, content: Row) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
