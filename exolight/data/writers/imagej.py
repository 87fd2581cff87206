"""ImageJ and Fiji: a set of regions for each picture, to be opened in the ROI manager (or dropped onto Fiji) with the picture."""

import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from exolight.data.imagej_library import need_roifile
from exolight.data.writers.item import Drawn, Item


def write_imagej(items: Iterable[Item], class_names: Sequence[str], out: Path) -> None:
    """rois/NAME.zip of every picture; the pictures belong into images/. Regions that count neither way are left out.

    A region is called by its class and a number, vesicle-0001. Raises ``InputError`` where roifile is missing.
    """
    roifile = need_roifile(out)
    for item in items:
        path = out / "rois" / f"{item.stem}.zip"
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for number, one in enumerate(item.objects(), start=1):
                name = f"{class_names[one.label]}-{number:04d}"
                archive.writestr(f"{number:04d}.roi" if "/" in name or "\\" in name else f"{name}.roi", _region(roifile, one, name).tobytes())


def _region(roifile: ModuleType, one: Drawn, name: str) -> Any:
    if one.outline is not None:
        roi = roifile.ImagejRoi.frompoints(one.outline.astype(np.float32), name=name)
        roi.roitype = roifile.ROI_TYPE.POLYGON
        return roi
    x1, y1, x2, y2 = one.box
    roi = roifile.ImagejRoi()
    roi.roitype, roi.name = roifile.ROI_TYPE.RECT, name
    roi.options = roifile.ROI_OPTIONS.SUB_PIXEL_RESOLUTION
    roi.left, roi.top = int(np.floor(x1)), int(np.floor(y1))
    roi.right, roi.bottom = max(round(x2), roi.left + 1), max(round(y2), roi.top + 1)
    roi.xd, roi.yd, roi.widthd, roi.heightd = x1, y1, x2 - x1, y2 - y1
    return roi
