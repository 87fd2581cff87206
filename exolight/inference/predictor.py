"""Predictor: a trained detector, from pictures to detections in image pixels; the same preprocessing as in training.

    predictor = Predictor.from_checkpoint("best.ckpt")
    detections = predictor("field.tif")                      # .boxes (N, 4) xyxy px, .scores, .labels, .diameters_px
    for detections in predictor.predict(["a.tif", array]):   # many, side by side
        ...
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from exolight.checkpoint import in_short, load_detector
from exolight.detections import Detections
from exolight.errors import InputError
from exolight.inference.pixel_sizes import PixelSize
from exolight.inference.runtimes import choose_network
from exolight.inference.views import LARGE, Part, View, in_picture, large_ones, tile_views, together, whole_views
from exolight.micrograph import Micrograph, ScaleBar, finite_pixels, read_micrograph
from exolight.models.detector import Detector
from exolight.models.suppression import suppress
from exolight.preprocessing import letterbox_factor, normalise
from exolight.thresholds import Thresholds

Picture = str | Path | NDArray[np.generic] | Micrograph
Item = TypeVar("Item")
Result = TypeVar("Result")

# A side up to this many times the training's is scaled to fit; above, tile="auto" looks closer.
FITS = 2.0
# Objects a first look must find, and how much closer the second one must be, for tile="auto" to trust and to bother.
FEWEST, CLOSER = 3, 1.5
# Pixels of pictures read ahead and held at once; a larger picture comes alone.
PIXELS_AT_ONCE = 2**24
LEAST_SAID = 0.02  # scores below it count as 0 in the mean of several looks
READ_AHEAD = 4  # pictures for each thread that looks at them, or a batch where that is more


class Found(NamedTuple):
    """What was found in one picture, and what it took.

    Attributes:
        detections: in px of the picture.
        scale: px of the network's input per px of the picture; of the tiles where there are any, other scales of the augmentation aside.
        views: inputs of the network that the picture became.
        network_ms, suppression_ms: the picture's share of its batches' time; other pictures may be under way at the same time.
    """

    detections: Detections
    scale: float
    views: int
    network_ms: float
    suppression_ms: float


class Prediction(NamedTuple):
    """What was found in one file.

    Attributes:
        path: the file.
        micrograph: the picture as recorded, with its pixel size where that is known.
        image: (H, W) uint8, the picture as the detector saw it before rescaling: normalised.
        found: what was found, in px of the picture.
        read_ms: to read and normalise it; the next pictures are read while the network works.
        scale_bar: the bar drawn in the picture, where it was asked for and found.
    """

    path: Path
    micrograph: Micrograph
    image: NDArray[np.uint8]
    found: Found
    read_ms: float
    scale_bar: ScaleBar | None = None

    @property
    def detections(self) -> Detections:
        """In px of the picture."""
        return self.found.detections


class Failure(NamedTuple):
    """A file that could not be read or predicted, and why, in one line."""

    path: Path
    reason: str


class Tiling(NamedTuple):
    """How a large picture is cut: px of the network's input per px of the picture; side and overlap of the tiles in px of the input."""

    factor: float
    side: int
    overlap: int


class Predictor:
    """Runs a detector on pictures of any size.

    Args:
        detector: a trained one.
        thresholds: which candidate boxes are kept.
        image_size: side of the network's square input in px.
        device: "cpu", "cuda", "cuda:1", "mps", or "auto" for the best one there is.
        batch_size: inputs of the network at once; None: 1 on a CPU, where more are no faster, else 8.
        pixel_size_nm: nm per pixel that pictures are rescaled to, where the detector was trained so; pictures that do not know theirs are scaled to fit.
        object_size_px: from the smallest to the largest object the detector learned, in px of its input, where known.
        tile: None: a picture is one input of the network. A number of px: one that is larger, at the scale of ``pixel_size_nm`` or else as recorded, is
            cut into overlapping tiles of that side. "auto": one much larger than ``image_size`` is cut into tiles of ``image_size``, at the scale of
            ``pixel_size_nm``, or else at that at which what a first look at the whole finds has the size of the objects learned.
        augmented: test-time augmentation: the mean of six looks, flipped and at other scales.
        floor: report boxes down to this score, under that of ``thresholds``, for scoring; those above are the same with or without.
        backend: see ``exolight.inference.runtimes.choose_network``.
        checkpoint: the file the detector is from; converted networks are looked for beside it.
        as_recorded: whether the detector was trained at the pictures' own scale: none is scaled to fit then, and ``tile="auto"`` needs no first look.
        threads: that look at pictures and tiles side by side, on a CPU with one core each; None: as many as PyTorch uses on a CPU, else 1. A picture alone
            that is one input of the network has all cores.

    Raises:
        InputError: the device or backend does not exist here, ``batch_size`` is under 1, or ``tile`` under 64 px.
    """

    def __init__(
        self,
        detector: Detector,
        thresholds: Thresholds,
        image_size: int,
        device: str = "cpu",
        batch_size: int | None = None,
        pixel_size_nm: float | None = None,
        object_size_px: Sequence[float] | None = None,
        tile: int | Literal["auto"] | None = None,
        augmented: bool = False,
        floor: float | None = None,
        backend: str = "torch",
        checkpoint: Path | None = None,
        as_recorded: bool = False,
        threads: int | None = None,
    ) -> None:
        if batch_size is not None and batch_size < 1:
            raise InputError(f"batch_size={batch_size}: at least 1 is needed")
        if isinstance(tile, int) and tile < 64:
            raise InputError(f"tile={tile}: at least 64 px are needed, such as tile={image_size}; tile=none for no tiles")
        self.device = choose_device(device)
        self.network = choose_network(backend, detector, self.device, checkpoint)
        self.thresholds = thresholds
        self.image_size = image_size
        self.batch_size = batch_size or (1 if self.device.type == "cpu" else 8)
        # Two cores look at two pictures in half the time; at one they are 1.2 to 1.4 times as fast as one core is.
        self.threads = threads or (torch.get_num_threads() if self.device.type == "cpu" else 1)
        self.pool = self._pool() if self.threads > 1 else None
        self.pixel_size_nm, self.as_recorded = pixel_size_nm, as_recorded
        self.object_size_px = object_size_px
        self.tile = tile
        self.augmented = augmented
        self.floor = thresholds.score if floor is None else min(floor, thresholds.score)
        # Where views are averaged, one of them may well say less than the threshold; how much less must not depend on whether weak boxes are reported.
        self.view_floor = min(LEAST_SAID, thresholds.score / 4) if augmented else self.floor

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path,
        thresholds: Thresholds | None = None,
        device: str = "cpu",
        batch_size: int | None = None,
        tile: int | Literal["auto"] | None = "auto",
        augmented: bool = False,
        backend: str = "torch",
    ) -> "Predictor":
        """A predictor from a checkpoint alone; ``thresholds`` default to the operating point stored in it, else to ``Thresholds()``."""
        loaded = load_detector(path)
        return cls(
            loaded.detector,
            thresholds or loaded.thresholds or Thresholds(),
            loaded.image_size,
            device,
            batch_size,
            loaded.info.get("pixel_size_nm"),
            loaded.info.get("object_size_px"),
            tile,
            augmented,
            backend=backend,
            checkpoint=Path(path),
            as_recorded=trained_as_recorded(loaded.info),
        )

    def __call__(self, picture: Picture, pixel_size_nm: float | None = None) -> Detections:
        """What is in one picture: a file, an array (H, W) of any depth, or a ``Micrograph``. Raises ``InputError`` where it cannot be read."""
        micrograph = _micrograph(picture, pixel_size_nm)
        return self.detect([normalise(micrograph.pixels)], [micrograph.pixel_size_nm])[0].detections

    def predict(self, pictures: Iterable[Picture], pixel_size_nm: float | None = None) -> Iterator[Detections]:
        """The detections of each picture, in order, in pixels of the picture and clipped to it. Takes two batches for each thread ahead, fewer of large ones.

        Args:
            pictures: files, arrays (H, W) or ``Micrograph``s.
            pixel_size_nm: nm per pixel of all of them; wins over what they say.

        Raises:
            InputError: at a picture that cannot be read; ``predict_files`` goes on.
        """

        def looked_at(batch: Sequence[Picture]) -> list[Prediction]:
            read = [_normalised(_micrograph(picture, pixel_size_nm)) for picture in batch]
            found = self.detect([one.image for one in read], [one.micrograph.pixel_size_nm for one in read])
            return [one._replace(found=what) for one, what in zip(read, found, strict=True)]

        remaining = iter(pictures)
        with self._pool() as pool:
            for predictions in ahead(pool, looked_at, iter(lambda: list(islice(remaining, self.batch_size)), []), 2 * self.threads, _pixels):
                for prediction in predictions:
                    yield prediction.detections

    def predict_files(self, paths: Iterable[Path], pixel_size: PixelSize | None = None) -> Iterator[Prediction | Failure]:
        """As ``predict``, from files, in order; what cannot be read or predicted is a ``Failure`` and the others go on. Other threads read files ahead.

        Args:
            paths: files.
            pixel_size: where their nm per pixel are from; None: each file's own.
        """
        sizes = pixel_size or PixelSize()
        with self._pool() as readers, self._pool() as lookers:
            read = ahead(readers, lambda path: [_read(path, sizes)], paths, max(self.batch_size, READ_AHEAD * self.threads), _pixels)
            for batch in ahead(lookers, self._complete, self._batches(chain.from_iterable(read)), 2 * self.threads, _pixels):
                yield from batch

    def _pool(self) -> Executor:
        """Threads with one core each."""
        return ThreadPoolExecutor(self.threads, initializer=torch.set_num_threads, initargs=(1 if self.threads > 1 else torch.get_num_threads(),))

    def _batches(self, read: Iterable[Prediction | Failure]) -> Iterator[list[Prediction | Failure]]:
        """Pictures that go through the network together: fewer where they are large."""
        batch: list[Prediction | Failure] = []
        for one in read:
            batch.append(one)
            if len(batch) == self.batch_size or _pixels(batch) >= PIXELS_AT_ONCE:
                yield batch
                batch = []
        if batch:
            yield batch

    def detect(self, images: Sequence[NDArray[np.uint8]], pixel_sizes_nm: Sequence[float | None] | None = None) -> list[Found]:
        """Normalised pictures (H, W), of any sizes, through the network; ``pixel_sizes_nm`` tells the scale of each, where known."""
        factors = [self._factor(size) for size in pixel_sizes_nm or [None] * len(images)]
        tilings = [self._tiling(image.shape[:2], factor) for image, factor in zip(images, factors, strict=True)]
        run = Run(self, len(images))
        run.look(
            (i, view)
            for i, (image, factor, tiling) in enumerate(zip(images, factors, tilings, strict=True))
            for view in whole_views(image, self.image_size, None if tiling else factor, self.augmented and not tiling)
        )
        for i, image in enumerate(images):
            if self.tile == "auto" and tilings[i] is None and factors[i] is None and max(image.shape[:2]) > FITS * self.image_size:
                tilings[i] = self._closer_look(image.shape[:2], run.parts[i])
            tiling = tilings[i]
            if tiling is not None:
                run.parts[i] = [large_ones(run.parts[i][0], LARGE * tiling.overlap / tiling.factor)]
        run.look(
            (i, view)
            for i, (image, tiling) in enumerate(zip(images, tilings, strict=True))
            if tiling is not None
            for view in tile_views(image, *tiling, augmented=self.augmented)
        )
        scales = [run.parts[i][0].scale if tiling is None else tiling.factor for i, tiling in enumerate(tilings)]
        return [run.result(i, image.shape[:2], scales[i]) for i, image in enumerate(images)]

    def _factor(self, pixel_size_nm: float | None) -> float | None:
        """The scale that the detector's nm per pixel asks for, or that it was trained at; None: fit."""
        if self.as_recorded:
            return 1.0
        return None if self.pixel_size_nm is None or pixel_size_nm is None else pixel_size_nm / self.pixel_size_nm

    def _tiling(self, hw: tuple[int, ...], factor: float | None) -> Tiling | None:
        """The tiles that are certain before anything is seen of the picture; None: it is looked at as a whole first."""
        if self.tile is None or (self.tile == "auto" and factor is None):
            return None
        side = self.image_size if self.tile == "auto" else self.tile
        most = FITS * self.image_size if self.tile == "auto" else side
        factor = 1.0 if factor is None else factor
        return Tiling(factor, side, self._overlap(side)) if round(max(hw) * factor) > most else None

    def _closer_look(self, hw: tuple[int, ...], parts: Sequence[Part]) -> Tiling | None:
        """After a first look at a large picture of unknown scale: that at which what was found has the size of the objects learned, but never enlarged.

        Where a first look finds next to nothing its objects may be too small for it: then the pixels as recorded.
        """
        fit = letterbox_factor((hw[0], hw[1]), self.image_size)
        sizes = np.concatenate([part.found.above(max(self.thresholds.score, 0.25)).diameters_px * part.scale for part in parts])
        if self.object_size_px is None or len(sizes) < FEWEST:
            factor = 1.0
        else:
            usual = (self.object_size_px[0] * self.object_size_px[1]) ** 0.5
            factor = min(1.0, fit * usual / float(np.median(sizes)))
        return Tiling(factor, self.image_size, self._overlap(self.image_size)) if factor >= CLOSER * fit else None

    def _overlap(self, side: int) -> int:
        """As wide as the largest object learned, so that each is whole in some tile; at most half a tile, and a quarter where nobody knows."""
        wanted = side / 4 if self.object_size_px is None else self.object_size_px[1]
        return round(min(max(wanted, side / 8), side / 2))

    def _complete(self, batch: Sequence[Prediction | Failure]) -> list[Prediction | Failure]:
        """Pictures that were read, with what is in them; where the network fails on a batch, on the pictures that it fails on."""
        good = [one for one in batch if isinstance(one, Prediction)]
        try:
            results: Iterator[Found | str] = iter(self.detect([one.image for one in good], [one.micrograph.pixel_size_nm for one in good]))
        except Exception:  # one of them is too large for the memory, say
            results = (self._found_alone(one) for one in good)
        completed: list[Prediction | Failure] = []
        for one in batch:
            if isinstance(one, Prediction):
                found = next(results)
                complete = Failure(one.path, f"{one.path}: {found}") if isinstance(found, str) else one._replace(found=_off_the_bar(found, one.scale_bar))
                completed.append(complete)
            else:
                completed.append(one)
        return completed

    def _found_alone(self, one: Prediction) -> Found | str:
        try:
            return self.detect([one.image], [one.micrograph.pixel_size_nm])[0]
        except Exception as error:
            height, width = one.image.shape
            return f"{width} x {height} px could not be predicted ({in_short(error)}); tile={self.image_size} needs less memory"


class Looked(NamedTuple):
    """What a batch of views has shown: of each the number of its picture and what was found; and what each took."""

    pictures: list[int]
    parts: list[Part]
    network_ms: float
    suppression_ms: float


class Run:
    """Views of several pictures on their way through the network; what was found gathers in ``parts``, picture by picture."""

    def __init__(self, predictor: Predictor, pictures: int) -> None:
        self.predictor = predictor
        self.parts: list[list[Part]] = [[] for _ in range(pictures)]
        self.views, self.network_ms, self.suppression_ms = ([0.0] * pictures for _ in range(3))

    def look(self, views: Iterable[tuple[int, View]]) -> None:
        """Send views, each with the number of its picture, through the network, in batches of one shape; several batches side by side."""
        batches, pool = self._batches(views), self.predictor.pool
        first = list(islice(batches, 2))
        batches = chain(first, batches)
        results = ahead(pool, self._look, batches, 2 * self.predictor.threads) if pool and len(first) > 1 else map(self._look, batches)
        for looked in results:
            for picture, part in zip(looked.pictures, looked.parts, strict=True):
                self.parts[picture].append(part)
                self.views[picture] += 1
                self.network_ms[picture] += looked.network_ms
                self.suppression_ms[picture] += looked.suppression_ms

    def _batches(self, views: Iterable[tuple[int, View]]) -> Iterator[list[tuple[int, View]]]:
        batch: list[tuple[int, View]] = []
        for one in views:
            if batch and (len(batch) == self.predictor.batch_size or batch[0][1].field.shape != one[1].field.shape):
                yield batch
                batch = []
            batch.append(one)
        if batch:
            yield batch

    def _look(self, batch: Sequence[tuple[int, View]]) -> Looked:
        began = time.perf_counter()
        boxes, scores = self.predictor.network(np.stack([view.field for _, view in batch])[:, None])
        between = time.perf_counter()
        kept = suppress(boxes, scores, replace(self.predictor.thresholds, score=self.predictor.view_floor))
        parts = [in_picture(Detections(*(tensor.cpu().numpy() for tensor in one)), view) for (_, view), one in zip(batch, kept, strict=True)]
        ended = time.perf_counter()
        return Looked([picture for picture, _ in batch], parts, 1000 * (between - began) / len(batch), 1000 * (ended - between) / len(batch))

    def result(self, picture: int, hw: tuple[int, ...], scale: float) -> Found:
        """All that was found in a picture of ``hw``, looked at with ``scale`` px of the network's input per px of the picture."""
        began = time.perf_counter()
        detections = together(self.parts[picture], self.predictor.thresholds, (hw[0], hw[1]), self.predictor.augmented).above(self.predictor.floor)
        suppression_ms = self.suppression_ms[picture] + 1000 * (time.perf_counter() - began)
        return Found(detections, scale, int(self.views[picture]), self.network_ms[picture], suppression_ms)


def _off_the_bar(found: Found, bar: ScaleBar | None) -> Found:
    """Without what has its centre on the scale bar or on its label: round letters look like vesicles."""
    if bar is None:
        return found
    boxes = found.detections.boxes
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    marks = [np.asarray(box) for box in (bar.box_xyxy, bar.label_xyxy) if box is not None]
    on_one = np.any([((centres >= mark[:2]) & (centres <= mark[2:])).all(axis=1) for mark in marks], axis=0)
    return found._replace(detections=found.detections.filter(~on_one))


def trained_as_recorded(info: Mapping[str, Any]) -> bool:
    """Whether a checkpoint's ``info`` says that its detector saw tiles of pictures as large as they were."""
    return info.get("tile") is not None and info.get("pixel_size_nm") is None


def choose_device(name: str) -> torch.device:
    """``auto`` is CUDA where there is one, else Apple's MPS, else the CPU. Raises ``InputError`` for a device that cannot be used here."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device).cpu()  # a name may be well formed and the device absent
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"device={name} cannot be used here ({str(error).splitlines()[0]}); give auto, cpu, cuda or mps") from error
    return device


def ahead(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], most: int, pixels: Callable[[Result], int] | None = None
) -> Iterator[Result]:
    """``function`` of each item, in order, done by ``pool`` while the caller works.

    Args:
        most: items begun ahead of the one that the caller has.
        pixels: of a result: where results are large fewer are begun ahead, down to one, ``PIXELS_AT_ONCE`` in all; and only one before the first is there.
    """
    remaining = iter(items)
    waiting: deque[Future[Result]] = deque()

    def fill(allowed: int) -> None:
        waiting.extend(pool.submit(function, item) for item in islice(remaining, max(0, allowed - len(waiting))))

    try:
        fill(1 if pixels else most)
        while waiting:
            one = waiting.popleft().result()
            fill(max(1, min(most, PIXELS_AT_ONCE // max(1, pixels(one)))) if pixels else most)
            yield one
    finally:
        for future in waiting:
            future.cancel()


def _micrograph(picture: Picture, pixel_size_nm: float | None) -> Micrograph:
    if isinstance(picture, str | Path):
        return read_micrograph(picture, pixel_size_nm)
    if isinstance(picture, Micrograph):
        return picture if pixel_size_nm is None else Micrograph(picture.pixels, pixel_size_nm, "user", picture.path)
    if picture.ndim != 2 or picture.size == 0:
        raise InputError(f"an array of shape {picture.shape} is no grey picture: (H, W) is needed")
    return Micrograph(finite_pixels(picture, "the array"), pixel_size_nm, "unknown" if pixel_size_nm is None else "user")


def _read(path: Path, pixel_size: PixelSize) -> Prediction | Failure:
    """A file, read and normalised, as a prediction in which nothing has been found yet."""
    began = time.perf_counter()
    try:
        micrograph, bar = pixel_size.read(path)
        return _normalised(micrograph)._replace(path=path, read_ms=1000 * (time.perf_counter() - began), scale_bar=bar)
    except InputError as error:
        return Failure(path, str(error))
    except Exception as error:  # too large for the memory, say
        return Failure(path, f"{path}: cannot be read ({in_short(error)})")


def _normalised(micrograph: Micrograph) -> Prediction:
    return Prediction(micrograph.path or Path(), micrograph, normalise(micrograph.pixels), Found(Detections.empty(), 1.0, 0, 0.0, 0.0), 0.0)


def _pixels(pictures: Sequence[Prediction | Failure]) -> int:
    return sum(one.image.size for one in pictures if isinstance(one, Prediction))
