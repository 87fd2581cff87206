"""Pictures ready for use, kept on disk where memory has no room for them."""

import hashlib
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exolight import preprocessing

log = logging.getLogger(__name__)

Pixels = NDArray[np.uint8]


class DiskCache:
    """Arrays in a folder, each under the hash of the file it was made from and of how: whatever changes, nothing stale is ever found.

    Args:
        folder: made where needed. Where it cannot be written, or the disk is full, nothing is kept, with one warning: a cache is no reason to stop.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.usable = True

    def keep(self, source: Path, how: str, make: Callable[[], Pixels]) -> Path | None:
        """The file that holds what ``make`` makes of ``source``, from an earlier run where there is one; None where nothing can be kept.

        Args:
            source: the picture as recorded; ``how``: the settings that decide what is made of it, the code of preprocessing aside, which counts by itself.

        Raises:
            InputError: what ``make`` raises.
        """
        if not self.usable:
            return None
        try:
            path = self.folder / f"{_key(source, how)}.npy"
            if path.exists():
                return path
        except OSError as error:
            self._give_up(error)
            return None
        made = make()
        part = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                np.save(file, made)
            part.replace(path)
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            self._give_up(error)
            return None
        return path

    def _give_up(self, error: OSError) -> None:
        self.usable = False
        log.warning("pictures cannot be kept in %s (%s): they are decoded again for every epoch", self.folder, error.strerror or error)


def opened(path: Path) -> Pixels:
    """An array of the cache, of which only those parts are read that somebody looks at."""
    array: Pixels = np.load(path, mmap_mode="r")
    return array


def _key(source: Path, how: str) -> str:
    with source.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    code = hashlib.sha256(Path(preprocessing.__file__).read_bytes()).hexdigest()
    return hashlib.sha256(f"{content} {code} {how}".encode()).hexdigest()[:40]
