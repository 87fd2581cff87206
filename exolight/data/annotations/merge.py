"""Several data sets as one, whose classes are the same where their names are."""

import dataclasses
import logging
import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np

from exolight.annotated_image import AnnotatedImage, AnnotationSet

logger = logging.getLogger(__name__)


def merge(sets: Mapping[str, AnnotationSet]) -> AnnotationSet:
    """One data set of several.

    Args:
        sets: by the folder of each, which is put before the names of its pictures. A group keeps its name: pictures of one donor in two data
            sets still belong together.

    Returns:
        All pictures. Classes are those of the first data set, followed by others in the order they come up.
    """
    names = list(dict.fromkeys(name for found in sets.values() for name in found.class_names))
    images: list[AnnotatedImage] = []
    for folder, found in sets.items():
        labels = np.array([names.index(name) for name in found.class_names], np.int64)
        images += [dataclasses.replace(image, name=f"{folder}/{image.name}", labels=labels[image.labels]) for image in found.images]
    warn_of_twins(names)
    return AnnotationSet(images, names)


def warn_of_twins(names: Sequence[str]) -> None:
    """Warns of class names that differ only in case, blanks or how an accent is written: probably one class is meant."""
    seen: dict[str, str] = {}
    for name in names:
        plain = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        other = seen.setdefault(plain, name)
        if other is not name:
            logger.warning("the classes %r and %r are two; write them alike if one is meant", other, name)
