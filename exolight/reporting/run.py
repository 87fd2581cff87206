"""What a training run leaves behind: metrics.json, figures, and the same for its loggers."""

import json
import logging
import math
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import lightning
import numpy as np
import torch
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from matplotlib.figure import Figure
from numpy.typing import NDArray

from exolight.data.datamodule import DetectionDataModule
from exolight.data.dataset import DetectionDataset
from exolight.evaluation.calibration import apply_temperature, reliability, scored_detections
from exolight.evaluation.counts import count_pairs
from exolight.evaluation.curves import best_f1, confidence_curves, match
from exolight.evaluation.errors import confusion
from exolight.evaluation.records import ImageResult
from exolight.evaluation.sizes import diameter_pairs
from exolight.evaluation.summary import CALIBRATED_FROM
from exolight.figures.curves import confidence_curve_figure, precision_recall_figure
from exolight.figures.errors import confusion_matrix_figure, count_agreement_figure, reliability_figure, worst_figure
from exolight.figures.labels import labels_figure
from exolight.figures.sheets import mosaic_figure
from exolight.figures.sizes import size_distribution_figure
from exolight.figures.style import save
from exolight.figures.training import results_figure
from exolight.models.detector import Detector
from exolight.preprocessing import normalise
from exolight.training.records import Throughput, read_table

log = logging.getLogger(__name__)

PACKAGES = ("exolight", "torch", "torchvision", "lightning", "timm", "albumentations", "torchmetrics", "numpy", "opencv-python-headless")
SAMPLES = 12  # pictures on a contact sheet
WORST = 6  # pictures with the most errors


def write_metrics(path: Path, metrics: Mapping[str, Any]) -> None:
    """Write JSON that every reader takes: an undefined score is null. The file appears whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(defined(metrics), indent=2) + "\n", encoding="utf-8")
    part.replace(path)


def defined(value: Any) -> Any:
    """Numbers that JSON knows: nan and infinities become None."""
    if isinstance(value, Mapping):
        return {str(k): defined(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [defined(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def versions() -> dict[str, str]:
    """Of Python and of the packages that decide results."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def machine() -> dict[str, Any]:
    """Where this ran: system, processor threads in use, GPU."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"system": platform.platform(), "threads": torch.get_num_threads(), "gpu": gpu}


def peak_memory_mib() -> float | None:
    """The most memory this process has held, in MiB; None where the system does not tell (Windows)."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def throughput(trainer: lightning.Trainer) -> float | None:
    """Training pictures a second of a finished fit, where the callback that measures them was there."""
    found = [callback.images_per_second for callback in trainer.callbacks if isinstance(callback, Throughput)]  # type: ignore[attr-defined]
    return found[0] if found else None


def facts(seed: int, record: Mapping[str, Any], detector: Detector, seconds: float, speed: float | None) -> dict[str, Any]:
    """What metrics.json says about the run besides its scores."""
    return {
        "seed": seed,
        **record,
        "parameters": sum(p.numel() for p in detector.parameters()),
        "anchors": detector.anchors.tolist(),
        "wall_time_s": seconds,
        "images_per_second": speed,
        "peak_memory_mib": peak_memory_mib(),
        "peak_gpu_memory_mib": torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else None,
        "machine": machine(),
        "versions": versions(),
    }


@rank_zero_only
def finish(folder: Path, metrics: Mapping[str, Any], figures: Mapping[str, Figure], loggers: Sequence[Any], checkpoint: Path | None) -> None:
    """Write metrics.json and the figures, and hand both and the best checkpoint to the loggers."""
    write_figures(folder / "figures", figures, loggers)
    write_metrics(folder / "metrics.json", metrics)
    final = {f"final/{part}/{name}": value for part in ("val", "test") for name, value in metrics.get(part, {}).items() if math.isfinite(value)}
    for logger in loggers:
        logger.log_metrics(final)
        if isinstance(logger, WandbLogger) and checkpoint is not None:
            import wandb

            artifact = wandb.Artifact(f"exolight-{logger.experiment.id}", type="model", metadata=defined(metrics))
            artifact.add_file(str(checkpoint))
            logger.experiment.log_artifact(artifact)
        logger.finalize("success")
    log.info("figures and metrics.json are in %s", folder)


def run_figures(
    data: DetectionDataModule, results: Mapping[str, Sequence[ImageResult]], metrics: Mapping[str, Any], table_path: Path
) -> dict[str, Figure]:
    """The figures of a run by file name, under the names that YOLOv5's users know where they exist."""
    figures: dict[str, Figure] = {}
    class_names = data.class_names
    table = read_table(table_path)
    if len(table):
        figures["results"] = results_figure(table)
    everything = [image for dataset in data.datasets.values() for image in dataset.images]
    figures["labels"] = labels_figure([i.boxes for i in everything], [i.image_hw for i in everything], [i.labels for i in everything], class_names)
    if len(table) and len(data.datasets["train"]):
        figures["train_batch"] = train_batch_figure(data.datasets["train"])
    for part, found in results.items():
        if found:
            prefix = "" if part == "val" else f"{part}_"
            drawn = result_figures(part, found, data.datasets[part], class_names)
            drawn |= error_figures(found, data.datasets[part], class_names, metrics[part]["threshold"], metrics[part]["temperature"])
            figures |= {name if name.startswith(f"{part}_batch") else f"{prefix}{name}": figure for name, figure in drawn.items()}
    return figures


def train_batch_figure(dataset: DetectionDataset) -> Figure:
    """What the network was trained on: the first pictures of the first epoch as augmentation made them."""
    samples = [dataset[(0, i)] for i in range(min(SAMPLES, len(dataset)))]
    return mosaic_figure([s.image for s in samples], [s.boxes[~s.ignore] for s in samples], names=[dataset.images[s.index].name for s in samples])


def result_figures(part: str, results: Sequence[ImageResult], dataset: DetectionDataset, class_names: list[str]) -> dict[str, Figure]:
    """Curves and contact sheets of one part."""
    curves = confidence_curves(results, len(class_names))
    point = best_f1(curves)
    best = (point.threshold, point.f1) if point.f1 > 0 else None
    figures = {
        "PR_curve": precision_recall_figure(curves.recall_grid, curves.envelope, curves.average_precision, class_names),
        "P_curve": confidence_curve_figure(curves.confidence, curves.precision, class_names, "Precision", None),
        "R_curve": confidence_curve_figure(curves.confidence, curves.recall, class_names, "Recall", None),
        "F1_curve": confidence_curve_figure(curves.confidence, curves.f1, class_names, "F1", best),
    }
    shown = list(results)[:SAMPLES]
    images = [normalise(dataset.images[r.image_id].read().pixels) for r in shown]
    names = [dataset.images[r.image_id].name for r in shown]
    kept = [(r.boxes[strong], r.scores[strong]) for r in shown for strong in [r.scores >= point.threshold]]
    figures[f"{part}_batch_labels"] = mosaic_figure(images, [r.truth_boxes[~r.truth_ignore] for r in shown], names=names)
    figures[f"{part}_batch_pred"] = mosaic_figure(images, [boxes for boxes, _ in kept], [scores for _, scores in kept], names)
    return figures


def error_figures(
    results: Sequence[ImageResult], dataset: DetectionDataset, class_names: list[str], threshold: float, temperature: float
) -> dict[str, Figure]:
    """What goes wrong in one part at the operating point, and how far counts, sizes and scores can be trusted."""
    counts = count_pairs(results, threshold)
    scores, true = scored_detections(results, CALIBRATED_FROM)
    bins = [reliability(scores, true)]
    if math.isfinite(temperature):
        bins.append(reliability(apply_temperature(scores, temperature), true))
    mean_score, share_true, in_bin, ece = (np.array([getattr(each, name) for each in bins]) for name in ("mean_score", "share_true", "counts", "ece"))
    matches = [match(result) for result in results]
    kept = [(result.scores >= threshold) & ~matched.ignored for result, matched in zip(results, matches, strict=True)]
    real = [~result.truth_ignore for result in results]
    found = [np.isin(np.arange(len(r.truth_boxes)), m.partner[k & m.true]) for r, m, k in zip(results, matches, kept, strict=True)]
    wrong = [int((~f[t]).sum() + (~m.true[k]).sum()) for f, t, m, k in zip(found, real, matches, kept, strict=True)]
    worst = [i for i in np.argsort(wrong, kind="stable")[::-1][:WORST].tolist() if wrong[i]]
    figures = {
        "confusion_matrix": confusion_matrix_figure(confusion(results, len(class_names), threshold).matrix, class_names),
        "count_agreement": count_agreement_figure(counts[:, 0], counts[:, 1]),
        "reliability": reliability_figure(mean_score, share_true, in_bin, ece, temperature if len(bins) > 1 else None, bins[0].edges),
        "worst": worst_figure(
            [normalise(dataset.images[results[i].image_id].read().pixels) for i in worst],
            [results[i].truth_boxes[real[i]] for i in worst],
            [results[i].boxes[kept[i]] for i in worst],
            [results[i].scores[kept[i]] for i in worst],
            [~found[i][real[i]] for i in worst],
            [~matches[i].true[kept[i]] for i in worst],
            [dataset.images[results[i].image_id].name for i in worst],
            WORST,
        ),
    }
    pairs = diameter_pairs(results, dataset.images, threshold)
    if len(pairs):
        figures["size_distribution"] = size_distribution_figure(pairs[:, 0], pairs[:, 1])
    return figures


def write_figures(folder: Path, figures: Mapping[str, Figure], loggers: Sequence[Any]) -> None:
    """Save every figure as PNG and show it to TensorBoard and W&B."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        path = folder / f"{name}.png"
        save(figure, path)
        for logger in loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(f"figures/{name}", png(path), dataformats="HWC")
            elif isinstance(logger, WandbLogger):
                logger.log_image(f"figures/{name}", [str(path)])


def png(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) RGB of a file of our own."""
    decoded = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)  # type: ignore[arg-type, return-value]
