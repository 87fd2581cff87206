"""Outlines on drawn pictures, whose outer membrane is known."""

import math

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from exolight.measurement.contour import BELIEVABLE, Outline, ellipse_of, touches_border, trace_outline, trace_outlines, visible_boxes
from exolight.measurement.shape import polygon_area, shape
from exolight.simulation.source import simulate


def _polygon(centre: tuple[float, float], a: float, b: float, angle: float = 0.0, lobes: float = 0.0) -> NDArray[np.float64]:
    t = np.arange(360) * (2 * math.pi / 360)
    x, y = a * np.cos(t) * (1 + lobes * np.cos(3 * t)), b * np.sin(t) * (1 + lobes * np.cos(3 * t))
    return np.stack((centre[0] + x * math.cos(angle) - y * math.sin(angle), centre[1] + x * math.sin(angle) + y * math.cos(angle)), axis=1)


def _picture(outlines: list[NDArray[np.float64]], hw: tuple[int, int] = (160, 200), noise: float = 6.0) -> NDArray[np.uint8]:
    """Bright bodies in dark stain that fades over a radius, drawn four times as fine; grain on all."""
    outside = np.ones((hw[0] * 4, hw[1] * 4), np.uint8)
    for points in outlines:
        cv2.fillPoly(outside, [np.rint((points * 4 - 0.5) * 16).astype(np.int32)], 0, shift=4)
    distance = cv2.distanceTransform(outside, cv2.DIST_L2, 5) / 4
    grey = np.where(outside == 0, 170.0, 140 - 70 * np.exp(-distance / 12))
    grey = cv2.GaussianBlur(cv2.resize(grey, hw[::-1], interpolation=cv2.INTER_AREA), (0, 0), 0.8)
    return np.clip(grey + noise * np.random.default_rng(0).normal(size=hw), 0, 255).astype(np.uint8)


def _box(points: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.concatenate((points.min(axis=0), points.max(axis=0))).astype(np.float64)


def _iou(points: NDArray[np.floating], truth: NDArray[np.floating], hw: tuple[int, int] = (160, 200)) -> float:
    masks = np.zeros((2, hw[0] * 4, hw[1] * 4), np.uint8)
    for mask, outline in zip(masks, (points, truth), strict=True):
        cv2.fillPoly(mask, [np.rint(outline * 4 - 0.5).astype(np.int32)], 1)
    return float((masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum())


WHOLE = [
    _polygon((70.3, 80.6), 25, 25),
    _polygon((70.3, 80.6), 30, 20),
    _polygon((90, 80), 40, 18, angle=0.8),  # leans: its box is nearly a square
    _polygon((90, 80), 40, 18, angle=-0.8),
    _polygon((90.5, 70), 28, 24, lobes=0.12),
]


@pytest.mark.parametrize("truth", WHOLE)
def test_the_outline_follows_the_membrane(truth: NDArray[np.float64]) -> None:
    found = trace_outline(_picture([truth]), _box(truth))
    assert found.points.dtype == np.float32
    assert found.believable
    assert not found.on_border
    assert _iou(found.points, truth) > 0.93
    assert shape(found.points).diameter == pytest.approx(shape(truth).diameter, rel=0.025)


def test_a_box_somewhat_off_does_not_mislead() -> None:
    truth = WHOLE[1]
    picture = _picture([truth])
    for shift in ([3, -2, 3, -2], [-2, -2, 2, 2], [2, 2, -2, -2]):
        assert shape(trace_outline(picture, _box(truth) + shift).points).diameter == pytest.approx(shape(truth).diameter, rel=0.025)


def test_a_small_vesicle() -> None:
    truth = _polygon((50.4, 60.7), 8, 7)
    found = trace_outline(_picture([truth]), _box(truth))
    assert abs(shape(found.points).diameter - shape(truth).diameter) < 0.7


def test_inverted_contrast_is_found_out() -> None:
    picture = _picture([WHOLE[1]])
    as_it_is, inverted = (trace_outline(pixels, _box(WHOLE[1])) for pixels in (picture, 255 - picture))
    np.testing.assert_allclose(inverted.points, as_it_is.points, atol=1e-3)
    assert inverted.quality == pytest.approx(as_it_is.quality, abs=1e-6)


@pytest.mark.parametrize("change", [lambda p: p.astype(np.uint16) * 200 + 1000, lambda p: p.astype(np.float32) / 255, lambda p: p.astype(">f8") - 100])
def test_grey_scale_and_type_change_nothing(change) -> None:
    picture = _picture([WHOLE[0]])
    np.testing.assert_allclose(trace_outline(change(picture), _box(WHOLE[0])).points, trace_outline(picture, _box(WHOLE[0])).points, atol=2e-2)


def test_many_are_traced_as_each_alone() -> None:
    truths = [_polygon((40, 40), 18, 15), _polygon((120, 50), 24, 20, angle=0.5), _polygon((70, 115), 9, 8)]
    picture, boxes = _picture(truths), np.array([_box(truth) for truth in truths])
    for together, box in zip(trace_outlines(picture, boxes), boxes, strict=True):
        alone = trace_outline(picture, box)
        np.testing.assert_allclose(together.points, alone.points, atol=1e-3)
        assert together.quality == pytest.approx(alone.quality, abs=1e-5)


def test_all_vesicles_of_a_picture_decide_its_contrast() -> None:
    odd, *others = [_polygon((40, 40), 14, 14), _polygon((120, 50), 24, 20), _polygon((70, 115), 24, 22)]
    picture = _picture([odd, *others])
    picture[:80, :80] = 255 - picture[:80, :80]
    alone = trace_outline(picture, _box(odd))
    among = trace_outlines(picture, np.array([_box(truth) for truth in (odd, *others)]))
    assert among[0].quality < alone.quality - 0.3
    assert _iou(among[1].points, others[0]) > 0.93


def test_a_vesicle_at_the_border_is_closed_along_it() -> None:
    whole = _polygon((8, 80), 24, 24)  # the picture's left edge cuts a third off
    seen = whole[whole[:, 0] >= 0]
    box = np.array([0, 56, 32, 104], np.float64)
    found = trace_outline(_picture([whole]), box)
    assert found.on_border
    assert found.points[:, 0].min() == 0
    assert np.ptp(found.points[found.points[:, 0] == 0, 1]) == pytest.approx(2 * math.sqrt(24**2 - 8**2), abs=3)
    assert polygon_area(found.points) == pytest.approx(polygon_area(seen), rel=0.05)


def test_quality_is_high_on_a_vesicle_and_low_where_there_is_none() -> None:
    truth, box = WHOLE[0], _box(WHOLE[0])
    noise = np.random.default_rng(3).normal(100, 10, (160, 200)).astype(np.float32)
    assert trace_outline(_picture([truth]), box).quality > 0.9
    assert trace_outline(np.full((160, 200), 7, np.uint8), box).quality < BELIEVABLE
    assert np.median([trace_outline(noise, box + shift).quality for shift in range(-30, 40, 5)]) < 0.6


def test_quality_falls_with_grain_and_with_the_distance_from_the_box() -> None:
    truth, box = WHOLE[0], _box(WHOLE[0])
    clear = trace_outline(_picture([truth]), box).quality
    assert trace_outline(_picture([truth], noise=200), box).quality < clear - 0.05
    assert trace_outline(_picture([truth]), box + np.array([6, 6, -6, -6])).quality < clear - 0.05


def test_believable_is_quality_above_a_threshold() -> None:
    points = np.zeros((3, 2), np.float32)
    assert Outline(points, BELIEVABLE, False).believable
    assert not Outline(points, BELIEVABLE - 0.01, False).believable


def test_odd_boxes_and_pictures() -> None:
    picture = _picture([WHOLE[0]])
    assert trace_outlines(picture, np.zeros((0, 4), np.float32)) == []
    for box in ([-20, -20, 10, 10], [190, 150, 260, 230], [50, 50, 50, 50], [300, 300, 320, 320], [0, 0, 200, 160]):
        found = trace_outline(picture, np.array(box, np.float32))
        assert np.isfinite(found.points).all()
        assert 0 <= found.quality <= 1
        assert (found.points >= 0).all()
        assert (found.points <= [200, 160]).all()
    for pixels, boxes in ((picture[None], np.zeros((1, 4))), (picture, np.zeros((1, 5))), (picture, np.full((1, 4), np.nan))):
        with pytest.raises(ValueError, match="pixels must be"):
            trace_outlines(pixels, boxes)


def test_visible_boxes() -> None:
    boxes = np.array([[-3, 5, 20, 30], [95, 35, 140, 60], [10, 10, 10, 10], [10, 20, 30, 39]], np.float32)
    np.testing.assert_array_equal(visible_boxes(boxes, (40, 100)), [[0, 5, 20, 30], [95, 35, 100, 40], [10, 10, 11, 11], [10, 20, 30, 39]])


def test_touching_the_border_is_within_a_pixel() -> None:
    boxes = np.array([[2, 2, 98, 38], [1, 2, 50, 30], [2, 0, 50, 30], [2, 2, 99, 30], [2, 2, 50, 39.5], [1.1, 1.1, 98.9, 38.9]], np.float32)
    assert touches_border(boxes, (40, 100)).tolist() == [False, True, True, True, True, False]


@pytest.mark.parametrize("skew", [-0.6, 0.0, 0.5])
def test_an_ellipse_touches_its_box(skew: float) -> None:
    points = ellipse_of(np.array([10, 20, 50, 40]), skew)
    np.testing.assert_allclose(_box(points), [10, 20, 50, 40], atol=0.05)
    assert polygon_area(points) == pytest.approx(math.pi * 20 * 10 * math.sqrt(1 - skew**2), rel=2e-3)
    assert np.sign(np.cov(points.T)[0, 1].round(6)) == np.sign(skew)


def test_simulated_vesicles_are_sized_better_than_by_their_boxes() -> None:
    rng, contour, box = np.random.default_rng(0), [], []
    for image in simulate(count=4, image_hw=(384, 384), seed=77).images:
        jittered = image.boxes + 0.03 * rng.normal(size=image.boxes.shape) * np.tile(image.boxes[:, 2:] - image.boxes[:, :2], 2)
        for i, found in enumerate(trace_outlines(image.read().pixels, jittered)):
            if not touches_border(image.boxes[i], image.image_hw) and not image.ignore[i]:
                true = shape(image.outlines[i]).diameter
                contour.append(abs(shape(found.points).diameter / true - 1))
                box.append(abs(math.sqrt((jittered[i, 2:] - jittered[i, :2]).prod()) / true - 1))
    assert len(contour) > 10
    assert np.median(contour) < 0.025
    assert np.median(contour) < np.median(box)
