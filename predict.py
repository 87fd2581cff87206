"""Find, count and size exosomes in pictures.

    python predict.py PICTURES... [checkpoint=FILE] [thresholds=best|default|strict] [thresholds.score=0.4] [pixel_size=NM_PER_PIXEL]
                      [output=FOLDER] [device=auto|cpu|cuda] [batch_size=8]

PICTURES are files, folders or patterns, taken verbatim whatever their characters. Without checkpoint= the newest finished training run is used.
Ends with 0 when all went well, 1 when some pictures could not be read, 2 when it could not start.
"""

import sys
from dataclasses import asdict
from pathlib import Path

from exolight.checkpoint import load_detector
from exolight.errors import InputError
from exolight.inference.command_line import choose_thresholds, read_command
from exolight.inference.files import find_pictures
from exolight.inference.predictor import Predictor
from exolight.reporting.prediction import write_prediction


def main(arguments: list[str]) -> int:
    """Read the command, load the detector, predict, report. Returns the exit status."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if arguments else 2
    command = read_command(arguments, Path(__file__).parent / "conf")
    pictures = find_pictures(command.paths)
    loaded = load_detector(command.checkpoint)
    thresholds, source = choose_thresholds(command.thresholds, loaded.thresholds)
    predictor = Predictor(loaded.detector, thresholds, loaded.image_size, command.device, command.batch_size, loaded.info.get("pixel_size_nm"))
    print(f"{len(pictures)} pictures, {command.checkpoint} on {predictor.device}, score threshold {thresholds.score:g} ({source})")

    settings = {
        "checkpoint": str(command.checkpoint),
        "weights_sha256": loaded.info["weights_sha256"],
        "thresholds": asdict(thresholds),
        "threshold_source": source,
        "image_size": loaded.image_size,
        "pixel_size_nm": command.pixel_size_nm,
        "device": str(predictor.device),
        "batch_size": command.batch_size,
    }
    predictions = predictor.predict_files(pictures, command.pixel_size_nm)
    summary = write_prediction(predictions, pictures, command.output, loaded.detector.class_names, settings)

    print(f"{summary['vesicles']} found in {summary['images'] - summary['failed']} pictures; tables and overlays are in {command.output}")
    for failure in summary["failures"]:
        print(f"failed: {failure['reason']}", file=sys.stderr)
    return 1 if summary["failures"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
