"""From what a reader has found in annotation files to an ``AnnotationSet``: classes by name, boxes checked, each picture once and of the size annotated."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from exolight.annotated_image import AnnotatedImage, AnnotationSet
from exolight.data.annotations.check import check_boxes, raise_problems
from exolight.data.annotations.merge import warn_of_twins
from exolight.data.annotations.pictures import Pictures, annotated_picture
from exolight.data.annotations.shapes import Shape, extent
from exolight.errors import InputError
from exolight.micrograph import read_size
from exolight.polygons import clip_polygon

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A picture as an annotation file has it.

    Attributes:
        path: the picture on disk.
        place: where the annotation speaks of it (file, and line or key).
        shapes: its objects.
        size_hw: (height, width) as the annotation says; None or 0 where it does not.
        pixel_size_nm: nanometres per pixel, where the annotation says.
        on_disk: whether the picture has been found; else its size is what the annotation says, and it cannot be read.
    """

    path: Path
    place: str
    shapes: Sequence[Shape] = ()
    size_hw: tuple[float | None, float | None] = (None, None)
    pixel_size_nm: float | None = field(default=None, kw_only=True)
    on_disk: bool = field(default=True, kw_only=True)


def assemble(entries: Iterable[Entry], root: Path, problems: Sequence[str] = (), class_names: Sequence[str] = ()) -> AnnotationSet:
    """The data set of all entries.

    Args:
        entries: pictures in their order.
        root: the folder below which pictures are named.
        problems: what the reader has found wrong already.
        class_names: the classes that the annotation lists, in its order; others that occur follow in alphabetical order.

    Raises:
        InputError: for all problems together: those given, a picture that is there twice, that cannot be read or that has another size than
            the annotation says, and boxes that cannot be right. Or nothing is left.
    """
    listed = list(entries)
    named = {shape.name for entry in listed for shape in entry.shapes}
    classes = {name: label for label, name in enumerate([*class_names, *sorted(named - set(class_names))])}
    annotated: list[AnnotatedImage] = []
    wrong = list(problems)
    seen: dict[Path, Entry] = {}
    for entry in listed:
        first = seen.setdefault(entry.path, entry)
        if first is not entry:
            wrong.append(f"{entry.place}: {entry.path.name} is listed twice, before in {first.place}; remove one of the two")
            continue
        try:
            image, more = _annotate(entry, root, classes)
        except InputError as problem:
            wrong.append(str(problem))
            continue
        annotated.append(image)
        wrong += more
    raise_problems(wrong)
    if not annotated:
        raise InputError(f"{root}: no pictures listed in the annotation; export it again, with the pictures")
    warn_of_twins(list(classes))
    return AnnotationSet(annotated, list(classes) or ["object"])


def with_unannotated(entries: Sequence[Entry], pictures: Pictures) -> list[Entry]:
    """The entries, and one without objects for every other picture there is: for formats that say nothing of a picture without objects."""
    named = {entry.path for entry in entries}
    others = [path for path in pictures.files if path not in named]
    if others and entries:
        logger.warning(
            "%s: %d of %d pictures have no annotation and count as pictures without objects, first %s",
            pictures.folder,
            len(others),
            len(pictures.files),
            others[0].name,
        )
    return [*entries, *(Entry(path, str(path)) for path in others)]


def warn_of_unlisted(entries: Iterable[Entry], pictures: Pictures) -> None:
    """For formats that list pictures without objects, too: a picture that is not listed is no data, and somebody may miss it."""
    named = {entry.path for entry in entries}
    others = [path for path in pictures.files if path not in named]
    if others:
        message = "%s: %d of %d pictures are not in the annotation and are left out, first %s"
        logger.warning(message, pictures.folder, len(others), len(pictures.files), others[0].name)


def _annotate(entry: Entry, root: Path, classes: Mapping[str, int]) -> tuple[AnnotatedImage, list[str]]:
    """The picture with its objects, and their problems. Raises ``InputError`` where the picture itself is wrong."""
    height, width = image_hw = read_size(entry.path) if entry.on_disk else _stated_size(entry)
    said = (entry.size_hw[0] or height, entry.size_hw[1] or width)
    if said != image_hw:
        raise InputError(f"{entry.place}: {entry.path.name} is {said[1]:g} x {said[0]:g} px here, the file {width} x {height}; use the pictures annotated")
    shapes = [_seen(shape, image_hw) if shape.round else shape for shape in entry.shapes]
    labels = [classes[shape.name] for shape in shapes]
    boxes, problems = check_boxes([shape.box for shape in shapes], labels, image_hw, len(classes), [shape.place for shape in shapes])
    outlines = [np.clip(shape.outline, 0, (width, height)).astype(np.float32) for shape in shapes if shape.outline is not None]
    drawn = tuple(outlines) if len(outlines) == len(shapes) else None
    ignore = [shape.ignore for shape in shapes]
    return annotated_picture(entry.path, root, image_hw, boxes, labels, ignore=ignore, outlines=drawn, pixel_size_nm=entry.pixel_size_nm), problems


def _stated_size(entry: Entry) -> tuple[int, int]:
    height, width = (int(side or 0) for side in entry.size_hw)
    if min(height, width) < 1:
        raise InputError(f"{entry.place}: {entry.path.name} is {width} x {height} px; export it again, with the sizes of the pictures")
    return height, width


def _seen(shape: Shape, image_hw: tuple[int, int]) -> Shape:
    """What of an ellipse lies in its picture; all of it where that is nothing, for its problem to be told."""
    x1, y1, x2, y2 = shape.box
    if shape.outline is None or (x1 >= 0 and y1 >= 0 and x2 <= image_hw[1] and y2 <= image_hw[0]):
        return shape
    inside = clip_polygon(shape.outline, image_hw)
    if len(inside) < 3:
        return shape
    return shape._replace(box=extent(inside), outline=inside)
