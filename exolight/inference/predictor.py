"""Predictor: a trained detector, from pictures to detections in image pixels; the same preprocessing as in training."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from exolight.checkpoint import load_detector
from exolight.detections import Detections
from exolight.errors import InputError
from exolight.micrograph import Micrograph, read_micrograph
from exolight.models.detector import Detector
from exolight.models.suppression import suppress
from exolight.preprocessing import PADDING_GREY, Placement, normalise, place
from exolight.thresholds import Thresholds

T = TypeVar("T")


class Prediction(NamedTuple):
    """What was found in one file.

    Attributes:
        path: the file.
        micrograph: the picture as recorded, with its pixel size where that is known.
        image: (H, W) uint8, the picture as the detector saw it before rescaling: normalised.
        detections: what was found, in pixels of the picture.
        milliseconds: from the file to the detections; of the network's time its share of the batch.
    """

    path: Path
    micrograph: Micrograph
    image: NDArray[np.uint8]
    detections: Detections
    milliseconds: float


class Failure(NamedTuple):
    """A file that could not be read, and why, in one line."""

    path: Path
    reason: str


class Predictor:
    """Runs a detector on whole pictures, each rescaled once to the size the detector was trained at.

    Args:
        detector: put into evaluation mode and onto ``device``.
        thresholds: which candidate boxes are kept.
        image_size: side of the network's square input in px.
        device: "cpu", "cuda", "cuda:1", "mps", or "auto" for the best one there is.
        batch_size: pictures at once.
        pixel_size_nm: nm per pixel that pictures are rescaled to, where the detector was trained so; pictures that do not know theirs are scaled to fit.

    Raises:
        InputError: the device does not exist here, or ``batch_size`` is under 1.
    """

    def __init__(
        self, detector: Detector, thresholds: Thresholds, image_size: int, device: str = "cpu", batch_size: int = 8, pixel_size_nm: float | None = None
    ) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size={batch_size}: at least 1 is needed")
        self.device = choose_device(device)
        self.detector = detector.to(self.device).eval()
        self.thresholds = thresholds
        self.image_size = image_size
        self.batch_size = batch_size
        self.pixel_size_nm = pixel_size_nm

    @classmethod
    def from_checkpoint(cls, path: str | Path, thresholds: Thresholds | None = None, device: str = "cpu", batch_size: int = 8) -> "Predictor":
        """A predictor from a checkpoint alone; ``thresholds`` default to the operating point stored in it, else to ``Thresholds()``."""
        loaded = load_detector(path)
        return cls(loaded.detector, thresholds or loaded.thresholds or Thresholds(), loaded.image_size, device, batch_size, loaded.info.get("pixel_size_nm"))

    def predict(self, micrographs: Iterable[Micrograph]) -> Iterator[Detections]:
        """The detections of each picture, in order, in pixels of the picture and clipped to it. Reads no further ahead than one batch."""
        for batch in _batches(micrographs, self.batch_size):
            yield from self.detect([normalise(micrograph.pixels) for micrograph in batch], [micrograph.pixel_size_nm for micrograph in batch])

    def predict_files(self, paths: Iterable[Path], pixel_size_nm: float | None = None) -> Iterator[Prediction | Failure]:
        """As ``predict``, from files, in order; what cannot be read is a ``Failure`` and the others go on.

        Args:
            paths: picture files.
            pixel_size_nm: nanometres per pixel of all of them; wins over what the files say.
        """
        for batch in _batches(paths, self.batch_size):
            read = [_read(path, pixel_size_nm) for path in batch]
            start = time.perf_counter()
            good = [one for one in read if isinstance(one, Prediction)]
            detections = iter(self.detect([one.image for one in good], [one.micrograph.pixel_size_nm for one in good]))
            share = (time.perf_counter() - start) * 1000 / max(1, len(good))
            for one in read:
                yield one if isinstance(one, Failure) else one._replace(detections=next(detections), milliseconds=one.milliseconds + share)

    @torch.inference_mode()
    def detect(self, images: Sequence[NDArray[np.uint8]], pixel_sizes_nm: Sequence[float | None] | None = None) -> list[Detections]:
        """One batch of normalised pictures (H, W), of any sizes, through the network; ``pixel_sizes_nm`` tells the scale of each, where known."""
        if not images:
            return []
        known = pixel_sizes_nm or [None] * len(images)
        placed = [place(image, self.image_size, self._factor(size)) for image, size in zip(images, known, strict=True)]
        height, width = (max(field.shape[axis] for field, _ in placed) for axis in (0, 1))
        batch = torch.full((len(placed), 1, height, width), PADDING_GREY, dtype=torch.uint8)
        for i, (field, _) in enumerate(placed):
            batch[i, 0, : field.shape[0], : field.shape[1]] = torch.from_numpy(field)
        boxes, scores = self.detector.decode(self.detector(batch.to(self.device).expand(-1, self.detector.in_chans, -1, -1)))
        kept = suppress(boxes, scores, self.thresholds)
        found = [Detections(*(tensor.cpu().numpy() for tensor in one)) for one in kept]
        return [_in_picture(one, placement, image.shape[:2]) for one, (_, placement), image in zip(found, placed, images, strict=True)]

    def _factor(self, pixel_size_nm: float | None) -> float | None:
        """The scale that the detector's nm per pixel asks for; None: fit."""
        return None if self.pixel_size_nm is None or pixel_size_nm is None else pixel_size_nm / self.pixel_size_nm


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


def _read(path: Path, pixel_size_nm: float | None) -> Prediction | Failure:
    """A file, read and normalised, as a prediction that still lacks its detections."""
    start = time.perf_counter()
    try:
        micrograph = read_micrograph(path, pixel_size_nm)
    except InputError as error:
        return Failure(path, str(error))
    image = normalise(micrograph.pixels)
    return Prediction(path, micrograph, image, Detections.empty(), (time.perf_counter() - start) * 1000)


def _in_picture(detections: Detections, placement: Placement, hw: tuple[int, ...]) -> Detections:
    """Detections in px of the network's input -> in px of a picture of ``hw``, clipped to it; what lies in the padding alone is dropped."""
    height, width = hw
    boxes = np.clip(placement.to_image(detections.boxes), 0, np.array([width, height, width, height], np.float32))
    inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return replace(detections, boxes=boxes).filter(inside)


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
