"""Which format an annotation is in, told from what is there."""

from pathlib import Path

from exolight.annotated_image import AnnotationSet
from exolight.data.annotations.cbia import read_cbia
from exolight.data.annotations.coco import read_coco
from exolight.data.annotations.masks import read_masks
from exolight.data.annotations.yolo import read_yolo
from exolight.errors import InputError

_READERS = {"cbia": read_cbia, "masks": read_masks, "yolo": read_yolo, "coco": read_coco}
_PARTS = ("images", "labels", "masks")  # who names one of these folders of a data set means the data set


def read_annotations(path: Path, pictures: Path | None = None) -> tuple[AnnotationSet, str]:
    """Read an annotation whose format nobody said.

    Args:
        path: a data set's folder, its images/, labels/ or masks/, a COCO JSON, or a data.yaml.
        pictures: the folder where the pictures of a COCO JSON are, should they not be beside it.

    Returns:
        The pictures with their objects, and the format: "cbia", "masks", "yolo" or "coco".

    Raises:
        InputError: nothing there, no known format, or what the reader of that format finds wrong.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder with annotations")
    if path.is_dir() and path.name in _PARTS and any((path.parent / part).is_dir() for part in _PARTS if part != path.name):
        path = path.parent
    if path.suffix.lower() in (".yaml", ".yml") and path.is_file():
        path = path.parent
    kind = detect_format(path)
    if kind == "coco" and pictures is not None:
        try:
            return read_coco(path), kind
        except InputError:
            return read_coco(path, images=str(pictures.resolve())), kind
    return _READERS[kind](path), kind


def detect_format(path: Path) -> str:
    """The format of a data set's folder or of a file. Raises ``InputError`` where it is none of those known."""
    if path.is_file():
        if path.suffix.lower() == ".json":
            return "coco"
    elif any(folder.is_dir() for folder in path.glob("annotations_*")) and any(folder.is_dir() for folder in path.glob("dataset_*")):
        return "cbia"
    elif (path / "images").is_dir() and (path / "masks").is_dir():
        return "masks"
    elif any(path.glob("*.yaml")) or any(path.glob("*.yml")) or any(folder.is_dir() for folder in path.glob("**/labels")):
        return "yolo"
    elif any(path.glob("*.json")) or any(path.glob("*/*.json")):
        return "coco"
    elif any(path.rglob("*.txt")):
        return "yolo"
    wanted = "a COCO .json, a folder with images/ and masks/ (instance masks), or a YOLO folder with labels/*.txt"
    raise InputError(f"{path}: no annotation in a format that can be read; wanted {wanted}")
