"""Write a checkpoint as a model that needs neither PyTorch nor exolight, or as a small checkpoint to hand on.

    python -m exolight.inference.export checkpoint=FILE format=onnx|openvino|slim [output=FILE]

Without output= it is written beside the checkpoint, as .onnx, or .xml with .bin, where prediction finds it. Input: ``images`` (batch, 1, height, width) uint8,
normalised pictures whose sides are multiples of the coarsest stride; outputs: ``boxes`` (batch, candidates, 4) xyxy px and ``scores`` (batch, candidates,
classes), before non-maximum suppression. Under the key ``exolight`` the file says as JSON what prediction has to know: classes, image size, thresholds.

format=slim is a checkpoint, .slim.ckpt, with the weights in half precision and without the state of the training: for prediction and init=checkpoint, an
eighth of the size.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from exolight.checkpoint import LoadedDetector, load_detector, slim, write_atomically
from exolight.command_line import one_line_errors
from exolight.errors import InputError
from exolight.inference.files import existing_path
from exolight.inference.runtimes import (
    FACTS,
    MAX_BOX_DIFFERENCE,
    MAX_SCORE_DIFFERENCE,
    RUNTIMES,
    Network,
    OnnxNetwork,
    OpenVinoNetwork,
    TorchNetwork,
    check_installed,
    identity,
    import_openvino,
    largest_differences,
    random_pictures,
    to_onnx,
)

KEYS = ("checkpoint", "format", "output")


class Format(NamedTuple):
    """A way to write a detector.

    Attributes:
        suffix: of the file.
        write: writes the detector and what it knows about itself to a new file.
        read: that file as what runs it.
        max_box_difference: px that it may be from what was written.
    """

    suffix: str
    write: Callable[[LoadedDetector, Path], None]
    read: Callable[[Path], Network]
    max_box_difference: float


def export(checkpoint: Path, format: str, output: Path | None = None) -> tuple[Path, float, float]:
    """Write ``checkpoint`` as ``format``, one of ``FORMATS``, to ``output``, by default beside it.

    The file is compared with PyTorch on a random picture before it takes its place.

    Returns:
        The file, and the largest differences of boxes in px and of scores.

    Raises:
        InputError: an impossible argument, missing packages, or a model that is not exact.
    """
    if format not in FORMATS:
        raise InputError(f"format={format}: it can be {' or '.join(FORMATS)}")
    if format in RUNTIMES:
        check_installed(format)
    suffix, write, read, max_box_difference = FORMATS[format]
    beside = checkpoint.with_suffix(suffix)
    target = output or beside
    if target.suffix != beside.suffix:
        raise InputError(f"output={target}: a file of format={format} ends in {beside.suffix}")
    loaded = load_detector(checkpoint)
    if target.exists() and target.samefile(checkpoint):
        raise InputError(f"output={target}: this is the checkpoint itself, whose training could not be resumed any more; give another name")
    target.parent.mkdir(parents=True, exist_ok=True)
    # A folder in the same place: moving a file out of it is one step, and the two files of OpenVINO name each other.
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
        part = Path(folder, target.name)
        write(loaded, part)
        side = loaded.image_size
        boxes, scores = largest_differences(read(part), loaded.detector, random_pictures((1, 1, side, side)))
        if not (boxes <= max_box_difference and scores <= MAX_SCORE_DIFFERENCE):
            differences = f"boxes differ by {boxes:.3g} px, scores by {scores:.3g}"
            instead = "use the checkpoint itself with backend=torch"
            raise InputError(f"{checkpoint}: as {format} it is not what it is with PyTorch ({differences}); nothing was written, {instead}")
        files = sorted(part.parent.iterdir())  # .bin before .xml
        if len(files) > 1:
            target.unlink(missing_ok=True)  # an old .xml never stands beside a new .bin
        for file in files:
            file.replace(target.with_name(file.name))
    return target, boxes, scores


def facts(loaded: LoadedDetector) -> dict[str, Any]:
    """What an exported file says about itself; plain values."""
    return {
        **loaded.info,
        **identity(loaded.detector),
        "class_names": loaded.detector.class_names,
        "image_size": loaded.image_size,
        "strides": loaded.detector.strides,
        "thresholds": asdict(loaded.thresholds) if loaded.thresholds else None,
    }


def _facts_json(loaded: LoadedDetector) -> str:
    """``facts`` as they stand in the file."""
    return json.dumps(facts(loaded), ensure_ascii=False)


def _write_onnx(loaded: LoadedDetector, path: Path) -> None:
    import onnx

    proto = onnx.load_from_string(to_onnx(loaded.detector))
    onnx.helper.set_model_props(proto, {FACTS: _facts_json(loaded)})
    onnx.save(proto, str(path))


def _write_openvino(loaded: LoadedDetector, path: Path) -> None:
    openvino = import_openvino()
    read = openvino.Core().read_model(to_onnx(loaded.detector))
    read.set_rt_info(_facts_json(loaded), [FACTS])
    openvino.save_model(read, path, compress_to_fp16=False)  # the default halves the weights' precision


def _write_slim(loaded: LoadedDetector, path: Path) -> None:
    write_atomically(slim(loaded), path)


def _read_slim(path: Path) -> Network:
    return TorchNetwork(load_detector(path).detector)


FORMATS = {
    "onnx": Format(OnnxNetwork.suffix, _write_onnx, OnnxNetwork, MAX_BOX_DIFFERENCE),
    "openvino": Format(OpenVinoNetwork.suffix, _write_openvino, OpenVinoNetwork, MAX_BOX_DIFFERENCE),
    # Rounding moves boxes that nobody asks for, as large as the picture and with scores under 0.01, by some 0.5 px; a weight out of range gives nan.
    "slim": Format(".slim.ckpt", _write_slim, _read_slim, 2.0),
}


def read_arguments(arguments: Sequence[str]) -> dict[str, str]:
    """``key=value`` arguments of ``KEYS``, values verbatim. Raises ``InputError``."""
    given = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if key not in KEYS or not equals or not value:
            raise InputError(f"{argument}: arguments are checkpoint=FILE, format={'|'.join(FORMATS)} and output=FILE")
        given[key] = value
    for key in ("checkpoint", "format"):
        if key not in given:
            raise InputError(f"{key}= is missing: python -m exolight.inference.export checkpoint=best.ckpt format=openvino")
    return given


def main(arguments: Sequence[str]) -> int:
    """Returns the exit status."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if arguments else 2
    with one_line_errors():
        given = read_arguments(arguments)
        output = existing_path(given["output"]) if "output" in given else None
        file, boxes, scores = export(existing_path(given["checkpoint"]), given["format"], output)
        print(f"{file}: against PyTorch on a random picture boxes differ by at most {boxes:.2g} px, scores by at most {scores:.2g}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
