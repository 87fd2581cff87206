"""What a prediction leaves behind in its folder: tables, COCO and YOLO annotations, overlays, a summary, and its scores where the truth is known."""

import json
import re
import shutil
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from exolight.data.writers.yolo import yolo_lines
from exolight.detections import Detections
from exolight.figures.overlays import draw_boxes, draw_scale_bar, outline_scale_bar
from exolight.figures.quality import shade, stamp
from exolight.inference.files import PREDICTION_TABLES
from exolight.inference.predictor import Failure, Prediction
from exolight.measurement.population import is_analysed
from exolight.measurement.vesicles import Measurement, measure
from exolight.micrograph import Header, doubts_of_scale
from exolight.quality import assess
from exolight.reporting.doubts import Learned
from exolight.reporting.names import output_stems, picture_names
from exolight.reporting.tables import IMAGE_COLUMNS, Row, coco_dataset, image_row, open_table, typed, vesicle_columns, vesicle_rows
from exolight.reporting.truth import Truth
from exolight.reporting.unfinished import finish, read_table, trim

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN_SCORES = {"mAP": "map", "mAP50": "map_50", "precision": "precision", "recall": "recall", "F1": "f1"}
KEPT = ".kept"  # folder of what the end needs of each picture: its weak detections to be scored, its outlines
_NUMBER = re.compile(r"\d+(\.\d+)?")
WRITTEN_BEHIND = 4  # pictures that may still be measured and on their way to the disk


class Report:
    """Writes all files of a prediction, picture by picture, so that nothing piles up in memory and what is done survives an interruption.

    Args:
        folder: made if needed. Gets detections.csv (a row a vesicle), images.csv (a row a picture, zeros and failures included), detections.coco.json,
            labels/*.txt (YOLO: class cx cy w h confidence), overlays/*.png, summary.json, statistics.csv (a row a group: all, condition, donor, sample,
            picture), samples.csv, figures/*, and metrics.json with ``truth``. A picture that is not analysable has no count in images.csv, which is not a
            count of 0, and no row or annotation in the others; ``truth`` scores it all the same.
        pictures: all files, from which names are made that differ where file names don't.
        class_names: what the labels mean.
        settings: plain values for the summary: checkpoint, thresholds, and so on.
        score: detections below it are used for nothing but ``truth``.
        overlays: whether pictures with boxes are drawn.
        contour: whether outlines are traced: sizes and shapes are then theirs, where they are believable.
        learned: what the detector knows; pictures unlike it get a warning.
        truth: what is really there.
        samples: a sample sheet, which says of which donor, sample and condition each picture is.
        temperature: of the detector's scores, fitted on its validation pictures, to be judged on these.
        quality: "check": a picture is not analysable when ``exolight.quality`` rejects it, and the part of one that shows no film is not analysed; "ignore":
            the verdict is only told; "none": nobody looks, which saves some 15 ms a picture.

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
        contour: bool = False,
        learned: Learned | None = None,
        truth: Truth | None = None,
        samples: Path | None = None,
        temperature: float | None = None,
        quality: Literal["check", "ignore", "none"] = "check",
    ) -> None:
        self.folder, self.pictures, self.class_names, self.settings = folder, list(pictures), list(class_names), dict(settings)
        self.score, self.overlays, self.contour, self.learned, self.truth = score, overlays, contour, learned or Learned(), truth
        self.samples, self.temperature, self.quality = samples, temperature, quality
        self.metrics: Row | None = None
        self.names = picture_names(pictures)
        self.stems = dict(zip(pictures, output_stems([self.names[path] for path in pictures]), strict=True))
        for kind in ("labels", *(["overlays"] if overlays else []), *([KEPT] if truth or contour else [])):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        done = {row["image"] for row in trim(folder)}
        self.missing = [path for path in self.pictures if self.names[path] not in done]

    def write(self, predictions: Iterable[Prediction | Failure]) -> None:
        """Add pictures; one that failed is listed with its reason and holds up no other."""
        vesicle_table, image_table = (self.folder / name for name in PREDICTION_TABLES)
        with (
            open_table(vesicle_table, vesicle_columns(self.contour)) as write_vesicles,
            open_table(image_table, IMAGE_COLUMNS) as write_images,
            ThreadPoolExecutor(WRITTEN_BEHIND) as threads,
            ThreadPoolExecutor(1) as writer,  # a thread of its own: an interruption, which meets the main one, cannot come between rows
        ):

            def commit(picture: Future[tuple[list[Row], Row]], before: Future[None] | None) -> None:
                """A picture's vesicles, then, when all else is there, its own row; nothing after rows that could not be written, on a full disk say."""
                if before is not None:
                    before.result()
                vesicles, row = picture.result()
                write_vesicles(vesicles)
                write_images([row])

            waiting: deque[Future[None]] = deque()
            for prediction in predictions:  # interrupted here, what has been predicted is still written: the threads end when they are done
                waiting.append(writer.submit(commit, threads.submit(self._complete, prediction), waiting[-1] if waiting else None))
                if len(waiting) > WRITTEN_BEHIND:
                    waiting.popleft().result()
            for one in waiting:
                one.result()

    def finish(self) -> Row:
        """What is written when all pictures are done; returns the summary as written."""
        vesicles, rows = ([typed(row) for row in read_table(self.folder / name)] for name in PREDICTION_TABLES)
        images, failures = [row for row in rows if not row["error"]], [{"image": row["image"], "reason": row["error"]} for row in rows if row["error"]]
        analysed = [row for row in images if is_analysed(row)]
        kept = {path: self.folder / KEPT / f"{self.stems[path]}.npz" for path in self.pictures}
        kept = {path: file for path, file in kept.items() if file.exists()}
        summary = summarise(vesicles, images, failures, self.class_names, self.settings)
        if self.truth is not None:
            scored = {path: candidates for path, file in kept.items() if (candidates := _candidates(file, self.score)) is not None}
            found = {path: one[0] for path, one in scored.items()}
            diameters = {path: one[1] for path, one in scored.items()}
            sizes = {row["image"]: row["pixel_size_nm"] for row in images}
            known = (found, self.score, {path: sizes[self.names[path]] for path in found}, self.temperature, diameters)
            unusable = {self.names[path] for path in found} - {row["image"] for row in analysed}
            self.metrics = self.truth.scores(*known) | {"pictures_without_truth": len(images) - len(found), "pictures_not_analysable": len(unusable)}
            _write_json(self.folder / "metrics.json", self.metrics)
            save_all(self.truth.figures(*known), self.folder / "figures")
        outlines = {self.names[path]: _outlines(file) for path, file in kept.items()} if self.contour else {}
        _write_json(self.folder / "detections.coco.json", coco_dataset(vesicles, analysed, self.class_names, outlines))
        from exolight.reporting.population import population_report  # here: it takes matplotlib along

        summary["population"] = population_report(self.folder, images, vesicles, self.samples) if analysed else None
        _write_json(self.folder / "summary.json", summary)
        finish(self.folder)
        shutil.rmtree(self.folder / KEPT, ignore_errors=True)  # not before: whoever is interrupted here comes back for them
        return summary

    def _complete(self, prediction: Prediction | Failure) -> tuple[list[Row], Row]:
        """Measure a picture's vesicles and write the files that are its own; returns its rows of both tables."""
        name, stem = self.names[prediction.path], self.stems[prediction.path]
        if isinstance(prediction, Failure):
            return [], {"image": name, "error": prediction.reason}
        shown = prediction.detections.above(self.score)
        measured = measure(prediction.micrograph.pixels, shown.boxes, self.contour)
        scored = self.truth is not None and self.truth.fits(prediction.path, prediction.image.shape)
        if scored or self.contour:
            _keep(self.folder / KEPT / f"{stem}.npz", prediction.detections if scored else None, measured)
        quality = None if self.quality == "none" else assess(prediction.micrograph)
        rows = []
        rejected = self.quality == "check" and quality is not None and quality.verdict == "reject"
        if rejected:
            shown, measured = Detections.empty(), []
        else:
            text = yolo_lines(shown.boxes, shown.labels, prediction.image.shape, shown.scores)
            (self.folder / "labels" / f"{stem}.txt").write_text(text, encoding="utf-8")  # an empty file says that there is nothing
            rows = vesicle_rows(name, prediction, shown, measured, self.class_names, self.contour)
        if self.overlays:
            canvas = draw_boxes(prediction.image, shown.boxes, scores=shown.scores, outlines=[one.outline for one in measured])
            if self.quality == "check" and quality is not None:
                shade(canvas, quality.mask)
            if rejected and quality is not None:
                stamp(canvas, f"not analysable: {quality.reasons[0]}")
            kept_free: Sequence[int] = ()
            if (bar := prediction.scale_bar) is not None:
                words = f"{bar.label or 'length not read'}: {bar.length_px:.0f} px"
                kept_free = outline_scale_bar(canvas, [bar.box_xyxy, bar.label_xyxy or bar.box_xyxy], words)
            write_png(self.folder / "overlays" / f"{stem}.png", draw_scale_bar(canvas, prediction.micrograph.pixel_size_nm, shown.boxes, kept_free))
        return rows, image_row(name, prediction, shown, self.learned, quality, self.quality == "check")


def tell(summary: Row, folder: Path, metrics: Row | None = None) -> str:
    """The summary in a few lines, for the terminal."""
    images, rejected = summary["images"] - summary["failed"], summary["not_analysable"]
    lines = [f"{summary['vesicles']} found in {images - len(rejected)} pictures; the results are in {folder}"]
    if rejected:
        faults = ", ".join(f"{count} {fault}" for fault, count in Counter(row["reason"].partition(":")[0] for row in rejected).most_common())
        lines.append(f"not analysable: {len(rejected)} of {images} pictures ({faults}); they are left out, not counted as 0 (quality=ignore counts them)")
    sizes, unit = (summary["diameter_nm"], "nm") if summary["diameter_nm"] else (summary["diameter_px"], "px")
    if sizes:
        note = "" if unit == "nm" else " (the files do not say how many nm a pixel is: give pixel_size=, or pixel_size=scalebar)"
        lines.append(f"diameter: median {sizes['median']:.1f} {unit}, half of them {sizes['q25']:.1f} to {sizes['q75']:.1f} {unit}{note}")
    if metrics is not None:
        missing = metrics["pictures_without_truth"]
        beside = f"; {missing} have no truth of their name and size" if missing else ""
        unusable = metrics["pictures_not_analysable"]
        among = f", {unusable} not analysable ones among them," if unusable else ""
        lines.append(f"scored {metrics['pictures']} pictures{among} with {metrics['objects']} objects{beside}: metrics.json")
        numbers = [f"{name} {metrics[key]:.3f}" for name, key in SHOWN_SCORES.items() if metrics[key] is not None]
        lines.append(", ".join(numbers) + f" at score {metrics['threshold']:.3g}" if numbers else "nothing could be scored")
    if images:
        beside = f", {threads} side by side" if (threads := summary["settings"].get("threads", 1)) > 1 else ""
        lines.append("a picture took " + ", ".join(f"{value:.0f} ms {name}" for name, value in summary["milliseconds"].items()) + beside)
    lines += [f"warning: {doubt}" for doubt in summary["doubts_of_scale"]]
    alike: dict[str, list[str]] = {}
    for row in summary["warnings"]:
        alike.setdefault(_NUMBER.sub("#", row["warning"]), []).append(row["warning"])
    for same in sorted(alike.values(), key=len, reverse=True):
        lines.append(f"warning: {len(same)} of {images} pictures: {same[0]}{' (or the like)' if len(set(same)) > 1 else ''}")
    return "\n".join(lines)


def summarise(vesicles: Sequence[Row], images: Sequence[Row], failures: Sequence[Row], class_names: Sequence[str], settings: Mapping[str, Any]) -> Row:
    """Settings, counts and sizes of all pictures together. Vesicles that may be cut by the border are counted but not sized."""
    whole = [row for row in vesicles if not row["on_border"]]
    return {
        "version": version("exolight"),
        "settings": dict(settings),
        "images": len(images) + len(failures),
        "failed": len(failures),
        "not_analysable": [{"image": row["image"], "reason": row["quality_reason"]} for row in images if not is_analysed(row)],
        "vesicles": len(vesicles),
        "vesicles_on_border": len(vesicles) - len(whole),
        "vesicles_of_class": {name: sum(row["class"] == name for row in vesicles) for name in class_names},
        "vesicles_per_image": _statistics([row["count"] for row in images if is_analysed(row)]),
        "diameter_px": _statistics([row["diameter_px"] for row in whole]),
        "diameter_nm": _statistics([row["diameter_nm"] for row in whole if row["diameter_nm"] is not None]),
        "milliseconds": {key: _mean([row[f"{key}_ms"] for row in images]) for key in ("read", "network", "suppression")},
        "doubts_of_scale": doubts_of_scale([_header(row) for row in images]) if len(images) > 1 else [],
        "warnings": [{"image": row["image"], "warning": row["warning"]} for row in images if row["warning"]],
        "failures": list(failures),
    }


def _header(row: Row) -> Header:
    return Header((row["height"], row["width"]), row["pixel_size_nm"], row["pixel_size_source"], Path(row["image"]), (row["warning"] or "",))


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


def save_all(figures: "Mapping[str, Figure]", folder: Path) -> None:
    """Each figure as NAME.png and NAME.svg."""
    from exolight.figures.style import save  # here: prediction starts without matplotlib

    for name, figure in figures.items():
        save(figure, folder / f"{name}.png")


def _keep(path: Path, candidates: Detections | None, measured: Sequence[Measurement]) -> None:
    """A picture's weak detections, where they will be scored; diameters and outlines of what is shown: all their points, and how many are whose."""
    outlines = [np.zeros((0, 2), np.float32) if one.outline is None else one.outline for one in measured]
    arrays: dict[str, Any] = {
        "points": np.concatenate([np.zeros((0, 2), np.float32), *outlines]),
        "lengths": np.array([len(points) for points in outlines], np.int64),
        "diameters": np.array([one.diameter for one in measured], np.float64),
    }
    if candidates is not None:
        arrays |= {"boxes": candidates.boxes, "scores": candidates.scores, "labels": candidates.labels}
    np.savez(path, **arrays)


def _candidates(path: Path, score: float) -> tuple[Detections, NDArray[np.float64]] | None:
    """The weak detections of a picture that is scored, and their diameters in px: as measured of what is shown, which has at least ``score``; of boxes else."""
    with np.load(path) as arrays:
        if "boxes" not in arrays:
            return None
        found = Detections(arrays["boxes"], arrays["scores"], arrays["labels"])
        diameters = found.diameters_px.astype(np.float64)
        diameters[found.scores >= score] = arrays["diameters"]
        return found, diameters


def _outlines(path: Path) -> list[NDArray[np.float32] | None]:
    with np.load(path) as arrays:
        pieces = np.split(arrays["points"], np.cumsum(arrays["lengths"])[:-1]) if len(arrays["lengths"]) else []
    return [piece if len(piece) else None for piece in pieces]


def write_png(path: Path, rgb: NDArray[np.uint8]) -> None:
    """Encoded here and written by Python, because cv2.imwrite fails on non-ASCII names on Windows."""
    fast = (cv2.IMWRITE_PNG_COMPRESSION, 1)  # three times as fast as the default, and a tenth larger
    path.write_bytes(cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), fast)[1].tobytes())


def _write_json(path: Path, content: Row) -> None:
    # A file name that is not UTF-8 becomes a JSON escape.
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8", errors="backslashreplace")
