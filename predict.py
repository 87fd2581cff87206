"""Find, count and size exosomes in pictures.

    python predict.py PICTURES... [checkpoint=FILE] [thresholds=best|default|strict] [thresholds.score=0.4] [measure=box|contour]
                      [pixel_size=NM_PER_PIXEL|scalebar] [scalebar_nm=500]
                      [truth=ANNOTATION] [samples=SHEET] [quality=check|ignore|none] [tile=auto|none|640] [tta=true] [overlays=false] [output=FOLDER]
                      [device=auto|cpu|cuda] [backend=auto|torch|onnx|openvino] [batch_size=1]

PICTURES are files, folders or patterns, taken verbatim whatever their characters. Without checkpoint= the newest finished training run is used, or,
where there is none, the detector that comes with exolight, which has learned from simulated pictures only.
Interrupted, the same command goes on where it stopped. Ends with 0 when all went well, 1 when some pictures could not be read, 2 when it could not start.
"""

import sys
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from exolight.checkpoint import load_detector
from exolight.errors import InputError
from exolight.inference.command_line import choose_thresholds, describe, read_command
from exolight.inference.files import find_pictures
from exolight.inference.pixel_sizes import doubts_before
from exolight.measurement.samples import join_samples, read_sample_sheet
from exolight.reporting.doubts import Learned
from exolight.reporting.names import picture_names
from exolight.reporting.prediction import Report, tell
from exolight.reporting.truth import Truth
from exolight.reporting.unfinished import claimed


def main(arguments: list[str]) -> int:
    """Read the command, load the detector, predict, report. Returns the exit status."""
    if not arguments or {"-h", "--help"} & set(arguments):
        print(__doc__)
        return 0 if arguments else 2
    command = read_command(arguments, Path(__file__).parent / "conf")
    pictures = find_pictures(command.paths)
    loaded = load_detector(command.checkpoint)
    if command.chosen:
        print(describe(command.checkpoint, loaded.info))
    thresholds, source = choose_thresholds(command.thresholds, loaded.thresholds)
    learned = Learned(*(loaded.info.get(name) for name in Learned._fields))
    class_names = loaded.detector.class_names
    if command.samples:
        join_samples([{"image": name} for name in picture_names(pictures).values()], read_sample_sheet(command.samples))  # mistakes in it before hours of work
    truth = Truth(command.truth, pictures, class_names) if command.truth else None
    predictor = command.predictor(loaded, thresholds)
    print(f"{len(pictures)} pictures, {command.checkpoint} on {predictor.device} ({predictor.network.name}), score threshold {thresholds.score:g} ({source})")

    for doubt in doubts_before(pictures, command.pixel_size):
        print(f"warning: {doubt}")

    settings = command.settings() | {"weights_sha256": loaded.info["weights_sha256"], "thresholds": asdict(thresholds), "threshold_source": source}
    machine = {"device": str(predictor.device), "backend": predictor.network.name, "batch_size": predictor.batch_size, "threads": predictor.threads}
    with claimed(command.output, settings, pictures) as folder:
        report = Report(
            folder,
            pictures,
            class_names,
            settings | machine,
            thresholds.score,
            command.overlays,
            command.contour,
            learned,
            truth,
            command.samples,
            loaded.info.get("temperature"),
            command.quality,
        )
        done = len(pictures) - len(report.missing)
        if done:
            print(f"going on in {folder}, where {done} of {len(pictures)} pictures are done")
        predictions = predictor.predict_files(report.missing, command.pixel_size)
        report.write(tqdm(predictions, total=len(pictures), initial=done, unit="picture", disable=None))
        summary = report.finish()
    print(tell(summary, folder, report.metrics))
    for failure in summary["failures"]:
        print(f"failed: {failure['reason']}", file=sys.stderr)
    return 1 if summary["failures"] else 0


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # file names hold what a terminal's encoding may not
    try:
        sys.exit(main(sys.argv[1:]))
    except (InputError, OSError) as error:  # the latter: a full disk, a table open in another program
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from here", file=sys.stderr)
        sys.exit(130)
