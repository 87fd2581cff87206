"""Pixels in nanometres, and the random fields drawn on them."""

import numpy as np
import pytest

from exolight.simulation.grid import Grid
from exolight.simulation.noise import Texture, blurred_noise, enlarged, profile

GRID = Grid((40, 60), 2.0)  # 80 x 120 nm


def test_extent_and_coarser_grid() -> None:
    assert GRID.extent_nm == (80.0, 120.0)
    assert GRID.coarser(4) == Grid((10, 15), 8.0)
    assert GRID.coarser(7) == Grid((6, 9), 14.0)  # a little more than the field
    assert GRID.coarser(1) == GRID


@pytest.mark.parametrize(
    ("low", "high", "rows", "columns"),
    [
        ((10.0, 4.0), (20.0, 30.0), (2, 15), (5, 10)),
        ((10.5, 4.5), (19.5, 29.5), (2, 15), (5, 10)),  # pixels that are touched
        ((-50.0, 70.0), (6.0, 200.0), (35, 40), (0, 3)),  # cut by the border
        ((130.0, 10.0), (150.0, 20.0), (5, 10), None),
        ((-30.0, 10.0), (-10.0, 20.0), (5, 10), None),
        ((10.0, 90.0), (20.0, 95.0), None, (5, 10)),
    ],
)
def test_window_by_hand(low: tuple[float, float], high: tuple[float, float], rows: tuple[int, int] | None, columns: tuple[int, int] | None) -> None:
    numbers = np.arange(40 * 60).reshape(40, 60)
    wanted = numbers[slice(*(rows or (0, 0))), slice(*(columns or (0, 0)))]
    found = numbers[GRID.window(low, high)]
    assert found.size == wanted.size
    np.testing.assert_array_equal(found.ravel(), wanted.ravel())


def test_around_a_point() -> None:
    assert GRID.around((20.0, 40.0), 6.0) == (slice(17, 23), slice(7, 13))


def test_offsets_are_those_of_pixel_centres() -> None:
    x, y = GRID.offsets((slice(3, 5), slice(10, 13)), (21.0, 4.0))
    np.testing.assert_allclose(x, [[0, 2, 4]])
    np.testing.assert_allclose(y, [[3], [5]])


# Noise --------------------------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.0, 0.8, 2.0, 5.0, 11.0])
def test_blurred_noise_has_unit_variance_and_the_correlation_of_its_gaussian(sigma: float) -> None:
    """White noise through a Gaussian of sigma correlates as a Gaussian of sqrt(2) sigma."""
    noise = blurred_noise(np.random.default_rng(1), (300, 420), sigma)
    assert noise.shape == (300, 420)
    assert noise.std() == pytest.approx(1, abs=0.12)
    assert abs(noise.mean()) < 0.01 + 0.03 * sigma
    lag = max(round(sigma), 1)
    expected = np.exp(-(lag**2) / (4 * sigma**2)) if sigma else 0
    for along in ((noise[:, lag:] * noise[:, :-lag]).mean(), (noise[lag:] * noise[:-lag]).mean()):
        assert along / noise.var() == pytest.approx(expected, abs=0.1)


def test_enlarged_keeps_a_plane_in_its_place() -> None:
    y, x = np.mgrid[:6, :8] + 0.5
    plane = (3 * x + 7 * y).astype(np.float32)
    fine = enlarged(plane, (24, 32))
    y, x = (np.mgrid[:24, :32] + 0.5) / 4
    np.testing.assert_allclose(fine[8:-8, 8:-8], (3 * x + 7 * y)[8:-8, 8:-8], atol=0.6)  # half a coarse pixel would be 5


def test_texture_is_as_coarse_in_nm_on_any_grid() -> None:
    def correlation(field: np.ndarray, lag_px: int) -> float:
        return float((field[:, lag_px:] * field[:, :-lag_px]).mean() / field.var())

    for size in (1.0, 2.0):
        texture = Texture(np.random.default_rng(0), Grid((round(500 / size), round(600 / size)), size))
        assert texture.fine.shape == texture.coarse.shape == (round(500 / size), round(600 / size))
        assert texture.fine.std() == pytest.approx(1, abs=0.1)
        assert texture.coarse.std() == pytest.approx(1, abs=0.1)
        assert correlation(texture.coarse, round(8 / size)) == pytest.approx(np.exp(-1 / 4), abs=0.1)
        assert correlation(texture.fine, round(8 / size)) == pytest.approx(0, abs=0.1)


def test_profile_wanders_slowly_and_in_proportion_to_its_roughness() -> None:
    lines = np.array([profile(np.random.default_rng(seed), 256, 10.0) for seed in range(200)])
    assert lines.shape == (200, 256)
    assert lines.std() == pytest.approx(5.7, abs=0.5)
    assert np.sqrt((lines.std(axis=1) ** 2).mean()) == pytest.approx(4.05, abs=0.3)
    assert np.abs(np.diff(lines, axis=1)).mean() < 0.1 * lines.std()
    np.testing.assert_allclose(profile(np.random.default_rng(0), 256, 20.0), 2 * lines[0])
