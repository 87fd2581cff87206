"""Tiles, flips and scales, with a network that finds every bright blob: whatever way a picture is looked at, each blob is found once and where it is."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from exolight.detections import Detections
from exolight.errors import InputError
from exolight.inference import predictor as module
from exolight.inference.predictor import Predictor
from exolight.inference.views import EVERYWHERE, Part, View, flipped, in_picture, spans, tile_views, together, whole_views
from exolight.micrograph import Micrograph
from exolight.preprocessing import Placement
from exolight.thresholds import Thresholds


class Blobs:
    """The boxes of the connected bright pixels of each input, scored by how large they are."""

    name = "blobs"

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, images: np.ndarray) -> tuple[Tensor, Tensor]:
        self.shapes.append(images.shape)
        boxes, scores = np.zeros((len(images), 400, 4), np.float32), np.zeros((len(images), 400, 1), np.float32)
        for i, image in enumerate(images[:, 0]):
            _, _, blobs, _ = cv2.connectedComponentsWithStats((image > 200).astype(np.uint8))
            x, y, width, height, area = blobs[1:401].T
            boxes[i, : len(x)] = np.stack((x, y, x + width, y + height), axis=1)
            scores[i, : len(x), 0] = 0.3 + np.clip(area / 10000, 0, 0.6)
        return torch.from_numpy(boxes), torch.from_numpy(scores)


@pytest.fixture
def predictor_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Predictor]:
    monkeypatch.setattr(module, "choose_network", lambda *_: Blobs())
    monkeypatch.setattr(module, "normalise", lambda pixels: pixels)  # so that bright stays what it is
    return lambda **options: Predictor(torch.nn.Identity(), Thresholds(score=0.25), 256, **options)  # type: ignore[arg-type]


def field(hw: tuple[int, int], discs: list[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """A dark grainy picture with bright discs (x, y, radius), and their boxes (N, 4)."""
    pixels = np.random.default_rng(0).integers(80, 100, hw).astype(np.uint8)
    for disc in discs:
        cv2.circle(pixels, disc[:2], disc[2], 230, -1)
    return pixels, np.array([[x - r, y - r, x + r + 1, y + r + 1] for x, y, r in discs], np.float32)


def same_boxes(found: np.ndarray, wanted: np.ndarray, atol: float) -> None:
    assert len(found) == len(wanted)
    for box in wanted:
        assert np.abs(found - box).max(axis=1).min() <= atol, f"{box} is not found"


GRID = [(x, y, 14) for y in range(20, 690, 43) for x in range(20, 980, 43)]  # some on every seam


def test_spans_cover_and_the_last_is_shifted_inwards() -> None:
    assert spans(100, 256, 64) == [(0, 100)]
    assert spans(256, 256, 64) == [(0, 256)]
    assert spans(300, 256, 64) == [(0, 256), (44, 300)]
    assert spans(448, 256, 64) == [(0, 256), (192, 448)]
    assert spans(1000, 256, 64) == [(0, 256), (192, 448), (384, 640), (576, 832), (744, 1000)]


@pytest.mark.parametrize("tile", [256, 320, 500])
def test_no_seams(predictor_of: Callable[..., Predictor], tile: int) -> None:
    pixels, wanted = field((700, 1000), GRID)
    same_boxes(predictor_of(tile=tile)(pixels).boxes, wanted, 0.01)


@pytest.mark.parametrize("augmented", [False, True])
def test_objects_larger_than_the_overlap_are_found_once_and_whole(predictor_of: Callable[..., Predictor], augmented: bool) -> None:
    discs = [(256, 256, 90), (600, 350, 110), (900, 600, 14), (40, 500, 30), (770, 60, 50)]
    pixels, wanted = field((700, 1000), discs)
    found = predictor_of(tile=256, augmented=augmented)(pixels)
    same_boxes(found.boxes, wanted, 4.1)  # the largest are seen in the whole picture, where a pixel is four


def test_a_picture_that_fits_is_not_cut(predictor_of: Callable[..., Predictor]) -> None:
    pixels, _ = field((200, 300), [(40, 50, 14), (120, 100, 30)])
    whole, tiled = predictor_of(), predictor_of(tile=300)
    np.testing.assert_array_equal(whole(pixels).boxes, tiled(pixels).boxes)
    assert tiled.network.shapes == whole.network.shapes  # type: ignore[attr-defined]


def test_test_time_augmentation_finds_the_same(predictor_of: Callable[..., Predictor]) -> None:
    pixels, wanted = field((256, 200), [(40, 50, 14), (120, 101, 30), (150, 200, 9)])
    predictor = predictor_of(augmented=True, batch_size=3)
    same_boxes(predictor(pixels).boxes, wanted, 1.01)
    assert [shape[0] for shape in predictor.network.shapes] == [3, 2, 1]  # type: ignore[attr-defined]  # five views of 256 px, one larger


def test_views_lead_back(predictor_of: Callable[..., Predictor]) -> None:
    pixels, wanted = field((180, 256), [(60, 40, 10)])
    for view in [*whole_views(pixels, 256, None, augmented=True), *tile_views(pixels, 1.0, 128, 64, augmented=True)]:
        boxes, scores = Blobs()(np.ascontiguousarray(view.field)[None, None])
        kept = scores[0, :, 0] > 0
        part = in_picture(Detections(boxes[0][kept].numpy(), scores[0, kept, 0].numpy(), np.zeros(int(kept.sum()), np.int64)), view)
        window = np.array(part.window)
        if (wanted[0, :2] >= window[:2]).all() and (wanted[0, 2:] <= window[2:]).all():
            np.testing.assert_allclose(part.found.boxes, wanted, atol=1.5)


def test_flipped() -> None:
    picture = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert flipped(picture, (True, False)).tolist() == [[2, 1, 0], [5, 4, 3]]
    assert flipped(picture, (False, True)).tolist() == [[3, 4, 5], [0, 1, 2]]
    view = View(picture, Placement(1, 1), (True, True))
    part = in_picture(Detections(np.array([[0, 0, 1, 1]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64)), view)
    assert part.found.boxes.tolist() == [[2, 1, 3, 2]]


def one_box(box: list[float], score: float, window: tuple[float, float, float, float] = EVERYWHERE) -> Part:
    return Part(Detections(np.array([box], np.float32), np.array([score], np.float32), np.zeros(1, np.int64)), window, 1.0)


def test_a_cut_box_counts_only_where_nobody_sees_the_object_whole() -> None:
    left, right = (-np.inf, -np.inf, 100.0, np.inf), (60.0, -np.inf, np.inf, np.inf)
    nothing = Part(Detections.empty(), right, 1.0)
    thresholds = Thresholds(score=0.25)
    piece = [70.0, 10, 100, 60]
    assert len(together([one_box(piece, 0.9, left), nothing], thresholds, (200, 200))) == 0  # the right tile looks at all of it and sees none
    large = [20.0, 10, 100, 60]
    assert len(together([one_box(large, 0.9, left), nothing], thresholds, (200, 200))) == 1  # no tile holds it
    whole = one_box([20, 10, 130, 60], 0.3)
    assert together([one_box(large, 0.9, left), nothing, whole], thresholds, (200, 200)).boxes.tolist() == [[20, 10, 130, 60]]
    weak = one_box([20, 10, 130, 60], 0.1)  # reported for scoring only: it displaces nothing that is shown
    assert together([one_box(large, 0.9, left), nothing, weak], thresholds, (200, 200)).boxes.tolist() == [large]


def test_the_closer_look_stays() -> None:
    coarse = one_box([12, 12, 61, 61], 0.9)._replace(coarse=True)
    close = one_box([10, 10, 60, 60], 0.5, (-np.inf, -np.inf, 100.0, np.inf))
    assert together([coarse, close], Thresholds(score=0.25), (200, 200)).boxes.tolist() == [[10, 10, 60, 60]]
    elsewhere = one_box([110, 110, 190, 190], 0.9)._replace(coarse=True)
    assert len(together([elsewhere, close], Thresholds(score=0.25), (200, 200))) == 2


def test_augmented_views_are_averaged() -> None:
    thresholds = Thresholds(score=0.25)
    three = [one_box([10, 10, 50, 50], 0.9), one_box([14, 10, 54, 50], 0.3), Part(Detections.empty(), EVERYWHERE, 1.0)]
    found = together(three, thresholds, (200, 200), augmented=True)
    np.testing.assert_allclose(found.scores, [0.4])  # 0.9 + 0.3 + 0, of three
    np.testing.assert_allclose(found.boxes, [[11, 10, 51, 50]], rtol=1e-6)  # weighted three to one
    assert together(three, thresholds, (200, 200)).scores.tolist() == [np.float32(0.9)]
    # A tile that does not show the object has no say.
    elsewhere = Part(Detections.empty(), (100.0, -np.inf, np.inf, np.inf), 1.0)
    np.testing.assert_allclose(together([*three[:2], elsewhere], thresholds, (200, 200), augmented=True).scores, [0.6])
    # Nor has the coarse look, unless nobody else shows the object whole.
    coarse = one_box([10, 10, 50, 50], 0.1)._replace(coarse=True)
    np.testing.assert_allclose(together([*three, coarse], thresholds, (200, 200), augmented=True).scores, [0.4])
    left, right = ((-np.inf, -np.inf, 60.0, np.inf), (40.0, -np.inf, np.inf, np.inf))
    tiles = [Part(Detections.empty(), left, 1.0), Part(Detections.empty(), right, 1.0)]
    alone = one_box([10, 10, 90, 50], 0.7)._replace(coarse=True)
    np.testing.assert_allclose(together([*tiles, alone], thresholds, (200, 200), augmented=True).scores, [0.7])


def test_boxes_that_meet_when_averaged_are_one() -> None:
    # Apart by less than the threshold's overlap at first, both are drawn to the same boxes of the other views.
    apart = Part(Detections(np.array([[0, 0, 40, 40], [16, 0, 56, 40]], np.float32), np.array([0.5, 0.4], np.float32), np.zeros(2, np.int64)), EVERYWHERE, 1.0)
    between = one_box([8, 0, 48, 40], 0.45)
    assert len(together([apart], Thresholds(score=0.25), (200, 200))) == 2
    assert len(together([apart, between, between], Thresholds(score=0.25), (200, 200), augmented=True)) == 1


def test_averaging_keeps_classes_apart() -> None:
    box = np.array([[10, 10, 50, 50]], np.float32)
    parts = [Part(Detections(box, np.array([0.8], np.float32), np.array([label])), EVERYWHERE, 1.0) for label in (0, 1)]
    found = together(parts, Thresholds(score=0.25), (200, 200), augmented=True)
    assert found.labels.tolist() == [0, 1]
    np.testing.assert_allclose(found.scores, [0.4, 0.4])


def test_no_cap_on_a_large_field(predictor_of: Callable[..., Predictor], monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, wanted = field((700, 1000), GRID)
    predictor = predictor_of(tile=256)
    predictor.thresholds = Thresholds(score=0.25, max_detections=60)  # a tile holds 25 to 36 of 352
    same_boxes(predictor(pixels).boxes, wanted, 0.01)


def test_auto_leaves_moderate_pictures_whole(predictor_of: Callable[..., Predictor]) -> None:
    predictor = predictor_of(tile="auto", object_size_px=[10, 40])
    predictor(field((512, 400), [(60, 60, 14)])[0])
    assert predictor.network.shapes == [(1, 1, 256, 256)]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("radius", "tiles"),
    [(140, False), (12, True)],  # in the first look 70 and 6 px large; the objects learned are 20 px large in the middle
)
def test_auto_looks_as_close_as_the_objects_need(predictor_of: Callable[..., Predictor], radius: int, tiles: bool) -> None:
    predictor = predictor_of(tile="auto", object_size_px=[10, 40])
    discs = [(x, y, radius) for x in range(200, 1024, 312) for y in range(200, 1024, 312)]
    pixels, wanted = field((1024, 1024), discs)
    found = predictor(pixels)
    same_boxes(found.boxes, wanted, 4.1 if not tiles else 2.5)
    assert (len(predictor.network.shapes) > 1) is tiles  # type: ignore[attr-defined]


def test_auto_takes_the_pixels_as_recorded_where_a_first_look_finds_nothing(predictor_of: Callable[..., Predictor]) -> None:
    pixels, wanted = field((1024, 1024), [(333, 500, 2), (800, 90, 2)])
    predictor = predictor_of(tile="auto", object_size_px=[4, 40])
    same_boxes(predictor(pixels).boxes, wanted, 0.01)


def test_auto_goes_by_the_pixel_size_where_that_is_known(predictor_of: Callable[..., Predictor]) -> None:
    pixels, wanted = field((1000, 700), [(100, 120, 10), (500, 900, 12)])
    predictor = predictor_of(tile="auto", pixel_size_nm=1.0, object_size_px=[10, 60])
    same_boxes(predictor(Micrograph(pixels, 2.0)).boxes, wanted, 1.01)  # twice as many px: 2000, in tiles
    shapes = predictor.network.shapes  # type: ignore[attr-defined]
    assert sum(shape[0] for shape in shapes) == 1 + len(spans(2000, 256, 60)) * len(spans(1400, 256, 60))
    shapes.clear()
    predictor(Micrograph(pixels, 0.25))  # 250 px
    assert shapes == [(1, 1, 256, 256)]


def test_impossible_tile(predictor_of: Callable[..., Predictor]) -> None:
    with pytest.raises(InputError, match="tile=10"):
        predictor_of(tile=10)
