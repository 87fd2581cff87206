"""Velox (.emd, HDF5): pictures in /Data/Image/ID/Data as (height, width, frames), and JSON in /Data/Image/ID/Metadata."""

import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exolight.errors import InputError
from exolight.micrograph.opened import Opened, first_of, optional_module
from exolight.micrograph.pixel_size import Calibration
from exolight.micrograph.pixels import as_recorded

_MOST_METADATA = 1 << 24  # bytes; real ones take some ten thousand


def is_hdf5(head: bytes) -> bool:
    """Whether a file begins as HDF5, which Velox files are and others too."""
    return head.startswith(b"\x89HDF\r\n\x1a\n")


@contextmanager
def open_velox(path: Path) -> Iterator[Opened]:
    """The first frame of the first picture."""
    h5py = optional_module("h5py", path)
    with h5py.File(path, "r") as file:
        images = file.get("Data/Image")
        if not isinstance(images, h5py.Group) or not len(images):
            raise InputError(f"{path}: an HDF5 file without pictures of Velox (/Data/Image) in it; export the picture as TIFF")
        group = images[next(iter(images))]
        data = group["Data"]
        if data.ndim not in (2, 3):
            raise ValueError(f"a picture of {data.ndim} dimensions")
        height, width = data.shape[:2]
        frames = data.shape[2] if data.ndim == 3 else 1
        chunk = int(np.prod(data.chunks)) if data.chunks else 0  # decoded whole, whatever part of it is asked for

        def read() -> NDArray[np.generic]:
            _check_chunks(data, path)
            return as_recorded(np.ascontiguousarray(data[..., 0] if data.ndim == 3 else data[...]), path)

        notes = first_of(frames, "frames") + first_of(len(images), "pictures of several detectors")
        yield Opened((height, width), max(height * width, chunk) * data.dtype.itemsize, read, _calibration(group), notes)


def _check_chunks(data: Any, path: Path) -> None:
    """Refuses chunks of the first frame that inflate to more than their size: HDF5 would go on for as long as they do."""
    if data.compression != "gzip":
        return
    promised = int(np.prod(data.chunks)) * data.dtype.itemsize + 64  # and a checksum
    rows, columns = (range(0, side, step) for side, step in zip(data.shape[:2], data.chunks[:2], strict=True))
    for place in product(rows, columns, *[(0,)] * (data.ndim - 2)):
        if data.id.get_chunk_info_by_coord(place).size == 0:  # never written
            continue
        stored = data.id.read_direct_chunk(place)[1]
        if len(zlib.decompressobj().decompress(stored, promised)) == promised:
            height, width = data.shape[:2]
            raise InputError(f"{path}: a part of its {width} x {height} px inflates to more than its {promised} bytes; the file is damaged, copy it again")


def _calibration(group: Any) -> Calibration | None:
    """BinaryResult: PixelSize, PixelUnitX of the first frame; None where the metadata are missing or damaged."""
    try:
        stored = group["Metadata"]
        if stored.shape[0] > _MOST_METADATA:
            return None
        text = np.asarray(stored[:, 0], np.uint8).tobytes()
        result = json.loads(text.rstrip(b"\0"))["BinaryResult"]
        size, unit = result["PixelSize"], result["PixelUnitX"]
        y = float(size["height"]) if result.get("PixelUnitY", unit) == unit else None
        return Calibration("Velox", float(size["width"]), y, str(unit))
    except Exception:  # h5py and json raise anything, and a damaged note must not cost the picture
        return None
