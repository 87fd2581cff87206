"""Every file in conf/ is composed, its keys are arguments of what it names, and that can be built. New files are found by themselves."""

import inspect
import logging
import logging.config
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_object, instantiate
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf

from exolight.data.augmentation import Augmentation, Scene
from exolight.data.datamodule import DetectionDataModule
from exolight.losses import Criterion
from exolight.models import Detector
from exolight.models.backbone import Backbone
from exolight.models.neck import PanFpn
from exolight.simulation.ranges import Ranges
from exolight.thresholds import Thresholds
from exolight.training.module import DetectionModule

CONF = Path(__file__).parents[1] / "conf"
GROUPS = ("model", "head", "data", "augmentation", "optimizer", "scheduler", "thresholds", "trainer", "callbacks", "logger", "init", "experiment", "simulation")
HYDRAS_KEYS = {"_target_", "_partial_", "_convert_", "_recursive_", "_args_"}


def names(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@pytest.fixture
def train(tmp_path: Path) -> Iterator[Any]:
    """Composes train.yaml as a run in ``tmp_path`` would, and checks the keys of all that it brings."""
    with initialize_config_dir(str(CONF), version_base="1.3"):

        def run(*overrides: str) -> DictConfig:
            both = compose("train", [*overrides, f"hydra.runtime.output_dir={tmp_path}"], return_hydra_config=True)
            HydraConfig.instance().set_config(both)
            OmegaConf.set_struct(both, False)
            both.pop("hydra")
            assert check_keys(OmegaConf.to_container(both, resolve=True), "") > 8
            return both

        yield run
    HydraConfig.instance().cfg = None


def check_keys(node: Any, where: str) -> int:
    """The keys beside every ``_target_`` below ``node`` are arguments of what it names; returns how many targets there were."""
    if isinstance(node, list):
        return sum(check_keys(child, f"{where}[{i}]") for i, child in enumerate(node))
    if not isinstance(node, dict):
        return 0
    count = 0
    if "_target_" in node:
        signature = inspect.signature(get_object(node["_target_"]))
        taken = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
        unknown = set(node) - HYDRAS_KEYS - set(signature.parameters)
        assert taken or not unknown, f"{where}: {node['_target_']} takes no {unknown}"
        if not node.get("_partial_"):
            needed = {p.name for p in signature.parameters.values() if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
            assert needed - set(node) <= {"class_names"}, f"{where}: {node['_target_']} also needs {needed - set(node)}"
        count = 1
    return count + sum(check_keys(child, f"{where}.{key}") for key, child in node.items())


@pytest.mark.parametrize("path", sorted(CONF.rglob("*.yaml")), ids=lambda path: path.relative_to(CONF).as_posix())
def test_every_file_belongs_to_a_tested_group(path: Path) -> None:
    assert path.parent.name in GROUPS or path.parent == CONF or path.relative_to(CONF).as_posix() == "hydra/job_logging/train.yaml"


@pytest.mark.parametrize("name", sorted(path.stem for path in CONF.glob("*.yaml")))
def test_programs(name: str, train: Any) -> None:
    if name == "train":
        config = train()
        assert set(config.model.backbone) <= set(inspect.signature(Backbone).parameters)
        assert set(config.model.neck) <= set(inspect.signature(PanFpn).parameters)
    else:  # the fixture composes train.yaml only, within the same folder
        check_keys(OmegaConf.to_container(compose(name)), name)


@pytest.mark.parametrize("name", names("experiment"))
def test_experiments_hold_differences_only(train: Any, name: str) -> None:
    """Every value of an experiment differs from what would be composed without it."""
    text = yaml.safe_load((CONF / "experiment" / f"{name}.yaml").read_text("utf-8"))
    chosen = [f"{group.removeprefix('override /')}={choice}" for entry in text.pop("defaults", []) for group, choice in entry.items()]
    assert train(f"experiment={name}", "data.root=x")
    plain = OmegaConf.to_container(train(*chosen, "data.root=x"), resolve=True)

    def compare(own: Any, other: Any, where: str) -> None:
        for key, value in own.items():
            assert isinstance(other, dict), where
            if isinstance(value, dict) and isinstance(other.get(key), dict):
                compare(value, other[key], f"{where}{key}.")
            else:
                assert other.get(key) != value, f"experiment/{name}.yaml repeats {where}{key}: {value}"

    compare(text, plain, "")


@pytest.mark.parametrize("name", names("model"))
def test_models(train: Any, name: str) -> None:
    with torch.device("meta"):  # shapes without numbers: the largest would take seconds
        detector = instantiate(train(f"model={name}").model, class_names=["exosome"])
    assert isinstance(detector, Detector)
    assert len(detector.anchors) == len(detector.strides)
    parameters = sum(p.numel() for p in detector.parameters())
    low, high = {"t": (0.3e6, 0.6e6), "n": (0.5e6, 2e6), "s": (5e6, 15e6), "m": (15e6, 30e6), "l": (35e6, 60e6), "x": (60e6, 110e6)}[name.partition("_")[0]]
    assert low < parameters < high


@pytest.mark.parametrize("name", [n for n in names("data") if n != "base"])
def test_data(train: Any, name: str, tmp_path: Path) -> None:
    config = train(f"data={name}", f"data.root={tmp_path}")
    module = instantiate(config.data)(augmentation=instantiate(config.augmentation))
    assert isinstance(module, DetectionDataModule)
    assert module.epochs == config.trainer.max_epochs
    assert not isinstance(module.split_choice, DictConfig)
    assert callable(module.source)
    inspect.signature(module.source.func).bind(**module.source.keywords)


@pytest.mark.parametrize("name", names("simulation"))
def test_simulation_presets(train: Any, name: str) -> None:
    config = train(f"simulation={name}")
    ranges = instantiate(config.data.source).keywords["ranges"]
    assert isinstance(ranges, Ranges)
    assert (ranges == Ranges()) == (name == "default")
    assert list(ranges.instrument.blur_px) == list(config.simulation.instrument.blur_px)  # the source gets the preset that was chosen


@pytest.mark.parametrize("name", names("augmentation"))
def test_augmentations(train: Any, name: str) -> None:
    augmentation = instantiate(train(f"augmentation={name}").augmentation)
    assert isinstance(augmentation, Augmentation)
    points = np.array([[20, 20], [40, 20], [40, 40], [20, 40]], np.float32)
    scene = Scene(np.full((64, 80), 130, np.uint8), points, np.array([4]), np.array([0]), np.array([False]))
    for seed in range(4):
        made = augmentation(lambda _: scene, 0, 4, 64, np.random.default_rng(seed), True)
        assert made.image.shape == (64, 64)
        assert made.image.dtype == np.uint8
        assert len(made.boxes) == len(made.labels) == len(made.ignore)


@pytest.mark.parametrize("name", names("head"))
def test_heads(train: Any, name: str) -> None:
    """A head, the loss that understands it, and a gain for each term."""
    config = train(f"head={name}", "model.backbone.name=lcnet_035")
    detector, loss = instantiate(config.model, class_names=["a", "b"]), instantiate(config.loss)
    assert isinstance(loss, Criterion)
    terms = loss(detector(torch.zeros(1, 1, 64, 64)), torch.tensor([[0, 1, 0.5, 0.5, 0.2, 0.2]]), torch.zeros(0, 6), detector.anchors, detector.strides)
    assert set(terms) == set(config.module.gains) == set(loss.scaled(config.module.gains, 3, 2, 64))


@pytest.mark.parametrize("name", names("optimizer"))
@pytest.mark.parametrize("schedule", names("scheduler"))
def test_optimizers_and_schedulers(train: Any, name: str, schedule: str) -> None:
    config = train(f"optimizer={name}", f"scheduler={schedule}")
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = instantiate(config.optimizer)([{"params": [weight], "lr": config.optimizer.lr, "weight_decay": 0.0, "kind": "weight"}])
    scheduler = instantiate(config.scheduler)(optimizer, total_steps=20, steps_per_epoch=5.0, batches_per_step=1)
    assert config.optimizer.lr == optimizer.defaults["lr"] == scheduler.base_lrs[0]
    rates = []
    for _ in range(20):
        weight.grad = torch.ones(3)
        optimizer.step()
        scheduler.step()
        rates.append(optimizer.param_groups[0]["lr"])
    assert weight.max() < 1
    assert 0 < rates[-1] < max(rates) <= config.optimizer.lr


@pytest.mark.parametrize("name", names("thresholds"))
def test_thresholds(train: Any, name: str) -> None:
    config = train(f"thresholds={name}").thresholds
    made = instantiate(config, **{key: 0.5 for key in ("score", "iou") if config[key] is None})  # the checkpoint fills these in
    assert isinstance(made, Thresholds)
    assert made.max_detections == 1000


@pytest.mark.parametrize("name", names("trainer"))
def test_trainers(train: Any, name: str) -> None:
    on_cpu = ["trainer.accelerator=cpu", "trainer.precision=32-true", "trainer.devices=1"] if not torch.cuda.is_available() and "cpu" not in name else []
    trainer = instantiate(train(f"trainer={name}", *on_cpu).trainer, logger=False, enable_checkpointing=False)
    assert isinstance(trainer, lightning.Trainer)
    assert trainer.num_sanity_val_steps == 0
    assert trainer.gradient_clip_val == 10.0
    if name == "ddp_cpu":
        assert trainer.world_size == 2


@pytest.mark.parametrize("name", names("callbacks"))
def test_callbacks(train: Any, name: str, tmp_path: Path) -> None:
    callbacks = list(instantiate(train(f"callbacks={name}").callbacks).values())
    assert all(isinstance(callback, Callback) for callback in callbacks)
    assert len({callback.state_key for callback in callbacks}) == len(callbacks)  # two of one key would share their state in a checkpoint
    assert {str(c.dirpath) for c in callbacks if hasattr(c, "dirpath")} == {f"{tmp_path}/checkpoints"}


@pytest.mark.parametrize("name", names("logger"))
def test_loggers(train: Any, name: str, tmp_path: Path) -> None:
    config = train(f"logger={name}", *(["logger.wandb.mode=offline"] if name == "wandb" else []))
    loggers = list(instantiate(config.logger).values())
    assert all(isinstance(logger, Logger) and str(logger.save_dir) == str(tmp_path) for logger in loggers)
    assert len(loggers) == {"none": 0, "tensorboard": 1, "wandb": 2}[name]


@pytest.mark.parametrize("name", names("init"))
def test_inits(train: Any, name: str) -> None:
    start = instantiate(train(f"init={name}", *(["init.path=x.ckpt"] if name == "checkpoint" else [])).init)
    inspect.signature(start.func).bind("a detector", **start.keywords)


def test_module(train: Any) -> None:
    config = train("model=n", "data.image_size=64")
    parts = {name: instantiate(config[name]) for name in ("loss", "optimizer", "scheduler", "thresholds")}
    module = instantiate(config.module)(detector=instantiate(config.model, class_names=["a", "b"]), **parts)
    assert isinstance(module, DetectionModule)
    assert type(module.gains) is dict
    assert module.gains == pytest.approx({"box": 0.05, "objectness": 0.01, "class": 0.0125})


def test_job_logging(tmp_path: Path, train: Any) -> None:
    train()
    with_hydra = compose("train", [f"hydra.runtime.output_dir={tmp_path}"], return_hydra_config=True)
    HydraConfig.instance().set_config(with_hydra)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        logging.config.dictConfig(OmegaConf.to_container(with_hydra.hydra.job_logging, resolve=True))  # type: ignore[arg-type]
        logging.getLogger("any").info("Proença, 12 µm")
        assert "INFO any: Proença, 12 µm" in (tmp_path / "train.log").read_text("utf-8")
    finally:
        for handler in root.handlers[:]:
            if handler not in handlers:
                handler.close()
        root.handlers[:], root.level = handlers, level
