"""Polygons: areas by hand, and what of them lies in a picture."""

import math

import numpy as np
import pytest

from exolight.polygons import clip_polygon, pixels_inside, polygon_area

SQUARE = np.array([[0, 0], [10, 0], [10, 10], [0, 10]], np.float32)


def test_polygon_area() -> None:
    assert polygon_area(SQUARE) == 100
    assert polygon_area(SQUARE[::-1] + 7) == 100
    assert polygon_area(SQUARE[:3]) == 50
    assert polygon_area(SQUARE[:2]) == 0


def test_clipping_keeps_what_is_in_the_picture() -> None:
    assert polygon_area(clip_polygon(SQUARE - 4, (100, 100))) == 36
    inside = clip_polygon(SQUARE + 3, (13, 13))
    np.testing.assert_array_equal(inside, SQUARE + 3)
    corner = clip_polygon(SQUARE + np.array([5, 8]), (12, 9))  # (height, width)
    np.testing.assert_array_equal([corner.min(axis=0), corner.max(axis=0)], [[5, 8], [9, 12]])
    assert len(clip_polygon(SQUARE + 50, (20, 20))) == 0


def test_a_clipped_circle_is_closed_along_the_border() -> None:
    angles = np.arange(720) * (2 * math.pi / 720)
    circle = np.stack((2 + 10 * np.cos(angles), 20 + 10 * np.sin(angles)), axis=1)
    half = clip_polygon(circle, (40, 40))  # more of it outside than its widest chord
    assert half.min(axis=0) == pytest.approx((0, 10), abs=1e-2)
    chord = 2 * math.sqrt(100 - 4)
    assert np.ptp(half[half[:, 0] == 0, 1]) == pytest.approx(chord, abs=1e-2)
    angle = math.acos(-2 / 10)
    assert polygon_area(half) == pytest.approx(100 * (angle - math.sin(angle) * math.cos(angle)), rel=1e-3)


def _point_by_point(points: np.ndarray, hw: tuple[float, float]) -> np.ndarray:
    """Sutherland and Hodgman as they describe it."""
    for axis, limit, sign in ((0, 0, 1), (1, 0, 1), (0, hw[1], -1), (1, hw[0], -1)):
        inside, kept = sign * (points[:, axis] - limit), []
        for k in range(len(points)):
            if inside[k - 1] * inside[k] < 0:
                crossing = points[k - 1] + inside[k - 1] / (inside[k - 1] - inside[k]) * (points[k] - points[k - 1])
                crossing[axis] = limit
                kept.append(crossing)
            if inside[k] >= 0:
                kept.append(points[k])
        points = np.array(kept, points.dtype).reshape(-1, 2)
    return points


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_clipping_is_the_published_algorithm_to_the_last_bit(kind: type) -> None:
    """The simulator's pictures hang on the order of the points and on every bit of them."""
    rng, cut = np.random.default_rng(0), 0
    for number in range(200):
        angles = np.sort(rng.uniform(0, 2 * math.pi, 40))
        points = (rng.uniform(-20, 120, 2) + rng.uniform(5, 60) * np.stack((np.cos(angles), np.sin(angles)), axis=1)).astype(kind)
        points = points.round() if number % 4 == 0 else points  # some on the border
        clipped = clip_polygon(points, (80, 100))
        assert clipped.dtype == kind
        np.testing.assert_array_equal(clipped, _point_by_point(points, (80, 100)))
        cut += len(clipped) and len(clipped) != len(points)
    assert cut > 50


def test_nothing_is_cut_off_nothing() -> None:
    assert clip_polygon(np.zeros((0, 2)), (5, 5)).shape == (0, 2)


def test_pixels_inside_are_those_whose_centres_are() -> None:
    """Counted one by one, of polygons that are no stars, some of them partly outside."""
    rng = np.random.default_rng(1)
    centres = np.stack(np.meshgrid(np.arange(50) + 0.5, np.arange(40) + 0.5), axis=-1).reshape(-1, 2)
    for _ in range(30):
        points = rng.uniform(-10, 60, 2) + rng.uniform(2, 40) * rng.uniform(-1, 1, (rng.integers(3, 12), 2))
        crossed = np.array([_crossings(centre, points) % 2 == 1 for centre in centres]).reshape(40, 50)
        np.testing.assert_array_equal(pixels_inside(points, (40, 50)), crossed)


def _crossings(centre: np.ndarray, points: np.ndarray) -> int:
    """How many edges lie to the left of a point, on its height."""
    count = 0
    for (x1, y1), (x2, y2) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if (y1 <= centre[1]) != (y2 <= centre[1]):
            count += x1 + (centre[1] - y1) / (y2 - y1) * (x2 - x1) < centre[0]
    return count


@pytest.mark.parametrize("radius", [3.0, 10.0, 40.0])
def test_pixels_inside_have_the_area_of_the_polygon(radius: float) -> None:
    theta = np.linspace(0, 2 * math.pi, 128, endpoint=False)
    offsets = np.random.default_rng(0).uniform(49.5, 50.5, (100, 2))
    discs = [centre + radius * np.stack((np.cos(theta), np.sin(theta)), axis=1) for centre in offsets]
    areas = [pixels_inside(disc, (100, 100)).sum() for disc in discs]
    assert np.mean(areas) == pytest.approx(polygon_area(discs[0]), rel=0.02)
    np.testing.assert_array_equal(pixels_inside(np.array([[2, 3], [7, 3], [7, 5], [2, 5]]), (8, 8)).sum(), 10)
    assert not pixels_inside(discs[0] + 200, (100, 100)).any()
