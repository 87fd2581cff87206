"""DigitalMicrograph 3 and 4 (.dm3, .dm4): the tags are parsed by ncempy.io.dm, the pixels mapped from where they lie.

The format is unpublished and was worked out by others: https://www3.ntu.edu.sg/home/cbb/info/dmformat/index.html.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exolight.errors import InputError
from exolight.micrograph.opened import Opened, check_length, first_of, ncempy_io
from exolight.micrograph.pixel_size import Calibration
from exolight.micrograph.pixels import as_recorded

_DTYPES = {1: "<i2", 2: "<f4", 6: "u1", 7: "<i4", 9: "i1", 10: "<u2", 11: "<u4", 12: "<f8"}  # DataType of the grey pictures
_MOST_TAGS = 100_000  # real files hold some thousands; a damaged count would keep the parser busy for hours
_DATA = re.compile(r"\.ImageList\.(-?\d+)\.ImageData\.Data\.arrayOffset")


def is_digital_micrograph(head: bytes) -> bool:
    """Whether a file begins as a DM3 or DM4: the version, its length, and how its numbers are stored (0 or 1)."""
    order = {b"\0\0\0\x03": head[8:12], b"\0\0\0\x04": head[12:16]}.get(head[:4])
    return order in (b"\0\0\0\0", b"\0\0\0\x01")


@contextmanager
def open_digital_micrograph(path: Path) -> Iterator[Opened]:
    """The largest grey picture (a thumbnail lies beside it), the first frame of a series."""
    tags = _read_tags(path)
    images = [image for match in map(_DATA.fullmatch, tags) if match and (image := _image(tags, match[1])) is not None]
    if not images:
        raise InputError(f"{path}: a DigitalMicrograph file without a grey picture in it; export the picture as TIFF")
    (height, width), frames, dtype, offset, calibration = max(images, key=lambda image: image[0][0] * image[0][1])
    check_length(path, offset + height * width * dtype.itemsize)

    def read() -> NDArray[np.generic]:
        return as_recorded(np.fromfile(path, dtype, height * width, offset=offset).reshape(height, width), path)

    yield Opened((height, width), height * width * dtype.itemsize, read, calibration, first_of(frames, "frames"))


def _image(tags: dict[str, Any], number: str) -> tuple[tuple[int, int], int, np.dtype[Any], int, Calibration] | None:
    """(height, width), frames, dtype, place in the file and calibration of one picture of the list; None where it is no grey picture."""
    data = f".ImageList.{number}.ImageData."
    kind, width, height = (int(tags.get(data + name, 0)) for name in ("DataType", "Dimensions.1", "Dimensions.2"))
    if kind not in _DTYPES or width < 1 or height < 1:
        return None
    axes = data + "Calibrations.Dimension."
    (x, unit), (y, y_unit) = ((float(tags.get(f"{axes}{axis}.Scale", 0)), str(tags.get(f"{axes}{axis}.Units", ""))) for axis in (1, 2))
    calibration = Calibration("DigitalMicrograph", x, y if y_unit == unit else None, unit)
    return (height, width), int(tags.get(data + "Dimensions.3", 1)), np.dtype(_DTYPES[kind]), int(tags[data + "Data.arrayOffset"]), calibration


def _read_tags(path: Path) -> dict[str, Any]:
    with np.errstate(all="ignore"), _parser(ncempy_io("dm", path))(path) as file:
        tags: dict[str, Any] = file.allTags
    return tags


@cache
def _parser(dm: Any) -> Any:
    """ncempy's parser, which goes on for as many tags as the file says it has, with an end to it."""

    class Bounded(dm.fileDM):
        entries = 0

        def _readTagEntry(self) -> None:
            self.entries += 1
            if self.entries > _MOST_TAGS:
                raise ValueError(f"more than {_MOST_TAGS} tags")
            super()._readTagEntry()

        def __del__(self) -> None:
            with suppress(BufferError):  # after an error its frames still hold parts of the mapped file, which is closed when they go
                super().__del__()

    return Bounded
