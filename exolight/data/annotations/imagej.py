"""ImageJ and Fiji: regions of interest of the ROI manager (RoiSet.zip, or a single .roi), read by roifile."""

import logging
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from exolight.annotated_image import AnnotationSet
from exolight.data.annotations import shapes
from exolight.data.annotations.assemble import Entry, assemble, with_unannotated
from exolight.data.annotations.pictures import Pictures, data_set_of, find_files
from exolight.data.annotations.shapes import Shape
from exolight.data.imagej_library import need_roifile
from exolight.errors import InputError
from exolight.polygons import polygon_area

logger = logging.getLogger(__name__)

UNNAMED = "object"
MOST_BYTES = 1 << 24  # of one region, unpacked: two million points
_MAGIC = b"Iout"
_SET = re.compile(r"(.*?)(?:[ _.-]*rois?[ _-]?sets?|[ _.-]+rois?)?", re.IGNORECASE | re.DOTALL)  # a.zip, a_RoiSet.zip, "a ROIs.zip": of a.tif
_NUMBERED = re.compile(r"(.*?)(?:[ _#-]+\d+)?", re.DOTALL)  # vesicle-0003: of the class vesicle
_POSITION = re.compile(r"\d+-\d+(-\d+)*")  # how ImageJ calls a region that has no name: by where it lies


def read_imagej(root: str | Path, images: str | Path | None = None) -> AnnotationSet:
    """Pictures with their rectangles, ovals and outlines of any kind; a picture without a file counts as one without objects.

    A file belongs to the picture of its name (a.zip, a_RoiSet.zip or a.roi to a.tif), or to the only picture of its folder. The name of a
    region without its number is its class; those that ImageJ has named by their position are of the class "object". Lines and points are no
    objects and are left out, with a warning. Outlines are given for pictures without rectangles.

    Args:
        root: a folder, or one file.
        images: the folder of the pictures, under root or anywhere; by default anywhere below root.

    Raises:
        InputError: no regions, a file whose picture is not there or not certain, or shapes that cannot be right: all are gathered first. Or
            roifile is missing.
    """
    root = Path(root)
    files = [root] if root.is_file() else [path for path in find_files(root, (".roi", ".zip")) if is_imagej(path)]
    if not files or not all(is_imagej(path) for path in files):
        raise InputError(f"{root}: no regions of ImageJ; wanted RoiSet.zip or a .roi (ROI manager: More > Save) beside the pictures")
    folder = data_set_of(root) if root.is_file() else root
    roifile = need_roifile(root)
    pictures = Pictures(folder, images)
    entries: list[Entry] = []
    problems: list[str] = []
    left_out: list[str] = []
    for file in files:
        drawn: list[Shape] = []
        try:
            for place, data in _regions(file):
                try:
                    shape = _shape(roifile, data, place)
                except Exception as error:  # roifile raises anything from struct.error to IndexError on a damaged file
                    problems.append(f"{place}: {' '.join(str(error).split())[:200] or type(error).__name__}; draw the region again")
                    continue
                if shape is None:
                    left_out.append(place)
                else:
                    drawn.append(shape)
            entries.append(Entry(_picture(file, pictures), str(file), drawn))
        except InputError as problem:
            problems.append(str(problem))
    if left_out:
        logger.warning("%d lines or points have no area and are left out, first %s", len(left_out), left_out[0])
    if root.is_dir():
        entries = with_unannotated(entries, pictures)
    return assemble(entries, pictures.root, problems)


def is_imagej(path: Path) -> bool:
    """Whether a file holds regions of ImageJ; an empty zip is a set without any."""
    try:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) == _MAGIC:
                return True
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            return not names or any(name.lower().endswith(".roi") for name in names)
    except Exception:  # no zip, or a damaged one
        return False


def _regions(file: Path) -> Iterator[tuple[str, bytes]]:
    """(place, content) of every region. Raises ``InputError`` for a file that cannot be unpacked, or not into a bearable size."""
    try:
        if not zipfile.is_zipfile(file):
            yield str(file), file.read_bytes()
            return
        with zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                if info.filename.lower().endswith(".roi"):
                    with archive.open(info) as entry:
                        data = entry.read(MOST_BYTES + 1)
                    if len(data) > MOST_BYTES:
                        raise InputError(f"{file}: {info.filename} is larger than {MOST_BYTES >> 20} MiB; save the regions again")
                    yield f"{file}: {' '.join(info.filename.split())}", data
    except InputError:
        raise
    except Exception as error:  # zipfile and its decoders raise anything from zlib.error to NotImplementedError
        raise InputError(f"{file}: damaged, or no zip ({' '.join(str(error).split())[:200]}); save the regions again") from error


def _picture(file: Path, pictures: Pictures) -> Path:
    """The picture that the regions lie on. Raises ``InputError`` where that is not certain."""
    match = _SET.fullmatch(file.stem)
    reasons: list[str] = []
    for name in [file.stem, match[1] if match else ""]:
        try:
            return pictures.find(name, file.parent)
        except InputError as error:
            reasons.append(str(error))
    beside = [path for path in pictures.files if path.parent == file.parent]
    if len(beside) == 1:
        return beside[0]
    raise InputError(f"{file}: {reasons[0]}; call it like its picture: a.zip or a_RoiSet.zip for a.tif")


def _shape(roifile: ModuleType, data: bytes, place: str) -> Shape | None:
    """A region; None for one without area. Raises ``ValueError`` for one that cannot be right, and whatever roifile raises for damaged ones."""
    roi = roifile.ImagejRoi.frombytes(data)
    kinds, subkinds = roifile.ROI_TYPE, roifile.ROI_SUBTYPE
    if roi.roitype in (kinds.LINE, kinds.FREELINE, kinds.POLYLINE, kinds.ANGLE, kinds.POINT, kinds.NOROI) or roi.subtype in (subkinds.TEXT, subkinds.IMAGE):
        return None
    if max(roi.position, roi.c_position, roi.z_position, roi.t_position) > 1:
        raise ValueError("a region on a later slice of a stack, of which only the first is read; save that slice as a picture with regions of its own")
    name = _class_name(roi.name, place)
    if roi.roitype in (kinds.RECT, kinds.OVAL) and not roi.composite:
        x1, y1, x2, y2 = _bounds(roi)
        if roi.roitype == kinds.RECT:
            return shapes.rectangle(place, name, (x1, y1, x2, y2))
        return shapes.ellipse(place, name, ((x1 + x2) / 2, (y1 + y2) / 2), ((x2 - x1) / 2, (y2 - y1) / 2))
    pieces = [np.asarray(piece, np.float64).reshape(-1, 2) for piece in roi.coordinates(multi=True)]
    if not pieces or not all(np.isfinite(piece).all() for piece in pieces):
        raise ValueError("a region without points, or with points that are no numbers")
    return shapes.polygon(place, name, max(pieces, key=polygon_area))._replace(box=shapes.extent(np.concatenate(pieces)))


def _bounds(roi: Any) -> tuple[float, float, float, float]:
    """x1, y1, x2, y2 of a rectangle or oval: in fractions of a pixel where the file has them."""
    if roi.subpixelrect:
        bounds = (roi.xd, roi.yd, roi.xd + roi.widthd, roi.yd + roi.heightd)
        if np.isfinite(bounds).all() and roi.widthd > 0 and roi.heightd > 0:
            return bounds
    return float(roi.left), float(roi.top), float(roi.right), float(roi.bottom)


def _class_name(name: str, place: str) -> str:
    """What a region's name says of its class; nothing where ImageJ made it up, or where a single file was called like its picture."""
    if _POSITION.fullmatch(name) or name == Path(place).stem:
        return UNNAMED
    match = _NUMBERED.fullmatch(name)
    return " ".join(match[1].split()) if match and match[1].strip() else UNNAMED
