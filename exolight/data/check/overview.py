"""What there is in a data set: tables and figures."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from exolight.annotated_image import AnnotatedImage
from exolight.data.check.page import Table
from exolight.data.check.problems import Look, Problem, diameters
from exolight.data.check.scales import Scales
from exolight.data.duplicates import Similar
from exolight.data.sample import Sample
from exolight.data.splits import PARTS
from exolight.errors import InputError
from exolight.figures.data import image_sizes_figure, labels_correlogram_figure
from exolight.figures.labels import labels_figure
from exolight.figures.sheets import mosaic_figure
from exolight.preprocessing import normalise

SAMPLES = 12  # pictures on the sheet
PAIRS = 6  # of pictures that look alike on theirs
MOST_CLASSES = 12  # columns of the table of parts
QUANTILES = (0, 5, 50, 95, 100)
PICTURE_COLUMNS = (
    "image", "part", "group", "width", "height", "pixels", "objects", "ignored", "nm_per_pixel", "nm_per_pixel_source",
    "smallest_px", "median_px", "largest_px", "smallest_nm", "median_nm", "largest_nm", "quality", "problems",
)  # fmt: skip


class Overview(NamedTuple):
    """All that was gathered about a data set.

    Attributes:
        images, class_names: as read.
        looks: one a picture.
        part_of: the part of the split by a picture's name; a picture left out is not in it.
        alike: equal or similar pictures.
        scales: how large the network would see the objects.
        samples: training pictures by name, as augmentation makes them.
    """

    images: Sequence[AnnotatedImage]
    class_names: Sequence[str]
    looks: Sequence[Look]
    part_of: Mapping[str, str]
    alike: Sequence[Similar]
    scales: Scales
    samples: Sequence[tuple[str, Sample]] = ()

    def tables(self) -> list[Table]:
        """For the page."""
        quality = [self._quality()] if any(look.quality for look in self.looks) else []
        return [self._parts(), self._sizes(), self._recorded(), self.scales.table(), *quality]

    def picture_rows(self, problems: Sequence[Problem]) -> list[dict[str, Any]]:
        """A row of ``PICTURE_COLUMNS`` each; sizes are sqrt(width x height) of the boxes."""
        counts = Counter(problem.where for problem in problems)
        rows = []
        for image, look in zip(self.images, self.looks, strict=True):
            sizes = diameters(image)
            row: dict[str, Any] = {
                "image": image.name,
                "part": self.part_of.get(image.name, ""),
                "group": image.group,
                "width": image.image_hw[1],
                "height": image.image_hw[0],
                "pixels": look.dtype,
                "objects": len(sizes),
                "ignored": int(image.ignore.sum()),
                "nm_per_pixel": look.pixel_size_nm,
                "nm_per_pixel_source": look.source,
                "quality": look.quality,
                "problems": counts[image.name],
            }
            if len(sizes):
                named = zip(("smallest", "median", "largest"), np.percentile(sizes, (0, 50, 100)).tolist(), strict=True)
                for name, value in named:
                    row |= {f"{name}_px": value, f"{name}_nm": None if look.pixel_size_nm is None else value * look.pixel_size_nm}
            rows.append(row)
        return rows

    def figures(self) -> dict[str, tuple[Figure, str]]:
        """By file name, those that YOLOv5's users know under the names they know, with what is to be seen on them."""
        boxes, hws = [image.boxes[~image.ignore] for image in self.images], [image.image_hw for image in self.images]
        labels = [image.labels[~image.ignore] for image in self.images]
        sizes = image_sizes_figure(self.scales.sizes, self.scales.least_px, self.scales.stride)
        by_count = np.argsort([len(each) for each in boxes], kind="stable")
        chosen = dict.fromkeys(by_count[np.linspace(0, len(boxes) - 1, min(SAMPLES, len(boxes))).round().astype(int)].tolist())
        drawn = {
            "labels": (labels_figure(boxes, hws, labels, list(self.class_names)), "How many objects there are, how large, of what shape, and where."),
            "labels_correlogram": (labels_correlogram_figure(boxes, hws), "Places and sizes over each other, as shares of the picture."),
            "image_sizes": (sizes, "What each size of the network's input would do to the smallest objects."),
            "batch_labels": (self._sheet(list(chosen)), "Pictures from the emptiest to the fullest, with their boxes and how many they are."),
        }
        if self.samples:
            drawn["train_batch"] = (self._augmented(), "Training pictures as the network would see them, augmented and joined: boxes must sit on objects.")
        if self.alike:
            pairs = [k for pair in self.alike[:PAIRS] for k in (pair.first, pair.second)]
            drawn["duplicates"] = (self._sheet(pairs), "Pictures that are the same or look alike, in pairs from left to right.")
        return drawn

    def _sheet(self, chosen: Sequence[int]) -> Figure:
        """Those pictures that can be read."""
        shown: list[tuple[NDArray[np.uint8], AnnotatedImage]] = []
        for k in chosen:
            try:
                shown.append((normalise(self.images[k].read().pixels), self.images[k]))
            except InputError:
                continue
        return mosaic_figure([pixels for pixels, _ in shown], [image.boxes[~image.ignore] for _, image in shown], names=[image.name for _, image in shown])

    def _augmented(self) -> Figure:
        boxes = [sample.boxes[~sample.ignore] for _, sample in self.samples]
        return mosaic_figure([sample.image for _, sample in self.samples], boxes, names=[name for name, _ in self.samples])

    def _parts(self) -> Table:
        """A row a part of the split, and one of all."""
        names = list(self.class_names[:MOST_CLASSES]) if len(self.class_names) > 1 else []
        columns = ("part", "pictures", "without objects", "groups", "objects", *names, "ignored regions")
        members = {part: [i for i, image in enumerate(self.images) if self.part_of.get(image.name, "left out") == part] for part in (*PARTS, "left out")}
        rows = [self._part(part, which, len(names)) for part, which in members.items() if which]
        rows.append(self._part("all", range(len(self.images)), len(names)))
        sentence = "A group is what stays in one part of the split: a picture, unless the annotation or data.group says which belong together."
        return Table("What there is", sentence, columns, rows)

    def _part(self, part: str, which: Sequence[int], classes: int) -> list[str]:
        images = [self.images[i] for i in which]
        labels = np.concatenate([image.labels[~image.ignore] for image in images])
        groups = len({("picture", image.name) if image.group is None else ("group", image.group) for image in images})
        numbers = (len(images), sum(bool(image.ignore.all()) for image in images), groups, len(labels), *(int((labels == k).sum()) for k in range(classes)))
        return [part, *(f"{n:,}" for n in numbers), f"{sum(int(image.ignore.sum()) for image in images):,}"]

    def _sizes(self) -> Table:
        """How large the objects are, in px and in nm."""
        nothing: NDArray[np.float64] = np.zeros(0)
        px = [diameters(image) for image in self.images]
        nm = [each * look.pixel_size_nm for each, look in zip(px, self.looks, strict=True) if look.pixel_size_nm is not None]
        rows = [
            [unit, f"{len(sizes):,}", *(f"{value:.1f}" for value in np.percentile(sizes, QUANTILES))]
            for unit, sizes in (("px", np.concatenate([nothing, *px])), ("nm", np.concatenate([nothing, *nm])))
            if len(sizes)
        ]
        columns = ("", "objects", "smallest", "5 %", "median", "95 %", "largest")
        return Table("How large the objects are", "sqrt(width × height) of their boxes; in nm where the nm per pixel are known.", columns, rows)

    def _quality(self) -> Table:
        """How many pictures can be analysed, and why others cannot."""
        counts = Counter(look.quality for look in self.looks)
        rows = [[verdict, f"{counts[verdict]:,}"] for verdict in ("usable", "warn", "reject")]
        return Table("Picture quality", "What can be told from the grey levels; the reasons are among the problems.", ("verdict", "pictures"), rows)

    def _recorded(self) -> Table:
        """How the pictures were recorded: a row for each kind."""
        kinds: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
        for image, look in zip(self.images, self.looks, strict=True):
            size = math.nan if look.pixel_size_nm is None else look.pixel_size_nm
            kinds.setdefault((look.dtype or "cannot be read", look.source), []).append((image.image_hw[1], image.image_hw[0], size))
        columns = ("pictures", "pixels", "width px", "height px", "nm per pixel", "known from")
        frequent = sorted(kinds.items(), key=lambda item: -len(item[1]))
        rows = [[f"{len(sizes):,}", kind, *(_range(each) for each in zip(*sizes, strict=True)), source] for (kind, source), sizes in frequent]
        return Table("How it was recorded", "", columns, rows)


def _range(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return "-" if math.isnan(low) else f"{low:.4g}" if f"{low:.4g}" == f"{high:.4g}" else f"{low:.4g} to {high:.4g}"
