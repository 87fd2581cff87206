"""What stands behind ``python predict.py``: which arguments are pictures, which are options, and what the options come to."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from exolight.checkpoint import SHIPPED, LoadedDetector
from exolight.errors import InputError
from exolight.inference.files import existing_path
from exolight.inference.pixel_sizes import PixelSize
from exolight.inference.predictor import Predictor, trained_as_recorded
from exolight.thresholds import Thresholds

# Everything else is a path, verbatim: Hydra's grammar would break Proença, "EV (1).tif" and run=3/a.tif.
_OPTION = re.compile(
    r"(checkpoint|truth|thresholds(?:\.\w+)?|pixel_size|scalebar_nm|measure|quality|samples|tile|tta|overlays|output|device|backend|batch_size)=(.*)", re.DOTALL
)
FLOOR = 0.001  # scores need the weak detections too
_VERBATIM = ("checkpoint", "truth", "samples", "output", "device", "backend")  # values that don't pass through Hydra's grammar either

QualityCheck = Literal["check", "ignore", "none"]


class Command(NamedTuple):
    """A checked command line of ``predict.py``.

    Attributes:
        paths: what to predict, as typed.
        checkpoint: an existing file.
        thresholds: arguments of ``Thresholds``; ``score`` and ``iou`` of None stand for the checkpoint's operating point.
        chosen: whether exolight has chosen it, because the user named none.
        truth: an annotation of the pictures, or None.
        pixel_size: where nanometres per pixel are from.
        contour: whether vesicles are measured by their outlines; else by their boxes.
        quality: "check": pictures on which nothing can be seen are left uncounted; "ignore": the verdict is only told; "none": nobody looks.
        samples: a sample sheet, or None.
        output: the folder to write, or None for one of exolight's choice.
        overlays: whether to draw the boxes on the pictures.
        tile, augmented, device, backend, batch_size: see ``Predictor``.
    """

    paths: list[str]
    checkpoint: Path
    chosen: bool
    thresholds: dict[str, Any]
    truth: Path | None
    pixel_size: PixelSize
    contour: bool
    quality: QualityCheck
    samples: Path | None
    tile: int | Literal["auto"] | None
    augmented: bool
    overlays: bool
    output: Path | None
    device: str
    backend: str
    batch_size: int | None

    def settings(self) -> dict[str, Any]:
        """What decides what is found, as plain values: how fast it is found is left out."""
        names = ("checkpoint", "truth", "contour", "quality", "samples", "tile", "augmented", "overlays")
        sizes = {"pixel_size_nm": self.pixel_size.nm, "scale_bar": self.pixel_size.scale_bar, "scale_bar_nm": self.pixel_size.scale_bar_nm}
        return {name: str(value) if isinstance(value := getattr(self, name), Path) else value for name in names} | sizes

    def predictor(self, loaded: LoadedDetector, thresholds: Thresholds) -> Predictor:
        """What runs the detector as asked for; with a truth it reports weak detections too."""
        return Predictor(
            loaded.detector,
            thresholds,
            loaded.image_size,
            device=self.device,
            batch_size=self.batch_size,
            pixel_size_nm=loaded.info.get("pixel_size_nm"),
            object_size_px=loaded.info.get("object_size_px"),
            tile=self.tile,
            augmented=self.augmented,
            floor=FLOOR if self.truth else None,
            backend=self.backend,
            checkpoint=self.checkpoint,
            as_recorded=trained_as_recorded(loaded.info),
        )


def read_command(arguments: Sequence[str], conf: Path) -> Command:
    """Sort ``arguments`` into paths and options, and compose the options over ``conf``/predict.yaml.

    Raises:
        InputError: an option has an impossible value, or the checkpoint is not there.
    """
    matches = [None if os.path.lexists(argument) else _OPTION.fullmatch(argument) for argument in arguments]  # a shell's * may name a file tile=512.png
    paths = [argument for argument, option in zip(arguments, matches, strict=True) if option is None]
    options = [(option[1], option[2]) for option in matches if option]
    for key, value in options:
        if not value:
            raise InputError(f"{key}=: nothing stands behind it; give a value, or leave it out")
    settings = _compose([f"{key}={value}" for key, value in options if key not in _VERBATIM], conf)
    settings |= {key: value for key, value in options if key in _VERBATIM}
    if settings["batch_size"] is not None:
        _check_type("batch_size", settings["batch_size"], int)
    for key in ("tta", "overlays"):
        _check_type(key, settings[key], bool)
    if settings["measure"] not in ("box", "contour"):
        raise InputError(f"measure={settings['measure']}: box (the square root of width times height) or contour (the outline in each box) is needed")
    if settings["quality"] is None:  # none is YAML's word for nothing
        settings["quality"] = "none"
    if settings["quality"] not in get_args(QualityCheck):
        raise InputError(f"quality={settings['quality']}: check (pictures on which nothing can be seen are left out), ignore or none is needed")
    tile = None if settings["tile"] in (None, "none", False) else settings["tile"]
    if tile not in (None, "auto") and type(tile) is not int:
        raise InputError(f"tile={tile}: auto, none or a number of px is needed, such as tile=640")
    return Command(
        paths=paths,
        checkpoint=_checkpoint(settings["checkpoint"]),
        chosen=settings["checkpoint"] is None,
        thresholds=settings["thresholds"],
        truth=None if settings["truth"] is None else existing_path(settings["truth"]),
        pixel_size=_pixel_size(settings["pixel_size"], settings["scalebar_nm"]),
        contour=settings["measure"] == "contour",
        quality=settings["quality"],
        samples=None if settings["samples"] is None else existing_path(settings["samples"]),
        tile=tile,
        augmented=settings["tta"],
        overlays=settings["overlays"],
        output=None if settings["output"] is None else existing_path(settings["output"]),
        device=settings["device"],
        backend=settings["backend"],
        batch_size=settings["batch_size"],
    )


def choose_thresholds(asked: Mapping[str, Any], stored: Thresholds | None) -> tuple[Thresholds, str]:
    """The thresholds that ``asked`` and the checkpoint's operating point come to, and in words where the score is from. Raises ``InputError``."""
    values = {field.name: asked[field.name] for field in fields(Thresholds)}
    source = "as asked for"
    if values["iou"] is None:
        values["iou"] = (stored or Thresholds()).iou
    if values["score"] is None:
        values["score"] = (stored or Thresholds()).score
        source = "the checkpoint's operating point" if stored else "the preset, because the checkpoint holds no operating point"
    for field in fields(Thresholds):
        _check_type(f"thresholds.{field.name}", values[field.name], field.type)
    return Thresholds(**values), source


def default_checkpoint(root: Path = Path("outputs/train")) -> Path:
    """``best.ckpt`` of the run that finished last, a run writing its metrics.json at the very end; where none has, the detector that comes with exolight.

    Raises:
        InputError: there is neither.
    """
    finished = [path for path in root.glob("*/checkpoints/best.ckpt") if (path.parents[1] / "metrics.json").is_file()]
    if finished:
        return max(finished, key=lambda path: (path.parents[1] / "metrics.json").stat().st_mtime)
    if not SHIPPED.is_file():
        lacking = f"no checkpoint given, and no finished training run in {root}, nor the detector that comes with exolight, {SHIPPED}"
        raise InputError(f"{lacking}: give checkpoint=FILE, or train a detector first")
    return SHIPPED


def describe(checkpoint: Path, info: Mapping[str, Any]) -> str:
    """In one line what a checkpoint that nobody has named was trained on, with the warning that it may not fit."""
    if checkpoint == SHIPPED:
        taken = f"no training run has finished here, so taking the detector that comes with exolight, {checkpoint}"
        return f"no checkpoint= given: {taken}; it has learned from simulated pictures only and may not fit these pictures"
    when = datetime.fromtimestamp(checkpoint.stat().st_mtime).strftime("%Y-%m-%d %H:%M")
    pictures = f"{info['training_pictures']} pictures of {info['data']}" if "training_pictures" in info else "pictures it does not tell of"
    return f"no checkpoint= given: taking the newest finished run's, {checkpoint}, trained until {when} on {pictures}; it may not fit these pictures"


def _compose(overrides: list[str], conf: Path) -> dict[str, Any]:
    try:
        with initialize_config_dir(str(conf.resolve()), version_base="1.3"):
            settings = OmegaConf.to_container(compose("predict", overrides), resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(f"{' '.join(overrides)}: {' '.join(str(error).split())}") from error
    assert isinstance(settings, dict)
    return {str(key): value for key, value in settings.items()}


def _checkpoint(asked: str | None) -> Path:
    path = default_checkpoint() if asked is None else existing_path(asked)
    if not path.is_file():
        raise InputError(f"checkpoint={asked}: no such file; give the .ckpt file that training wrote")
    return path


def _pixel_size(asked: Any, bar_nm: Any) -> PixelSize:
    """What ``pixel_size=`` and ``scalebar_nm=`` come to."""
    if isinstance(asked, str | bool) and asked != "scalebar":
        raise InputError(f"pixel_size={asked}: a number of nanometres per pixel is needed, or scalebar, for the bar drawn in each picture")
    if bar_nm is not None:
        _check_type("scalebar_nm", bar_nm, float)
    return PixelSize(None if asked == "scalebar" else asked, asked == "scalebar", bar_nm)


def _check_type(name: str, value: Any, kind: Any) -> None:
    """A whole number passes for a float, but true and false are no numbers."""
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or isinstance(value, bool) != (kind is bool):
        expected = {float: "a number", int: "a whole number", bool: "true or false"}[kind]
        raise InputError(f"{name}={value}: {expected} is needed")
