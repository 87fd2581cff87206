"""Train a detector and score it: python train.py model=s data=masks data.root=/pictures. Every choice is a file in conf/."""

import logging
import time
from pathlib import Path

import hydra
from hydra.utils import instantiate
from omegaconf import DictConfig

from exolight import command_line
from exolight.models.summary import summarise
from exolight.reporting import run as report
from exolight.training import run
from exolight.training.initialisation import adapt_anchors
from exolight.training.loggers import runs_ended

log = logging.getLogger("train")


def train(cfg: DictConfig) -> float | None:
    """Compose, build, run, report; returns the validation mAP for sweeps."""
    began = time.perf_counter()
    folder = run.start(cfg)

    data = instantiate(cfg.data)(augmentation=instantiate(cfg.augmentation))
    data.setup()
    detector, record = run.build_detector(cfg, data.class_names)
    if cfg.fit:
        adapt_anchors(detector, data.object_sizes(), cfg.anchor_recall)
    module = instantiate(cfg.module)(
        detector=detector,
        loss=instantiate(cfg.loss),
        optimizer=instantiate(cfg.optimizer),
        scheduler=instantiate(cfg.scheduler),
        thresholds=instantiate(cfg.thresholds),
        info=run.data_info(data, cfg, record),
        search=instantiate(cfg.operating_point),
    )
    log.info("%s", summarise(detector, data.image_size))
    loggers = run.build_loggers(cfg)
    checkpoint = Path(cfg.checkpoint) if not cfg.fit else folder / "checkpoints" / "best.ckpt"

    speed = None
    if cfg.fit:
        trainer = run.build_trainer(cfg, loggers)
        data.write_split(folder)
        run.fit(trainer, module, data, cfg.resume)
        speed = report.throughput(trainer)

    metrics, results = run.score(cfg, module, data, checkpoint)
    metrics |= report.facts(cfg.seed, record, detector, time.perf_counter() - began, speed)
    figures = report.run_figures(data, results, metrics, folder / "results.csv", detector, module.loss)
    report.finish(folder, metrics, figures, loggers, checkpoint if cfg.fit else None)
    return metrics.get("val", {}).get("map")


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> float | None:
    with command_line.one_line_errors(), runs_ended():
        return train(cfg)


if __name__ == "__main__":
    command_line.prepare(Path(__file__).parent / "conf", "train")
    main()
