"""MRC (MRC2014: https://www.ccpem.ac.uk/mrc_format/mrc2014.php), read through mrcfile."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from exolight.errors import InputError
from exolight.micrograph.opened import Opened, check_length, first_of, optional_module
from exolight.micrograph.pixel_size import Calibration
from exolight.micrograph.pixels import as_recorded

_HEADER_BYTES = 1024
_IMOD_STAMP, _IMOD_SIGNED = 1146047817, 1  # imodStamp and the first bit of imodFlags: https://bio3d.colorado.edu/imod/doc/mrc_format.txt


def is_mrc(head: bytes) -> bool:
    """Whether a file has MRC's mark, which programs older than the year 2000 leave out."""
    return head[208:211] == b"MAP"


@contextmanager
def open_mrc(path: Path) -> Iterator[Opened]:
    """The first section, its rows in the order of the file (some programs show the last row on top)."""
    mrcfile = optional_module("mrcfile", path)
    header = _header(path, mrcfile)
    width, height, sections, extended = (int(header[name]) for name in ("nx", "ny", "nz", "nsymbt"))
    try:
        dtype = mrcfile.utils.dtype_from_mode(header["mode"])
    except ValueError as error:
        raise InputError(f"{path}: pixels of MRC mode {int(header['mode'])} are not read; save it as 16-bit or float MRC, or as TIFF") from error
    if min(width, height, sections) < 1 or extended < 0:
        raise ValueError(f"an MRC of {width} x {height} px, {sections} sections and an extended header of {extended} bytes")
    check_length(path, _HEADER_BYTES + extended + width * height * sections * dtype.itemsize)
    calibration, notes = _calibration(header)

    def read() -> NDArray[np.generic]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of a machine stamp left empty
            with mrcfile.mmap(path, permissive=True) as mrc:
                pixels = np.array(mrc.data.reshape(sections, height, width)[0])
        return as_recorded(pixels.view(np.uint8) if _is_unsigned(header) else pixels, path)

    yield Opened((height, width), width * height * dtype.itemsize, read, calibration, notes + first_of(sections, "sections"))


def _header(path: Path, mrcfile: ModuleType) -> np.void:
    raw = np.fromfile(path, mrcfile.dtypes.HEADER_DTYPE, count=1)
    try:
        order = mrcfile.utils.byte_order_from_machine_stamp(raw["machst"][0])
    except ValueError:  # left empty by some programs
        order = "<"
    header: np.void = raw.view(raw.dtype.newbyteorder(order))[0]
    return header


def _is_unsigned(header: np.void) -> bool:
    """Bytes are signed in MRC, and in IMOD's files only where a flag says so."""
    stamp, flags = np.frombuffer(header["extra2"].tobytes(), header.dtype["nx"])[10:12]
    return bool(header["mode"] == 0 and stamp == _IMOD_STAMP and not flags & _IMOD_SIGNED)


def _calibration(header: np.void) -> tuple[Calibration | None, tuple[str, ...]]:
    """The cell's length over its sampling, in ångström; 0 is unset, and so is 1, which programs write that know nothing of the microscope."""
    x, y = (float(header["cella"][axis]) / sampling if (sampling := int(header[f"m{axis}"])) else 0.0 for axis in "xy")
    if x == 1:
        return None, ("its MRC header says 1 ångström per pixel, which programs write that do not know it; ignored, give the pixel size yourself",)
    return Calibration("MRC", x, y, "Å"), ()
