"""How large the network would see the objects of a data set, at its image size and at others, and whether its anchors fit them."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig

from exolight.annotated_image import AnnotatedImage
from exolight.data.check.page import Table
from exolight.data.check.problems import Problem
from exolight.data.datamodule import DetectionDataModule
from exolight.data.dataset import DetectionDataset
from exolight.models.anchors import best_possible_recall, default_anchors, fit_anchors

IMAGE_SIZES = (320, 512, 640, 1024)


class Scales(NamedTuple):
    """Objects in px of the network's input.

    Attributes:
        image_size: px, that of the training.
        sizes: for each image size looked at, (N, 2) widths and heights of all objects that count.
        factors: for each picture's name the factors of x and y from its px to those of the input; nan where its nm per pixel are needed and unknown.
        least_px: narrower objects are ignored in training.
        stride: px, the finest.
        anchors: (L, A, 2) px; None for a head without.
        anchor_recall: train.py fits the anchors where they cover a smaller share of the objects.
    """

    image_size: int
    sizes: dict[int, NDArray[np.float64]]
    factors: dict[str, tuple[float, float]]
    least_px: float
    stride: int
    anchors: torch.Tensor | None
    anchor_recall: float

    def problems(self) -> list[Problem]:
        """What training at this image size would suffer from."""
        sizes = self.sizes[self.image_size]
        if not len(sizes):
            return []
        found = []
        median = float(np.median(sizes.min(axis=1)))
        recall = 1.0 if self.anchors is None else best_possible_recall(sizes, self.anchors)
        if median < self.stride:
            what = f"half of the objects are narrower than {median:.1f} px at data.image_size={self.image_size}, less than one cell of stride {self.stride}"
            found.append(Problem("warning", "", what, "a larger data.image_size, data.tile for large fields, or model=n_p2"))
        if recall < self.anchor_recall:
            what = f"the anchors as they are can match {recall:.1%} of the objects at data.image_size={self.image_size}"
            found.append(Problem("note", "", what, "nothing: train.py fits them"))
        return found

    def table(self) -> Table:
        """What each image size would do to the smallest objects."""
        columns = ["image size", "smallest", "1 %", "median", "largest", f"ignored (under {self.least_px:g} px)", f"under a cell ({self.stride} px)"]
        if self.anchors is not None:
            columns += ["anchors' best possible recall", "... once fitted"]
        rows = []
        for image_size, sizes in self.sizes.items():
            name = f"{image_size}{' (data.image_size)' if image_size == self.image_size else ''}"
            if not len(sizes):
                rows.append([name, *["-"] * (len(columns) - 1)])
                continue
            side = sizes.min(axis=1)
            low, first, median, high = np.percentile(side, (0, 1, 50, 100))
            shares = [(side < self.least_px).mean(), (side < self.stride).mean()]
            if self.anchors is not None:
                shares += [best_possible_recall(sizes, anchors) for anchors in (self.anchors, fit_anchors(sizes, self.anchors))]
            rows.append([name, *(f"{value:.1f}" for value in (low, first, median, high)), *(f"{share:.1%}" for share in shares)])
        sentence = "The narrower sides of the objects' boxes in px of the network's input."
        if len(self.sizes) == 1:
            sentence += " They do not depend on the image size: data.tile or data.target_nm_per_pixel sets the scale."
        return Table("What the network would see", sentence, columns, rows)


def scales_of(images: Sequence[AnnotatedImage], data: DetectionDataModule, model: DictConfig, anchor_recall: float) -> Scales:
    """The scales of a data set for the settings of ``data``, and where they fit pictures into the input, for other image sizes beside."""
    needs_pixel_size = data.target_nm_per_pixel is not None
    placeable = [image for image in images if image.pixel_size_nm is not None or not needs_pixel_size]
    fixed = needs_pixel_size or data.tile is not None

    def at(image_size: int) -> DetectionDataset:
        return DetectionDataset(placeable, image_size, target_nm_per_pixel=data.target_nm_per_pixel, tiled=data.tile is not None)

    chosen = at(data.image_size)
    factors = dict.fromkeys((image.name for image in images), (math.nan, math.nan)) | {image.name: chosen.placed(image) for image in placeable}
    image_sizes = [data.image_size] if fixed else sorted({*IMAGE_SIZES, data.image_size})
    sizes = {image_size: _positive(at(image_size).object_sizes()) for image_size in image_sizes}
    strides = [int(stride) for stride in model.strides]
    shapes = model.get("anchors") or default_anchors(strides)
    anchors = torch.tensor([[list(shape) for shape in level] for level in shapes], dtype=torch.float64) if model.head == "anchor" else None
    return Scales(data.image_size, sizes, factors, data.augmentation.min_side, min(strides), anchors, anchor_recall)


def _positive(sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Without those that are no boxes, which are problems of their own."""
    return sizes[(sizes > 0).all(axis=1)]
