"""Where each maker's TIFF keeps the size of its pixels.

ImageJ comes before the cameras: it changes its own numbers when it scales a picture. A plain TIFF's XResolution is a printer's dots per inch and
means nothing.
"""

import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import tifffile

from exolight.micrograph.pixel_size import Calibration


def tiff_calibration(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> Calibration | None:
    """What the first of these places that holds a number says: OME, ImageJ, Olympus SIS, TVIPS, FEI, DigitalMicrograph."""
    for place in _PLACES:
        try:
            found = place(tiff, page)
        except Exception:  # tifffile raises anything on damaged metadata, which must not cost the picture
            continue
        if found is not None and found.x:
            return found
    return None


def _ome(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> Calibration | None:
    """PhysicalSizeX of the first image; micrometres where no unit stands (OME schema 2016-06)."""
    if not tiff.is_ome or not tiff.ome_metadata:
        return None
    element = ElementTree.fromstring(tiff.ome_metadata.encode()).find(".//{*}Pixels")
    if element is None or "PhysicalSizeX" not in element.attrib:
        return None
    y = float(element.get("PhysicalSizeY", 0)) if element.get("PhysicalSizeYUnit") == element.get("PhysicalSizeXUnit") else None
    recorded = int(element.get("SizeY", 0)), int(element.get("SizeX", 0))
    return Calibration("OME-TIFF", float(element.attrib["PhysicalSizeX"]), y, element.get("PhysicalSizeXUnit", "µm"), recorded)


def _imagej(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> Calibration | None:
    """XResolution is pixels per ``unit=`` of the description; without a unit it is printer's dpi and means nothing."""
    unit = re.search(r"^unit=(.*)$", page.description, re.MULTILINE) if tiff.is_imagej else None
    if unit is None:
        return None
    return Calibration("ImageJ TIFF", _per_pixel(page, "XResolution"), _per_pixel(page, "YResolution"), unit[1])


def _per_pixel(page: tifffile.TiffPage, name: str) -> float | None:
    pixels, units = page.tags.valueof(name, default=(0, 1))
    return units / pixels if pixels else None


def _sis(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> Calibration | None:
    """Olympus SIS and iTEM (tag 33560), in metres."""
    if not tiff.is_sis or (found := tiff.sis_metadata) is None:  # the tag may point at nothing
        return None
    return Calibration("Olympus SIS TIFF", float(found["pixelsizex"]), float(found["pixelsizey"]), "m")


def _tvips(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> Calibration | None:
    """TVIPS EM-MENU (tag 37706, version 2 of the structure), in nanometres."""
    if not tiff.is_tvips:
        return None
    found: dict[str, Any] = tiff.tvips_metadata or {}
    return Calibration("TVIPS TIFF", float(found["PixelSizeX"]), float(found["PixelSizeY"]), "nm", (found["ImageSizeY"], found["ImageSizeX"]))


def _fei(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> Calibration | None:
    """FEI and Thermo Fisher (tags 34680, 34682), in metres."""
    if not tiff.is_fei:
        return None
    found: dict[str, Any] = tiff.fei_metadata or {}
    scan, image = found["Scan"], found.get("Image", {})
    recorded = int(image.get("ResolutionY", 0)), int(image.get("ResolutionX", 0))
    return Calibration("FEI TIFF", float(scan["PixelWidth"]), float(scan.get("PixelHeight", 0)), "m", recorded)


def _digital_micrograph(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> Calibration | None:
    """DigitalMicrograph's export: 65009 and 65010 are the scale along x and y, 65003 and 65004 its unit. Others use these private tags for other things."""
    scale, unit = page.tags.valueof(65009), page.tags.valueof(65003)
    if not isinstance(scale, float) or unit is None:
        return None
    return Calibration("DigitalMicrograph TIFF", scale, float(page.tags.valueof(65010, default=0)), _text(unit))


def _text(value: str | bytes | tuple[int, ...]) -> str:
    """A unit, whether stored as text, as bytes of one or two a character, or as numbers."""
    if isinstance(value, bytes):
        value = value.decode("utf-16-le" if b"\0" in value[:2] else "latin-1")
    return (value if isinstance(value, str) else "".join(map(chr, value))).strip("\0 ")


_PLACES: tuple[Callable[[tifffile.TiffFile, tifffile.TiffPage], Calibration | None], ...] = (_ome, _imagej, _sis, _tvips, _fei, _digital_micrograph)
