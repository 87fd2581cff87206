"""Sizes and shapes: hand-computed values, nothing changes with place, turn or sense of rotation."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from exolight.measurement.shape import shape

SQUARE = np.array([[0, 0], [10, 0], [10, 10], [0, 10]], np.float32)


def _ellipse(a: float, b: float, count: int = 720) -> NDArray[np.float64]:
    angles = np.arange(count) * (2 * math.pi / count)
    return np.stack((a * np.cos(angles), b * np.sin(angles)), axis=1)


def _moved(points: NDArray[np.floating], angle: float, by: tuple[float, float]) -> NDArray[np.float64]:
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return points @ turn.T + by


def test_square() -> None:
    found = shape(SQUARE)
    assert found.area == pytest.approx(100)
    assert found.diameter == pytest.approx(math.sqrt(400 / math.pi))
    assert found.perimeter == pytest.approx(40)
    assert found.feret_max == pytest.approx(10 * math.sqrt(2))
    assert found.feret_min == pytest.approx(10)
    assert found.ellipse_major == pytest.approx(4 * math.sqrt(100 / 12))  # variance of a uniform side: 10^2 / 12
    assert found.ellipse_minor == pytest.approx(4 * math.sqrt(100 / 12))
    assert found.roundness == pytest.approx(math.pi / 4)


def test_rectangle() -> None:
    found = shape(SQUARE * [3, 1])
    assert (found.area, found.perimeter) == pytest.approx((300, 80))
    assert (found.feret_max, found.feret_min) == pytest.approx((math.hypot(30, 10), 10))
    assert (found.ellipse_major, found.ellipse_minor) == pytest.approx((30 * 4 / math.sqrt(12), 10 * 4 / math.sqrt(12)))


def test_a_triangle_is_narrowest_across_its_longest_side() -> None:
    found = shape(np.array([[0, 0], [4, 0], [0, 3]], np.float32))
    assert (found.area, found.perimeter, found.feret_max) == pytest.approx((6, 12, 5))
    assert found.feret_min == pytest.approx(2.4)  # the height on the hypotenuse, 2 * 6 / 5


def test_dents_change_area_and_perimeter_not_feret() -> None:
    dented = np.array([[0, 0], [10, 0], [5, 4], [10, 10], [0, 10]], np.float32)
    found = shape(dented)
    assert found.area == pytest.approx(100 - 25)
    assert (found.feret_max, found.feret_min) == pytest.approx((10 * math.sqrt(2), 10))


def test_circle_and_ellipse() -> None:
    circle = shape(_ellipse(50, 50))
    assert circle[1:] == pytest.approx((100, 100 * math.pi, 100, 100, 100, 100, 1), rel=1e-4)
    ellipse = shape(_ellipse(60, 20))
    assert (ellipse.area, ellipse.diameter) == pytest.approx((1200 * math.pi, 2 * math.sqrt(1200)), rel=1e-4)
    assert (ellipse.feret_max, ellipse.feret_min, ellipse.ellipse_major, ellipse.ellipse_minor) == pytest.approx((120, 40, 120, 40), rel=1e-4)
    perimeter = math.pi * (3 * 80 - math.sqrt((3 * 60 + 20) * (60 + 3 * 20)))  # Ramanujan's first formula, good to 1e-3 here
    assert ellipse.perimeter == pytest.approx(perimeter, rel=2e-3)
    assert ellipse.roundness == pytest.approx(4 * math.pi * 1200 * math.pi / perimeter**2, rel=4e-3)


@pytest.mark.parametrize("angle", [0.3, 1.1, 2.0, math.pi / 2])
def test_place_turn_and_sense_of_rotation_change_nothing(angle: float) -> None:
    points = _ellipse(40, 15, 90) + [0, 3] * (np.arange(90) % 2)[:, None]
    np.testing.assert_allclose(shape(_moved(points, angle, (3000.5, -1200.25)))[:], shape(points)[:], rtol=1e-5)
    np.testing.assert_allclose(shape(points[::-1])[:], shape(points)[:], rtol=1e-6)


def test_scaled_is_the_shape_of_scaled_points() -> None:
    points = _ellipse(40, 15, 64)
    np.testing.assert_allclose(shape(points).scaled(1.92)[:], shape(points * 1.92)[:], rtol=1e-6)


@pytest.mark.parametrize("points", [np.zeros((0, 2)), SQUARE[:2], SQUARE[:, :1], SQUARE * [1, 0]])
def test_what_encloses_nothing_is_refused(points: NDArray[np.floating]) -> None:
    with pytest.raises(ValueError, match="enclose an area"):
        shape(points)
