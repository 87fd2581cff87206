"""Sample and Batch: the currency between pictures and the network."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exolight.preprocessing import PADDING_GREY, Placement


class Sample(NamedTuple):
    """One picture as the network's input.

    Attributes:
        image: (H, W) uint8.
        boxes: (N, 4) float32 xyxy in px of ``image``.
        labels: (N,) int64.
        ignore: (N,) bool, regions that count neither way.
        index: of the picture in its data set.
        placement: where the picture lies in ``image``; the identity's where augmentation has made it meaningless.
        image_hw: (height, width) of the picture as recorded.
    """

    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    ignore: NDArray[np.bool_]
    index: int  # type: ignore[assignment]  # tuple's method of that name is not needed
    placement: Placement
    image_hw: tuple[int, int]


class Batch(NamedTuple):
    """B pictures. Ragged: no cap on objects a picture.

    Attributes:
        images: (B, C, H, W) uint8; scaled to floats on the device.
        targets: (M, 6) float32 image index, class, centre x, centre y, width, height; lengths as shares of W and H.
        ignored: (K, 6) float32, the same for regions that count neither way.
        indices: (B,) int64 of the pictures in their data set.
        placements: (B, 4) float64 scale x, scale y, offset x, offset y; input px = picture px * scale + offset.
        image_hw: (B, 2) int64 height, width of the pictures as recorded.
    """

    images: Tensor
    targets: Tensor
    ignored: Tensor
    indices: Tensor
    placements: Tensor
    image_hw: Tensor


def collate(samples: Sequence[Sample], in_chans: int = 1) -> Batch:
    """Join samples; inputs of different sizes are padded right and below to the largest."""
    height, width = (max(s.image.shape[axis] for s in samples) for axis in (0, 1))
    images = np.full((len(samples), in_chans, height, width), PADDING_GREY, dtype=np.uint8)
    objects = []
    for i, sample in enumerate(samples):
        h, w = sample.image.shape
        images[i, :, :h, :w] = sample.image
        centres, sizes = (sample.boxes[:, :2] + sample.boxes[:, 2:]) / 2, sample.boxes[:, 2:] - sample.boxes[:, :2]
        scale = np.array([width, height], dtype=np.float32)
        objects.append(np.column_stack((np.full(len(sample.boxes), i), sample.labels, centres / scale, sizes / scale)))
    rows = torch.from_numpy(np.concatenate(objects).astype(np.float32))
    ignore = torch.from_numpy(np.concatenate([s.ignore for s in samples]))
    return Batch(
        images=torch.from_numpy(images),
        targets=rows[~ignore],
        ignored=rows[ignore],
        indices=torch.tensor([s.index for s in samples]),
        placements=torch.tensor([list(s.placement) for s in samples], dtype=torch.float64),
        image_hw=torch.tensor([s.image_hw for s in samples]),
    )
