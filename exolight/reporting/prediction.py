"""What a prediction leaves behind in its folder: tables, COCO and YOLO annotations, overlays, a summary, and its scores where the truth is known."""

import csv
import hashlib
import json
import os
import shutil
import unicodedata
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from exolight.detections import Detections
from exolight.figures.overlays import draw_boxes, draw_scale_bar
from exolight.inference.files import PREDICTION_TABLES
from exolight.inference.predictor import Failure, Prediction
from exolight.reporting.truth import Truth
from exolight.reporting.unfinished import finish, read_table, trim

VESICLE_COLUMNS = ("image", "x1", "y1", "x2", "y2", "score", "class", "diameter_px", "diameter_nm", "on_border")
IMAGE_COLUMNS = (
    "image", "width", "height", "count", "pixel_size_nm", "pixel_size_source", "views", "read_ms", "network_ms", "suppression_ms", "warning", "error",
)  # fmt: skip
NUMBERS = {"x1", "y1", "x2", "y2", "score", "diameter_px", "diameter_nm", "pixel_size_nm", "read_ms", "network_ms", "suppression_ms"}
WHOLE_NUMBERS = {"width", "height", "count", "views"}
BORDER_PX = 1.0  # a box this near to the picture's edge belongs to a vesicle that may be cut by it
SHOWN_SCORES = {"mAP": "map", "mAP50": "map_50", "precision": "precision", "recall": "recall", "F1": "f1"}
CANDIDATES = ".candidates"  # folder of the weak detections that scoring needs, until it is done
TOLERANCE = 1.25  # pixel and object sizes this many times beyond the learned ones are pointed out
WRITTEN_BEHIND = 4  # pictures whose files may still be on their way to the disk

Row = dict[str, Any]


class Learned(NamedTuple):
    """What a detector has seen, to be compared with what it is shown.

    Attributes:
        object_size_px: smallest and largest object, px of the network's input, or None.
        input_pixel_sizes_nm: smallest and largest nm per px of the network's input, or None.
        pixel_size_nm: to which all its pictures were rescaled, or None.
    """

    object_size_px: Sequence[float] | None = None
    input_pixel_sizes_nm: Sequence[float] | None = None
    pixel_size_nm: float | None = None


class Report:
    """Writes all files of a prediction, picture by picture, so that nothing piles up in memory and what is done survives an interruption.

    Args:
        folder: made if needed. Gets detections.csv (a row a vesicle), images.csv (a row a picture, zeros and failures included), detections.coco.json,
            labels/*.txt (YOLO: class cx cy w h confidence), overlays/*.png, summary.json, and metrics.json with ``truth``.
        pictures: all files, from which names are made that differ where file names don't.
        class_names: what the labels mean.
        settings: plain values for the summary: checkpoint, thresholds, and so on.
        score: detections below it are used for nothing but ``truth``.
        overlays: whether pictures with boxes are drawn.
        learned: what the detector knows; pictures unlike it get a warning.
        truth: what is really there.

    Attributes:
        missing: the pictures that are not done in ``folder`` yet.
        metrics: after ``finish``, the scores, where there is a truth.
    """

    def __init__(
        self,
        folder: Path,
        pictures: Sequence[Path],
        class_names: Sequence[str],
        settings: Mapping[str, Any],
        score: float = 0.0,
        overlays: bool = True,
        learned: Learned | None = None,
        truth: Truth | None = None,
    ) -> None:
        self.folder, self.pictures, self.class_names, self.settings = folder, list(pictures), list(class_names), dict(settings)
        self.score, self.overlays, self.learned, self.truth = score, overlays, learned or Learned(), truth
        self.metrics: Row | None = None
        self.names = picture_names(pictures)
        self.stems = dict(zip(pictures, output_stems([self.names[path] for path in pictures]), strict=True))
        for kind in ("labels", *(["overlays"] if overlays else []), *([CANDIDATES] if truth else [])):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        done = {row["image"] for row in trim(folder)}
        self.missing = [path for path in self.pictures if self.names[path] not in done]

    def write(self, predictions: Iterable[Prediction | Failure]) -> None:
        """Add pictures; one that failed is listed with its reason and holds up no other."""
        vesicle_table, image_table = (self.folder / name for name in PREDICTION_TABLES)
        with (
            _table(vesicle_table, VESICLE_COLUMNS) as write_vesicles,
            _table(image_table, IMAGE_COLUMNS) as write_images,
            ThreadPoolExecutor(max_workers=1) as thread,
        ):
            waiting: deque[tuple[Future[None] | None, list[Row], Row]] = deque()

            def commit() -> None:
                """The oldest picture: its files, then its vesicles, then, when all else is there, its own row."""
                written, vesicles, row = waiting.popleft()
                if written is not None:
                    written.result()
                write_vesicles(vesicles)
                write_images([row])

            try:
                for prediction in predictions:
                    name = self.names[prediction.path]
                    if isinstance(prediction, Failure):
                        waiting.append((None, [], {"image": name, "error": prediction.reason}))
                    else:
                        shown = prediction.detections.above(self.score)
                        rows, row = vesicle_rows(name, prediction, shown, self.class_names), image_row(name, prediction, shown, self.learned)
                        waiting.append((thread.submit(self._write_files, prediction, shown), rows, row))
                    while len(waiting) > WRITTEN_BEHIND:
                        commit()
            finally:  # interrupted, what has been predicted is kept
                while waiting:
                    commit()

    def finish(self) -> Row:
        """What is written when all pictures are done; returns the summary as written."""
        vesicles, rows = ([typed(row) for row in read_table(self.folder / name)] for name in PREDICTION_TABLES)
        images, failures = [row for row in rows if not row["error"]], [{"image": row["image"], "reason": row["error"]} for row in rows if row["error"]]
        summary = summarise(vesicles, images, failures, self.class_names, self.settings)
        if self.truth is not None:
            kept = {path: self.folder / CANDIDATES / f"{self.stems[path]}.npz" for path in self.pictures}
            found = {path: _candidates(file) for path, file in kept.items() if file.exists()}
            self.metrics = self.truth.scores(found, self.score) | {"pictures_without_truth": len(images) - len(found)}
            _write_json(self.folder / "metrics.json", self.metrics)
        _write_json(self.folder / "detections.coco.json", coco_dataset(vesicles, images, self.class_names))
        _write_json(self.folder / "summary.json", summary)
        finish(self.folder)
        shutil.rmtree(self.folder / CANDIDATES, ignore_errors=True)  # not before: whoever is interrupted here comes back for them
        return summary

    def _write_files(self, prediction: Prediction, shown: Detections) -> None:
        stem = self.stems[prediction.path]
        if self.truth is not None and self.truth.fits(prediction.path, prediction.image.shape):
            found = prediction.detections
            np.savez(self.folder / CANDIDATES / f"{stem}.npz", boxes=found.boxes, scores=found.scores, labels=found.labels)
        _write_labels(self.folder / "labels" / f"{stem}.txt", prediction, shown)
        if self.overlays:
            canvas = draw_boxes(prediction.image, shown.boxes, scores=shown.scores)
            write_png(self.folder / "overlays" / f"{stem}.png", draw_scale_bar(canvas, prediction.micrograph.pixel_size_nm, shown.boxes))


def tell(summary: Row, folder: Path, metrics: Row | None = None) -> str:
    """The summary in a few lines, for the terminal."""
    images = summary["images"] - summary["failed"]
    lines = [f"{summary['vesicles']} found in {images} pictures; the results are in {folder}"]
    sizes, unit = (summary["diameter_nm"], "nm") if summary["diameter_nm"] else (summary["diameter_px"], "px")
    if sizes:
        note = "" if unit == "nm" else " (the files do not say how many nm a pixel is: give pixel_size=)"
        lines.append(f"diameter: median {sizes['median']:.1f} {unit}, half of them {sizes['q25']:.1f} to {sizes['q75']:.1f} {unit}{note}")
    if metrics is not None:
        missing = metrics["pictures_without_truth"]
        beside = f"; {missing} have no truth of their name and size" if missing else ""
        lines.append(f"scored {metrics['pictures']} pictures with {metrics['objects']} objects{beside}: metrics.json")
        numbers = [f"{name} {metrics[key]:.3f}" for name, key in SHOWN_SCORES.items() if metrics[key] is not None]
        lines.append(", ".join(numbers) + f" at score {metrics['threshold']:.3g}" if numbers else "nothing could be scored")
    if images:
        lines.append("a picture took " + ", ".join(f"{value:.0f} ms {name}" for name, value in summary["milliseconds"].items()))
    for warning, count in Counter(row["warning"] for row in summary["warnings"]).most_common():
        lines.append(f"warning: {count} of {images} pictures: {warning}")
    return "\n".join(lines)


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
    counts = Counter(map(_same_file, stems))
    taken = {stem for stem, count in counts.items() if count == 1}
    result = []
    for name, stem in zip(names, stems, strict=True):
        wanted = stem
        if counts[_same_file(stem)] > 1:
            base = _short(name.replace(":", "").strip("/").replace("/", "__"))
            wanted, number = base, 2
            while _same_file(wanted) in taken:
                wanted, number = f"{base}-{number}", number + 1
            taken.add(_same_file(wanted))
        result.append(wanted)
    return result


def _same_file(stem: str) -> str:
    """Names that are equal so are one file on some system: upper and lower case on Windows and macOS, composed and decomposed accents on macOS."""
    return unicodedata.normalize("NFC", stem).casefold()


def _short(stem: str) -> str:
    """A name that leaves room for a suffix in the 255 bytes that systems allow; its end, and a hash of what is missing."""
    data = os.fsencode(stem)
    return stem if len(data) <= 200 else f"{hashlib.sha256(data).hexdigest()[:8]}__{stem[-60:]}"


def vesicle_rows(name: str, prediction: Prediction, shown: Detections, class_names: Sequence[str]) -> list[Row]:
    """The rows of detections.csv of one picture. Diameters are sqrt(width * height); in nm only where the pixel size is known."""
    pixel_size = prediction.micrograph.pixel_size_nm
    height, width = prediction.image.shape
    rows = []
    for record, diameter in zip(shown.to_records(class_names), shown.diameters_px.tolist(), strict=True):
        x1, y1, x2, y2 = (round(record[key], 2) for key in ("x1", "y1", "x2", "y2"))
        on_border = x1 <= BORDER_PX or y1 <= BORDER_PX or x2 >= width - BORDER_PX or y2 >= height - BORDER_PX
        values = (name, x1, y1, x2, y2, round(record["score"], 4), record["class"], round(diameter, 2))
        rows.append(dict(zip(VESICLE_COLUMNS, (*values, round(diameter * pixel_size, 2) if pixel_size else None, on_border), strict=True)))
    return rows


def image_row(name: str, prediction: Prediction, shown: Detections, learned: Learned) -> Row:
    """The row of images.csv of one picture that could be read."""
    height, width = prediction.image.shape
    micrograph, found = prediction.micrograph, prediction.found
    times = (round(prediction.read_ms, 1), round(found.network_ms, 1), round(found.suppression_ms, 1))
    values = (name, width, height, len(shown), micrograph.pixel_size_nm, micrograph.pixel_size_source, found.views, *times)
    return dict(zip(IMAGE_COLUMNS, (*values, doubt(prediction, shown, learned), None), strict=True))


def doubt(prediction: Prediction, shown: Detections, learned: Learned) -> str | None:
    """Why a picture may be beyond what the detector has learned, in words; None where nothing speaks for it."""
    pixel_size, sizes, range_nm = prediction.micrograph.pixel_size_nm, learned.object_size_px, learned.input_pixel_sizes_nm
    if learned.pixel_size_nm is not None and pixel_size is None:
        return f"pixel size unknown: scaled to fit, not to the {learned.pixel_size_nm:g} nm per pixel of the training"
    if learned.pixel_size_nm is None and range_nm and pixel_size:
        seen = pixel_size / prediction.found.scale  # a coarse picture that is enlarged to the input looks like a fine one
        if not range_nm[0] / TOLERANCE <= seen <= range_nm[1] * TOLERANCE:
            return f"seen at {seen:.2g} nm per pixel, outside the training's {range_nm[0]:.2g} to {range_nm[1]:.2g} nm"
    if sizes and len(shown):
        median = float(np.median(shown.diameters_px)) * prediction.found.scale
        if not sizes[0] / TOLERANCE <= median <= sizes[1] * TOLERANCE:
            how = "smaller" if median < sizes[0] else "larger"
            return f"objects {how} than those of the training ({sizes[0]:.0f} to {sizes[1]:.0f} px of the network's input)"
    return None


def typed(row: Mapping[str, str]) -> Row:
    """A row of detections.csv or images.csv as text -> numbers, truth values, and None where nothing stands."""
    kinds: dict[str, Callable[[str], Any]] = dict.fromkeys(NUMBERS, float) | dict.fromkeys(WHOLE_NUMBERS, int) | {"on_border": "True".__eq__}
    return {key: kinds.get(key, str)(value) if value != "" else None for key, value in row.items()}


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
        "milliseconds": {key: _mean([row[f"{key}_ms"] for row in images]) for key in ("read", "network", "suppression")},
        "warnings": [{"image": row["image"], "warning": row["warning"]} for row in images if row["warning"]],
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


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 2) if values else None


def _candidates(path: Path) -> Detections:
    with np.load(path) as arrays:
        return Detections(arrays["boxes"], arrays["scores"], arrays["labels"])


@contextmanager
def _table(path: Path, columns: Sequence[str]) -> Iterator[Callable[[Sequence[Row]], None]]:
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


def _write_labels(path: Path, prediction: Prediction, detections: Detections) -> None:
    height, width = prediction.image.shape
    boxes = detections.boxes.astype(np.float64) / (width, height, width, height)
    centres, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    rows = zip(detections.labels, *centres.T, *sizes.T, detections.scores, strict=True)
    path.write_text("".join(f"{label} {x:.6f} {y:.6f} {w:.6f} {h:.6f} {score:.4f}\n" for label, x, y, w, h, score in rows), encoding="utf-8")


def write_png(path: Path, rgb: NDArray[np.uint8]) -> None:
    """Encoded here and written by Python, because cv2.imwrite fails on non-ASCII names on Windows."""
    fast = (cv2.IMWRITE_PNG_COMPRESSION, 1)  # three times as fast as the default, and a tenth larger
    path.write_bytes(cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), fast)[1].tobytes())


def _write_json(path: Path, content: Row) -> None:
    # A file name that is not UTF-8 becomes a JSON escape.
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8", errors="backslashreplace")
