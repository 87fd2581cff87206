"""Datasets: annotated pictures as samples. Training pictures are augmented, evaluation pictures are whole."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from exolight.annotated_image import AnnotatedImage
from exolight.data.augmentation import Augmentation, Scene, outline_points
from exolight.data.cache import DiskCache, opened
from exolight.data.sample import Sample
from exolight.errors import InputError
from exolight.preprocessing import Placement, letterbox_factor, normalise, place, rescale

log = logging.getLogger(__name__)


class DetectionDataset(Dataset[Sample]):
    """Pictures of a data set, normalised, rescaled once, augmented for training or padded for evaluation.

    Args:
        images: what is known of each picture. In training, one that can be made afresh (``AnnotatedImage.fresh``) is another one in every epoch.
        image_size: px, the side of the network's square input.
        augmentation: for training; None: whole pictures, nothing random.
        seed: with the epoch and the index it decides all randomness of a sample.
        epochs: of the whole training; augmentation closes its mosaic that many epochs before the end.
        target_nm_per_pixel: rescale to this many nm per pixel instead of fitting pictures into the input; every picture must know its own.
        tiled: pictures stay as large as they are (or as ``target_nm_per_pixel`` makes them) instead of being fitted into the input. Training sees windows of
            the input's size, in an epoch as many of each picture as would cover it; evaluation sees whole fields.
        cache_gib: keep up to this much of the rescaled pictures in memory; nothing is kept of fresh ones, which no other epoch sees.
        cache_folder: where those that find no room in memory are kept, ready to be read in part; None: they are decoded again for every epoch.
    """

    def __init__(
        self,
        images: Sequence[AnnotatedImage],
        image_size: int,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        epochs: int = 1,
        target_nm_per_pixel: float | None = None,
        tiled: bool = False,
        cache_gib: float = 2.0,
        cache_folder: Path | None = None,
    ) -> None:
        self.images = list(images)
        self.image_size = image_size
        self.augmentation = augmentation
        self.seed = seed
        self.epochs = epochs
        self.target_nm_per_pixel, self.tiled = target_nm_per_pixel, tiled
        self.cache_bytes = cache_gib * 2**30
        self.disk = None if cache_folder is None else DiskCache(cache_folder)
        self._cache: dict[int, NDArray[np.uint8] | Path] = {}
        self._outlines: dict[int, tuple[NDArray[np.float32], NDArray[np.int64]]] = {}
        # Which picture each sample is of: in training on tiles large ones come several times in an epoch.
        self.items = [i for i in range(len(self.images)) for _ in range(self._windows(i))]

    def __len__(self) -> int:
        return len(self.items)

    def factor(self, image: AnnotatedImage) -> float:
        """The scale that the wanted nm per pixel asks for; or else 1 on tiles, or that at which the picture fits into the input."""
        target = self.target_nm_per_pixel
        if target is None:
            return 1.0 if self.tiled else letterbox_factor(image.image_hw, self.image_size)
        if image.pixel_size_nm is None:
            raise InputError(f"{image.name}: its nm per pixel is unknown, which data.target_nm_per_pixel={target} needs: give it or set that to null")
        return image.pixel_size_nm / target

    def placed(self, image: AnnotatedImage) -> tuple[float, float]:
        """Factors of x and y from picture px to px of the network's input, before augmentation."""
        hw, factor = image.image_hw, self.factor(image)
        return max(1, round(hw[1] * factor)) / hw[1], max(1, round(hw[0] * factor)) / hw[0]

    def object_sizes(self) -> NDArray[np.float64]:
        """(N, 2) width, height in px of the network's input of all objects that count, in the pictures as listed."""
        sizes = [np.zeros((0, 2))]
        for image in self.images:
            kept = image.boxes[~image.ignore]
            sizes.append((kept[:, 2:] - kept[:, :2]) * np.array(self.placed(image)))
        return np.concatenate(sizes)

    def load_all(self) -> None:
        """Read every picture that is not made afresh once, before workers are started, and keep the rescaled ones where they fit into memory.

        Raises:
            InputError: for all unreadable pictures at once; the log names each.
        """
        lasting = [i for i in range(len(self.images)) if self._fresh(i) is None]
        sizes = {i: round(math.prod(self.images[i].image_hw) * math.prod(self.placed(self.images[i]))) for i in lasting}
        room, in_memory = self.cache_bytes, set()
        for i in sorted(lasting, key=sizes.__getitem__):  # small ones first: of a large one the disk gives the window that is wanted
            room -= sizes[i]
            if room >= 0:
                in_memory.add(i)

        def attempt(index: int) -> NDArray[np.uint8] | Path | InputError | None:
            image = self.images[index]
            try:
                if index not in in_memory and self.disk is not None and image.path is not None:
                    kept = self.disk.keep(image.path, f"{image.image_hw} {self.factor(image)!r}", lambda: self._read(image))
                    if kept is not None:
                        return kept
                pixels = self._read(image)
                return pixels if index in in_memory else None
            except InputError as error:
                return error

        with ThreadPoolExecutor(4) as pool:
            results = dict(zip(lasting, pool.map(attempt, lasting), strict=True))
        problems = [r for r in results.values() if isinstance(r, InputError)]
        for problem in problems:
            log.error("%s", problem)
        if problems:
            more = f" (and {len(problems) - 1} more pictures, see the log)" if len(problems) > 1 else ""
            raise InputError(f"{problems[0]}{more}")
        self._cache = {i: r for i, r in results.items() if isinstance(r, np.ndarray | Path)}
        kept = [i for i, r in self._cache.items() if isinstance(r, Path)]
        if kept and self.disk is not None:
            log.info("%d pictures (%.1f GiB) are kept ready in %s", len(kept), sum(sizes[i] for i in kept) / 2**30, self.disk.folder)
        again = [i for i in lasting if i not in self._cache]
        if again:
            log.info("%d pictures (%.1f GiB) find no room and are read again for every epoch", len(again), sum(sizes[i] for i in again) / 2**30)

    def _windows(self, index: int) -> int:
        """Samples of a picture in an epoch."""
        if not self.tiled or self.augmentation is None:
            return 1
        image = self.images[index]
        return max(1, round(math.prod(image.image_hw) * math.prod(self.placed(image)) / self.image_size**2))

    def _read(self, image: AnnotatedImage) -> NDArray[np.uint8]:
        """The picture, normalised as a whole and rescaled once."""
        pixels = image.read().pixels
        (height, width), (told_height, told_width) = pixels.shape, image.image_hw
        if (height, width) != (told_height, told_width):
            raise InputError(f"{image.name}: the picture is {height} x {width} px, its annotation says {told_height} x {told_width}")
        return rescale(normalise(pixels), self.factor(image))[0]

    def _pixels(self, index: int) -> NDArray[np.uint8]:
        kept = self._cache.get(index)
        return self._read(self.images[index]) if kept is None else opened(kept) if isinstance(kept, Path) else kept

    def _points(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        if index not in self._outlines:
            self._outlines[index] = outline_points(self.images[index].boxes, self.images[index].outlines)
        return self._outlines[index]

    def _fresh(self, index: int) -> Callable[[int], AnnotatedImage] | None:
        """What makes the pictures of this index; None where there is only the one listed, as always in evaluation."""
        return None if self.augmentation is None else self.images[index].fresh

    def picture(self, index: int, epoch: int) -> AnnotatedImage:
        """The picture that stands for an index in an epoch."""
        fresh = self._fresh(index)
        return self.images[index] if fresh is None else fresh(epoch)

    def scene(self, index: int, image: AnnotatedImage) -> Scene:
        """What stands for an index at the network's scale, with its objects, unpadded. Nothing is kept of a fresh picture: the next epoch has another."""
        if image is self.images[index]:
            pixels, (points, counts) = self._pixels(index), self._points(index)
        else:
            pixels, (points, counts) = self._read(image), outline_points(image.boxes, image.outlines)
        return Scene(pixels, points * np.array(self.placed(image), dtype=np.float32), counts, image.labels, image.ignore)

    def __getitem__(self, key: int | tuple[int, int]) -> Sample:
        """Sample ``item``, or (epoch, item) in training."""
        epoch, item = key if isinstance(key, tuple) else (0, key)
        index = self.items[item]
        image = self.picture(index, epoch)
        if self.augmentation is None:
            pixels, placement = self._whole(index)
            return Sample(pixels, placement.to_input(image.boxes), image.labels, image.ignore, index, placement, image.image_hw)

        def load(i: int) -> Scene:
            return self.scene(index, image) if i == item else self.scene(self.items[i], self.picture(self.items[i], epoch))

        rng = np.random.default_rng((self.seed, epoch, item))
        mosaic_open = epoch < self.epochs - self.augmentation.close_mosaic
        made = self.augmentation(load, item, len(self), self.image_size, rng, mosaic_open)
        return Sample(made.image, made.boxes, made.labels, made.ignore, index, Placement(1.0, 1.0), image.image_hw)

    def _whole(self, index: int) -> tuple[NDArray[np.uint8], Placement]:
        pixels, scale = self._pixels(index), self.placed(self.images[index])
        field, placement = place(pixels, self.image_size, factor=1.0)
        return field, placement._replace(scale_x=scale[0], scale_y=scale[1])


class EpochSampler(Sampler[tuple[int, int]]):
    """Yields (epoch, index), so that loader workers know the epoch without being told.

    Lightning asks for the first epoch's iterator before it says which epoch it is; a resumed run would otherwise repeat an old permutation. Each iteration is
    one epoch; a resumed run sets ``epoch`` before the first. Every rank gets as many samples as any other; some may come twice.

    Args:
        count: of pictures.
        seed: with the epoch it decides the order.
        rank, ranks: this process, and how many share the pictures.
    """

    def __init__(self, count: int, seed: int = 0, rank: int = 0, ranks: int = 1) -> None:
        self.count, self.seed, self.rank, self.ranks = count, seed, rank, ranks
        self.epoch = 0

    def __len__(self) -> int:
        return -(-self.count // self.ranks)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        order = np.random.default_rng((self.seed, epoch)).permutation(self.count).tolist()
        order = (order * self.ranks)[: len(self) * self.ranks] if self.count < self.ranks else order + order[: len(self) * self.ranks - self.count]
        return iter([(epoch, index) for index in order[self.rank :: self.ranks]])


class ShardSampler(Sampler[int]):
    """Every ``ranks``-th picture in order, for evaluation; no rank without any: the last ones may come twice and are counted once."""

    def __init__(self, count: int, rank: int = 0, ranks: int = 1) -> None:
        self.count, self.rank, self.ranks = count, rank, ranks

    def __len__(self) -> int:
        return -(-self.count // self.ranks)

    def __iter__(self) -> Iterator[int]:
        return (i % self.count for i in range(self.rank, len(self) * self.ranks, self.ranks))
