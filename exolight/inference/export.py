"""Write a checkpoint as a model that needs neither PyTorch nor exolight.

    python -m exolight.inference.export checkpoint=FILE format=onnx|openvino [output=FILE]

Without output= it is written beside the checkpoint, as .onnx, or .xml with .bin, where prediction finds it. Input: ``images`` (batch, 1, height, width) uint8,
normalised pictures whose sides are multiples of the coarsest stride; outputs: ``boxes`` (batch, candidates, 4) xyxy px and ``scores`` (batch, candidates,
classes), before non-maximum suppression. Under the key ``exolight`` the file says as JSON what prediction has to know: classes, image size, thresholds.
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from exolight.checkpoint import LoadedDetector, load_detector
from exolight.command_line import one_line_errors
from exolight.errors import InputError
from exolight.inference.files import existing_path
from exolight.inference.runtimes import (
    FACTS,
    MAX_BOX_DIFFERENCE,
    MAX_SCORE_DIFFERENCE,
    RUNTIMES,
    check_installed,
    identity,
    import_openvino,
    largest_differences,
    random_pictures,
    to_onnx,
)

KEYS = ("checkpoint", "format", "output")


def export(checkpoint: Path, format: str, output: Path | None = None) -> tuple[Path, float, float]:
    """Write ``checkpoint`` as ``format``, "onnx" or "openvino", to ``output``, by default beside it.

    The file is compared with PyTorch on a random picture before it takes its place.

    Returns:
        The file, and the largest differences of boxes in px and of scores.

    Raises:
        InputError: an impossible argument, missing packages, or a model that is not exact.
    """
    if format not in RUNTIMES:
        raise InputError(f"format={format}: it can be {' or '.join(RUNTIMES)}")
    check_installed(format)
    runtime = RUNTIMES[format]
    target = output or checkpoint.with_suffix(runtime.suffix)
    if target.suffix != runtime.suffix:
        raise InputError(f"output={target}: a file of format={format} ends in {runtime.suffix}")
    loaded = load_detector(checkpoint)
    target.parent.mkdir(parents=True, exist_ok=True)
    # A folder in the same place: moving a file out of it is one step, and the two files of OpenVINO name each other.
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
        part = Path(folder, target.name)
        (_write_onnx if format == "onnx" else _write_openvino)(to_onnx(loaded.detector), json.dumps(facts(loaded), ensure_ascii=False), part)
        side = loaded.image_size
        boxes, scores = largest_differences(runtime(part), loaded.detector, random_pictures((1, 1, side, side)))
        if not (boxes <= MAX_BOX_DIFFERENCE and scores <= MAX_SCORE_DIFFERENCE):
            differences = f"boxes differ by {boxes:.3g} px, scores by {scores:.3g}"
            raise InputError(f"{checkpoint}: as {format} it is not what it is with PyTorch ({differences}); nothing was written, predict with backend=torch")
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


def _write_onnx(model: bytes, facts: str, path: Path) -> None:
    import onnx

    proto = onnx.load_from_string(model)
    onnx.helper.set_model_props(proto, {FACTS: facts})
    onnx.save(proto, str(path))


def _write_openvino(model: bytes, facts: str, path: Path) -> None:
    openvino = import_openvino()
    read = openvino.Core().read_model(model)
    read.set_rt_info(facts, [FACTS])
    openvino.save_model(read, path, compress_to_fp16=False)  # the default halves the weights' precision


def read_arguments(arguments: Sequence[str]) -> dict[str, str]:
    """``key=value`` arguments of ``KEYS``, values verbatim. Raises ``InputError``."""
    given = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if key not in KEYS or not equals or not value:
            raise InputError(f"{argument}: arguments are checkpoint=FILE, format=onnx or format=openvino, and output=FILE")
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
