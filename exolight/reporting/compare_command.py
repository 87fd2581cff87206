"""Compare the conditions of a finished prediction, donors as N; nothing is predicted again.

    exolight compare PREDICTION [samples=SHEET.csv] [bin=10] [output=FOLDER]

PREDICTION is the folder that predict.py wrote, taken verbatim whatever its characters. The sample sheet (CSV: file, donor, sample, condition) is
PREDICTION/samples.csv unless samples= names another one; where there is none, one to be filled in is written there. bin= is the width of the histograms'
bins in nm (px where no pixel size is known). Writes statistics.csv, comparison.csv, comparison.json, figures/size_histogram and figures/compare into
PREDICTION or output=.
Ends with 0 when all went well, 2 when it could not.
"""

import csv
import math
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from exolight.errors import InputError
from exolight.inference.files import PREDICTION_TABLES, existing_path
from exolight.measurement.compare import compare
from exolight.measurement.population import population_from_rows
from exolight.measurement.samples import write_sample_sheet
from exolight.reporting.comparison import tell, write_comparison
from exolight.reporting.population import SHEET, Row, choose_bin_width, diameter_name, not_analysable, sampled, write_statistics
from exolight.reporting.tables import typed
from exolight.reporting.unfinished import STATE, read_table

_OPTION = re.compile(r"(samples|bin|output)=(.*)", re.DOTALL)  # everything else is a path, verbatim

NEEDED = {
    "detections.csv": ("image", "diameter_px", "diameter_nm", "on_border"),
    "images.csv": ("image", "width", "height", "pixel_size_nm", "error"),
}


class Command(NamedTuple):
    """A checked command line: the folder of a finished prediction, the sample sheet, the width of bins or None, the folder to write."""

    prediction: Path
    samples: Path
    bin_width: float | None
    output: Path


def main(arguments: Sequence[str]) -> int:
    """Compare, write, and say what was found. Returns the exit status."""
    if not arguments or {"-h", "--help"} & set(arguments):
        print((__doc__ or "").strip())
        return 0 if arguments else 2
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # file names hold what a terminal's encoding may not
    try:
        print(run(read_command(arguments)))
    except (InputError, OSError) as error:  # the latter: a full disk, a table open in another program
        print(error, file=sys.stderr)
        return 2
    return 0


def read_command(arguments: Sequence[str]) -> Command:
    """Sort ``arguments`` into the folder and options. Raises ``InputError``."""
    matches = [None if os.path.lexists(argument) else _OPTION.fullmatch(argument) for argument in arguments]
    paths = [argument for argument, option in zip(arguments, matches, strict=True) if option is None]
    options = {option[1]: option[2] for option in matches if option}
    if empty := next((key for key, value in options.items() if not value), None):
        raise InputError(f"{empty}=: nothing stands behind it; give a value, or leave it out")
    if len(paths) != 1:
        raise InputError(f"{' '.join(paths) or 'nothing'}: the folder of one finished prediction is needed, such as outputs/predict/DATE_TIME")
    prediction = existing_path(paths[0])
    _check_finished(prediction)
    samples = existing_path(options["samples"]) if "samples" in options else prediction / SHEET
    output = existing_path(options["output"]) if "output" in options else prediction
    if output.exists() and not output.is_dir():
        raise InputError(f"output={output}: is a file; give a folder")
    return Command(prediction, samples, _bin_width(options["bin"]) if "bin" in options else None, output)


def run(command: Command) -> str:
    """Write all files; returns what was found, in sentences. Raises ``InputError``."""
    vesicles, images = (_read(command.prediction / name) for name in PREDICTION_TABLES)
    if not command.samples.exists() and command.samples == command.prediction / SHEET:
        write_sample_sheet(command.samples, [row["image"] for row in images])
        raise InputError(f"{command.samples}: there was no sample sheet, so one has been written; fill in donor and condition and repeat the command")
    rows = sampled(images, command.samples)
    population, left_out = population_from_rows(rows, vesicles), not_analysable(rows)
    beside = f" ({len(left_out)} of {len(rows)} pictures are not analysable and left out)" if left_out else ""
    bin_width = choose_bin_width(population, command.bin_width)
    try:
        comparisons = compare(population)
    except InputError as error:
        raise InputError(f"{command.samples}: {error}{beside}") from error
    command.output.mkdir(parents=True, exist_ok=True)
    diameter = diameter_name(vesicles)
    write_statistics(command.output, population, bin_width, diameter, left_out)
    write_comparison(command.output, population, comparisons, bin_width, diameter, command.samples, left_out)
    return f"{tell(comparisons)}\nstatistics.csv, comparison.csv, comparison.json and the figures size_histogram and compare are in {command.output}{beside}"


def _check_finished(folder: Path) -> None:
    if not folder.is_dir():
        hint = "; options are samples=, bin= and output=" if "=" in str(folder) else ""
        raise InputError(f"{folder}: no such folder; give the one that predict.py wrote{hint}")
    missing = [name for name in PREDICTION_TABLES if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{folder}: no prediction ({' and '.join(missing)} not there); give the folder that predict.py wrote")
    if (folder / STATE).exists():
        raise InputError(f"{folder}: the prediction is not finished; repeat its command to go on")


def _read(table: Path) -> list[Row]:
    """The rows of a table that nobody has spoilt. Raises ``InputError``."""
    rows = read_table(table)
    with table.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        header, *records = [record for record in csv.reader(file) if record] or [[]]
    if missing := [column for column in NEEDED[table.name] if column not in header]:
        problem = f"no column {', '.join(missing)}"
    elif len(rows) < len(records):
        problem = f"{len(records) - len(rows)} of {len(records)} rows are not whole"
    else:
        try:
            return [typed(row) for row in rows]
        except ValueError as error:
            problem = str(error)
    raise InputError(f"{table}: not as predict.py wrote it ({problem}); another program may have changed it")


def _bin_width(text: str) -> float:
    try:
        width = float(text)
    except ValueError:
        width = math.nan
    if not (math.isfinite(width) and width > 0):
        raise InputError(f"bin={text}: a number above 0 is needed, such as bin=5")
    return width
