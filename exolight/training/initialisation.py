"""Where the first weights come from: ImageNet, chance, or another detector. Each function returns what ``metrics.json`` records."""

import logging
from pathlib import Path
from typing import Any

import torch
from timm.models import adapt_input_conv

from exolight.checkpoint import KEY, SHIPPED, detector_weights, read_checkpoint
from exolight.errors import InputError
from exolight.models.anchors import best_possible_recall, fit_anchors
from exolight.models.detector import Detector

log = logging.getLogger(__name__)


def random_weights(detector: Detector) -> dict[str, Any]:
    """Leave the weights as the seed made them."""
    return {"init": "random"}


def imagenet_weights(detector: Detector, required: bool = True, file: str | None = None) -> dict[str, Any]:
    """Give the backbone timm's ImageNet weights, from the hub's cache, the hub, or a local ``file`` of them.

    Args:
        detector: its backbone is filled in place.
        required: False: where the weights cannot be had, warn and go on from random ones.
        file: weights downloaded by other means, for machines without internet.

    Raises:
        InputError: they are required and cannot be had.
    """
    name = detector.backbone.name
    try:
        found = detector.backbone.load_pretrained(file)
    except Exception as error:  # each hub client has its own exceptions for no network, no such file, no access
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        if required or file is not None:
            raise InputError(f"the ImageNet weights of {name} cannot be had ({reason}): check the network, give init.file=, or use init=random") from error
        log.warning("!" * 100)
        log.warning("NO PRETRAINED WEIGHTS for %s (%s). Training goes on from RANDOM weights and will need more pictures and epochs.", name, reason)
        if not isinstance(error, LookupError):
            log.warning("With internet once, or with init.file=weights.safetensors, this run would start from ImageNet.")
        log.warning("init=random says that random is meant.")
        log.warning("!" * 100)
        return {"init": "random", "init_reason": f"ImageNet weights of {name} could not be had: {reason}"}
    log.info("backbone: ImageNet weights %s", found)
    return {"init": "imagenet", "init_weights": found}


def checkpoint_weights(detector: Detector, path: str) -> dict[str, Any]:
    """Start from another detector (transfer): keep every weight that fits and say what is dropped.

    Class scores are kept for the classes that both know by name, and where both have one class, whatever its name; another kind of head is left random. A
    picture's other number of channels is bridged as timm does it.

    Raises:
        InputError: the checkpoint cannot be read, or no weight of it fits.
    """
    checkpoint = read_checkpoint(path)
    source = detector_weights(checkpoint)
    known = list(checkpoint[KEY]["detector"]["class_names"])
    same_head = checkpoint[KEY]["detector"].get("head", "anchor") == detector.head_kind
    own = detector.state_dict()
    kept: list[str] = []
    dropped: list[str] = []
    for name, value in source.items():
        target = own.get(name)
        if target is None or (name.startswith("head.") and not same_head):
            dropped.append(name)
        elif target.shape == value.shape and not (name.startswith("head.classes.") and known != detector.class_names and detector.num_classes > 1):
            own[name] = value
            kept.append(name)
        elif name.startswith("head.classes."):
            own[name], copied = shared_classes(target, value, detector.class_names, known)
            kept += [name] * (copied > 0)
            if copied < len(known):
                dropped.append(f"{name} (of {len(known)} classes {copied} are kept)")
        elif is_first_convolution(target, value):
            own[name] = adapt_input_conv(1, value) if target.shape[1] == 1 else value.repeat(1, 3, 1, 1) / 3
            kept.append(name)
        else:
            dropped.append(f"{name} {tuple(value.shape)}, here {tuple(target.shape)}")
    # Counters and the statistics of like widths fit by accident.
    if not {name for name, parameter in detector.named_parameters() if parameter.ndim > 1} & set(kept):
        raise InputError(f"no weight in {path} fits this model: choose the model it was trained with ({checkpoint[KEY]['detector']['backbone']['name']})")
    detector.load_state_dict(own)
    missing = [name for name in own if name not in source or (name.startswith("head.") and not same_head)]
    log.info("init: %d of %d tensors of %s kept", len(kept), len(source), path)
    for label, names in (("dropped", dropped), ("not in it, left random", missing)):
        if names:
            log.warning("init: %d tensors %s: %s%s", len(names), label, ", ".join(names[:8]), " ..." if len(names) > 8 else "")
    return {"init": "checkpoint", "init_weights": str(Path(path)), "init_kept": len(kept), "init_dropped": dropped}


def simulated_weights(detector: Detector) -> dict[str, Any]:
    """Start from the detector that comes with exolight and has learned from simulated pictures only; otherwise as ``checkpoint_weights``.

    Raises:
        InputError: it is not there, or is of another backbone.
    """
    if not SHIPPED.is_file():
        raise InputError(f"init=simulated: {SHIPPED} is not there; it comes with exolight's checkout: take it from there, or use init=auto")
    known = read_checkpoint(SHIPPED)[KEY]["detector"]["backbone"]["name"]
    if detector.backbone.name != known:
        raise InputError(f"init=simulated: its weights are for {known}, not {detector.backbone.name}: use model=n, or init=auto or init=imagenet")
    return checkpoint_weights(detector, str(SHIPPED)) | {"init": "simulated"}


def is_first_convolution(target: torch.Tensor, value: torch.Tensor) -> bool:
    """Whether the two differ in nothing but the number of a picture's channels, 1 or 3."""
    if target.ndim != 4 or value.ndim != 4 or {target.shape[1], value.shape[1]} != {1, 3}:
        return False
    return target.shape[0] == value.shape[0] and target.shape[2:] == value.shape[2:]


def shared_classes(target: torch.Tensor, value: torch.Tensor, own: list[str], known: list[str]) -> tuple[torch.Tensor, int]:
    """``target`` (A * len(own), ...) with the rows of the classes that ``value`` (A * len(known), ...) has too; and how many those are."""
    result = target.clone().unflatten(0, (-1, len(own)))
    rows = value.unflatten(0, (-1, len(known)))
    shared = [name for name in own if name in known]
    for name in shared:
        result[:, own.index(name)] = rows[:, known.index(name)]
    return result.flatten(0, 1), len(shared)


def adapt_anchors(detector: Detector, sizes: Any, minimum_recall: float) -> float:
    """Fit the detector's anchors to objects of ``sizes`` (N, 2) px where they cover less than ``minimum_recall`` of them; returns the recall that is reached.

    A head without anchors can match them all. Fitted anchors are part of the detector's weights and of its checkpoint.
    """
    if not detector.anchors.numel():
        return 1.0
    recall = best_possible_recall(sizes, detector.anchors)
    if recall >= minimum_recall:
        log.info("anchors: best possible recall %.4f, kept", recall)
        return recall
    fitted = fit_anchors(sizes, detector.anchors)
    reached = best_possible_recall(sizes, fitted)
    if reached > recall:
        detector.head.anchors.copy_(fitted)
        shapes = ", ".join(f"{width:.1f} x {height:.1f}" for width, height in fitted.reshape(-1, 2).tolist())
        log.info("anchors: best possible recall %.4f rises to %.4f with %s", recall, reached, shapes)
    return max(recall, reached)
