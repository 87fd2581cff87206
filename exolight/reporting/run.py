"""What a training run leaves behind: metrics.json, figures, and the same for its loggers."""

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
from exolight.figures.assignment import assignment_figure
from exolight.figures.labels import labels_figure
from exolight.figures.sheets import mosaic_figure
from exolight.figures.style import save
from exolight.figures.training import results_figure
from exolight.losses import Criterion
from exolight.models.detector import Detector
from exolight.reporting.plain import plain, write_json
from exolight.reporting.scores import SAMPLES, score_figures
from exolight.training.records import Throughput, read_table
from exolight.training.run import Scored

log = logging.getLogger(__name__)

PACKAGES = ("exolight", "torch", "torchvision", "lightning", "timm", "albumentations", "torchmetrics", "numpy", "opencv-python-headless")


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
    write_json(folder / "metrics.json", metrics, digits=None)
    final = {f"final/{part}/{name}": value for part in ("val", "test") for name, value in metrics.get(part, {}).items() if math.isfinite(value)}
    for logger in loggers:
        logger.log_metrics(final)
        if isinstance(logger, WandbLogger) and checkpoint is not None:
            import wandb

            artifact = wandb.Artifact(f"exolight-{logger.experiment.id}", type="model", metadata=plain(metrics, digits=None))
            artifact.add_file(str(checkpoint))
            logger.experiment.log_artifact(artifact)
        logger.finalize("success")
    log.info("figures and metrics.json are in %s", folder)


def run_figures(
    data: DetectionDataModule, results: Mapping[str, Scored], metrics: Mapping[str, Any], table_path: Path, detector: Detector, loss: Criterion
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
        figures |= training_figures(data.datasets["train"], detector, loss)
    for part, found in results.items():
        scores = metrics[part]
        drawn = score_figures(found.results, data.datasets[part].images, class_names, scores["threshold"], scores["temperature"], found.ranked)
        prefix = "" if part == "val" else f"{part}_"
        figures |= {f"{part}_{name}" if name.startswith("batch_") else f"{prefix}{name}": figure for name, figure in drawn.items()}
    return figures


def training_figures(dataset: DetectionDataset, detector: Detector, loss: Criterion) -> dict[str, Figure]:
    """What the network was trained on: the first pictures of the first epoch as augmentation made them, and which cells learn the objects of one of them."""
    samples = [dataset[(0, i)] for i in range(min(SAMPLES, len(dataset)))]
    kept = [s.boxes[~s.ignore] for s in samples]
    typical = np.argsort([len(boxes) for boxes in kept], kind="stable")[-1 - len(kept) // 4]  # the third quartile: with objects, but not a crowd
    return {
        "train_batch": mosaic_figure([s.image for s in samples], kept, names=[dataset.images[s.index].name for s in samples]),
        "assignment": learned_figure(samples[typical].image, kept[typical], detector, loss),
    }


def learned_figure(image: NDArray[np.uint8], boxes: NDArray[np.float32], detector: Detector, loss: Criterion) -> Figure:
    """Which cells and anchors of ``detector`` ``loss`` makes learn the boxes (N, 4) xyxy px of a picture as the network sees it, (H, W)."""
    height, width = image.shape
    centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    rows = np.concatenate((np.zeros((len(boxes), 2)), centres / (width, height), sides / (width, height)), axis=1)
    targets = torch.from_numpy(rows).float().to(detector.mean.device)
    picture = torch.from_numpy(image).to(detector.mean.device).expand(1, detector.in_chans, -1, -1)
    was_training = detector.training
    with torch.inference_mode():
        raw = detector.eval()(picture)
        levels = loss.assignment(raw, targets, detector.anchors, detector.strides)
    detector.train(was_training)
    row, column, target, anchor = ([getattr(level, name).cpu().numpy() for level in levels] for name in ("row", "column", "target", "anchor"))
    return assignment_figure(image, boxes, list(detector.strides), row, column, target, anchor, num_anchors=max(1, detector.anchors.shape[1]))


def write_figures(folder: Path, figures: Mapping[str, Figure], loggers: Sequence[Any]) -> None:
    """Save every figure as PNG and SVG and show it to TensorBoard and W&B."""
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
