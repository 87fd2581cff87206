"""The steps of a training run that train.py tells in order."""

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import lightning
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue

from exolight.checkpoint import KEY, detector_weights, load_detector, read_checkpoint, store
from exolight.data.datamodule import DetectionDataModule
from exolight.errors import InputError
from exolight.evaluation.curves import score_at
from exolight.evaluation.operating_point import choose
from exolight.evaluation.records import ImageResult
from exolight.evaluation.summary import beyond_scores
from exolight.models.detector import Detector
from exolight.thresholds import Thresholds
from exolight.training.checkpointing import AtomicCheckpointIO
from exolight.training.memory import keep_freed_memory
from exolight.training.module import DetectionModule

log = logging.getLogger(__name__)

LEAST = {"seed": 0, "data.image_size": 32, "data.batch_size": 1, "data.num_workers": 0, "trainer.max_epochs": 1}  # whole numbers


def start(cfg: DictConfig) -> Path:
    """Seed everything, and leave the configuration in the run's folder, which is returned. All ranks share it."""
    check(cfg)
    folder = Path(HydraConfig.get().runtime.output_dir)
    logging.captureWarnings(True)
    logging.getLogger("faster_coco_eval").setLevel(logging.WARNING)  # a table of 13 lines an evaluation
    if rank_zero_only.rank != 0:  # type: ignore[attr-defined]  # Lightning sets it on the function
        logging.getLogger().setLevel(logging.ERROR)
    else:
        OmegaConf.save(cfg, folder / "config.yaml", resolve=True)
        log.info("run folder: %s", folder)
    if cfg.trainer.accelerator == "cpu":
        keep_freed_memory()
    lightning.seed_everything(cfg.seed, workers=True, verbose=False)
    return folder


def check(cfg: DictConfig) -> None:
    """Raise ``InputError`` for settings that are missing or contradict each other."""
    try:
        OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise InputError(f"{error.full_key} is missing: give {error.full_key}=...") from error
    for key, least in LEAST.items():
        value = OmegaConf.select(cfg, key)
        if type(value) is not int or value < least:
            raise InputError(f"{key}={value}: a whole number of at least {least} is needed")
    if cfg.thresholds.score is None:
        raise InputError("thresholds.score is null, the checkpoint's own operating point, which only predict.py looks up: use thresholds=evaluation")
    instantiate(cfg.operating_point)  # a wanted precision that is none must not be found out after the training
    if cfg.fit and cfg.checkpoint is not None:
        raise InputError("checkpoint= is scored with fit=false; to train on from it use init=checkpoint init.path=... or resume=...")
    if not cfg.fit and cfg.checkpoint is None:
        raise InputError("fit=false scores a checkpoint: say which with checkpoint=outputs/train/.../checkpoints/best.ckpt")
    if cfg.resume is not None and "epoch" not in read_checkpoint(cfg.resume):
        raise InputError(f"resume={cfg.resume}: it holds a detector alone, no training to go on with; to train on from it use init=checkpoint init.path=...")


def build_detector(cfg: DictConfig, class_names: list[str]) -> tuple[Detector, dict[str, Any]]:
    """The detector to train with its first weights, or the one to score; and what the run records about where its weights are from."""
    if not cfg.fit:
        loaded = load_detector(cfg.checkpoint)
        known = loaded.detector.class_names
        if known != class_names:
            raise InputError(f"{cfg.checkpoint} knows the classes {known}, the data has {class_names}: they must be the same to be scored")
        if loaded.image_size != cfg.data.image_size:
            log.warning("%s was trained at %d px and is scored at data.image_size=%d", cfg.checkpoint, loaded.image_size, cfg.data.image_size)
        return loaded.detector, {"init": "checkpoint", "init_weights": str(cfg.checkpoint), "weights_sha256": loaded.info["weights_sha256"]}
    detector: Detector = instantiate(cfg.model, class_names=class_names)
    return detector, instantiate(cfg.init)(detector)


def data_info(data: DetectionDataModule, cfg: DictConfig, record: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint says about its training: plain values that warn prediction outside of them."""
    sizes = data.object_sizes()
    train = data.datasets["train"]
    known = sorted({float(i.pixel_size_nm / train.placed(i)[0]) for i in train.images if i.pixel_size_nm is not None})
    diameters = (sizes[:, 0] * sizes[:, 1]) ** 0.5
    return {
        "init": record,
        "seed": int(cfg.seed),
        "data": str(data.root) if data.root is not None else str(cfg.data.source._target_),
        "training_pictures": len(data.split.train),
        "pixel_size_nm": data.target_nm_per_pixel,
        "tile": data.tile,
        "input_pixel_sizes_nm": [known[0], known[-1]] if known else None,
        # 1st to 99th percentile of the objects' sqrt(width * height), in px of the network's input
        "object_size_px": torch.from_numpy(diameters).quantile(torch.tensor([0.01, 0.99], dtype=torch.float64)).tolist() if len(diameters) else None,
    }


def build_trainer(cfg: DictConfig, loggers: Sequence[Logger] = (), scoring: bool = False) -> lightning.Trainer:
    """The Trainer of the configuration. One that only scores has no callbacks: Lightning's weight averaging would give it the raw weights.

    Raises:
        InputError: Lightning refuses the settings, a GPU on a machine without one, say.
    """
    callbacks = [] if scoring else list(instantiate(cfg.callbacks).values())
    try:
        return instantiate(
            cfg.trainer,
            callbacks=callbacks,
            logger=False if scoring else list(loggers),
            enable_checkpointing=not scoring,
            enable_progress_bar=not scoring and any(type(c).__name__.endswith("ProgressBar") for c in callbacks),
            check_val_every_n_epoch=min(cfg.trainer.check_val_every_n_epoch, cfg.trainer.max_epochs),  # without any validation there would be no best
            plugins=[AtomicCheckpointIO()],
            default_root_dir=HydraConfig.get().runtime.output_dir,
        )
    except InstantiationException as error:
        if isinstance(error.__cause__, (MisconfigurationException, TypeError, ValueError)):
            raise InputError(f"trainer: {error.__cause__}") from error
        raise


def build_loggers(cfg: DictConfig) -> list[Logger]:
    """The loggers, told the whole configuration as plain containers."""
    loggers: list[Logger] = list(instantiate(cfg.logger).values())
    for logger in loggers:
        logger.log_hyperparams(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
    return loggers


def fit(trainer: lightning.Trainer, module: DetectionModule, data: DetectionDataModule, resume: str | None) -> None:
    """Train; a resumed run must have the same network."""
    if resume is not None:
        stored = read_checkpoint(resume)[KEY]["detector"]
        now = module.detector.config()
        stored = {"head": "anchor"} | stored  # older checkpoints know of no other
        different = [name for name in ("backbone", "neck", "class_names", "in_chans", "strides", "head") if stored[name] != now[name]]
        if different:
            raise InputError(f"resume={resume}: its network differs in {', '.join(different)}: repeat the command it was started with, plus resume=")
        trained = read_checkpoint(resume)["epoch"] + 1
        if trained >= (trainer.max_epochs or 0):
            log.warning("resume=%s has already %d of %s epochs: nothing is left to train", resume, trained, trainer.max_epochs)
    trainer.fit(module, data, ckpt_path=resume, weights_only=True)


def load_weights(module: DetectionModule, path: Path) -> dict[str, Any]:
    """Give the module the averaged weights and the operating point of a checkpoint, as anybody who loads it later gets them; returns what else it says."""
    loaded = load_detector(path)
    module.detector.load_state_dict(detector_weights(read_checkpoint(path)))
    if loaded.thresholds is not None:
        module.operating_point = loaded.thresholds
    return loaded.info


class Scored(NamedTuple):
    """A part's results, picture by picture.

    Attributes:
        results: with the operating point's overlap of suppression.
        ranked: with evaluation's own, for average precision.
    """

    results: list[ImageResult]
    ranked: list[ImageResult]


def score(cfg: DictConfig, module: DetectionModule, data: DetectionDataModule, checkpoint: Path) -> tuple[dict[str, Any], dict[str, Scored]]:
    """Score a checkpoint on validation and, with the operating point that it holds, on test: now and whenever it is scored again.

    On the validation pictures the best operating point is looked for; with ``operating_point.store`` the checkpoint takes it over before the test.

    Returns ``{"weights_sha256": ..., "val": scores, "test": scores}`` under plain names, and the pictures' results; parts without pictures are left out.
    """
    trainer = build_trainer(cfg, scoring=True)
    info = load_weights(module, checkpoint)
    metrics: dict[str, Any] = {"weights_sha256": info["weights_sha256"]}
    results = {}
    if not data.datasets["val"] and module.search.aim != "f1":
        log.warning("operating_point.aim=%s: there are no validation pictures to look for it on", module.search.aim)
    for part, evaluate in (("val", trainer.validate), ("test", trainer.test)):
        if not data.datasets[part]:
            continue
        images, thresholds = data.datasets[part].images, module.operating_point
        module.also = list(module.search.ious) if part == "val" else [thresholds.iou]
        evaluate(module, datamodule=data, verbose=False)
        module.operating_point = thresholds  # a validation moves it
        temperature = info.get("temperature", metrics.get("val", {}).get("temperature"))  # fitted on validation, judged on test
        if part == "val":
            thresholds, temperature = best_thresholds(module, [images[result.image_id].group for result in module.results]), None
        results[part] = Scored(module.tried[thresholds.iou], module.results)
        scores = module.precision | {name: float(trainer.callback_metrics[f"val/{name}"]) for name in module.gains if part == "val" and module.val_terms}
        scores |= score_at(results[part].results, thresholds.score) | {"threshold": thresholds.score, "suppression_iou": thresholds.iou}
        scores |= beyond_scores(results[part].results, images, module.detector.num_classes, thresholds.score, temperature, results[part].ranked)
        metrics[part] = scores
        log.info("%s: mAP50 %.3f, mAP %.3f, precision %.3f, recall %.3f, F1 %.3f at score %.3f, suppression at IoU %.2g", part, *scores_line(scores))
        if "diameter_error" in scores:
            unit = "nm" if "diameter_error_nm" in scores else "px"
            error, share, bias = (scores[name] for name in (f"diameter_error_{unit}", "diameter_error", f"diameter_bias_{unit}"))
            what = "%s: median error of a found vesicle's diameter %.1f %s (%.1f %%), of which %+.1f %s is bias"
            log.info(what, part, error, unit, 100 * share, bias, unit)
        if part == "val" and module.search.store and scores["f1"] > 0:
            module.operating_point = thresholds
            info |= {"temperature": scores["temperature"]} if math.isfinite(scores["temperature"]) else {}
            rank_zero_only(store)(checkpoint, thresholds=asdict(thresholds), temperature=info.get("temperature"))
            log.info("this operating point is now that of %s", checkpoint)
    return metrics, results


def best_thresholds(module: DetectionModule, groups: Sequence[str | None]) -> Thresholds:
    """What serves the aim of the module's search best on the pictures it has just been evaluated on; a warning where that is not what was wanted."""
    search, usual = module.search, module.thresholds
    point, iou = choose(module.tried, module.detector.num_classes, search, usual.iou, groups)
    if point.f1 > 0 and not search.reached_by(point):
        wanted = f"operating_point.aim={search.aim}: no score reaches a {search.aim} of {search.value:g} on the validation pictures"
        log.warning("%s; the nearest is precision %.3f with recall %.3f, at score %.3f", wanted, point.precision, point.recall, point.threshold)
    return replace(usual, score=max(point.threshold, usual.score), iou=iou)  # below its score nothing has been looked at


def scores_line(scores: dict[str, float]) -> list[float]:
    """The numbers of a part's line in the log."""
    return [scores[name] for name in ("map_50", "map", "precision", "recall", "f1", "threshold", "suppression_iou")]
