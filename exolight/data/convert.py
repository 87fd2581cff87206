"""python -m exolight.data.convert source=FOLDER format=cvat out=NEW_FOLDER: an annotation, or what a prediction found, in the format of another tool.

source=          a data set or annotation file of any format that training reads, or the folder of a prediction (outputs/predict/...)
format=          coco, cvat, imagej, labelstudio, voc or yolo; pictures: nothing but the pictures below source, for a tool to draw on
out=             a new folder: the annotation, and in images/ the pictures
source_format=   insists on the format of source, which is otherwise told from its content
images=          where the pictures of source are, if not below it; those of a prediction are only copied where this is given
pictures=copy    copy: as they are; png: as 8-bit PNG, which browsers can show; none: the annotation alone
outlines=true    false: boxes alone, for tools that know no outlines
"""

import dataclasses
import difflib
import logging
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import cv2
import numpy as np

from exolight.annotated_image import AnnotatedImage, AnnotationSet
from exolight.data.annotations.detect import READERS, read_folder
from exolight.data.annotations.pictures import annotated_picture, find_files
from exolight.data.annotations.prediction import prediction_folder, read_scored
from exolight.data.writers import WRITERS, Item
from exolight.errors import InputError
from exolight.micrograph import PICTURE_SUFFIXES, read_size
from exolight.preprocessing import normalise

PICTURES = ("copy", "png", "none")
ALONE = "pictures"  # as format: without annotation
_WITH_OUTLINES = ("coco", "cvat", "imagej", "labelstudio", "yolo")
_WITH_IGNORED = ("coco", "voc")


class Command(NamedTuple):
    """The settings, as the module's documentation explains them."""

    source: Path
    format: str
    out: Path
    source_format: str | None = None
    images: Path | None = None
    pictures: str = "copy"
    outlines: bool = True


def read_command(arguments: Sequence[str]) -> Command:
    """Settings from ``key=value``, values taken verbatim whatever their characters.

    Raises:
        InputError: a key that is unknown or missing, or a value that is impossible.
    """
    given: dict[str, Any] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if key not in Command._fields or not equals or not value:
            close = difflib.get_close_matches(key, Command._fields, n=1)
            raise InputError(f"{argument}: wanted {f'{close[0]}=' if close else 'one of ' + ', '.join(f'{name}=' for name in Command._fields)} and a value")
        given[key] = Path(value).expanduser() if key in ("source", "out", "images") else value
    missing = [key for key in ("source", "format", "out") if key not in given]
    if missing:
        raise InputError(f"{missing[0]}= is missing; wanted such as source=outputs/predict/2026-01-31_12-00-00 format=cvat out=to_correct")
    choices = {"format": (*WRITERS, ALONE), "source_format": tuple(READERS), "pictures": PICTURES, "outlines": ("true", "false")}
    for key, allowed in choices.items():
        if given.get(key, allowed[0]) not in allowed:
            raise InputError(f"{key}={given[key]}: wanted one of {', '.join(allowed)}")
    return Command(**given | {"outlines": given.get("outlines", "true") == "true"})


class Converted(NamedTuple):
    """What was done, in a few lines, and why pictures were left out, a line each."""

    said: str
    failures: list[str]


def convert(command: Command) -> Converted:
    """Write the annotation of ``source`` in another format. A picture that cannot be copied is left out, and the others are done.

    Raises:
        InputError: ``source`` cannot be read, ``out`` holds files already or lies within ``source``, or two pictures or a name cannot be written.
    """
    if command.out.exists() and (not command.out.is_dir() or any(command.out.iterdir())):
        raise InputError(f"out={command.out}: already holds files; give a new or empty folder")
    if command.out.resolve().is_relative_to(command.source.resolve()):
        raise InputError(f"out={command.out}: lies within the source, whose pictures would then be there twice; give another folder")
    found, scores = _read(command)
    names = _names([image.name for image in found.images], command.pictures == "png")
    _check_class_names(found.class_names)
    notes: list[str] = []
    command.out.mkdir(parents=True, exist_ok=True)
    items, failures = [], []
    for name, image, score in zip(names, found.images, scores, strict=True):
        try:
            items.append(Item(name, _with_picture(image, command.out / "images" / name, command.pictures), score))
        except InputError as error:
            failures.append(str(error))
    absent = sum(item.image.path is None or not item.image.path.is_file() for item in items)
    if absent and command.pictures != "none":
        notes.append(f"{absent} pictures were not looked for or not found, so they are not in {command.out / 'images'}: give images=FOLDER")
    if not command.outlines:
        items = [item._replace(image=dataclasses.replace(item.image, outlines=None)) for item in items]
    images = [item.image for item in items]
    if command.format == ALONE:
        first = f"{len(images)} pictures are in {command.out / 'images'}"
        if command.pictures == "png":
            notes.append("these copies know no nm per pixel: put what is drawn on them beside the pictures they were made of")
    else:
        WRITERS[command.format](items, found.class_names, command.out)
        notes += _losses(images, command.format)
        objects = sum(int((~image.ignore).sum()) for image in images)
        first = f"{len(images)} pictures with {objects} objects ({', '.join(found.class_names)}) are in {command.out}, as {command.format}"
    return Converted("\n".join([first, *(f"note: {note}" for note in notes)]), failures)


def _read(command: Command) -> tuple[AnnotationSet, list[np.ndarray | None]]:
    """The annotation, and for each picture the scores of its boxes where they are detections."""
    if not command.source.exists():
        raise InputError(f"source={command.source}: no such file or folder")
    if command.format == ALONE:
        found = _alone(command.source)
        return found, [None] * len(found.images)
    if command.source_format == "prediction" or (command.source_format is None and prediction_folder(command.source) is not None):
        found, scores = read_scored(command.source, command.images and command.images.resolve())
        return found, list(scores)
    found = read_folder(command.source, command.images and command.images.resolve(), command.source_format)
    return found, [None] * len(found.images)


def _alone(source: Path) -> AnnotationSet:
    """Pictures of which nothing else is known. Raises ``InputError`` where there are none."""
    files, root = (find_files(source, PICTURE_SUFFIXES), source) if source.is_dir() else ([source], source.parent)
    if not files:
        raise InputError(f"source={source}: no pictures ({', '.join(PICTURE_SUFFIXES)}) in it; name their folder")
    return AnnotationSet([annotated_picture(path, root, read_size(path), np.zeros((0, 4), np.float32), []) for path in files], [])


def _names(names: Sequence[str], png: bool) -> list[str]:
    """What the pictures are called below images/. Raises ``InputError`` where files about two of them would have one name."""
    result: list[str] = []
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:  # a picture outside the data set
            path = PurePosixPath(path.name)
        if len(path.parts) > 1 and path.parts[0] == "images":
            path = path.relative_to("images")
        result.append((path.with_suffix(".png") if png else path).as_posix())
    stems = Counter(PurePosixPath(name).with_suffix("").as_posix().casefold() for name in result)
    for name, before in zip(result, names, strict=True):
        if stems[PurePosixPath(name).with_suffix("").as_posix().casefold()] > 1:
            raise InputError(f"{before}: another picture has this name but for folder, suffix or case, and so would its annotation; rename one of them")
        if not name.isprintable():
            raise InputError(f"{before!r}: a name with characters that other programs cannot write; rename the picture")
    return result


def _check_class_names(names: Sequence[str]) -> None:
    for name in names:
        if not name.isprintable() or not name.strip():
            raise InputError(f"the class {name!r}: a name with characters that other programs cannot write; rename the class")


def _with_picture(image: AnnotatedImage, path: Path, how: str) -> AnnotatedImage:
    """The picture is written, if it is there; what is returned knows its pixel size where the new file does not."""
    if how == "none" or image.path is None or not image.path.is_file():
        return image
    path.parent.mkdir(parents=True, exist_ok=True)
    if how == "copy":
        shutil.copyfile(image.path, path)
        return image
    micrograph = image.read()
    path.write_bytes(cv2.imencode(".png", normalise(micrograph.pixels))[1].tobytes())  # cv2.imwrite fails on non-ASCII names on Windows
    return dataclasses.replace(image, pixel_size_nm=micrograph.pixel_size_nm)


def _losses(images: Sequence[AnnotatedImage], format: str) -> list[str]:
    """What the format has no place for."""
    ignored = sum(int(image.ignore.sum()) for image in images)
    outlined = any(image.outlines for image in images)
    sized = any(image.pixel_size_nm is not None for image in images)
    notes = [
        (bool(ignored) and format not in _WITH_IGNORED, f"{ignored} regions that count neither way are left out: {format} has none"),
        (outlined and format not in _WITH_OUTLINES, f"outlines are left out: {format} has only boxes"),
        (sized and format != "coco", f"nm per pixel are only what the picture files themselves say: {format} has no place for them; format=coco keeps all"),
    ]
    return [note for lost, note in notes if lost]


def main(arguments: Sequence[str]) -> int:
    """Returns the exit status: 0, 1 where pictures were left out, or 2 where nothing could be done."""
    if not arguments or {"-h", "--help"} & set(arguments):
        print(__doc__)
        return 0 if arguments else 2
    try:
        said, failures = convert(read_command(arguments))
    except (InputError, OSError) as error:  # the latter: a full disk
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(said)
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # file names hold what a terminal's encoding may not
    sys.exit(main(sys.argv[1:]))
