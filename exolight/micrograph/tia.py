"""TIA, the program of FEI's Tecnai and Titan: series of pictures in .ser, beside notes in .emi. The header is parsed by ncempy.io.ser.

The layout was published by Emispec and FEI: https://www3.ntu.edu.sg/home/cbb/info/TIAformat/index.html.
"""

import glob
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exolight.errors import InputError
from exolight.micrograph.opened import Opened, check_length, first_of, ncempy_io
from exolight.micrograph.pixel_size import Calibration
from exolight.micrograph.pixels import as_recorded

EMI = ".emi"
_PICTURES = 0x4122  # DataTypeID of series of two-dimensional data
_AXIS = [("CalibrationOffset", "<f8"), ("CalibrationDelta", "<f8"), ("CalibrationElement", "<i4")]
_ELEMENT = np.dtype([("x", _AXIS), ("y", _AXIS), ("DataType", "<i2"), ("width", "<i4"), ("height", "<i4")])
_DTYPES = {1: "u1", 2: "<u2", 3: "<u4", 4: "i1", 5: "<i2", 6: "<i4", 7: "<f4", 8: "<f8"}  # DataType; 9 and 10 are complex


def is_tia(head: bytes) -> bool:
    """Whether a file begins as a TIA series: byte order, SeriesID."""
    return head.startswith(b"II\x97\x01")


def series_of(path: Path) -> list[Path]:
    """The .ser files whose pictures an .emi is about (NAME_1.ser, ... beside NAME.emi). Raises ``InputError`` where the first is missing."""
    first = path.with_name(f"{path.stem}_1.ser")
    if not first.is_file():
        raise InputError(f"{path}: an .emi holds notes, its pictures are in {first.name}, which is not beside it; copy both")
    return [first, *(other for other in sorted(path.parent.glob(f"{glob.escape(path.stem)}_*.ser")) if other != first)]


@contextmanager
def open_tia(path: Path) -> Iterator[Opened]:
    """The first picture of a series. Rows are stored from the bottom up and returned from the top down, as TIA shows them."""
    with _parser(ncempy_io("ser", path))(path) as file:
        series = file.head
    if series["DataTypeID"] != _PICTURES or not series["DataOffsetArray"]:
        raise InputError(f"{path}: a TIA series without a picture in it (of spectra, or stopped before the first); export a picture as TIFF")
    offset = series["DataOffsetArray"][0]
    check_length(path, offset + _ELEMENT.itemsize)
    element = np.fromfile(path, _ELEMENT, count=1, offset=offset)[0]
    width, height, kind = int(element["width"]), int(element["height"]), int(element["DataType"])
    if kind not in _DTYPES or width < 1 or height < 1:
        raise InputError(f"{path}: a TIA picture of {width} x {height} px and data type {kind} is not read; export it as TIFF")
    dtype = np.dtype(_DTYPES[kind])
    check_length(path, offset + _ELEMENT.itemsize + width * height * dtype.itemsize)

    def read() -> NDArray[np.generic]:
        pixels = np.fromfile(path, dtype, width * height, offset=offset + _ELEMENT.itemsize).reshape(height, width)
        return as_recorded(np.ascontiguousarray(pixels[::-1]), path)

    calibration = Calibration("TIA", float(element["x"]["CalibrationDelta"]), float(element["y"]["CalibrationDelta"]), "m")
    yield Opened((height, width), width * height * dtype.itemsize, read, calibration, first_of(len(series["DataOffsetArray"]), "pictures"))


@cache
def _parser(ser: Any) -> Any:
    """ncempy's parser without the .emi, which holds nothing that is needed here and may be damaged by itself."""

    class WithoutNotes(ser.fileSER):
        def _read_emi(self) -> None:
            self._emi = None

    return WithoutNotes
