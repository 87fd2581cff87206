"""The folder of a prediction: new, or one that was interrupted and goes on; never one that another process is writing."""

import csv
import io
import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from exolight.errors import InputError
from exolight.inference.files import PREDICTION_TABLES

STATE = "unfinished.json"  # there as long as a prediction is not finished: what it was asked for
LOCK = ".lock"

Row = dict[str, Any]


@contextmanager
def claimed(asked: Path | None, settings: Mapping[str, Any], pictures: Sequence[Path], root: Path = Path("outputs/predict")) -> Iterator[Path]:
    """The folder to write a prediction into, kept from other processes.

    Args:
        asked: the folder; None: the newest unfinished one of the same ``settings`` and ``pictures`` in ``root``, else a new one named after the time.
        settings: plain values that decide what is found.
        pictures: all that are asked for.

    Raises:
        InputError: ``asked`` holds something else, or another process is at work in it.
    """
    state = {"settings": dict(settings), "pictures": [os.path.abspath(path) for path in pictures]}  # noqa: PTH100 - leaves links as the user knows them
    for folder in [asked] if asked is not None else _candidates(state, root):
        problem = _problem(folder, state)  # before a lock is left in a folder that has nothing to do with us
        if problem is None:
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / LOCK)
            try:
                lock.acquire(timeout=0)
                problem = _problem(folder, state)  # whoever held it may have finished
            except Timeout:
                problem = "another prediction is writing there; wait for it or give another folder"
        if problem is not None:
            if asked is not None:
                raise InputError(f"output={folder}: {problem}")
            continue
        try:
            if not (folder / STATE).exists():
                part = folder / f".{STATE}.part"
                part.write_text(json.dumps(state), encoding="utf-8")  # in ASCII: names need not be UTF-8
                part.replace(folder / STATE)
            yield folder
            if not (folder / STATE).exists():
                with suppress(OSError):  # Windows keeps an open file
                    (folder / LOCK).unlink()
        finally:
            lock.release()
        return


def finish(folder: Path) -> None:
    """Mark a prediction as finished: nothing will go on in its folder."""
    (folder / STATE).unlink(missing_ok=True)


def trim(folder: Path) -> list[Row]:
    """Leave in the tables what is certain and return the rows of images.csv of those pictures: a picture is done when its row there is whole and no error.

    The rows of a picture's vesicles are written before. What was cut off in the middle goes, and pictures that could not be read are tried again.
    """
    vesicle_table, image_table = (folder / name for name in PREDICTION_TABLES)
    done = [row for row in read_table(image_table) if not row["error"]]
    names = {row["image"] for row in done}
    for table, rows in ((image_table, done), (vesicle_table, [row for row in read_table(vesicle_table) if row["image"] in names])):
        if table.exists():
            _rewrite(table, rows)
    return done


def read_table(path: Path) -> list[Row]:
    """The whole rows of a CSV, as text; none of a file that is not there. A last row that was cut off is left out."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8", errors="surrogateescape")  # the cut may go through a letter
    rows = list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))
    return [row for row in rows if None not in row and None not in row.values()]


def _candidates(state: Row, root: Path) -> Iterator[Path]:
    unfinished = (path.parent for path in root.glob(f"*/{STATE}"))
    yield from (folder for folder in sorted(unfinished, reverse=True) if _state(folder) == state)
    now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    for number in itertools.count(1):
        folder = root / (now if number == 1 else f"{now}-{number}")
        if not folder.exists():
            yield folder


def _problem(folder: Path, state: Row) -> str | None:
    """Why a prediction with this state cannot write into a folder; None where it can."""
    if not folder.is_file() and not (folder.is_dir() and any(path.name != LOCK for path in folder.iterdir())):
        return None
    before = _state(folder)
    if before is None:
        return "already holds files; give a new or empty folder"
    if before != state:
        what = "pictures" if before["settings"] == state["settings"] else "settings"
        return f"holds an unfinished prediction with other {what}; repeat its command to go on, or give a new folder"
    return None


def _state(folder: Path) -> Row | None:
    try:
        content = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and content.keys() == {"settings", "pictures"} else None


def _rewrite(table: Path, rows: Sequence[Row]) -> None:
    """The same table with these rows only; at every moment the old or the new one is there."""
    header = table.read_text(encoding="utf-8", errors="surrogateescape").partition("\n")[0].strip().split(",")
    part = table.with_name(f".{table.name}.part")
    with part.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.DictWriter(file, header)
        writer.writeheader()
        writer.writerows(rows)
    part.replace(table)
