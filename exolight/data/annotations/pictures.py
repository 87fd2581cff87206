"""The pictures of a data set: finding files, naming them, and making an AnnotatedImage of one."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from exolight.annotated_image import AnnotatedImage
from exolight.errors import InputError
from exolight.micrograph import read_micrograph

_ROBOFLOW_COPY = re.compile(r"^(.+)\.rf\.[0-9A-Za-z_-]+$")


def existing_folder(root: str | Path, wanted: str) -> Path:
    """``root`` as a path. Raises ``InputError``, saying what layout is ``wanted``, where there is no such folder."""
    folder = Path(root)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; wanted {wanted}; check data.root")
    return folder


def find_files(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """All files below ``folder`` with one of the (lower-case) suffixes, sorted; hidden ones (``._name`` of macOS, ``~$name`` of Office) left out."""
    files = (path for path in folder.rglob("*") if path.suffix.lower() in suffixes and not path.name.startswith((".", "~$")))
    return sorted(path for path in files if path.is_file())


def name_under(path: Path, root: Path) -> str:
    """The path below ``root`` with '/', or the whole path where it lies elsewhere."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


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
