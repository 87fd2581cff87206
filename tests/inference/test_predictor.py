"""The predictor on a detector that finds bright squares: boxes come back in pixels of each picture."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exolight.checkpoint import LoadedDetector
from exolight.errors import InputError
from exolight.inference import predictor as module
from exolight.inference.pixel_sizes import PixelSize
from exolight.inference.predictor import PIXELS_AT_ONCE, Failure, Prediction, Predictor, ahead, choose_device
from exolight.micrograph import Micrograph, ScaleBar
from exolight.preprocessing import normalise
from exolight.thresholds import Thresholds


class BrightSquare(nn.Module):
    """The bounding box of the pixels above 200, and beside it, at a lower score, the whole input."""

    def __init__(self, in_chans: int = 1) -> None:
        super().__init__()
        self.in_chans = in_chans
        self.class_names = ["exosome"]
        self.batches: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        assert images.dtype == torch.uint8
        assert images.shape[1] == self.in_chans
        self.batches.append(len(images))
        return images

    def decode(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        side = raw.shape[-1]
        boxes = torch.zeros(len(raw), 2, 4)
        scores = torch.zeros(len(raw), 2, 1)
        for index, image in enumerate(raw[:, -1]):
            y, x = torch.where(image > 200)
            if len(x):
                boxes[index, 0] = torch.stack((x.min(), y.min(), x.max() + 1, y.max() + 1))
                scores[index, 0] = 0.9
            boxes[index, 1] = torch.tensor([-50, -50, side + 50, side + 50])
            scores[index, 1] = 0.3
        return boxes, scores


class Direct:
    """A network that is the detector itself."""

    name = "direct"

    def __init__(self, detector: BrightSquare) -> None:
        self.detector = detector

    def __call__(self, images: np.ndarray) -> tuple[Tensor, Tensor]:
        return self.detector.decode(self.detector(torch.from_numpy(images).expand(-1, self.detector.in_chans, -1, -1)))


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "choose_network", lambda backend, detector, device, checkpoint: Direct(detector))


def picture(height: int, width: int, box: tuple[int, int, int, int], dtype: type = np.uint16) -> np.ndarray:
    """Dark grain with a bright square at xyxy."""
    pixels = np.random.default_rng(0).integers(100, 140, (height, width)).astype(dtype)
    x1, y1, x2, y2 = box
    pixels[y1:y2, x1:x2] = 250 - np.random.default_rng(1).integers(0, 10, (y2 - y1, x2 - x1))
    return pixels


SHAPES = [(200, 320, (40, 60, 120, 140)), (320, 160, (10, 200, 90, 300)), (128, 128, (64, 0, 128, 64))]
MICROGRAPHS = [Micrograph(picture(*shape)) for shape in SHAPES]


@pytest.mark.parametrize("in_chans", [1, 3])
def test_boxes_come_back_in_picture_pixels(in_chans: int) -> None:
    predictor = Predictor(BrightSquare(in_chans), Thresholds(score=0.5), image_size=160, batch_size=2)
    found = list(predictor.predict(MICROGRAPHS))
    assert predictor.network.detector.batches == [2, 1]
    for detections, (_, _, box) in zip(found, SHAPES, strict=True):
        assert len(detections) == 1
        np.testing.assert_allclose(detections.boxes[0], box, atol=2.1)  # one px of the input is two of the picture


def test_boxes_are_clipped_to_the_picture() -> None:
    for detections, (height, width, _) in zip(Predictor(BrightSquare(), Thresholds(score=0.2), 160).predict(MICROGRAPHS), SHAPES, strict=True):
        assert detections.boxes[-1].tolist() == [0, 0, width, height]
        assert detections.boxes.dtype == np.float32


def test_a_box_in_the_padding_alone_is_dropped() -> None:
    class Padding(BrightSquare):
        def decode(self, raw: Tensor) -> tuple[Tensor, Tensor]:
            return torch.tensor([[[0.0, 0.0, 160.0, 10.0]]]), torch.ones(1, 1, 1)

    assert [len(found) for found in Predictor(Padding(), Thresholds(), 160).predict(MICROGRAPHS[:1])] == [0]  # 320 px wide: 30 px above are padding


def test_batch_equals_single() -> None:
    together = Predictor(BrightSquare(), Thresholds(score=0.2), 160, batch_size=3).predict(MICROGRAPHS)
    alone = Predictor(BrightSquare(), Thresholds(score=0.2), 160, batch_size=1).predict(MICROGRAPHS)
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_array_equal(a.boxes, b.boxes)
        np.testing.assert_array_equal(a.scores, b.scores)


def test_nothing_to_predict() -> None:
    predictor = Predictor(BrightSquare(), Thresholds(), 160)
    assert list(predictor.predict([])) == []
    assert predictor.detect([]) == []


def test_files_keep_their_order_and_a_corrupt_one_fails_alone(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("b.png", "broken µ.png", "a.png")]
    for path, shape in zip(paths, SHAPES, strict=True):
        path.write_bytes(cv2.imencode(".png", picture(*shape))[1].tobytes())
    paths[1].write_bytes(b"no picture")
    first, second, third = Predictor(BrightSquare(), Thresholds(score=0.5), 160, batch_size=2).predict_files(paths, PixelSize(1.5))
    assert isinstance(second, Failure)
    assert "broken" in second.reason
    for prediction, path, index in ((first, paths[0], 0), (third, paths[2], 2)):
        assert isinstance(prediction, Prediction)
        assert prediction.path == path
        assert (prediction.micrograph.pixel_size_nm, prediction.micrograph.pixel_size_source) == (1.5, "user")
        assert prediction.image.shape == SHAPES[index][:2]
        assert min(prediction.read_ms, prediction.found.network_ms, prediction.found.suppression_ms) > 0
        np.testing.assert_allclose(prediction.detections.boxes[0], SHAPES[index][2], atol=2.1)


def test_a_batch_of_corrupt_files(tmp_path: Path) -> None:
    results = list(Predictor(BrightSquare(), Thresholds(), 160).predict_files([tmp_path / "x.png", tmp_path / "y.png"]))
    assert [isinstance(result, Failure) for result in results] == [True, True]


def test_from_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = LoadedDetector(BrightSquare(), 160, Thresholds(score=0.4), {})  # type: ignore[arg-type]
    monkeypatch.setattr(module, "load_detector", lambda path: loaded)
    assert Predictor.from_checkpoint("x.ckpt").thresholds.score == 0.4
    assert Predictor.from_checkpoint("x.ckpt", Thresholds(score=0.6)).thresholds.score == 0.6
    monkeypatch.setattr(module, "load_detector", lambda path: loaded._replace(thresholds=None))
    assert Predictor.from_checkpoint("x.ckpt", batch_size=2).thresholds.score == 0.25


def test_impossible_settings() -> None:
    assert choose_device("cpu").type == "cpu"
    for device in ("gpu", "cuda:99", "meta"):
        with pytest.raises(InputError, match=f"device={device}"):
            choose_device(device)
    with pytest.raises(InputError, match="batch_size=0"):
        Predictor(BrightSquare(), Thresholds(), 160, batch_size=0)


def test_a_picture_too_large_for_the_memory_fails_alone(tmp_path: Path) -> None:
    class Small(BrightSquare):
        def forward(self, images: Tensor) -> Tensor:
            if images.shape[-1] > 160 or len(images) > 2:
                raise RuntimeError("not enough memory: you tried to allocate 9 bytes")
            return super().forward(images)

    paths = [tmp_path / name for name in ("a.png", "b.png", "c.png")]
    for path, shape in zip(paths, (SHAPES[0], (600, 600, (40, 60, 120, 140)), SHAPES[2]), strict=True):
        path.write_bytes(cv2.imencode(".png", picture(*shape))[1].tobytes())
    predictor = Predictor(Small(), Thresholds(score=0.5), 160, batch_size=3, pixel_size_nm=1.0)
    first, second, third = predictor.predict_files(paths, PixelSize(1.0))  # at that scale 600 px stay 600 px
    assert isinstance(first, Failure)  # 320 px wide
    assert isinstance(second, Failure)
    assert "600 x 600 px could not be predicted (not enough memory" in second.reason
    assert isinstance(third, Prediction)
    assert len(third.detections) == 1


@pytest.mark.parametrize("threads", [1, 3])
def test_large_pictures_are_not_read_far_ahead(threads: int) -> None:
    begun: list[int] = []

    def read(number: int) -> int:
        begun.append(number)
        time.sleep(0.001 * (number % 3))  # so that they are not done in order
        return number

    for share, most in ((1.2, 2), (0.1, 9)):
        begun.clear()
        taken = 0
        with ThreadPoolExecutor(threads) as pool:
            for one in ahead(pool, read, range(20), 8, lambda _, share=share: round(PIXELS_AT_ONCE * share)):  # type: ignore[misc]
                assert one == taken
                taken += 1
                assert len(begun) - taken < most
        assert taken == 20
        assert sorted(begun) == list(range(20))


def test_who_stops_early_waits_for_nothing_more() -> None:
    begun: list[int] = []

    def slow(number: int) -> None:
        begun.append(number)
        time.sleep(0.01)

    with ThreadPoolExecutor(1) as pool:
        for _ in ahead(pool, slow, range(100), 50):
            break
    assert len(begun) < 10


class Together(BrightSquare):
    """Answers the first at once, and the others three by three: in vain it would wait for three where one goes after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.barrier, self.cores = threading.Barrier(3, timeout=30), list[int]()

    def forward(self, images: Tensor) -> Tensor:
        raw = super().forward(images)
        if len(self.batches) > 1:
            self.barrier.wait()
            self.cores.append(torch.get_num_threads())
        return raw


@pytest.mark.parametrize("way", ["files", "arrays", "tiles"])
def test_pictures_and_tiles_are_looked_at_side_by_side(tmp_path: Path, way: str) -> None:
    pixels = [picture(160, 160, (10 * number, 20, 10 * number + 60, 90)) for number in range(7)]
    paths = [tmp_path / f"{number}.png" for number in range(7)]
    for path, one in zip(paths, pixels, strict=True):
        cv2.imwrite(str(path), one)
    field = normalise(np.concatenate(pixels, axis=1))
    found, before = [], torch.get_num_threads()
    for detector, threads in ((Together(), 3), (BrightSquare(), 1)):
        predictor = Predictor(detector, Thresholds(score=0.5), 160, tile=160, pixel_size_nm=1.0, threads=threads)
        if way == "files":
            found.append([one.detections.boxes for one in predictor.predict_files(paths, PixelSize(1.0)) if isinstance(one, Prediction)])
        elif way == "arrays":
            found.append([one.boxes for one in predictor.predict(pixels, pixel_size_nm=1.0)])
        else:
            found.append([one.detections.boxes for one in predictor.detect([field], [1.0])])
        assert len(detector.batches) == {"files": 7, "arrays": 7, "tiles": 10}[way]
        if isinstance(detector, Together):
            assert detector.cores == [1] * (len(detector.batches) - 1)
    assert [len(boxes) for boxes in found[0]] == [len(boxes) for boxes in found[1]]
    np.testing.assert_array_equal(np.concatenate(found[0]), np.concatenate(found[1]))
    assert torch.get_num_threads() == before


def test_a_picture_alone_has_all_cores() -> None:
    class Counting(BrightSquare):
        def forward(self, images: Tensor) -> Tensor:
            self.cores = torch.get_num_threads()
            return super().forward(images)

    detector = Counting()
    assert len(Predictor(detector, Thresholds(score=0.5), 160, threads=3)(picture(*SHAPES[0]))) == 1
    assert detector.cores == torch.get_num_threads()


def test_what_comes_before_a_bad_picture_is_not_lost() -> None:
    pixels = picture(*SHAPES[0])
    found = Predictor(BrightSquare(), Thresholds(score=0.5), 160, threads=3).predict([pixels, pixels, np.zeros((3, 4, 5)), pixels])
    assert [len(next(found)), len(next(found))] == [1, 1]
    with pytest.raises(InputError, match="no grey picture"):
        next(found)


def test_arrays_and_files_alike(tmp_path: Path) -> None:
    predictor = Predictor(BrightSquare(), Thresholds(score=0.5), 160)
    pixels = picture(*SHAPES[0])
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    holes = pixels.astype(np.float32)
    holes[0, :5] = np.nan
    for one in (pixels, tmp_path / "a.png", str(tmp_path / "a.png"), Micrograph(pixels), holes):
        np.testing.assert_allclose(predictor(one).boxes[0], SHAPES[0][2], atol=2.1)
    assert predictor.predict([pixels], pixel_size_nm=2.0) is not None
    for bad in (np.zeros((3, 4, 5)), np.zeros((0, 4)), np.full((4, 4), np.nan)):
        with pytest.raises(InputError):
            predictor(bad)
    with pytest.raises(InputError, match="no such file"):
        predictor("missing.tif")


def test_the_scale_is_that_of_the_usual_look() -> None:
    image = np.zeros((320, 160), np.uint8)
    for augmented in (False, True):
        predictor = Predictor(BrightSquare(), Thresholds(score=0.5), 160, augmented=augmented)
        assert predictor.detect([image])[0].scale == 0.5
    tiled = Predictor(BrightSquare(), Thresholds(score=0.5), 160, tile=160, augmented=True)
    assert tiled.detect([image])[0].scale == 1.0


def test_what_stands_on_the_scale_bar_or_its_label_is_no_vesicle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where the bar was asked for and found."""
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), picture(64, 64, (20, 40, 30, 48), np.uint8))
    for bar, count in (
        (None, 1),
        (ScaleBar(30, (5.0, 55.0, 35.0, 58.0), "100 nm", 100.0, (15.0, 38.0, 33.0, 50.0), 0.99), 0),
        (ScaleBar(30, (18.0, 43.0, 50.0, 46.0), None, None, None, 0.99), 0),
        (ScaleBar(30, (5.0, 55.0, 35.0, 58.0), "100 nm", 100.0, (15.0, 50.0, 33.0, 54.0), 0.99), 1),
    ):
        monkeypatch.setattr("exolight.inference.pixel_sizes.find_scale_bar", lambda *_, bar=bar: bar)
        predictor = Predictor(BrightSquare(), Thresholds(score=0.5), 64)
        (one,) = predictor.predict_files([path], PixelSize(scale_bar=True))
        assert isinstance(one, Prediction)
        assert len(one.detections) == count
