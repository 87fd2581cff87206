"""What stands behind ``python predict.py``: which arguments are pictures, which are options, and what the options come to."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from exolight.errors import InputError
from exolight.inference.files import existing_path
from exolight.micrograph import check_pixel_size
from exolight.thresholds import Thresholds

# Everything else is a path, verbatim: Hydra's grammar would break Proença, "EV (1).tif" and run=3/a.tif.
_OPTION = re.compile(r"(checkpoint|thresholds(?:\.\w+)?|pixel_size|output|device|batch_size)=(.*)", re.DOTALL)
_VERBATIM = ("checkpoint", "output", "device")  # values that don't pass through Hydra's grammar either


class Command(NamedTuple):
    """A checked command line of ``predict.py``.

    Attributes:
        paths: what to predict, as typed.
        checkpoint: an existing file.
        thresholds: arguments of ``Thresholds``; a ``score`` of None stands for the checkpoint's operating point.
        pixel_size_nm: nanometres per pixel of all pictures, or None.
        output: the folder to write, not there yet or empty.
        device, batch_size: see ``Predictor``.
    """

    paths: list[str]
    checkpoint: Path
    thresholds: dict[str, Any]
    pixel_size_nm: float | None
    output: Path
    device: str
    batch_size: int


def read_command(arguments: Sequence[str], conf: Path) -> Command:
    """Sort ``arguments`` into paths and options, and compose the options over ``conf``/predict.yaml.

    Raises:
        InputError: an option has an impossible value, the checkpoint is not there, or the output folder holds files.
    """
    matches = [_OPTION.fullmatch(argument) for argument in arguments]
    paths = [argument for argument, option in zip(arguments, matches, strict=True) if option is None]
    options = [(option[1], option[2]) for option in matches if option]
    settings = _compose([f"{key}={value}" for key, value in options if key not in _VERBATIM], conf)
    settings |= {key: value for key, value in options if key in _VERBATIM}
    pixel_size, batch_size = settings["pixel_size"], settings["batch_size"]
    if pixel_size is not None:
        _check_type("pixel_size", pixel_size, float)
        check_pixel_size(pixel_size, f"pixel_size={pixel_size}")
    _check_type("batch_size", batch_size, int)
    return Command(paths, _checkpoint(settings["checkpoint"]), settings["thresholds"], pixel_size, _output(settings["output"]), settings["device"], batch_size)


def choose_thresholds(asked: Mapping[str, Any], stored: Thresholds | None) -> tuple[Thresholds, str]:
    """The thresholds that ``asked`` and the checkpoint's operating point come to, and in words where the score is from. Raises ``InputError``."""
    values = {field.name: asked[field.name] for field in fields(Thresholds)}
    source = "as asked for"
    if values["score"] is None:
        values["score"] = (stored or Thresholds()).score
        source = "the checkpoint's operating point" if stored else "the preset, because the checkpoint holds no operating point"
    for field in fields(Thresholds):
        _check_type(f"thresholds.{field.name}", values[field.name], field.type)
    return Thresholds(**values), source


def newest_checkpoint(root: Path = Path("outputs/train")) -> Path:
    """``best.ckpt`` of the run that finished last: a run writes its metrics.json at the very end. Raises ``InputError`` where there is none."""
    finished = [path for path in root.glob("*/checkpoints/best.ckpt") if (path.parents[1] / "metrics.json").is_file()]
    if not finished:
        raise InputError(f"no checkpoint given, and no finished training run in {root}: give checkpoint=FILE, or train a detector first")
    return max(finished, key=lambda path: (path.parents[1] / "metrics.json").stat().st_mtime)


def _compose(overrides: list[str], conf: Path) -> dict[str, Any]:
    try:
        with initialize_config_dir(str(conf.resolve()), version_base="1.3"):
            settings = OmegaConf.to_container(compose("predict", overrides), resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(f"{' '.join(overrides)}: {' '.join(str(error).split())}") from error
    assert isinstance(settings, dict)
    return {str(key): value for key, value in settings.items()}


def _checkpoint(asked: str | None) -> Path:
    path = newest_checkpoint() if asked is None else existing_path(asked)
    if not path.is_file():
        raise InputError(f"checkpoint={asked}: no such file; give the .ckpt file that training wrote")
    return path


def _output(asked: str | None) -> Path:
    """Results of different runs in one folder would pass for one: an occupied one is refused."""
    folder = Path("outputs/predict", datetime.now().strftime("%Y-%m-%d_%H-%M-%S")) if asked is None else existing_path(asked)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise InputError(f"output={folder}: already holds files; give a new or empty folder")
    return folder


def _check_type(name: str, value: Any, kind: Any) -> None:
    """A whole number passes for a float, but true and false are no numbers."""
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or isinstance(value, bool) != (kind is bool):
        expected = {float: "a number", int: "a whole number", bool: "true or false"}[kind]
        raise InputError(f"{name}={value}: {expected} is needed")
