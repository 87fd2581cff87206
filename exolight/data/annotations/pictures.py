"""The pictures of a data set: finding files, naming them, and making an AnnotatedImage of one."""

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exolight.annotated_image import AnnotatedImage
from exolight.errors import InputError
from exolight.micrograph import PICTURE_SUFFIXES, read_micrograph

PREDICTION_TABLES = ("detections.csv", "images.csv")  # together they mark the folder of a prediction
FOLDERS = ("images", "labels", "masks", "annotations", "rois")  # of a data set, side by side
_ROBOFLOW_COPY = re.compile(r"^(.+)\.rf\.[0-9A-Za-z_-]+$")


def existing_folder(root: str | Path, wanted: str) -> Path:
    """``root`` as a path. Raises ``InputError``, saying what layout is ``wanted``, where there is no such folder."""
    folder = Path(root)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; wanted {wanted}; check data.root")
    return folder


def find_files(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """All files below ``folder`` with one of the (lower-case) suffixes, sorted.

    Left out are hidden files and folders (``._name`` of macOS, ``~$name`` of Office) and folders that a prediction has written: the overlays there
    are pictures, but nobody means them.
    """
    found: list[str] = []
    seen: set[str] = set()  # linked folders are followed, but not in a circle
    for current, folders, files in os.walk(folder, followlinks=True):
        if set(PREDICTION_TABLES) <= set(files) or os.path.realpath(current) in seen:
            folders.clear()
            continue
        seen.add(os.path.realpath(current))
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [os.path.join(current, name) for name in files if name.lower().endswith(tuple(suffixes)) and not name.startswith((".", "~$"))]  # noqa: PTH118
    return [Path(path) for path in sorted(found, key=lambda path: path.split(os.sep))]  # noqa: PTH206


def data_set_of(file: Path) -> Path:
    """The folder of the data set that an annotation file belongs to: its own, or the one above where that holds images/ beside it."""
    above = file.parent.parent
    return above if file.parent.name.lower() in FOLDERS and (above / "images").is_dir() else file.parent


def is_there(path: Path) -> bool:
    """Whether a path exists; one that the system refuses (too long, with impossible characters) does not."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def is_prediction(folder: Path) -> bool:
    """Whether a prediction of exolight was written there."""
    return all((folder / name).is_file() for name in PREDICTION_TABLES)


def name_under(path: Path, root: Path) -> str:
    """The path below ``root`` with '/', or the whole path where it lies elsewhere."""
    try:
        return path.relative_to(root).as_posix()
    except ValueError:
        return path.as_posix()


def stem_key(path: Path, folder: Path) -> str:
    """Path below ``folder`` without its suffix: what a picture and its annotation have in common (NFC: macOS decomposes accents)."""
    return unicodedata.normalize("NFC", path.relative_to(folder).with_suffix("").as_posix())


def by_stem(files: Iterable[Path], folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Files by ``stem_key``, and a problem for every two that share one."""
    found: dict[str, Path] = {}
    problems: list[str] = []
    for path in files:
        other = found.setdefault(stem_key(path, folder), path)
        if other is not path:
            problems.append(f"{path}: {other.name} has the same name but for the suffix; rename or remove one of them")
    return found, problems


class Pictures:
    """The pictures of a data set, to be found by the names that annotations call them.

    Args:
        root: the data set's folder.
        images: the folder of the pictures, under root or anywhere; None: root itself.

    Attributes:
        folder: where they are looked for, and below.
        files: all of them, sorted.
        root: below which they are named: the data set's, or ``folder`` where that lies elsewhere.

    Raises:
        InputError: there is no such folder.
    """

    def __init__(self, root: Path, images: str | Path | None = None) -> None:
        self.folder = existing_folder(root if images is None else os.path.normpath(root / images), "the folder of the pictures")
        self.root = root if self.folder.is_relative_to(root) else self.folder
        self.files = find_files(self.folder, PICTURE_SUFFIXES)
        self._by_name: dict[str, list[Path]] = {}
        for path in self.files:
            for key in {_alike(path.name), _alike(path.stem)}:
                self._by_name.setdefault(key, []).append(path)

    def find(self, name: str, near: Path | None = None) -> Path:
        """The picture that an annotation calls ``name``.

        That may be a path on another machine, of which only the end counts; or the name of a copy in another format, because browsers show
        no 16-bit TIFF: a.png is a.tif where there is no a.png. Among namesakes the one wins whose folders agree furthest with ``name``,
        then the one that lies nearest to the folder ``near`` of the annotation.

        Raises:
            InputError: there is none, or several with equal right.
        """
        parts = PurePosixPath(name.replace("\\", "/")).parts
        last = parts[-1] if parts else ""
        stem = PurePosixPath(last).stem
        found = next((same for key in (last, stem) if (same := self._by_name.get(_alike(key)))), [])
        if not found:
            raise InputError(f"there is no picture {_short(name)} in {self.folder}; add it, or say in which folder the pictures are, with images")
        if len(found) == 1:
            return found[0]
        ranks = [(_in_common(path.parts[:-1], parts[:-1]), path.name == last, *_nearness(path, parts, near)) for path in found]
        best = [path for path, rank in zip(found, ranks, strict=True) if rank == max(ranks)]
        if len(best) > 1:
            raise InputError(f"{_short(name)} may be {name_under(best[0], self.folder)} or {name_under(best[1], self.folder)}; rename one of them")
        return best[0]


def _alike(name: str) -> str:
    """Names that are equal so are one file on some system."""
    return unicodedata.normalize("NFC", name).casefold()


def _in_common(folders: Sequence[str], others: Sequence[str]) -> int:
    """How many folders agree, counted from the end."""
    equal = [a == b for a, b in zip(reversed(folders), reversed(others), strict=False)]
    return (*equal, False).index(False)


def _nearness(path: Path, parts: Sequence[str], near: Path | None) -> tuple[int, int]:
    """2 for the picture of that very path from the folder ``near``, 1 for one in that folder or its images/, else 0; and how many folders agree."""
    if near is None:
        return 0, 0
    place = 2 if path == near.joinpath(*parts) else int(path.parent in (near, near / "images"))
    return place, _in_common(path.parts[:-1], near.parts)  # images/grid 1/a.png and annotations/grid 1/a.xml


def _short(name: str) -> str:
    return " ".join(name.split())[-100:] or "without a name"


def sibling_group(path: Path) -> str | None:
    """Roboflow writes augmented copies of one picture as ``STEM.rf.HASH.jpg``: STEM, so that a split keeps them together; else None."""
    match = _ROBOFLOW_COPY.match(path.stem)
    return match[1] if match else None


def annotated_picture(
    path: Path,
    root: Path,
    image_hw: tuple[int, int],
    boxes: NDArray[np.float32],
    labels: ArrayLike,
    *,
    ignore: ArrayLike | None = None,
    outlines: tuple[NDArray[np.float32], ...] | None = None,
    group: str | None = None,
    pixel_size_nm: float | None = None,
) -> AnnotatedImage:
    """An AnnotatedImage that reads ``path``, named by its path under ``root``; ``group`` defaults to its siblings'."""
    return AnnotatedImage(
        name=name_under(path, root),
        reader=partial(read_micrograph, path, pixel_size_nm),
        image_hw=image_hw,
        boxes=boxes,
        labels=np.asarray(labels, np.int64).reshape(-1),
        ignore=np.zeros(len(boxes), np.bool_) if ignore is None else np.asarray(ignore, np.bool_).reshape(-1),
        path=path,
        group=group or sibling_group(path),
        pixel_size_nm=pixel_size_nm,
        outlines=outlines,
    )
