"""Which pictures train, which validate and which test; groups (one specimen, copies of one picture) are never torn apart."""

import dataclasses
import logging
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from exolight.annotated_image import AnnotatedImage
from exolight.data.annotations.pictures import sibling_group
from exolight.errors import InputError

logger = logging.getLogger(__name__)

PARTS = ("train", "val", "test")
PRESETS: Mapping[str, Mapping[str, float]] = {
    "standard": {"train": 0.70, "val": 0.15, "test": 0.15},
    "case_study": {"train": 0.20, "val": 0.10, "test": 0.70},  # Proença & Alves de Matos, Ann Antivir Antiretrovir 5, 2021
}
_FOLDER_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test", "testing": "test"}
_HOW = "data.split can be standard, case_study, folders, all, fractions like {train: 0.7, val: 0.15, test: 0.15} or lists like {train: train.txt, val: val.txt}"


class Split(NamedTuple):
    """Three lists of pictures, each sorted by name, without a picture or a group in common."""

    train: list[AnnotatedImage]
    val: list[AnnotatedImage]
    test: list[AnnotatedImage]


def split_images(
    images: Sequence[AnnotatedImage], split: str | Mapping[str, object], seed: int, root: str | Path | None = None, group: str | None = None
) -> Split:
    """Splits a data set; the same for the same names, groups, numbers of objects, ``split`` and ``seed``, whatever order the pictures come in.

    Args:
        images: all pictures of the data set.
        split: "standard" (70/15/15 %), "case_study" (20/10/70 %), a mapping of fractions that sum to 1, "folders" (by a folder train, val
            or valid, test in the name), "all" (everything trains), or a mapping of each part to what belongs in it: a text file of names
            under ``root`` (``train.txt``), a folder of the data set (``dataset_01``), a name, or a list of these. A name may leave out
            folders and suffix as long as one picture is meant.
        seed: for fractions.
        root: where text files are; the working folder by default.
        group: what belongs together and stays in one part, see ``regroup``; None: what the annotation says.

    Raises:
        InputError: anything else, fractions that do not sum to 1, a name that is unknown, a part that stays empty, or a picture or a
            group in two parts.
    """
    ordered = sorted(images if group is None else regroup(images, group), key=lambda image: image.name)
    if split == "all":
        return Split(ordered, [], [])
    if split == "folders":
        return _checked(_by_folder_names(ordered), ordered)
    if isinstance(split, str):
        if split not in PRESETS:
            raise InputError(f"data.split is {split!r}; {_HOW}")
        split = PRESETS[split]
    if not isinstance(split, Mapping) or not split or not set(split) <= {*PARTS, "valid"} or {"val", "valid"} <= set(split):
        raise InputError(f"data.split is {split!r}; {_HOW}")
    wanted = {"val" if part == "valid" else part: value for part, value in split.items() if value is not None}
    numbers = {part: float(value) for part, value in wanted.items() if isinstance(value, int | float) and not isinstance(value, bool)}
    if len(numbers) == len(wanted):
        return _by_fractions(ordered, numbers, seed)
    if numbers or "train" not in wanted:
        raise InputError(f"data.split is {dict(split)!r}; {_HOW}")
    return _checked(_by_lists(ordered, wanted, Path(root or ".")), ordered)


def write_split(split: Split, folder: str | Path) -> None:
    """Writes train.txt, val.txt and test.txt with a name a line; as lists for ``split_images`` they give the same split again."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for part, images in zip(PARTS, split, strict=True):
        text = "".join(f"{image.name}\n" for image in images)
        (folder / f"{part}.txt").write_text(text, encoding="utf-8", newline="\n")


def regroup(images: Iterable[AnnotatedImage], group: str) -> list[AnnotatedImage]:
    """The pictures with groups of the user's choice: all pictures of one donor, of one grid, of one day.

    Args:
        images: of a data set.
        group: "folder" (pictures of one folder belong together), or a regular expression that is searched for in each name (the path under the root, with
            "/"): what its parentheses catch, or else all that it matches, names the group. ``.rf.HASH``, which Roboflow adds to copies of one picture, is
            left out of the name. A picture without a match keeps the group that it has.

    Raises:
        InputError: no regular expression, or one that matches no picture; or copies of one picture would come into different groups.
    """
    try:
        pattern = re.compile(group)
    except re.error as error:
        raise InputError(f"data.group={group}: no regular expression ({error}); wanted something like (donor[0-9]+), or folder") from error
    grouped: list[AnnotatedImage] = []
    missed: list[str] = []
    copies: dict[str, AnnotatedImage] = {}
    for image in images:
        path, stem = PurePosixPath(_plain(image.name)), sibling_group(Path(image.name))
        text = path.parent.as_posix() if group == "folder" else _caught(pattern, (path.with_name(stem + path.suffix) if stem else path).as_posix())
        if text:
            image = dataclasses.replace(image, group=text)
        else:
            missed.append(image.name)
        if stem and (other := copies.setdefault(stem, image)).group != image.group:
            raise InputError(f"data.group={group}: puts {other.name} and {image.name}, copies of one picture, into different groups; choose another")
        grouped.append(image)
    if grouped and len(missed) == len(grouped):
        raise InputError(f"data.group={group}: matches not one of {len(grouped)} names, such as {missed[0]}; correct the regular expression")
    if missed:
        logger.warning("data.group=%s: does not match %d of %d names, such as %s; they stay as they are", group, len(missed), len(grouped), missed[0])
    return grouped


def _caught(pattern: re.Pattern[str], name: str) -> str:
    """What a regular expression's parentheses catch in a name, or all that it matches where it has none; "" where it does not match."""
    match = pattern.search(name)
    return "" if match is None else " ".join(filter(None, match.groups())) if match.groups() else match[0]


def _group(image: AnnotatedImage) -> tuple[str, str]:
    """What must stay together; a picture without a group is one of its own."""
    return ("picture", image.name) if image.group is None else ("group", image.group)


def _by_fractions(images: Sequence[AnnotatedImage], fractions: Mapping[str, float], seed: int) -> Split:
    """Groups are dealt, in the order of how many objects their pictures have, to the part that lags furthest behind its share so far.

    So every part gets its share of empty, of sparse and of crowded pictures. No part with a fraction stays empty if groups suffice.
    """
    total = sum(fractions.values())
    if not math.isfinite(total) or abs(total - 1) > 1e-6 or min(fractions.values()) < 0:
        raise InputError(f"data.split: the fractions {dict(fractions)} sum to {total:g}; make them sum to 1, none negative")
    open_parts = [part for part in PARTS if fractions.get(part, 0) > 0]
    parts: dict[str, list[AnnotatedImage]] = {part: [] for part in PARTS}
    dealt = 0
    groups = _ordered_groups(images, math.ceil(1 / min(fractions[part] for part in open_parts)), seed)
    for done, group in enumerate(groups):
        dealt += len(group)
        empty = [part for part in open_parts if not parts[part]]
        candidates = empty[:1] if len(groups) - done <= len(empty) else open_parts  # the last groups fill what is empty, training first
        parts[max(candidates, key=lambda part: fractions[part] * dealt - len(parts[part]))] += group
    if len(groups) < len(open_parts):
        logger.warning("%d independent pictures or groups are too few for %s; some stay empty", len(groups), ", ".join(open_parts))
    return _split(parts)


def _ordered_groups(images: Sequence[AnnotatedImage], stratum: int, seed: int) -> list[list[AnnotatedImage]]:
    """The groups in a circle on which neighbours have about as many objects per picture, from a random one on, shuffled within every ``stratum`` of them.

    Systematic sampling (Madow and Madow, Ann. Math. Statist. 15, 1944) on a circle: no picture is likelier than another to come into a part.
    """
    groups: dict[tuple[str, str], list[AnnotatedImage]] = {}
    for image in images:
        groups.setdefault(_group(image), []).append(image)
    rng = np.random.default_rng(seed)
    shuffled = [list(groups.values())[index] for index in rng.permutation(len(groups))]
    ordered = sorted(shuffled, key=lambda group: sum(int((~image.ignore).sum()) for image in group) / len(group))
    circle = ordered[::2] + ordered[1::2][::-1]  # up and down again
    start = int(rng.integers(max(len(circle), 1)))
    circle = circle[start:] + circle[:start]
    strata = [circle[first : first + stratum] for first in range(0, len(circle), stratum)]
    return [part[index] for part in strata for index in rng.permutation(len(part))]


def _by_folder_names(images: Sequence[AnnotatedImage]) -> dict[str, list[AnnotatedImage]]:
    parts: dict[str, list[AnnotatedImage]] = {part: [] for part in PARTS}
    for image in images:
        folders = [folder.lower() for folder in PurePosixPath(image.name).parts[:-1]]
        part = next((_FOLDER_NAMES[folder] for folder in folders if folder in _FOLDER_NAMES), None)
        if part is not None:
            parts[part].append(image)
    for part in ("train", "val"):
        if not parts[part]:
            raise InputError(f"data.split=folders: no picture lies in a folder {part}{' or valid' if part == 'val' else ''}; {_HOW}")
    return parts


def _by_lists(images: Sequence[AnnotatedImage], wanted: Mapping[str, object], root: Path) -> dict[str, list[AnnotatedImage]]:
    names = _Names(images)
    parts: dict[str, list[AnnotatedImage]] = {part: [] for part in PARTS}
    for part, value in wanted.items():
        entries = [value] if isinstance(value, str) else value
        if not isinstance(entries, Sequence) or not all(isinstance(entry, str) for entry in entries):
            raise InputError(f"data.split.{part} is {value!r}; wanted a text file of names, a folder, or a list of names")
        for entry in entries:
            if entry.lower().endswith(".txt"):
                found = _listed(root / entry, names)
            else:
                found = names.find(entry, f"data.split.{part}") or names.in_folder(entry)
                if not found:
                    raise InputError(f"data.split.{part}: {entry} is neither a picture nor a folder of the data set; correct the name")
            parts[part] += found
        parts[part] = list({image.name: image for image in parts[part]}.values())
    if not parts["train"]:
        raise InputError(f"data.split.train: {wanted['train']} names no picture; training needs at least one")
    return parts


def _listed(file: Path, names: "_Names") -> list[AnnotatedImage]:
    try:
        lines = file.read_text("utf-8-sig").split("\n")  # not splitlines(): names may hold its rarer separators
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read ({error}); check data.split and data.root") from error
    found: list[AnnotatedImage] = []
    for number, line in enumerate(lines, start=1):
        place = f"{file}:{number}"
        if line.strip():
            match = names.find(line, place) or names.find(line.strip(), place)
            if not match:
                raise InputError(f"{place}: {line.strip()} is no picture of the data set; correct or remove the line")
            found += match
    return found


class _Names:
    """Finds pictures by what people write: the whole name, the name without suffix, the file's name, or its stem."""

    def __init__(self, images: Iterable[AnnotatedImage]) -> None:
        self.images = list(images)
        self.levels: list[dict[str, list[AnnotatedImage]]] = [{}, {}, {}, {}]
        for image in self.images:
            path = PurePosixPath(_plain(image.name))
            for level, key in zip(self.levels, (str(path), str(path.with_suffix("")), path.name, path.stem), strict=True):
                level.setdefault(key, []).append(image)

    def find(self, name: str, place: str) -> list[AnnotatedImage]:
        """The one picture meant, or none. Raises ``InputError``, beginning with ``place``, where it is one of several."""
        key = _plain(name)
        found: list[AnnotatedImage] = next((level[key] for level in self.levels if key in level), [])
        if len(found) > 1:
            raise InputError(f"{place}: {key} means {len(found)} pictures ({found[0].name}, {found[1].name}, ...); write the whole name")
        return found

    def in_folder(self, folder: str) -> list[AnnotatedImage]:
        """All pictures with this folder (``a`` or ``a/b``) anywhere in their name."""
        wanted = f"/{_plain(folder).strip('/')}/"
        return [image for image in self.images if wanted in f"/{_plain(PurePosixPath(image.name).parent.as_posix())}/"]


def _plain(name: str) -> str:
    """One spelling of a name: composed accents (macOS decomposes them), '/', no leading './'."""
    return unicodedata.normalize("NFC", name).replace("\\", "/").removesuffix("\r").removeprefix("./")


def _checked(parts: Mapping[str, list[AnnotatedImage]], images: Sequence[AnnotatedImage]) -> Split:
    """The split. Raises ``InputError`` where a picture or a group is in two parts."""
    where: dict[tuple[str, str], tuple[str, str]] = {}
    for part in PARTS:
        for image in parts[part]:
            other, name = where.setdefault(_group(image), (part, image.name))
            if other != part:
                same = f"{image.name} is" if name == image.name else f"{name} and {image.name} are of one group ({image.group}) and"
                raise InputError(f"data.split: {same} in both {other} and {part}; keep {'it' if name == image.name else 'them'} in one of the two")
    left_out = len(images) - sum(map(len, parts.values()))
    if left_out:
        logger.info("%d of %d pictures are in no part of the split and are left out", left_out, len(images))
    return _split(parts)


def _split(parts: Mapping[str, list[AnnotatedImage]]) -> Split:
    train, val, test = (sorted(parts[part], key=lambda image: image.name) for part in PARTS)
    return Split(train, val, test)
