"""Reading and writing checkpoints: plain values and tensors, never code."""

import hashlib
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch

from exolight.errors import InputError
from exolight.models.detector import Detector
from exolight.thresholds import Thresholds

KEY = "exolight"
PREFIX = "detector."
# The detector that comes with exolight: it has learned from simulated pictures only. In the checkout, beside conf/.
SHIPPED = Path(__file__).parents[1] / "weights" / "simulated_n.ckpt"


class LoadedDetector(NamedTuple):
    """A detector with what it knows about itself.

    Attributes:
        detector: in evaluation mode, with the averaged weights.
        image_size: px, the side of the input it was trained on.
        thresholds: the operating point found on validation pictures, or None.
        info: the rest of what the checkpoint says: ``pixel_size_nm``, ``object_size_px``, ``init``, ``seed``, ``data``, ``weights_sha256``.
    """

    detector: Detector
    image_size: int
    thresholds: Thresholds | None
    info: dict[str, Any]


def write_atomically(checkpoint: dict[str, Any], path: str | Path) -> None:
    """Write a checkpoint so that at every moment ``path`` is the old one or the new one, whole: same folder, flushed to the disk, renamed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not tempfile's: that one nobody but its owner may read, and the checkpoint would stay so.
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """All that a checkpoint holds, on the CPU; loading runs no code of the file's.

    Raises:
        InputError: there is none, it is damaged, or it is not one of exolight's.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no checkpoint at {path}: give the path of a best.ckpt or last.ckpt that training has written")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(f"{path} cannot be read as a checkpoint ({in_short(error)}): it is damaged or not one") from error
    if not isinstance(checkpoint, dict) or not all(isinstance(checkpoint.get(key), dict) for key in (KEY, "state_dict")):
        raise InputError(f"{path} is no checkpoint of exolight: it lacks '{KEY}' or 'state_dict'")
    return checkpoint


def in_short(error: Exception) -> str:
    """What an exception says, on one line of at most 120 characters; its type where it says nothing."""
    return " ".join(str(error).split())[:120] or type(error).__name__


def detector_weights(checkpoint: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The detector's part of a checkpoint's weights, under the detector's own names, in single precision whatever is stored."""
    stored = {name.removeprefix(PREFIX): value for name, value in checkpoint["state_dict"].items() if name.startswith(PREFIX)}
    return {name: value.float() if value.is_floating_point() else value for name, value in stored.items()}


def weights_hash(weights: dict[str, torch.Tensor]) -> str:
    """SHA-256 over the names and bytes of the weights, as loaded, and nothing else, so that it survives a new operating point."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        # As bytes, because NumPy has no bfloat16.
        digest.update(weights[name].detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def load_detector(path: str | Path) -> LoadedDetector:
    """Build the detector that a checkpoint describes and give it its weights.

    Raises:
        InputError: as ``read_checkpoint``, or the weights do not fit the description.
    """
    checkpoint = read_checkpoint(path)
    info = dict(checkpoint[KEY])
    weights = detector_weights(checkpoint)
    try:
        detector = Detector(**info.pop("detector"))
        detector.load_state_dict(weights)
        stored, image_size = info.pop("thresholds", None), int(info.pop("image_size"))
        thresholds = Thresholds(**stored) if stored else None
    except (TypeError, KeyError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: the weights do not fit the network it describes ({in_short(error)}): it was written by another version") from error
    info["weights_sha256"] = weights_hash(weights)
    return LoadedDetector(detector.eval(), image_size, thresholds, info)


def slim(loaded: LoadedDetector) -> dict[str, Any]:
    """A checkpoint to hand on: ``load_detector`` gives the same detector, its weights rounded to half precision; a training cannot be resumed from it.

    What is small stays exact: anchors, biases, and BatchNorm's statistics, whose variances may be beyond the range of half precision.
    """
    large = {name for name, parameter in loaded.detector.named_parameters() if parameter.ndim > 1}
    facts = {name: fact for name, fact in loaded.info.items() if name != "weights_sha256"}
    facts |= {"detector": loaded.detector.config(), "image_size": loaded.image_size, "thresholds": asdict(loaded.thresholds) if loaded.thresholds else None}
    weights = {PREFIX + name: value.half() if name in large else value for name, value in loaded.detector.state_dict().items()}
    return {KEY: facts, "state_dict": weights}


def store(path: str | Path, **facts: Any) -> None:
    """Add plain facts (an operating point, say) to what a checkpoint says about itself; its weights stay as they are."""
    checkpoint = read_checkpoint(path)
    checkpoint[KEY] = {**checkpoint[KEY], **facts}
    write_atomically(checkpoint, path)
