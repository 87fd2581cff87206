"""``exolight doctor``: what is installed, which devices there are, whether a picture comes through, and what to do about what is missing."""

import importlib
import importlib.metadata
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

CORE = ("torch", "torchvision", "timm", "numpy", "opencv-python-headless", "tifffile", "hydra-core", "matplotlib")
TRAINING = ("lightning", "albumentations", "torchmetrics", "faster-coco-eval", "tensorboard", "wandb")
EXPORT = ("onnx", "onnxruntime", "openvino")


class Finding(NamedTuple):
    """One line: ``mark`` is "ok", "--" (an option that is not there) or "!!" (a fault)."""

    mark: str
    words: str


def examine(say: Callable[[str], object] = print) -> int:
    """Print the findings. Returns 0 where prediction works, else 1."""
    faults = 0
    for examination in (versions, devices, detectors, self_test):
        try:
            for finding in examination():
                faults += finding.mark == "!!"
                say(f"{finding.mark}  {finding.words}")
        except Exception as error:  # whatever is broken, the rest is still worth knowing
            faults += 1
            say(f"!!  {examination.__name__}: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
    say("all well" if not faults else f"{faults} fault{'s' if faults > 1 else ''}: see the lines that begin with !!")
    return 1 if faults else 0


def versions() -> Iterator[Finding]:
    """Packages: those of prediction, of training, and optional ones."""
    import exolight

    yield Finding("ok", f"exolight {exolight.__version__} in {Path(exolight.__file__).parent}, Python {platform.python_version()}, {platform.platform()}")
    for names, purpose, mark in ((CORE, "needed", "!!"), (TRAINING, "needed to train", "--")):
        found = {name: _version(name) for name in names}
        missing = [name for name, version in found.items() if version is None]
        if missing:
            yield Finding(mark, f"{', '.join(missing)}: {purpose}, not installed: python -m pip install -c constraints.txt -e .")
        yield Finding("ok", ", ".join(f"{name} {version}" for name, version in found.items() if version))
    if (_version("torch") or "").split("+")[0] == "2.13.0":
        yield Finding("!!", "torch 2.13.0 and torchvision may not fit each other: python -m pip install -c constraints.txt torch torchvision")
    missing = [name for name in EXPORT if _version(name) is None]
    if missing:
        yield Finding("--", f'{", ".join(missing)}: not installed; faster prediction on the CPU: python -m pip install -c constraints.txt -e ".[export]"')


def devices() -> Iterator[Finding]:
    """Where a network can run."""
    import torch

    yield Finding("ok", f"cpu: {os.cpu_count()} cores, {torch.get_num_threads()} threads")
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        yield Finding("ok", f"cuda:{index}: {properties.name}, {properties.total_memory / 2**30:.0f} GiB")
    if torch.backends.mps.is_available():
        yield Finding("ok", "mps: Apple's GPU")
    elif not torch.cuda.is_available():
        yield Finding("--", "no GPU that PyTorch can use: prediction does well without, training of models from s upwards is slow")


def detectors() -> Iterator[Finding]:
    """What predict.py would take without ``checkpoint=``; and whether results can be written here."""
    from exolight.checkpoint import load_detector
    from exolight.errors import InputError
    from exolight.inference.command_line import default_checkpoint, describe

    try:
        checkpoint = default_checkpoint()
        yield Finding("ok", describe(checkpoint, load_detector(checkpoint).info).removeprefix("no checkpoint= given: "))
    except InputError as error:
        yield Finding("--", str(error))
    try:
        with tempfile.TemporaryFile(dir=Path.cwd()):
            yield Finding("ok", f"results can be written to {Path.cwd()}")
    except OSError as error:
        yield Finding("!!", f"results cannot be written to {Path.cwd()} ({error.strerror}): change to another folder, or give output=")


def self_test() -> Iterator[Finding]:
    """One picture of 256 px through an untrained detector, with everything that can run it, compared with PyTorch on the CPU."""
    import torch

    from exolight.errors import InputError
    from exolight.inference import runtimes
    from exolight.inference.runtimes import RUNTIMES, missing_packages
    from exolight.models.detector import Detector

    torch.manual_seed(0)
    detector = Detector({"name": "cs3darknet_focus_n"}, {"depth_multiple": 0.33, "width_multiple": 0.25}, ["object"]).eval()
    picture = runtimes.random_pictures((1, 1, 256, 256))
    tried = [("torch", "cpu"), *((name, "cpu") for name, runtime in RUNTIMES.items() if not missing_packages(runtime))]
    tried += [("torch", f"cuda:{index}") for index in range(torch.cuda.device_count())] + ([("torch", "mps")] if torch.backends.mps.is_available() else [])
    for backend, device in tried:
        try:
            network = runtimes.choose_network(backend, detector, torch.device(device))
            boxes, scores = runtimes.largest_differences(network, detector, picture)
        except (InputError, RuntimeError) as error:
            yield Finding("!!", f"self-test, {backend} on {device}: {' '.join(str(error).split())[:200]}")
            continue
        began = time.perf_counter()
        network(picture)
        taken = 1000 * (time.perf_counter() - began)
        fits = boxes <= runtimes.MAX_BOX_DIFFERENCE and scores <= runtimes.MAX_SCORE_DIFFERENCE
        said = f"{taken:.0f} ms for the network at 256 px" if fits else f"boxes are {boxes:.2g} px off, scores {scores:.2g}"
        yield Finding("ok" if fits else "!!", f"self-test, {backend} on {device}: {said}")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(examine())
