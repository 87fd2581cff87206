"""What every format's module gives: a picture file that is open, of which only the header has been read."""

import importlib
import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from exolight.errors import InputError
from exolight.micrograph.pixel_size import Calibration


class Opened(NamedTuple):
    """A picture file whose header has been read.

    Attributes:
        image_hw: (height, width) px.
        decoded_bytes: the memory that the pixels take once decoded, all channels included.
        read: decodes the pixels: (H, W), uint8, uint16 or float32. Call it while the file is open and ``decoded_bytes`` has been found bearable.
        calibration: what the file says about the size of its pixels, or None.
        notes: warnings, a sentence each.
    """

    image_hw: tuple[int, int]
    decoded_bytes: int
    read: Callable[[], NDArray[np.generic]]
    calibration: Calibration | None = None
    notes: tuple[str, ...] = ()


def first_of(count: int, what: str) -> tuple[str, ...]:
    """The note that a file holds more pictures than the one that is read."""
    return () if count <= 1 else (f"a stack of {count} {what}, only the first is read; save the others as pictures of their own",)


def check_length(path: Path, needed: int) -> None:
    """Raises ``InputError`` where a file is shorter than its header promises."""
    length = path.stat().st_size
    if length < needed:
        raise InputError(f"{path}: cut short ({length} bytes of {needed}); copy it again")


def optional_module(name: str, path: Path) -> ModuleType:
    """A module of the extra ``microscopy``. Raises ``InputError`` that says how to install it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise _without_extra(path, name) from error


def ncempy_io(name: str, path: Path) -> ModuleType:
    """The module ``ncempy.io.NAME``, and nothing else of ncempy.

    Only ncempy's io package is under the MIT licence; the rest is GPL, and ``import ncempy.io`` runs it (its ``__init__`` imports algo, eval and viz).
    The modules of io need nothing but numpy, so the one file is loaded by itself. Raises ``InputError`` as ``optional_module`` does.
    """
    try:
        return _load_alone(name)
    except ImportError as error:
        raise _without_extra(path, "ncempy") from error


@cache
def _load_alone(name: str) -> ModuleType:
    package = importlib.util.find_spec("ncempy")  # finds a package at the top without running it
    if package is None or not package.submodule_search_locations:
        raise ImportError("no ncempy")
    spec = importlib.util.spec_from_file_location(f"{__package__}.ncempy_io_{name}", Path(package.submodule_search_locations[0]) / "io" / f"{name}.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"no ncempy.io.{name}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _without_extra(path: Path, name: str) -> InputError:
    return InputError(f'{path}: reading this format needs {name}, which is not installed; install the extra "microscopy": pip install -e ".[microscopy]"')
