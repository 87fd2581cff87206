"""JSON, XML, CSV and YAML that some other program has written: whatever is in a file, reading it ends in a value or in one ``InputError``."""

import csv
import json
import math
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from xml.etree.ElementTree import Element

import numpy as np
import yaml
from defusedxml import ElementTree
from numpy.typing import NDArray

from exolight.data.annotations.pictures import data_set_of, find_files
from exolight.errors import InputError

FURTHEST = 1e6  # px; no picture reaches so far, and a damaged number often does
Document = TypeVar("Document")
_short = reprlib.Repr()
_short.maxstring = _short.maxother = 120  # names of files are long


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, with or without a mark at its beginning. Raises ``InputError`` for any other."""
    try:
        return path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the path") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: no text in UTF-8 ({error.reason} at byte {error.start}); export it again, or save it as UTF-8") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error


def read_json(path: Path) -> Any:
    """What a JSON file holds. Raises ``InputError`` for a file that is none."""
    try:
        return json.loads(read_text(path))
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: no JSON that can be read ({_reason(error)}); export it again") from error


def read_xml(path: Path) -> Element:
    """The root of an XML file. Document types and entities, by which a small file can become a large one or fetch another, are refused.

    Raises:
        InputError: no XML, or one with a document type.
    """
    try:
        return ElementTree.fromstring(path.read_bytes(), forbid_dtd=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except (SyntaxError, ValueError, LookupError) as error:  # of the parser; of what is refused; of an unknown encoding
        raise InputError(f"{path}: no XML that can be read ({_reason(error)}); export it again") from error


def read_csv(path: Path) -> list[tuple[int, list[str]]]:
    """(line number, cells) of every row of a CSV that is not empty. Raises ``InputError`` for a file that is none."""
    lines = read_text(path).splitlines(keepends=True)
    table = csv.reader(lines)
    try:
        return [(table.line_num, row) for row in table if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise InputError(f"{path}:{table.line_num}: no CSV that can be read ({error}); export it again") from error


class _PlainLoader(yaml.SafeLoader):
    """YAML without repetition by reference, by which a small file can become a large one."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it refers to a part of itself (*)")
        return super().compose_node(parent, index)


def read_yaml(path: Path) -> Any:
    """What a YAML file holds: plain values only, no references. Raises ``InputError`` for a file that is none."""
    try:
        return yaml.load(read_text(path), _PlainLoader)
    except InputError:
        raise
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:  # of dates, numbers and tags that are none
        raise InputError(f"{path}: no YAML that can be read ({_reason(error)}); correct it") from error


def find_documents(
    root: Path, suffix: str, read: Callable[[Path], Document], wanted: Callable[[Document], bool], kind: str
) -> tuple[Path, dict[Path, Document], list[str]]:
    """The annotation files of one kind in a data set.

    Args:
        root: the data set's folder, or one file.
        suffix: of the files looked at, such as ".json".
        read: reads one.
        wanted: whether that is an annotation of this kind. Others in a folder are passed over; a file that was named must be one.
        kind: what is looked for, in words.

    Returns:
        The data set's folder, the files with what they hold, and a problem for each file that cannot be read.

    Raises:
        InputError: there is none, nor a file that may have been one.
    """
    if not root.exists():
        raise InputError(f"{root}: no such file or folder; wanted {kind}; check the path")
    named = root.is_file()
    found: dict[Path, Document] = {}
    problems: list[str] = []
    for path in [root] if named else find_files(root, (suffix,)):
        try:
            document = read(path)
        except InputError as problem:
            problems.append(str(problem))
            continue
        if wanted(document):
            found[path] = document
    if not found and not problems:
        raise InputError(f"{root}: {'not' if named else 'there is no'} {kind}; check the path and the format")
    return data_set_of(root) if named else root, found, problems


def number(value: object, what: str) -> float:
    """A coordinate or length in px. Raises ``ValueError`` that names ``what``, where it is none or no picture is so large."""
    try:
        result = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        result = math.nan
    if not abs(result) <= FURTHEST:
        raise ValueError(f"{what} is {shown(value)}, wanted a number of pixels")
    return result


def points(value: object, what: str) -> NDArray[np.float64]:
    """(K, 2) of a list of K points, each a list of x and y. Raises ``ValueError`` that names ``what``."""
    if not isinstance(value, list) or not all(isinstance(point, list) and len(point) == 2 for point in value):
        raise ValueError(f"{what} is {shown(value)}, wanted a list of points [x, y]")
    return np.array([[number(x, what), number(y, what)] for x, y in value], np.float64).reshape(-1, 2)


def mapping(value: object, what: str) -> dict[str, Any]:
    """A JSON object. Raises ``ValueError`` that names ``what``."""
    if not isinstance(value, dict):
        raise ValueError(f"{what} is {shown(value)}, wanted an object with names and values")
    return value


def shown(value: object) -> str:
    """A value as it may stand in a message of one line: cut where it is long."""
    return _short.repr(value)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
