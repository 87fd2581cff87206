"""From specimen to file, step by step, and what is burned in."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from exolight.simulation import formation
from exolight.simulation.formation import CARBON_MFP_NM, STAIN_MFP_NM, Instrument, random_instrument
from exolight.simulation.grid import Field
from exolight.simulation.marks import burn_in, strip_rows
from exolight.simulation.ranges import InstrumentRanges

HW = (60, 90)


def flat(value: float, hw: tuple[int, int] = HW) -> Field:
    return np.full(hw, value, np.float32)


def edge(left: float, right: float) -> Field:
    return np.where(np.arange(HW[1]) < 45, np.float32(left), np.float32(right))[None].repeat(HW[0], axis=0).astype(np.float32)


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


# Instruments --------------------------------------------------------------------------------------------------------------------------------------------------


def instruments(count: int = 200, **ranges: object) -> list[Instrument]:
    one, made = rng(), InstrumentRanges(**ranges)
    return [random_instrument(one, made) for _ in range(count)]


@pytest.mark.parametrize("name", ["fringe_nm", "fringe", "blur_px", "vignetting", "electrons", "camera_blur_px", "readout", "hot_pixels", "level", "gamma"])
def test_each_setting_is_drawn_from_its_own_range(name: str) -> None:
    values = [getattr(instrument, name) for instrument in instruments(60, **{name: (0.3, 0.7)})]
    assert 0.3 <= min(values) < 0.4 < 0.6 < max(values) <= 0.7


def test_fractions_of_the_files() -> None:
    whole = instruments(
        20, sixteen_bit_fraction=1.0, inverted_fraction=1.0, resampled_fraction=1.0, resampling=(0.5, 2.0), jpeg_fraction=0.0, marks_fraction=1.0
    )
    assert {(i.bits, i.inverted, i.jpeg_quality) for i in whole} == {(16, True, None)}
    assert all(i.marks is not None and i.resampling != 1 for i in whole)
    assert len({i.marks for i in whole}) == 20
    none = instruments(20, sixteen_bit_fraction=0.0, inverted_fraction=0.0, resampled_fraction=0.0, jpeg_fraction=0.0, marks_fraction=0.0)
    assert {(i.bits, i.inverted, i.resampling, i.jpeg_quality, i.marks) for i in none} == {(8, False, 1.0, None, None)}
    half = instruments(sixteen_bit_fraction=0.5, inverted_fraction=0.5, jpeg_fraction=0.0)
    assert 70 < sum(i.bits == 16 for i in half) < 130
    assert 70 < sum(i.inverted for i in half) < 130


def test_a_jpeg_has_eight_bits_and_a_quality() -> None:
    made = instruments(60, sixteen_bit_fraction=1.0, jpeg_fraction=1.0, jpeg_quality=(60, 95))
    assert {i.bits for i in made} == {8}
    qualities = [i.jpeg_quality for i in made if i.jpeg_quality is not None]
    assert len(qualities) == 60
    assert 60 <= min(qualities) < 70 < 85 < max(qualities) <= 95


def test_resampling_is_log_uniform() -> None:
    logs = np.log([i.resampling for i in instruments(resampled_fraction=1.0, resampling=(0.25, 4.0))])
    assert np.abs(logs).max() <= math.log(4)
    assert abs(logs.mean()) < 0.2
    assert logs.std() == pytest.approx(2 * math.log(4) / math.sqrt(12), rel=0.1)


# Transmission, optics -----------------------------------------------------------------------------------------------------------------------------------------


def test_transmission_by_hand() -> None:
    np.testing.assert_allclose(formation.transmission(flat(0), 0.0), 1)
    np.testing.assert_allclose(formation.transmission(flat(STAIN_MFP_NM), 2 * CARBON_MFP_NM), math.exp(-3), rtol=1e-5)
    carbon = flat(CARBON_MFP_NM)
    carbon[0, 0] = 0
    light = formation.transmission(flat(STAIN_MFP_NM / 2), carbon)
    assert light[0, 0] == pytest.approx(math.exp(-0.5))
    assert light[1, 1] == pytest.approx(math.exp(-1.5))
    whole = flat(1)
    whole[:, :10] = 0
    whole[:, 10:20] = 0.5
    torn = formation.transmission(flat(STAIN_MFP_NM), CARBON_MFP_NM, whole)
    np.testing.assert_allclose(torn[0, [0, 15, 50]], [1, math.exp(-1), math.exp(-2)], rtol=1e-5)


def test_a_fringe_is_bright_on_the_thin_side_and_dark_on_the_thick_one() -> None:
    step = edge(0.8, 0.4)
    fringed = formation.fresnel_fringe(step, 6.0, 1.0, 1.0)
    thin, thick = fringed[30, 30:45], fringed[30, 45:60]
    assert thin.max() > 0.82
    assert thick.min() < 0.39
    assert thin.min() > 0.79
    assert thick.max() < 0.41
    np.testing.assert_allclose(fringed[:, [5, 85]], step[:, [5, 85]], rtol=1e-4)  # far from the edge
    np.testing.assert_allclose(formation.fresnel_fringe(step[:, ::-1].copy(), 6.0, 1.0, 1.0), fringed[:, ::-1], rtol=1e-4)
    twice = formation.fresnel_fringe(step, 6.0, 2.0, 1.0)
    np.testing.assert_allclose(twice - step, 2 * (fringed - step), atol=1e-5)
    wide = formation.fresnel_fringe(step, 12.0, 1.0, 1.0)
    assert np.abs(np.arange(90) - 44.5)[np.abs(wide - step)[30] > 0.005].max() > np.abs(np.arange(90) - 44.5)[np.abs(fringed - step)[30] > 0.005].max()
    np.testing.assert_allclose(formation.fresnel_fringe(step, 24.0, 1.0, 4.0), fringed, rtol=1e-5)  # its width is in nm


def test_no_fringe_in_focus_nor_on_a_flat_field_nor_below_a_pixel() -> None:
    step = edge(0.8, 0.4)
    np.testing.assert_array_equal(formation.fresnel_fringe(step, 6.0, 0.0, 1.0), step)
    np.testing.assert_array_equal(formation.fresnel_fringe(step, 1.0, 1.0, 3.0), step)
    np.testing.assert_allclose(formation.fresnel_fringe(flat(0.37), 6.0, 3.0, 1.0), 0.37, rtol=1e-5)
    assert formation.fresnel_fringe(edge(1.0, 1e-3), 6.0, 20.0, 1.0).min() >= 0


def test_illumination() -> None:
    np.testing.assert_array_equal(formation.illumination((5, 9), 0.0, (0.2, 0.1)), 1)
    beam = formation.illumination((41, 61), 0.3, (0.0, 0.0))
    assert beam.shape == (41, 61)
    assert beam[20, 30] == 1
    np.testing.assert_allclose(beam[[0, 0, -1, -1], [0, -1, 0, -1]], math.exp(-0.3), rtol=1e-5)
    np.testing.assert_allclose(beam[[0, 20], [30, 0]], math.exp(-0.15), rtol=1e-5)
    off = formation.illumination((41, 61), 0.3, (0.2, -0.5))
    assert np.unravel_index(off.argmax(), off.shape) == (10, 36)


def test_point_spread_keeps_the_light_and_has_its_width() -> None:
    point = np.zeros((41, 61), np.float32)
    point[20, 30] = 5
    spread = formation.point_spread(point, 1.5)
    assert spread.sum() == pytest.approx(5, rel=1e-4)
    y, x = np.mgrid[:41, :61]
    for offset in (x - 30, y - 20):
        assert (spread * offset**2).sum() / 5 == pytest.approx(1.5**2, rel=0.05)
    np.testing.assert_array_equal(formation.point_spread(point, 0.0), point)
    np.testing.assert_allclose(formation.point_spread(flat(0.3), 2.0), 0.3, rtol=1e-5)


# Dose and camera ----------------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("intensity", "electrons"), [(0.5, 400.0), (1.0, 60.0)])
def test_counted_electrons_have_the_variance_of_their_mean(intensity: float, electrons: float) -> None:
    counted = formation.expose(rng(), flat(intensity, (200, 220)), electrons)
    mean = intensity * electrons
    assert counted.mean() == pytest.approx(mean, rel=0.01)
    assert counted.var() == pytest.approx(mean, rel=0.05)
    assert (counted[:, 1:] - mean).ravel() @ (counted[:, :-1] - mean).ravel() / counted.size == pytest.approx(0, abs=0.03 * mean)


def test_no_electrons_where_it_is_dark_and_never_fewer() -> None:
    np.testing.assert_array_equal(formation.expose(rng(), flat(0), 100.0), 0)
    assert formation.expose(rng(), flat(0.01), 100.0).min() >= 0


def test_the_camera_adds_white_noise_and_correlates_that_of_the_dose() -> None:
    quiet = formation.detect(rng(), flat(100, (200, 220)), 0.0, 4.0, 0.0)
    assert quiet.mean() == pytest.approx(100, rel=0.01)
    assert quiet.std() == pytest.approx(4, rel=0.03)
    noisy = formation.detect(rng(), formation.expose(rng(), flat(1, (200, 220)), 100.0), 0.8, 0.0, 0.0)

    def neighbours(field: Field) -> float:
        field = field - field.mean()
        return float((field[:, 1:] * field[:, :-1]).mean() / field.var())

    assert abs(neighbours(formation.detect(rng(), flat(100, (200, 220)), 0.8, 4.0, 0.0))) < 0.05
    assert neighbours(noisy) > 0.4
    assert noisy.std() < 8
    np.testing.assert_allclose(formation.detect(rng(), flat(7), 0.5, 0.0, 0.0), 7, rtol=1e-5)


def test_hot_pixels_are_as_many_as_asked_and_bright() -> None:
    signal = formation.detect(rng(), flat(100, (200, 220)), 0.0, 0.0, 0.005)
    hot = signal > 100.5
    assert hot.sum() == pytest.approx(220, abs=45)
    assert signal[hot].min() > 190
    assert (signal[~hot] == 100).all()


# The file -----------------------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bits", "top", "kind"), [(8, 255, np.uint8), (16, 65535, np.uint16)])
def test_grey_levels_by_hand(bits: int, top: int, kind: type) -> None:
    signal = np.array([[0, 50, 100, 150, 1000, -30]], np.float32)

    def levels(gamma: float, inverted: bool) -> list[int]:
        pixels = formation.digitise(signal, 100.0, 0.6, gamma, bits, inverted)
        assert pixels.dtype == kind
        return [int(value) for value in pixels[0]]

    share = np.array([0, 0.3, 0.6, 0.9, 1, 0])
    np.testing.assert_allclose(levels(1.0, False), share * top, atol=0.51)
    np.testing.assert_allclose(levels(1.0, True), (1 - share) * top, atol=0.51)
    np.testing.assert_allclose(levels(2.0, False), np.minimum([0, 0.15, 0.6, 1.35, 1, 0], 1) * top, atol=0.51)


def test_resampled_to_a_size() -> None:
    picture = rng().integers(0, 256, (40, 60)).astype(np.uint8)
    assert formation.resample(picture, (40, 60)) is picture
    np.testing.assert_allclose(formation.resample(picture, (20, 30)), picture.reshape(20, 2, 30, 2).mean(axis=(1, 3)), atol=0.51)
    ramp = (np.arange(60) * 1000).astype(np.uint16)[None].repeat(40, axis=0)
    larger = formation.resample(ramp, (80, 120))
    assert (larger.shape, larger.dtype) == ((80, 120), np.uint16)
    np.testing.assert_allclose(larger[40, 8:-8], (np.arange(120) * 500 - 250)[8:-8], atol=100)
    assert formation.resample(picture, (80, 120)).dtype == np.uint8


def test_a_good_jpeg_changes_little_and_a_bad_one_more() -> None:
    y, x = np.mgrid[:64, :96]
    picture = (128 + 60 * np.sin(x / 5) * np.cos(y / 7) + rng().normal(size=x.shape) * 4).clip(0, 255).astype(np.uint8)
    change = [np.abs(formation.jpeg(picture, quality).astype(float) - picture).mean() for quality in (95, 60, 10)]
    assert 0 < change[0] < 2 < change[2]
    assert change[0] < change[1] < change[2]
    assert formation.jpeg(picture, 60).shape == (64, 96)
    assert formation.jpeg(picture, 60).dtype == np.uint8


# Marks --------------------------------------------------------------------------------------------------------------------------------------------------------


def longest_run(ink: np.ndarray) -> tuple[int, int, int]:
    """Length, row and first column of the longest horizontal run of ink."""
    best = (0, 0, 0)
    for row, line in enumerate(ink):
        ends = np.flatnonzero(np.diff(np.concatenate(([0], line.astype(int), [0]))))
        for start, stop in ends.reshape(-1, 2):
            best = max(best, (int(stop - start), row, int(start)))
    return best


@pytest.mark.parametrize(("kind", "grey"), [(np.uint8, 120), (np.uint16, 30000)])
def test_the_bar_is_a_round_number_of_nanometres_long(kind: type, grey: int) -> None:
    colours = set()
    for seed in [seed for seed in range(16) if not strip_rows(seed, 260)]:
        size = (0.7, 1.3, 2.4)[seed % 3]
        pixels: np.ndarray = np.full((260, 380), grey, kind)
        burn_in(seed, pixels, size)
        top = np.iinfo(kind).max
        ink = (pixels == 0) | (pixels == top)
        length, row, _ = longest_run(ink)
        nearest = min((digit * 10**power for power in range(5) for digit in (1, 2, 5)), key=lambda nm: abs(nm - length * size))
        assert length * size == pytest.approx(nearest, abs=0.51 * size)
        assert 0.03 * 380 < length < 380
        assert row > 200  # at the bottom
        assert 0.5 < (pixels == grey).mean() < 0.999
        assert len(np.unique(pixels[ink])) == 1  # black or white
        colours.add(int(pixels[ink][0]))
        between = pixels[~ink]
        assert between.max() <= grey or between.min() >= grey  # the letters' soft edges
    assert colours == {0, np.iinfo(kind).max}


def test_letters_come_and_go_and_all_is_drawn_again_from_a_seed() -> None:
    def marked(seed: int) -> np.ndarray:
        pixels = np.full((260, 380), 120, np.uint8)
        burn_in(seed, pixels, 1.5)
        return pixels

    np.testing.assert_array_equal(marked(1), marked(1))
    pictures = [marked(seed) != 120 for seed in range(20)]
    top = sum(bool(picture[:120].any()) for picture in pictures)  # a panel letter or a line of text
    assert 3 < top < 18
    assert all(picture[200:].any() for picture in pictures)


def test_a_strip_of_information_hides_what_is_under_it() -> None:
    rows = {seed: strip_rows(seed, 400) for seed in range(300)}
    assert 0.1 < np.mean([n > 0 for n in rows.values()]) < 0.2
    assert all(n == 0 or 20 <= n <= 48 for n in rows.values())
    for seed in [seed for seed, n in rows.items() if n][:8]:
        noise = np.random.default_rng(seed).integers(60, 180, (400, 500)).astype(np.uint8)
        pixels = noise.copy()
        burn_in(seed, pixels, 1.5)
        top = 400 - rows[seed]
        strip = pixels[top:]
        paper = int(np.bincount(strip.ravel()).argmax())
        assert paper in (0, 255)
        assert (strip == paper).mean() > 0.6
        assert (strip == 255 - paper).sum() > 40  # the bar and the letters
        assert (pixels[top - 30 : top] == noise[top - 30 : top]).mean() > 0.9
        length, row, _ = longest_run(strip == 255 - paper)
        nearest = min((digit * 10**power for power in range(5) for digit in (1, 2, 5)), key=lambda nm: abs(nm - length * 1.5))
        assert length * 1.5 == pytest.approx(nearest, abs=0.8)
        assert 0 < row < rows[seed]


STEPS: list[Callable[[np.random.Generator], Any]] = [
    lambda r: formation.expose(r, flat(0.5), 100.0),
    lambda r: formation.detect(r, flat(50), 0.5, 2.0, 0.01),
]


@pytest.mark.parametrize("step", STEPS, ids=["expose", "detect"])
def test_noise_is_drawn_from_its_generator_alone(step: Callable[[np.random.Generator], Any]) -> None:
    np.testing.assert_array_equal(step(np.random.default_rng(1)), step(np.random.default_rng(1)))
    assert (step(np.random.default_rng(1)) != step(np.random.default_rng(2))).any()
