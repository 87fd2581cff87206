"""data.yaml: which pictures belong to a YOLO data set, and what its classes are called."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from exolight.data.annotations.documents import read_text, read_yaml, shown
from exolight.data.annotations.pictures import find_files, is_there
from exolight.errors import InputError
from exolight.micrograph import PICTURE_SUFFIXES

logger = logging.getLogger(__name__)

FILE_NAMES = ("data.yaml", "data.yml", "dataset.yaml")
MAX_CLASSES = 1000  # without a list of names, a larger number is a damaged line and no class
PARTS = ("train", "val", "valid", "test")


class YoloDescription(NamedTuple):
    """The pictures in their order without repetition, or None where nothing lists them; class names, or None."""

    pictures: list[Path] | None
    names: list[str] | None


def read_description(root: Path) -> YoloDescription:
    """Reads root's data.yaml (data.yml, dataset.yaml), where there is one.

    ``train``, ``val``, ``test`` may each be a folder, a .txt list of pictures, or a list of those. A path that is not there is tried
    again without its leading ``../`` (Roboflow writes it wrongly) and ``path`` of another machine is taken as the root.

    Raises:
        InputError: no YAML, names that do not fit nc or are not numbered from 0, a train entry that is not there, or a listed picture
            that does not exist. A val or test that is not there is only warned about: exporters write it regardless.
    """
    file = next((root / name for name in FILE_NAMES if (root / name).is_file()), None)
    if file is None:
        return YoloDescription(None, None)
    content = read_yaml(file)
    if not isinstance(content, Mapping):
        raise InputError(f"{file}: wanted lines such as 'train: images/train' and 'names: [vesicle]', found {type(content).__name__}")
    return YoloDescription(_pictures(content, file), _names(content, file))


def _names(content: Mapping[str, object], file: Path) -> list[str] | None:
    names, count = content.get("names"), content.get("nc")
    if isinstance(names, Mapping):
        if set(names) != set(range(len(names))):
            raise InputError(f"{file}: names are numbered {shown(sorted(names, key=str))}; number them from 0 without gaps")
        names = [names[number] for number in range(len(names))]
    if names is None:
        return [str(number) for number in range(count)] if isinstance(count, int) and 0 < count <= MAX_CLASSES else None
    if not isinstance(names, list) or not names:
        raise InputError(f"{file}: names is {shown(names)}; wanted a list such as [vesicle]")
    if count is not None and count != len(names):
        raise InputError(f"{file}: nc is {count}, but there are {len(names)} names; correct one of them")
    return [str(name) for name in names]


def _pictures(content: Mapping[str, object], file: Path) -> list[Path] | None:
    """The pictures of all parts, or None where no part is given."""
    base = file.parent / str(content.get("path") or "")
    if not is_there(base):
        base = file.parent
    found: dict[Path, None] = {}
    listed = False
    for part in PARTS:
        entry = content.get(part)
        for wanted in entry if isinstance(entry, list) else [entry] if entry else []:
            listed = True
            place = _resolve(base, file.parent, str(wanted))
            if place is None and part == "train":
                raise InputError(f"{file}: train: there is no {shown(str(wanted))} in {base}; correct the path")
            if place is None:
                logger.warning("%s: %s: there is no %s in %s; left out", file, part, wanted, base)
            else:
                found |= dict.fromkeys(_listed(place, base) if place.is_file() else find_files(place, PICTURE_SUFFIXES))
    return list(found) if listed else None


def _resolve(base: Path, root: Path, wanted: str) -> Path | None:
    """The folder or list meant, as a path below ``root`` where it is there."""
    stripped = wanted.replace("\\", "/")
    while stripped.startswith(("../", "./")):
        stripped = stripped.split("/", 1)[1]
    for path in (base / wanted, base / stripped, root / stripped):
        if is_there(path):
            return Path(os.path.normpath(path))
    return None


def _listed(listing: Path, base: Path) -> list[Path]:
    """The pictures of a .txt list, a path a line, relative to the list or to ``base``. Raises ``InputError`` for one that is not there.

    CVAT writes data/images/train/a.png for images/train/a.png.
    """
    pictures: list[Path] = []
    for number, line in enumerate(read_text(listing).split("\n"), start=1):
        if not line.strip():
            continue
        written = line.strip().replace("\\", "/")
        candidates = [Path(os.path.normpath(folder / name)) for folder in (listing.parent, base) for name in (written, written.removeprefix("data/"))]
        picture = next((path for path in candidates if is_there(path) and path.is_file()), None)
        if picture is None:
            raise InputError(f"{listing}:{number}: there is no picture {shown(line.strip())} in {listing.parent}; correct the line or add the picture")
        pictures.append(picture)
    return pictures
