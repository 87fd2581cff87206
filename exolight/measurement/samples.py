"""The sample sheet: a CSV file that says of which donor, sample and condition each picture is."""

import csv
import io
import logging
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from exolight.errors import InputError

logger = logging.getLogger(__name__)

COLUMNS = ("file", "donor", "sample", "condition")
DELIMITERS = ",;\t"  # Excel writes semicolons where the comma is the decimal sign

Row = dict[str, Any]


@dataclass(frozen=True)
class SheetLine:
    """What a sample sheet says of one picture.

    Attributes:
        file: the picture's path, relative, with '/'; or only its end. donor, sample, condition: "" is unknown.
        free: the sheet's other columns. place: sheet and line, for messages.
    """

    file: str
    donor: str
    sample: str
    condition: str
    free: Mapping[str, str] = field(default_factory=dict)
    place: str = ""


def read_sample_sheet(path: Path) -> list[SheetLine]:
    """The lines of a CSV file with the columns file, donor, sample, condition, in any order and case, and any others.

    UTF-8, with or without byte order mark, and commas, semicolons or tabs: whichever the first line has. Empty lines are passed over.

    Raises:
        InputError: it cannot be read; a column is missing or there twice; a line has no file or more values than there are columns; a file is named
            twice; a sample of a donor has two conditions; or two names differ only in upper and lower case.
    """
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: it is not UTF-8 ({error.reason} at byte {error.start}); in Excel, save it as 'CSV UTF-8'") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    first = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(DELIMITERS, key=first.count))
    records: list[tuple[int, list[str]]] = []
    try:
        records.extend((reader.line_num, [value.strip() for value in record]) for record in reader)
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: no CSV ({error}); write the sheet anew") from error
    header = _header(path, records[0][1] if records else [])
    lines = [_line(f"{path}:{number}", header, values) for number, values in records[1:] if any(values)]
    _check(lines)
    return lines


def write_sample_sheet(path: Path, pictures: Sequence[str], root: str = "", delimiter: str = ",") -> None:
    """A sheet to be filled in: a line a picture, its folder as its sample; donor and condition are left empty.

    Args:
        pictures: their names, which are paths relative to the folder that holds them all, with '/'.
        root: the sample of those that lie in no folder below.
        delimiter: ";" suits an Excel whose decimal sign is the comma.

    Raises:
        InputError: ``path`` exists: somebody may have filled it in; or it cannot be written.
    """
    try:
        with path.open("x", newline="", encoding="utf-8-sig", errors="surrogateescape") as file:  # with the mark, Excel knows that it is UTF-8
            writer = csv.writer(file, delimiter=delimiter)
            writer.writerow(COLUMNS)
            for name in pictures:
                folder = PurePosixPath(name).parent.as_posix()
                writer.writerow((name, "", root if folder == "." else folder, ""))
    except FileExistsError as error:
        raise InputError(f"{path}: is there already and is not overwritten; give another name or remove it") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error


def join_samples(pictures: Sequence[Mapping[str, Any]], sheet: Sequence[SheetLine]) -> list[Row]:
    """The rows of images.csv with what the sheet says of each picture: donor, sample, condition and the free columns.

    A line and a picture (``image``) belong together when the path of one is the end of the other's: "b/c.tif" is "a/b/c.tif", and so is "c.tif" if no
    other is. Pictures that the sheet does not name get "" everywhere, and a warning; lines without a picture are passed over.

    Raises:
        InputError: a line could mean several pictures or a picture several lines, no line is of any picture, or a free column has the name of one of
            images.csv's.
    """
    free = list(dict.fromkeys(column for line in sheet for column in line.free))
    taken = sorted({column for row in pictures for column in row} & set(free))
    if taken:
        raise InputError(f"{sheet[0].place.rpartition(':')[0]}: the tables have a column {taken[0]!r} of their own; name the sheet's otherwise")
    by_name: dict[str, list[SheetLine]] = {}
    for line in sheet:
        by_name.setdefault(PurePosixPath(line.file).name, []).append(line)
    found = {}
    for row in pictures:
        name = _plain(row["image"])
        of_picture = [line for line in by_name.get(PurePosixPath(name).name, []) if _same_end(line.file, name)]
        exact = [line for line in of_picture if line.file == name]
        matching = exact or of_picture
        if len(matching) > 1:
            raise InputError(f"{matching[1].place}: {row['image']} may be {matching[0].file} or {matching[1].file}; write the pictures' whole names")
        found[row["image"]] = matching[0] if matching else None
    _check_unique(found)
    missing = [name for name, line in found.items() if line is None]
    if pictures and len(missing) == len(found):
        place = sheet[0].place.rpartition(":")[0] if sheet else "the sample sheet"
        raise InputError(f"{place}: names none of the {len(pictures)} pictures ({pictures[0]['image']}, ...); correct its column file")
    if missing:
        logger.warning("%d of %d pictures are not in the sample sheet (%s, ...): donor, sample and condition unknown", len(missing), len(found), missing[0])
    unknown = SheetLine("", "", "", "")
    rows = []
    for row in pictures:
        line = found[row["image"]] or unknown
        of_sheet = {"donor": line.donor, "sample": line.sample, "condition": line.condition} | {column: line.free.get(column, "") for column in free}
        rows.append({**row, **of_sheet})
    return rows


def _header(path: Path, names: Sequence[str]) -> list[str]:
    """Column names as they are known; those of the sheet's own stay as they are."""
    header = [name.lower() if name.lower() in COLUMNS else name for name in names]
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise InputError(f"{path}:1: no column {', '.join(missing)}; the first line names {', '.join(filter(None, names)) or 'nothing'}")
    twice = next((name for name in header if name and header.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{path}:1: the column {twice!r} is there twice; rename or remove one")
    return header


def _line(place: str, header: Sequence[str], values: Sequence[str]) -> SheetLine:
    if any(values[len(header) :]):
        raise InputError(f"{place}: {len(values)} values for {len(header)} columns; put a value that holds the separator into quotation marks")
    row = dict.fromkeys(header, "") | dict(zip(header, values, strict=False))
    if not row["file"]:
        raise InputError(f"{place}: no file; name the picture or remove the line")
    free = {name: value for name, value in row.items() if name and name not in COLUMNS}
    return SheetLine(_plain(row["file"]), row["donor"], row["sample"], row["condition"], free, place)


def _check(lines: Sequence[SheetLine]) -> None:
    """What cannot be meant. Raises ``InputError``."""
    files: dict[str, SheetLine] = {}
    spelt: dict[tuple[str, ...], tuple[str, SheetLine]] = {}
    conditions: dict[tuple[str, str], SheetLine] = {}
    for line in lines:
        if (other := files.setdefault(line.file, line)) is not line:
            raise InputError(f"{line.place}: {line.file} is already in line {_number(other)}; keep one of the two")
        for kind, within, name in (("donor", "", line.donor), ("sample", line.donor, line.sample), ("condition", "", line.condition)):
            spelling, first = spelt.setdefault((kind, within.casefold(), name.casefold()), (name, line))
            if spelling != name:
                raise InputError(f"{line.place}: {kind} {name!r} is {spelling!r} in line {_number(first)}; write them alike")
        if line.sample:
            first = conditions.setdefault((line.donor, line.sample), line)
            if first.condition != line.condition:
                found = f"{line.condition!r} here and {first.condition!r} in line {_number(first)}"
                raise InputError(f"{line.place}: sample {line.sample!r} of donor {line.donor!r} has the condition {found}; a sample has one")


def _check_unique(found: Mapping[str, SheetLine | None]) -> None:
    """Raises ``InputError`` where a line was found for two pictures."""
    pictures: dict[str, str] = {}
    for name, line in found.items():
        if line is not None and pictures.setdefault(line.place + line.file, name) != name:
            raise InputError(f"{line.place}: {line.file} may be {pictures[line.place + line.file]} or {name}; write the pictures' whole names")


def _number(line: SheetLine) -> str:
    return line.place.rpartition(":")[2]


def _same_end(one: str, other: str) -> bool:
    """Whether one path is the end of the other."""
    return f"/{one}".endswith(f"/{other}") or f"/{other}".endswith(f"/{one}")


def _plain(name: str) -> str:
    """One spelling of a path: composed accents (macOS decomposes them), '/', no leading './'."""
    return unicodedata.normalize("NFC", name).replace("\\", "/").removeprefix("./")
