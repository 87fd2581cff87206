"""All figures of pictures that were scored: of a training run's parts, and of a prediction whose truth is known."""

import math
from collections.abc import Sequence
from pathlib import PurePath
from typing import NamedTuple

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from exolight.evaluation.calibration import apply_temperature, fit_temperature, reliability, scored_detections
from exolight.evaluation.counts import count_pairs
from exolight.evaluation.curves import confidence_curves, match
from exolight.evaluation.errors import confusion
from exolight.evaluation.records import ImageResult, Images
from exolight.evaluation.sizes import diameter_pairs, sizes
from exolight.evaluation.summary import CALIBRATED_FROM
from exolight.evaluation.sweep import threshold_sweep
from exolight.figures.curves import confidence_curve_figure, precision_recall_figure
from exolight.figures.errors import confusion_matrix_figure, count_agreement_figure, reliability_figure, worst_figure
from exolight.figures.sheets import mosaic_figure
from exolight.figures.sizes import diameter_errors_figure, size_distribution_figure
from exolight.figures.thresholds import threshold_sweep_figure
from exolight.preprocessing import normalise

SAMPLES = 12  # pictures on a contact sheet
WORST = 6  # pictures with the most errors
SWEPT = 3  # pictures at two thresholds
LOWER = 1 / 3  # the lower of them, as a share of the operating point
LARGEST_PX = 1000  # a picture in a figure has no more to show


class Gallery:
    """Pictures as figures show them: uint8, no larger than ``LARGEST_PX``, each read once however many figures show it.

    Attributes:
        names: of the results' pictures, by their ``image_id``.
    """

    def __init__(self, results: Sequence[ImageResult], images: Images) -> None:
        self._images = images
        self._shown: dict[int, tuple[NDArray[np.uint8], float]] = {}
        names = short_names([images[result.image_id].name for result in results])
        self.names = {result.image_id: name for result, name in zip(results, names, strict=True)}

    def pixels(self, result: ImageResult) -> NDArray[np.uint8]:
        """(H, W) of a result's picture."""
        return self._picture(result.image_id)[0]

    def boxes(self, result: ImageResult, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 4) xyxy px of a result's picture as recorded -> px of ``pixels``."""
        return boxes * np.float32(self._picture(result.image_id)[1])

    def _picture(self, image_id: int) -> tuple[NDArray[np.uint8], float]:
        if image_id not in self._shown:
            pixels = normalise(self._images[image_id].read().pixels)
            factor = min(1.0, LARGEST_PX / max(pixels.shape))
            if factor < 1:
                pixels = np.asarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
            self._shown[image_id] = (pixels, factor)
        return self._shown[image_id]


def score_figures(
    results: Sequence[ImageResult],
    images: Images,
    class_names: Sequence[str],
    threshold: float,
    temperature: float | None = None,
    ranked: Sequence[ImageResult] | None = None,
) -> dict[str, Figure]:
    """Figures by file name, under the names that YOLOv5's users know where they exist; none of no pictures.

    Args:
        results: of all pictures, in pixels of the pictures as recorded. images: these, each found by its ``image_id``; about twenty are read.
        threshold: the score that detections are counted from.
        temperature: of the scores, fitted on other pictures; None: it is fitted on these.
        ranked: the same pictures' results for average precision, where their suppression was another.
    """
    if not results:
        return {}
    gallery, every = Gallery(results, images), sizes(results, images)
    figures = curve_figures(results, ranked or results, list(class_names), threshold)
    figures |= error_figures(results, list(class_names), threshold, temperature)
    figures["size_distribution"] = size_distribution_figure(every.found[every.scores >= threshold], every.true, every.unit)
    figures["diameter_errors"] = diameter_errors_figure(*diameter_pairs(results, images, threshold))
    figures |= sheet_figures(results[:SAMPLES], gallery, threshold)
    figures["worst"] = worst_pictures_figure(results, gallery, threshold)
    figures["threshold_sweep"] = sweep_figure(results, images, gallery, threshold)
    return figures


def sheet_figures(results: Sequence[ImageResult], gallery: Gallery, threshold: float) -> dict[str, Figure]:
    """Pictures with their truths, and with what was found in them."""
    pixels, names = [gallery.pixels(r) for r in results], [gallery.names[r.image_id] for r in results]
    strong = [(r, r.scores >= threshold) for r in results]
    return {
        "batch_labels": mosaic_figure(pixels, [gallery.boxes(r, r.truth_boxes[~r.truth_ignore]) for r in results], names=names),
        "batch_pred": mosaic_figure(pixels, [gallery.boxes(r, r.boxes[kept]) for r, kept in strong], [r.scores[kept] for r, kept in strong], names),
    }


def worst_pictures_figure(results: Sequence[ImageResult], gallery: Gallery, threshold: float) -> Figure:
    """The pictures with the most errors."""
    outcomes = [(result, Outcome.of(result, threshold)) for result in results]
    worst = [(r, o) for r, o in sorted(outcomes, key=lambda pair: -pair[1].errors)[:WORST] if o.errors]
    return worst_figure(
        [gallery.pixels(r) for r, _ in worst],
        [gallery.boxes(r, r.truth_boxes[o.real]) for r, o in worst],
        [gallery.boxes(r, r.boxes[o.counted]) for r, o in worst],
        [r.scores[o.counted] for r, o in worst],
        [~o.found[o.real] for _, o in worst],
        [~o.true[o.counted] for _, o in worst],
        [gallery.names[r.image_id] for r, _ in worst],
        WORST,
    )


def sweep_figure(results: Sequence[ImageResult], images: Images, gallery: Gallery, threshold: float) -> Figure:
    """The first pictures with objects at a lower threshold and at this one, above curves of all pictures."""
    curves = threshold_sweep(results, images)
    shown = sorted(results, key=lambda r: bool(r.truth_ignore.all()))[:SWEPT]
    return threshold_sweep_figure(
        [gallery.pixels(r) for r in shown],
        [gallery.boxes(r, r.boxes) for r in shown],
        [r.scores for r in shown],
        (LOWER * threshold, threshold),
        curves.grid,
        curves.number,
        curves.precision,
        curves.recall,
        curves.diameter,
        operating_point=threshold,
        true_count=curves.true_number,
        true_diameter=curves.true_diameter,
        unit=curves.unit,
        names=[gallery.names[r.image_id] for r in shown],
    )


def curve_figures(results: Sequence[ImageResult], ranked: Sequence[ImageResult], class_names: list[str], threshold: float) -> dict[str, Figure]:
    """Precision over recall, of ``ranked``, and precision, recall and F1 over the score, with the operating point."""
    ranking, curves = confidence_curves(ranked, len(class_names)), confidence_curves(results, len(class_names))
    figures = {"PR_curve": precision_recall_figure(ranking.recall_grid, ranking.envelope, ranking.average_precision, class_names)}
    defined = ~np.isnan(curves.average_precision)
    at = int(np.abs(curves.confidence - threshold).argmin())
    for name, title, values in (("P", "Precision", curves.precision), ("R", "Recall", curves.recall), ("F1", "F1", curves.f1)):
        point = (threshold, float(values[defined, at].mean())) if defined.any() else None
        figures[f"{name}_curve"] = confidence_curve_figure(curves.confidence, values, class_names, title, point)
    return figures


def error_figures(results: Sequence[ImageResult], class_names: list[str], threshold: float, temperature: float | None) -> dict[str, Figure]:
    """What goes wrong at the operating point, and how far counts and scores can be trusted."""
    counts = count_pairs(results, threshold)
    scores, true = scored_detections(results, CALIBRATED_FROM)
    temperature = fit_temperature(scores, true) if temperature is None else temperature
    bins = [reliability(scores, true)]
    if math.isfinite(temperature):
        bins.append(reliability(apply_temperature(scores, temperature), true))
    mean_score, share_true, in_bin, ece = (np.array([getattr(each, name) for each in bins]) for name in ("mean_score", "share_true", "counts", "ece"))
    return {
        "confusion_matrix": confusion_matrix_figure(confusion(results, len(class_names), threshold).matrix, class_names),
        "count_agreement": count_agreement_figure(counts[:, 0], counts[:, 1]),
        "reliability": reliability_figure(mean_score, share_true, in_bin, ece, temperature if len(bins) > 1 else None, bins[0].edges),
    }


class Outcome(NamedTuple):
    """What became of one picture's N detections and M truths at a threshold.

    Attributes:
        counted, true: (N,) bool, the detection counts (it is strong enough and on no region to ignore); it is of an object.
        real, found: (M,) bool, the truth is no region to ignore; a detection that counts has found it.
        errors: false detections and missed objects together.
    """

    counted: NDArray[np.bool_]
    true: NDArray[np.bool_]
    real: NDArray[np.bool_]
    found: NDArray[np.bool_]
    errors: int

    @classmethod
    def of(cls, result: ImageResult, threshold: float) -> "Outcome":
        """At IoU 0.5."""
        matched, real = match(result), ~result.truth_ignore
        counted = (result.scores >= threshold) & ~matched.ignored
        found = np.isin(np.arange(len(result.truth_boxes)), matched.partner[counted & matched.true])
        return cls(counted, matched.true, real, found, int((counted & ~matched.true).sum() + (real & ~found).sum()))


def short_names(names: Sequence[str]) -> list[str]:
    """Without folders and suffixes, which take the room that tells pictures apart; as they are where that would make two the same."""
    stems = [PurePath(name).stem for name in names]
    return stems if len(set(stems)) == len(set(names)) else list(names)
