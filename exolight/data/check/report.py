"""Read, look, judge, write: the story of a check."""

import dataclasses
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from hydra.utils import instantiate
from omegaconf import DictConfig

from exolight.annotated_image import AnnotatedImage, AnnotationSet
from exolight.data.annotations.check import gathered
from exolight.data.check import problems as rules
from exolight.data.check.overview import PICTURE_COLUMNS, Overview
from exolight.data.check.page import page
from exolight.data.check.problems import SEVERITIES, Look, Problem, ranked, told
from exolight.data.check.scales import scales_of
from exolight.data.datamodule import DetectionDataModule
from exolight.data.duplicates import alike
from exolight.data.fingerprints import THREADS, fingerprint
from exolight.data.sample import Sample
from exolight.data.splits import PARTS, regroup, split_images
from exolight.errors import InputError
from exolight.figures.style import save
from exolight.quality import assess
from exolight.reporting.plain import write_csv

PAGE = "check.html"
PROBLEMS = "problems.csv"
SAMPLES = 8  # augmented pictures shown


class Checked(NamedTuple):
    """The problems, the worst first, and what there is in a sentence."""

    problems: list[Problem]
    sentence: str


def check(cfg: DictConfig, out: Path) -> Checked:
    """Look at the data set of ``cfg`` and write the report into the folder ``out``.

    What cannot be read is listed and left out; the rest is looked at.

    Raises:
        InputError: a setting is wrong, or nothing can be read; then ``out`` holds a table with all that is wrong with the annotation, and no more.
    """
    data: DetectionDataModule = instantiate(cfg.data)(augmentation=instantiate(cfg.augmentation))
    with collected() as problems:
        annotation, wrong = read(data, out)
        with ThreadPoolExecutor(THREADS) as pool:
            looks = list(pool.map(partial(look, quality=cfg.quality), annotation.images))
        images, part_of = _parted(annotation.images, data, problems)
    names = {str(image.path): image.name for image in images}
    problems = [_placed(problem, names, str(data.root)) for problem in (*wrong, *problems)]
    scales = scales_of(images, data, cfg.model, cfg.anchor_recall)
    for image, seen in zip(images, looks, strict=True):
        problems += rules.picture_problems(image, seen, data.target_nm_per_pixel is not None)
        problems += rules.object_problems(image, scales.factors[image.name], scales.least_px)
    pairs = alike([seen.fingerprint for seen in looks], [i if image.group is None else image.group for i, image in enumerate(images)], rules.MOST_PAIRS)
    problems += rules.duplicate_problems(images, pairs, part_of)
    if len(images) * (len(images) - 1) // 2 > rules.MOST_PAIRS:
        problems.append(Problem("note", "", "too many pictures to compare each with each: copies were searched for, overlapping fields were not", ""))
    problems += rules.class_problems(images, annotation.class_names, part_of)
    problems += rules.pixel_size_problems(images, looks)
    problems += scales.problems()
    samples = augmented(data, [image for image, seen in zip(images, looks, strict=True) if part_of.get(image.name) == "train" and seen.hw == image.image_hw])
    overview = Overview(images, annotation.class_names, looks, part_of, pairs, scales, samples)
    return _write(out, str(cfg.data.root or "simulated here"), overview, ranked(problems))


def read(data: DetectionDataModule, out: Path) -> tuple[AnnotationSet, list[Problem]]:
    """What can be read of the annotation, and all that is wrong with it. Where that leaves nothing, a table is written into ``out`` before the error."""
    failure = None
    with gathered() as wrong:
        try:
            images, class_names = data.source()
        except InputError as error:
            if not wrong:
                raise
            wrong.append(str(error))
            images, class_names, failure = [], [], error
    problems = [told("error", each) for each in wrong]
    if wrong and not images:
        _write_problems(out, ranked(problems))
        more = f" (and {len(wrong) - 1} more, all of them are in {out / PROBLEMS})" if len(wrong) > 1 else ""
        raise InputError(f"{wrong[0]}{more}") from failure
    return AnnotationSet([_sound(image, len(class_names)) for image in images] if wrong else images, class_names), problems


def look(image: AnnotatedImage, quality: bool) -> Look:
    """Read a picture once for all that is to be known of it, and if ``quality``, whether it can be analysed."""
    try:
        micrograph = image.read()
    except InputError as error:
        return Look(error=str(error))
    pixels, size = micrograph.pixels, micrograph.pixel_size_nm
    source = micrograph.pixel_size_source
    if image.pixel_size_nm is not None:
        size, source = image.pixel_size_nm, "annotation" if source in ("unknown", "user") else source
    judged = assess(pixels, size) if quality else None
    verdict, reason = ("", "") if judged is None else (judged.verdict, judged.reason)
    return Look(str(pixels.dtype), (pixels.shape[0], pixels.shape[1]), size, source, micrograph.warnings, fingerprint(pixels), verdict, reason)


def augmented(data: DetectionDataModule, images: Sequence[AnnotatedImage]) -> list[tuple[str, Sample]]:
    """Some training pictures, by name, as augmentation would make them in the first epoch; ``images`` are those that can be read."""
    placeable = [image for image in images if data.target_nm_per_pixel is None or image.pixel_size_nm is not None]
    chosen = dict.fromkeys(np.linspace(0, len(placeable) - 1, min(SAMPLES, len(placeable))).round().astype(int).tolist())
    dataset = data.dataset([placeable[i] for i in chosen], data.augmentation)
    dataset.load_all()
    return [(dataset.images[dataset.items[i]].name, dataset[(0, i)]) for i in range(min(SAMPLES, len(dataset)))]


@contextmanager
def collected() -> Iterator[list[Problem]]:
    """A list that what the package says and warns of meanwhile is added to, instead of being printed."""
    problems: list[Problem] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            severity = "error" if record.levelno >= logging.ERROR else "warning" if record.levelno >= logging.WARNING else "note"
            problems.append(told(severity, record.getMessage()))

    logger, handler = logging.getLogger("exolight"), Handler(logging.INFO)
    before = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield problems
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


def _sound(image: AnnotatedImage, classes: int) -> AnnotatedImage:
    """Without the boxes that a reader found impossible, each of which is a problem already."""
    kept = np.isfinite(image.boxes).all(axis=1) & (image.boxes[:, 2:] > image.boxes[:, :2]).all(axis=1) & (image.labels >= 0) & (image.labels < classes)
    outlines = None if image.outlines is None else tuple(outline for outline, keep in zip(image.outlines, kept.tolist(), strict=True) if keep)
    return dataclasses.replace(image, boxes=image.boxes[kept], labels=image.labels[kept], ignore=image.ignore[kept], outlines=outlines)


def _placed(problem: Problem, names: dict[str, str], root: str) -> Problem:
    """With the picture's name, or the file below the data set's folder, in place of a whole path."""
    return problem._replace(where=names.get(problem.where, problem.where).removeprefix(f"{root}/"))


def _parted(images: list[AnnotatedImage], data: DetectionDataModule, problems: list[Problem]) -> tuple[list[AnnotatedImage], dict[str, str]]:
    """The pictures with their groups, and the part of each by name; none where the split is impossible, which is a problem like others."""
    try:
        grouped = images if data.group is None else regroup(images, data.group)
        split = split_images(grouped, data.split_choice, data.seed, data.root)
    except InputError as error:
        problems.append(told("error", str(error)))
        return images, {}
    return grouped, {image.name: part for part, members in zip(PARTS, split, strict=True) for image in members}


def _write(out: Path, title: str, overview: Overview, problems: list[Problem]) -> Checked:
    counts = Counter(problem.severity for problem in problems)
    objects = sum(int((~image.ignore).sum()) for image in overview.images)
    said = ", ".join(f"{counts[severity]} {severity}{'' if counts[severity] == 1 else 's'}" for severity in SEVERITIES)
    sentence = f"{len(overview.images):,} pictures with {objects:,} objects: {said}"
    captions = {}
    for name, (figure, caption) in overview.figures().items():
        path = out / "figures" / f"{name}.png"
        save(figure, path)
        captions[path] = caption
    _write_problems(out, problems)
    write_csv(out / "pictures.csv", PICTURE_COLUMNS, overview.picture_rows(problems))
    text = page(f"Data set {title}", sentence, problems, overview.tables(), captions)
    (out / PAGE).write_text(text, encoding="utf-8")
    return Checked(problems, sentence)


def _write_problems(out: Path, problems: list[Problem]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    write_csv(out / PROBLEMS, Problem._fields, [problem._asdict() for problem in problems])
