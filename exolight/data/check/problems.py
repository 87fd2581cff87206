"""What can be wrong with a data set, as rules: each looks at one thing and says what it found, where, and what to do."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import box_iou

from exolight.annotated_image import AnnotatedImage
from exolight.data.duplicates import Likeness, Similar
from exolight.data.fingerprints import Fingerprint
from exolight.micrograph import Header
from exolight.micrograph.plausibility import doubts_of_scale

SEVERITIES = ("error", "warning", "note")
SAME_BOX = 0.9  # IoU; two vesicles never overlap so much, two clicks do
WHOLE_PICTURE = 0.95  # of both sides
FEW = 10  # objects of a class that nothing can be learned from
IMBALANCE = 20
VESICLES_NM = (15.0, 1500.0)  # a median beyond is no vesicle's: exosomes are 30 to 150 nm, the largest vesicles about a micrometre
MOST_PAIRS = 500_000  # that are searched for overlapping fields: 15 s on one core
NAMED = 3


class Problem(NamedTuple):
    """One line of the report: "error" (wrong results or no training), "warning" (to be looked at) or "note" (to be known)."""

    severity: str
    where: str
    found: str
    advice: str


class Look(NamedTuple):
    """What reading a picture has shown.

    Attributes:
        dtype: of the pixels as recorded; "" where the picture cannot be read.
        hw: (height, width) px, as read.
        pixel_size_nm: nm per pixel, where the file or the annotation says it, and ``source``, which of them.
        warnings: of the picture, see ``Micrograph``.
        fingerprint: None where the picture cannot be read.
        quality: "usable", "warn" or "reject"; "" where it was not asked for, and ``reason``, why.
        error: why it cannot be read, else "".
    """

    dtype: str = ""
    hw: tuple[int, int] = (0, 0)
    pixel_size_nm: float | None = None
    source: str = "unknown"
    warnings: tuple[str, ...] = ()
    fingerprint: Fingerprint | None = None
    quality: str = ""
    reason: str = ""
    error: str = ""


def ranked(problems: Iterable[Problem]) -> list[Problem]:
    """The worst first, those of one place together, none twice."""
    return sorted(dict.fromkeys(problems), key=lambda problem: (SEVERITIES.index(problem.severity), problem.where))


def told(severity: str, message: str) -> Problem:
    """A line of a reader, ``PLACE: what was found; what to do``, taken apart. ``PLACE`` is a file, often with its line or key."""
    message = " ".join(message.split())
    where, colon, rest = message.partition(": ")
    found, semicolon, advice = rest.rpartition("; ") if colon else message.rpartition("; ")
    if not semicolon:
        found, advice = (rest if colon else message), ""
    return Problem(severity, where if colon else "", found, advice)


def diameters(image: AnnotatedImage) -> NDArray[np.float64]:
    """sqrt(width x height) px of the objects that count."""
    sides = (image.boxes[:, 2:] - image.boxes[:, :2]).astype(np.float64)[~image.ignore]
    return np.sqrt(np.maximum(sides, 0).prod(axis=1))


def picture_problems(image: AnnotatedImage, look: Look, needs_pixel_size: bool) -> list[Problem]:
    """Of the picture itself. ``needs_pixel_size``: whether pictures are brought to one nm per pixel."""
    if look.error:
        return [told("error", look.error)._replace(where=image.name)]
    found = []
    if look.hw != image.image_hw:
        said = f"the picture is {look.hw[1]} x {look.hw[0]} px, its annotation is of {image.image_hw[1]} x {image.image_hw[0]} px"
        found.append(Problem("error", image.name, said, "use the pictures that were annotated"))
    if look.fingerprint is not None and look.fingerprint.blank:
        found.append(Problem("warning", image.name, "all of the picture is of one grey", "export it again, or take it out"))
    elif look.quality in ("warn", "reject"):
        advice = "take it out, unless pictures like it are to be analysed" if look.quality == "reject" else ""
        found.append(Problem("warning" if look.quality == "reject" else "note", image.name, look.reason, advice))
    if needs_pixel_size and image.pixel_size_nm is None:
        found.append(Problem("error", image.name, "its nm per pixel is unknown, which data.target_nm_per_pixel needs", "give it, or set that to null"))
    return found


def object_problems(image: AnnotatedImage, scale: tuple[float, float], least_px: float) -> list[Problem]:
    """Of one picture's boxes; objects are counted from 1 in the annotation's order.

    Args:
        image: with its boxes.
        scale: factors of x and y from picture px to px of the network's input.
        least_px: of the network's input; narrower objects are ignored in training.
    """
    height, width = image.image_hw
    boxes = image.boxes.astype(np.float64)
    found: list[Problem] = []

    def say(severity: str, which: NDArray[np.bool_], what: str, advice: str) -> None:
        if which.any():
            first = int(np.argmax(which))
            place = f"({'first ' if which.sum() > 1 else ''}object {first + 1} at x {boxes[first, 0]:.0f}, y {boxes[first, 1]:.0f})"
            found.append(Problem(severity, image.name, f"{_plural(int(which.sum()), 'object')} {what} {place}", advice))

    sides = boxes[:, 2:] - boxes[:, :2]
    wrong: NDArray[np.bool_] = np.asarray(~np.isfinite(boxes).all(axis=1) | (sides <= 0).any(axis=1))
    outside: NDArray[np.bool_] = np.asarray(~wrong & ((boxes[:, :2] < -0.5).any(axis=1) | (boxes[:, 2:] > (width + 0.5, height + 0.5)).any(axis=1)))
    say("error", wrong, "without area", "remove or draw again")
    say("error", outside, f"not within the picture of {width} x {height} px", "annotate this very picture")
    good = ~wrong & ~image.ignore
    whole = good & (sides >= WHOLE_PICTURE * np.array([width, height])).all(axis=1)
    say("warning", whole, "as large as the picture", "draw a box round each vesicle")
    narrower = (sides * scale).min(axis=1, initial=np.inf)
    tiny = good & (narrower < least_px)
    said = f"narrower than {least_px:g} px for the network, down to {narrower[tiny].min(initial=np.inf):.2f} px"
    say("warning", tiny, said, "ignored in training: compare the image sizes, or remove specks")
    candidates = np.flatnonzero(good)
    overlap = box_iou(*[torch.from_numpy(boxes[candidates])] * 2).numpy()
    for i, j in np.argwhere(np.triu(overlap >= SAME_BOX, 1)).tolist():
        a, b = candidates[i], candidates[j]
        what = f"objects {a + 1} and {b + 1} are the same box (IoU {overlap[i, j]:.2f})" + (", of two classes" if image.labels[a] != image.labels[b] else "")
        found.append(Problem("warning", image.name, what, "remove one of them"))
    return found


def duplicate_problems(images: Sequence[AnnotatedImage], pairs: Iterable[Similar], part_of: Mapping[str, str]) -> list[Problem]:
    """The same picture twice, and pictures that look alike. ``part_of``: a picture's part of the split by its name."""
    problems = []
    for first, second, kind in pairs:
        names = [images[k].name for k in (first, second)]
        parts = [part_of.get(name, "") for name in names]
        where = " and ".join(name + (f" ({part})" if part else "") for name, part in zip(names, parts, strict=True))
        torn = all(parts) and parts[0] != parts[1]
        if kind is Likeness.SAME:
            effect = "on both sides of the split, so that its scores would be worth nothing" if torn else "which counts twice"
            problems.append(Problem("error" if torn else "warning", where, f"the same picture, {effect}", "remove one of the two"))
            continue
        what = "fields of view that seem to overlap" if kind is Likeness.OVERLAP else "look alike: one may be a turned, flipped, resized or lighter copy"
        advice = "where they show the same, keep them together with data.group"
        problems.append(Problem("warning" if torn else "note", where, what + (", on both sides of the split" if torn else ""), advice))
    return problems


def pixel_size_problems(images: Sequence[AnnotatedImage], looks: Sequence[Look]) -> list[Problem]:
    """Whether the nm per pixel are known, agree, and make vesicles of a size that vesicles have."""
    readable = [(image, look) for image, look in zip(images, looks, strict=True) if not look.error]
    known = {image.name: look.pixel_size_nm for image, look in readable if look.pixel_size_nm is not None}
    problems = []
    if readable and not known:
        problems.append(Problem("note", "", "no picture says how many nm a pixel is", "boxes can be learned without; for sizes in nm give it to predict.py"))
    headers = [Header(look.hw, look.pixel_size_nm, look.source, Path(image.name), look.warnings) for image, look in readable if image.path is not None]
    for doubt in doubts_of_scale(headers):
        found, _, advice = doubt.partition("; ")
        problems.append(Problem("warning", "", found, advice))
    sizes = [diameters(image) * known[image.name] for image, _ in readable if image.name in known]
    median = float(np.median(np.concatenate(sizes))) if sizes and sum(map(len, sizes)) else None
    if median is not None and not VESICLES_NM[0] <= median <= VESICLES_NM[1]:
        found = f"the objects' median diameter is {median:.3g} nm, which vesicles do not have"
        problems.append(Problem("warning", "", found, "look at the pixel sizes and their unit"))
    return problems


def class_problems(images: Sequence[AnnotatedImage], class_names: Sequence[str], part_of: Mapping[str, str]) -> list[Problem]:
    """Objects at all, of all classes, and in the training part; pictures without any."""
    counts = class_counts(images, len(class_names))
    if not counts.sum():
        return [Problem("error", "", f"not one object in {_plural(len(images), 'picture')}", "there is nothing to be learned: look for the annotation")]
    problems = []
    trained = class_counts([image for image in images if part_of.get(image.name) == "train"], len(class_names))
    for name, count, in_training in zip(class_names, counts.tolist(), trained.tolist(), strict=True):
        if not count:
            problems.append(Problem("warning", f"class {name}", "no object of it", "correct the list of names, or the annotation"))
        elif part_of and not in_training:
            found = f"{_plural(count, 'object')}, none in the training part"
            problems.append(Problem("error", f"class {name}", found, "choose another data.split, or another seed"))
        elif count < FEW:
            problems.append(Problem("warning", f"class {name}", f"only {_plural(count, 'object')}", "annotate more, or merge it with another class"))
    if len(counts[counts > 0]) > 1 and counts.max() > IMBALANCE * counts[counts > 0].min():
        rarest = class_names[int(np.argmin(np.where(counts > 0, counts, counts.max())))]
        said = f"{counts.max() / counts[counts > 0].min():.0f} times as many objects of {class_names[int(counts.argmax())]} as of {rarest}"
        problems.append(Problem("note", "", said, "expect the rare class to be found less well; annotate more of it"))
    empty = [image.name for image in images if image.ignore.all()]
    if empty:
        severity, share = ("warning", ", more than half") if len(empty) > len(images) / 2 else ("note", "")
        problems.append(Problem(severity, "", f"{_some(empty)} without objects{share}", "right for pictures of background; else annotate them"))
    return problems


def class_counts(images: Iterable[AnnotatedImage], classes: int) -> NDArray[np.int64]:
    """(C,) objects that count."""
    return sum((np.bincount(image.labels[~image.ignore], minlength=classes) for image in images), np.zeros(classes, np.int64))


def _some(names: Sequence[str]) -> str:
    """How many pictures, and the first of them."""
    more = ", ..." if len(names) > NAMED else ""
    return f"{_plural(len(names), 'picture')} ({', '.join(names[:NAMED])}{more})"


def _plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
