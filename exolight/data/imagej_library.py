"""The library that reads and writes regions of ImageJ, which not everybody has."""

import importlib
from pathlib import Path
from types import ModuleType

from exolight.errors import InputError


def need_roifile(path: Path) -> ModuleType:
    """The library. Raises ``InputError`` that says how to install it."""
    try:
        return importlib.import_module("roifile")
    except ImportError as error:
        raise InputError(f'{path}: regions of ImageJ need roifile; install the extra "microscopy": pip install -e ".[microscopy]"') from error
