"""From what a person types to picture files: paths are taken verbatim, whatever their characters; only what does not exist so is tried as a pattern."""

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from exolight.errors import InputError
from exolight.micrograph import PICTURE_SUFFIXES

# Together they mark a folder that an earlier prediction wrote, finished or not: its overlays are pictures, but nobody wants vesicles found in them.
PREDICTION_TABLES = ("detections.csv", "images.csv")


def find_pictures(paths: Sequence[str]) -> list[Path]:
    """The pictures that ``paths`` mean, each once, in the order given and sorted within a folder or pattern.

    A file is taken whatever its suffix (whoever names it wants to hear why it cannot be read). A folder gives all pictures in it and below, except hidden
    ones (macOS leaves ``._x.tif`` beside ``x.tif``) and those in folders that an earlier prediction wrote. Anything else is a glob pattern, ``**`` included,
    for shells that leave patterns alone, or a path in the home folder (``~``).

    Raises:
        InputError: a path means no picture, or none is given.
    """
    if not paths:
        raise InputError("no pictures given: name files or folders, such as: python predict.py my_pictures")
    found: dict[Path, Path] = {}
    for path in paths:
        pictures = list(_pictures_of(path))
        if not pictures:
            hint = "; options are written as in the README, such as thresholds=strict" if "=" in path else ""
            kind = "holds no picture" if Path(path).is_dir() else "no such file or folder, and no pattern that fits one"
            raise InputError(f"{path}: {kind} ({' '.join(PICTURE_SUFFIXES)}){hint}")
        for picture in pictures:
            found.setdefault(picture.resolve(), picture)
    return list(found.values())


def existing_path(path: str) -> Path:
    """``path`` verbatim if that exists, else with a leading ``~`` expanded (shells don't in ``checkpoint=~/a.ckpt``). Whether that exists is not checked."""
    return Path(path) if os.path.lexists(path) else Path(path).expanduser()


def _pictures_of(path: str) -> Iterator[Path]:
    start = existing_path(path)
    if start.is_file():
        yield start
    elif start.is_dir():
        yield from _pictures_below(start)
    else:
        for match in sorted(glob.glob(str(start), recursive=True)):  # noqa: PTH207 - Path.glob refuses absolute patterns
            if Path(match).is_dir():
                yield from _pictures_below(Path(match))
            elif _is_picture(match):
                yield Path(match)


def _pictures_below(folder: Path) -> Iterator[Path]:
    seen: set[str] = set()  # linked folders are followed, but not in a circle
    for current, folders, files in os.walk(folder, onerror=_refuse, followlinks=True):
        if set(PREDICTION_TABLES) <= set(files) or os.path.realpath(current) in seen:
            folders.clear()
            continue
        seen.add(os.path.realpath(current))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(current, name) for name in sorted(files) if _is_picture(name))


def _refuse(error: OSError) -> None:
    raise InputError(f"{error.filename}: this folder cannot be read ({error.strerror}); check the permissions, or name the pictures themselves")


def _is_picture(name: str) -> bool:
    path = Path(name)
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")
