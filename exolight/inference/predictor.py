"""Predictor: a trained detector, from pictures to detections in image pixels; the same preprocessing as in training.

    predictor = Predictor.from_checkpoint("best.ckpt")
    detections = predictor("field.tif")                      # .boxes (N, 4) xyxy px, .scores, .labels, .diameters_px
    for detections in predictor.predict(["a.tif", array]):   # many, in batches
        ...
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

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

# A side up to this many times the training's is scaled to fit; above, tile="auto" looks closer.
FITS = 2.0
# Objects a first look must find, and how much closer the second one must be, for tile="auto" to trust and to bother.
FEWEST, CLOSER = 3, 1.5
# Pixels of pictures read ahead and held at once; a larger picture comes alone.
PIXELS_AT_ONCE = 2**24
LEAST_SAID = 0.02  # scores below it count as 0 in the mean of several looks
READ_AHEAD = 4  # pictures, or a batch where that is more


class Found(NamedTuple):
    """What was found in one picture, and what it took.

    Attributes:
        detections: in px of the picture.
        scale: px of the network's input per px of the picture; of the tiles where there are any, other scales of the augmentation aside.
        views: inputs of the network that the picture became.
        network_ms, suppression_ms: the picture's share of its batches' time.
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
        return next(self.predict([picture], pixel_size_nm))

    def predict(self, pictures: Iterable[Picture], pixel_size_nm: float | None = None) -> Iterator[Detections]:
        """The detections of each picture, in order, in pixels of the picture and clipped to it. Reads no further ahead than one batch.

        Args:
            pictures: files, arrays (H, W) or ``Micrograph``s.
            pixel_size_nm: nm per pixel of all of them; wins over what they say.

        Raises:
            InputError: at a picture that cannot be read; ``predict_files`` goes on.
        """
        micrographs = (_micrograph(picture, pixel_size_nm) for picture in pictures)
        while batch := list(islice(micrographs, self.batch_size)):
            for found in self.detect([normalise(micrograph.pixels) for micrograph in batch], [micrograph.pixel_size_nm for micrograph in batch]):
                yield found.detections

    def predict_files(self, paths: Iterable[Path], pixel_size: PixelSize | None = None) -> Iterator[Prediction | Failure]:
        """As ``predict``, from files, in order; what cannot be read or predicted is a ``Failure`` and the others go on. Files are read ahead in a thread.

        Args:
            paths: files.
            pixel_size: where their nm per pixel are from; None: each file's own.
        """
        sizes = pixel_size or PixelSize()
        batch: list[Prediction | Failure] = []
        for one in ahead(lambda path: _read(path, sizes), paths, max(self.batch_size, READ_AHEAD)):
            batch.append(one)
            if len(batch) == self.batch_size or sum(_pixels(waiting) for waiting in batch) >= PIXELS_AT_ONCE:
                yield from self._complete(batch)
                batch = []
        yield from self._complete(batch)

    def detect(self, images: Sequence[NDArray[np.uint8]], pixel_sizes_nm: Sequence[float | None] | None = None) -> list[Found]:
        """Normalised pictures (H, W), of any sizes, through the network; ``pixel_sizes_nm`` tells the scale of each, where known."""
        factors = [self._factor(size) for size in pixel_sizes_nm or [None] * len(images)]
        tilings = [self._tiling(image.shape[:2], factor) for image, factor in zip(images, factors, strict=True)]
        run = Run(self, len(images))
        for i, (image, factor, tiling) in enumerate(zip(images, factors, tilings, strict=True)):
            run.add(i, whole_views(image, self.image_size, None if tiling else factor, self.augmented and not tiling))
        run.finish()
        for i, image in enumerate(images):
            if self.tile == "auto" and tilings[i] is None and factors[i] is None and max(image.shape[:2]) > FITS * self.image_size:
                tilings[i] = self._closer_look(image.shape[:2], run.parts[i])
            tiling = tilings[i]
            if tiling is not None:
                run.parts[i] = [large_ones(run.parts[i][0], LARGE * tiling.overlap / tiling.factor)]
                run.add(i, tile_views(image, *tiling, augmented=self.augmented))
        run.finish()
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

    def _complete(self, batch: Sequence[Prediction | Failure]) -> Iterator[Prediction | Failure]:
        """Pictures that were read, with what is in them; where the network fails on a batch, on the pictures that it fails on."""
        good = [one for one in batch if isinstance(one, Prediction)]
        try:
            results: Iterator[Found | str] = iter(self.detect([one.image for one in good], [one.micrograph.pixel_size_nm for one in good]))
        except Exception:  # one of them is too large for the memory, say
            results = (self._found_alone(one) for one in good)
        for one in batch:
            if isinstance(one, Failure):
                yield one
            else:
                found = next(results)
                yield Failure(one.path, f"{one.path}: {found}") if isinstance(found, str) else one._replace(found=_off_the_bar(found, one.scale_bar))

    def _found_alone(self, one: Prediction) -> Found | str:
        try:
            return self.detect([one.image], [one.micrograph.pixel_size_nm])[0]
        except Exception as error:
            height, width = one.image.shape
            return f"{width} x {height} px could not be predicted ({in_short(error)}); tile={self.image_size} needs less memory"


class Run:
    """Views of several pictures on their way through the network, in batches; what was found gathers in ``parts``, picture by picture."""

    def __init__(self, predictor: Predictor, pictures: int) -> None:
        self.predictor = predictor
        self.waiting: list[tuple[int, View]] = []
        self.parts: list[list[Part]] = [[] for _ in range(pictures)]
        self.views, self.network_ms, self.suppression_ms = ([0.0] * pictures for _ in range(3))

    def add(self, picture: int, views: Iterable[View]) -> None:
        """Queue views of a picture; whatever makes a full batch goes through the network."""
        for view in views:
            if self.waiting and (len(self.waiting) == self.predictor.batch_size or self.waiting[0][1].field.shape != view.field.shape):
                self.finish()
            self.waiting.append((picture, view))

    def finish(self) -> None:
        """Send what waits through the network."""
        if not self.waiting:
            return
        began = time.perf_counter()
        boxes, scores = self.predictor.network(np.stack([view.field for _, view in self.waiting])[:, None])
        between = time.perf_counter()
        kept = suppress(boxes, scores, replace(self.predictor.thresholds, score=self.predictor.view_floor))
        for (picture, view), one in zip(self.waiting, kept, strict=True):
            self.parts[picture].append(in_picture(Detections(*(tensor.cpu().numpy() for tensor in one)), view))
        ended = time.perf_counter()
        for picture, _ in self.waiting:
            self.views[picture] += 1
            self.network_ms[picture] += 1000 * (between - began) / len(self.waiting)
            self.suppression_ms[picture] += 1000 * (ended - between) / len(self.waiting)
        self.waiting = []

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


def ahead(read: Callable[[Path], Prediction | Failure], paths: Iterable[Path], most: int) -> Iterator[Prediction | Failure]:
    """``read`` of each path, in order, done in a thread while the caller works: at most ``most`` pictures ahead, fewer where they are large."""
    remaining = iter(paths)
    waiting: deque[Future[Prediction | Failure]] = deque()
    with ThreadPoolExecutor(max_workers=1) as thread:

        def fill(allowed: int) -> None:
            waiting.extend(thread.submit(read, path) for path in islice(remaining, max(0, allowed - len(waiting))))

        fill(1)
        while waiting:
            one = waiting.popleft().result()
            fill(max(1, min(most, PIXELS_AT_ONCE // max(1, _pixels(one)))))
            yield one


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
        image = normalise(micrograph.pixels)
    except InputError as error:
        return Failure(path, str(error))
    except Exception as error:  # too large for the memory, say
        return Failure(path, f"{path}: cannot be read ({in_short(error)})")
    return Prediction(path, micrograph, image, Found(Detections.empty(), 1.0, 0, 0.0, 0.0), 1000 * (time.perf_counter() - began), bar)


def _pixels(one: Prediction | Failure) -> int:
    return one.image.size if isinstance(one, Prediction) else 0
