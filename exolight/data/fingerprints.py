"""Fingerprints: what tells pictures apart, kept beside other things that can be made again."""

import contextlib
import functools
import hashlib
import logging
import os
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from exolight import micrograph
from exolight.annotated_image import AnnotatedImage
from exolight.errors import InputError

logger = logging.getLogger(__name__)

SIDE = 64  # px of a thumbnail
THREADS = 4
CACHED_FROM_PX = 20_000_000  # to read fewer pixels again is quicker than to keep order in a cache


class Fingerprint(NamedTuple):
    """What tells pictures apart.

    Attributes:
        digest: of the pixels as decoded: equal for equal pictures, whatever files they are in.
        thumbnail: (64, 64) uint8, the ranks of the pixels of a small copy: unchanged by brightness, contrast and gamma, little by burned-in bars and letters.
    """

    digest: str
    thumbnail: NDArray[np.uint8]

    @property
    def blank(self) -> bool:
        """Whether there is nothing to be seen, so that the picture is like no other."""
        return int(self.thumbnail.max()) == int(self.thumbnail.min())


def fingerprint(pixels: NDArray[Any]) -> Fingerprint:
    """Of a picture (H, W) of any depth."""
    pixels = np.ascontiguousarray(pixels)
    digest = hashlib.blake2b(f"{pixels.shape} {pixels.dtype.str}".encode(), digest_size=16)
    digest.update(pixels.data)
    if pixels.min() == pixels.max():  # said here: resizing may round differently from place to place
        return Fingerprint(digest.hexdigest(), np.full((SIDE, SIDE), 128, np.uint8))
    if max(pixels.shape) > 1024:  # in its own depth first: a large field as float32 would be four times its size
        factor = 1024 / max(pixels.shape)
        pixels = cv2.resize(pixels, (max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor))), interpolation=cv2.INTER_AREA)
    small = cv2.resize(pixels.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    ranks = rankdata(small, axis=None) - 0.5
    return Fingerprint(digest.hexdigest(), (ranks / SIDE**2 * 256).astype(np.uint8).reshape(SIDE, SIDE))


def fingerprints(images: Sequence[AnnotatedImage], cache: Path | None = None) -> list[Fingerprint | None]:
    """Of the files among the pictures; None for one that has no file (a simulated one) or cannot be read.

    Args:
        images: of a data set.
        cache: a folder where fingerprints are kept by path, time and size of a file; None: nowhere. One that cannot be read or written is no reason to stop.
    """
    paths = [image.path if image.path is not None and image.fresh is None else None for image in images]
    keys = [None if path is None else _key(path) for path in paths]
    store = None if cache is None else _store([path for path in paths if path is not None], cache)
    kept = {} if store is None else _load(store)
    new = [i for i, key in enumerate(keys) if key is not None and key not in kept]

    def attempt(i: int) -> Fingerprint | None:
        try:
            return fingerprint(images[i].read().pixels)
        except InputError:
            return None

    with _silence(), ThreadPoolExecutor(THREADS) as pool:
        made = dict(zip(new, pool.map(attempt, new), strict=True))
    kept |= {key: each for i, each in made.items() if each is not None and (key := keys[i]) is not None}
    if store is not None and sum(images[i].image_hw[0] * images[i].image_hw[1] for i in new) >= CACHED_FROM_PX:
        present = set(keys)
        changed = {_path(key) for key in present if key is not None}
        _save(store, {key: each for key, each in kept.items() if key in present or _path(key) not in changed})
    return [None if key is None else kept.get(key) for key in keys]


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """What reading a picture warns of is said when it is read for good, and not twice."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        yield
    finally:
        logging.disable(before)


def _key(path: Path) -> str:
    """Path, time and size of a file."""
    try:
        status = path.stat()
    except OSError:
        return f"{path.absolute()}||"
    return f"{path.absolute()}|{status.st_mtime_ns}|{status.st_size}"


def _path(key: str) -> str:
    return key.rsplit("|", 2)[0]


def _store(paths: Sequence[Path], cache: Path) -> Path:
    """The file for all pictures below the folder that these share. Fingerprints of other versions of the code are in other files."""
    try:
        folder = os.path.commonpath([path.absolute().parent for path in paths]) if paths else ""
    except ValueError:  # on several drives
        folder = ""
    return cache / f"fingerprints-{hashlib.sha256(folder.encode(errors='surrogateescape')).hexdigest()[:16]}-{_code()}.npz"


@functools.cache
def _code() -> str:
    files = [Path(__file__), *sorted(Path(micrograph.__file__).parent.glob("*.py"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]


def _load(store: Path) -> dict[str, Fingerprint]:
    try:
        with np.load(store) as arrays:
            rows = zip(arrays["keys"].tolist(), arrays["digests"].tolist(), arrays["thumbnails"], strict=True)
            return {key: Fingerprint(digest, thumbnail) for key, digest, thumbnail in rows}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return {}


def _save(store: Path, kept: dict[str, Fingerprint]) -> None:
    part = store.with_name(f".{store.name}.{os.getpid()}")
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            np.savez(
                file,
                keys=np.array(list(kept)),
                digests=np.array([each.digest for each in kept.values()]),
                thumbnails=np.stack([each.thumbnail for each in kept.values()]),
            )
        part.replace(store)
    except (OSError, UnicodeError) as error:
        logger.debug("%s: not kept (%s)", store, error)
        with contextlib.suppress(OSError):
            part.unlink()
