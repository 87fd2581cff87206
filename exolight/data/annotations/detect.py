"""Which format an annotation is in, told from what is there."""

import logging
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from exolight.annotated_image import AnnotationSet
from exolight.data.annotations.cbia import read_cbia
from exolight.data.annotations.coco import is_coco, read_coco
from exolight.data.annotations.cvat import is_cvat, read_cvat
from exolight.data.annotations.documents import read_csv, read_json, read_xml
from exolight.data.annotations.imagej import is_imagej, read_imagej
from exolight.data.annotations.label_studio import is_label_studio, read_label_studio
from exolight.data.annotations.labelme import is_labelme, read_labelme
from exolight.data.annotations.makesense import is_makesense, read_makesense
from exolight.data.annotations.masks import read_masks
from exolight.data.annotations.merge import merge
from exolight.data.annotations.pictures import FOLDERS, find_files
from exolight.data.annotations.prediction import prediction_folder, read_prediction
from exolight.data.annotations.via import is_via, is_via_table, read_via
from exolight.data.annotations.voc import is_voc, read_voc
from exolight.data.annotations.yolo import NO_LABELS, has_class_names, read_yolo
from exolight.data.annotations.yolo_description import FILE_NAMES
from exolight.errors import InputError
from exolight.micrograph import PICTURE_SUFFIXES

logger = logging.getLogger(__name__)

READERS: Mapping[str, Callable[..., AnnotationSet]] = {
    "cbia": read_cbia,
    "coco": read_coco,
    "cvat": read_cvat,
    "imagej": read_imagej,
    "labelme": read_labelme,
    "labelstudio": read_label_studio,
    "makesense": read_makesense,
    "masks": read_masks,
    "prediction": read_prediction,
    "via": read_via,
    "voc": read_voc,
    "yolo": read_yolo,
}
WANTED = (
    "YOLO (labels/*.txt), COCO, Label Studio, VIA or labelme (.json), Pascal VOC or CVAT (.xml), makesense.ai or VIA (.csv), ImageJ (RoiSet.zip, .roi) "
    "or instance masks (images/ and masks/)"
)
_PICTURES_FIXED = ("cbia", "masks", "yolo")  # formats that say where their pictures are
_LOOKED_AT = 20  # files of each suffix
# In files of each suffix: how they are read, and which formats they may be in.
_DOCUMENTS: Mapping[str, tuple[Callable[[Path], Any], Mapping[str, Callable[[Any], bool]]]] = {
    ".json": (read_json, {"coco": is_coco, "labelme": is_labelme, "via": is_via, "labelstudio": is_label_studio}),
    ".xml": (read_xml, {"voc": is_voc, "cvat": is_cvat}),
    ".csv": (read_csv, {"via": is_via_table, "makesense": is_makesense}),
}
_REGIONS = (".roi", ".zip")


def read_annotations(path: Path, pictures: Path | None = None) -> tuple[AnnotationSet, str]:
    """Read an annotation whose format nobody said.

    Args:
        path: a data set's folder, its images/, labels/, masks/ or annotations/, a folder of data sets, or an annotation file.
        pictures: a folder where the pictures may be, should they not be below the data set.

    Returns:
        The pictures with their objects, and the format: one of ``READERS``, or several with "and" in between.

    Raises:
        InputError: nothing there, no known format, or what the reader of that format finds wrong.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder with annotations")
    path = _whole(path)
    parts = _data_sets(path)
    if parts:
        sets = {name: READERS[kind](path / name) for name, kind in parts.items()}
        return merge(sets), " and ".join(sorted(set(parts.values())))
    kind = detect_format(path)
    if pictures is None or kind in _PICTURES_FIXED or kind == "prediction":
        return READERS[kind](path), kind
    try:
        return READERS[kind](path), kind
    except InputError:
        return READERS[kind](path, images=pictures.resolve()), kind


def read_folder(root: str | Path, images: str | Path | None = None, format: str | None = None) -> AnnotationSet:
    """A data set of any format, for the preset ``data=folder``.

    Args:
        root: as for ``read_annotations``.
        images: the folder of the pictures, under root or anywhere, for formats that leave it open; by default anywhere below root.
        format: one of ``READERS``; None: it is told from what is there.

    Raises:
        InputError: as ``read_annotations``; or ``format`` is unknown, or needs no ``images``.
    """
    path = Path(root)
    if format is not None and format not in READERS:
        raise InputError(f"format={format}: unknown; wanted one of {', '.join(READERS)}")
    if format is None and images is None:
        found, kind = read_annotations(path)
    else:
        path = _whole(path)
        kind = format or detect_format(path)
        if images is not None and kind in _PICTURES_FIXED:
            raise InputError(f"images={images}: of the format {kind} the pictures lie in {path} itself; leave images out")
        found = READERS[kind](path) if images is None else READERS[kind](path, images=images)
    logger.info("%s: %d pictures, read as %s", root, len(found.images), kind)
    return found


def detect_format(path: Path) -> str:
    """The format of a data set's folder or of a file; where a folder holds several, the log says which others.

    Raises:
        InputError: it is none of those known, or damaged.
    """
    damage: list[InputError] = []
    found = list(dict.fromkeys(_formats(path, damage)))
    if not found:
        raise damage[0] if damage else InputError(_nothing(path))
    if len(found) > 1:
        logger.info("%s: read as %s; it may be read as %s, too: insist with format", path, found[0], " or ".join(found[1:]))
    return found[0]


def _nothing(path: Path) -> str:
    packed = [path] if path.suffix.lower() == ".zip" else find_files(path, (".zip",))
    if packed:
        return f"{packed[0]}: packed, and no regions of ImageJ; unpack it beside the pictures"
    return f"{path}: no annotation in a format that can be read; wanted {WANTED}"


def _whole(path: Path) -> Path:
    """The data set of which somebody has named one of its folders, or its data.yaml."""
    if path.is_dir() and path.name.lower() in FOLDERS and any((path.parent / folder).is_dir() for folder in FOLDERS if folder != path.name):
        return path.parent
    return path.parent if path.is_file() and path.suffix.lower() in (".yaml", ".yml") else path


def _formats(path: Path, damage: list[InputError], deep: bool = True) -> Iterator[str]:
    """All that an annotation may be, most certain first; files that should tell but cannot be read are added to ``damage``.

    Args:
        path: a folder or a file.
        deep: whether what lies in folders below counts.
    """
    if prediction_folder(path) is not None:
        yield "prediction"
    if path.is_dir():
        if any(folder.is_dir() for folder in path.glob("annotations_*")) and any(folder.is_dir() for folder in path.glob("dataset_*")):
            yield "cbia"
        if (path / "images").is_dir() and (path / "masks").is_dir():
            yield from ["coco"] * _holds_coco(path)  # which knows the classes and what is to be ignored; masks do not
            yield "masks"
        if any((path / name).is_file() for name in FILE_NAMES):
            yield "yolo"
    suffixes = (*_DOCUMENTS, *_REGIONS, ".txt")
    files = [path] if path.is_file() else [file for file in find_files(path, suffixes) if deep or file.parent == path]
    if any(file.suffix.lower() == ".txt" and "labels" in file.relative_to(path).parts[:-1] for file in files if file != path):
        yield "yolo"
    for suffix, (read, kinds) in _DOCUMENTS.items():
        for file in islice((file for file in files if file.suffix.lower() == suffix), _LOOKED_AT):
            try:
                document = read(file)
            except InputError as error:
                damage.append(error)
                continue
            yield from (kind for kind, fits in kinds.items() if fits(document))
    if any(is_imagej(file) for file in islice((file for file in files if file.suffix.lower() in _REGIONS), _LOOKED_AT)):
        yield "imagej"
    if path.is_dir() and any(file.suffix.lower() == ".txt" and not NO_LABELS.fullmatch(file.name) for file in files):
        yield "yolo"


def _holds_coco(folder: Path) -> bool:
    """Whether a COCO annotation lies in a folder itself."""
    for file in islice(sorted(folder.glob("*.json")), _LOOKED_AT):
        try:
            if is_coco(read_json(file)):
                return True
        except InputError:  # told where it matters
            continue
    return False


def _data_sets(root: Path) -> dict[str, str]:
    """The format of each folder in ``root`` that is a data set of its own, with pictures and annotation; none where root itself is the data set."""
    if not root.is_dir() or next(_formats(root, [], deep=False), None):
        return {}
    found: dict[str, str] = {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        kind = next(_formats(folder, []), None)
        if kind is not None and find_files(folder, PICTURE_SUFFIXES):
            found[folder.name] = kind
    unnamed = all(kind == "yolo" and not has_class_names(root / name) for name, kind in found.items())  # parts of one data set: numbers mean the same
    return {} if len(found) < 2 or unnamed else found
