"""The parts of the verdict on a picture, on pictures made by hand."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from exolight.quality import burned_in, film, focus, greys, spectrum

NOWHERE = np.zeros((256, 256), bool)


def noise(seed: int = 0, hw: tuple[int, int] = (256, 256)) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(hw).astype(np.float32)


def blurred(picture: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.float32)


def coloured(exponent: float, seed: int = 0, side: int = 512) -> NDArray[np.float32]:
    """Noise whose power falls as the wave number to minus ``exponent``, of standard deviation 1."""
    k = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    k[0, 0] = 1
    picture = np.fft.irfft2(np.fft.rfft2(noise(seed, (side, side))) * k ** (-exponent / 2), (side, side))
    return (picture / picture.std()).astype(np.float32)


# What was burned in


def test_extremes_are_the_ends_of_the_range_and_a_hot_pixel_does_not_stretch_it() -> None:
    picture = np.tile(np.arange(100, dtype=np.float32), (100, 1))
    dark, bright = burned_in.extremes(picture)
    assert np.flatnonzero(dark.any(axis=0)).tolist() == [0]
    assert np.flatnonzero(bright.any(axis=0)).tolist() == [99]
    picture[5, 5] = 10_000
    dark, bright = burned_in.extremes(picture)
    assert np.flatnonzero(dark.any(axis=0)).tolist() == [0]
    assert np.argwhere(bright).tolist() == [[5, 5]]


def test_a_strip_is_plain_rows_at_an_edge_up_to_a_straight_end() -> None:
    dark, bright = np.zeros((2, 200, 100), bool)
    bright[180:, :80] = True  # letters take the rest
    dark[:10] = True
    assert burned_in.strip_rows(dark, bright) == (10, 20)
    bright[120:] = True
    assert burned_in.strip_rows(dark, bright) == (10, 0)  # too high for a strip
    slant = np.arange(200)[:, None] > 170 + 0.3 * np.arange(100)[None]
    assert burned_in.strip_rows(np.zeros_like(slant), slant) == (0, 0)


def test_label_boxes_are_filled_rectangles_that_do_not_run_through() -> None:
    dark, bright = np.zeros((2, 200, 200), bool)
    bright[150:180, 20:100] = True
    bright[160:170, 30:50] = False  # a letter
    dark[60:80] = True  # a bar that runs through
    yy, xx = np.mgrid[:200, :200]
    dark |= np.hypot(yy - 30, xx - 150) < 20  # a disc fills 0.785 of its square
    expected = np.zeros_like(dark)
    expected[150:180, 20:100] = True
    assert (burned_in.label_boxes(dark, bright) == expected).all()


# Grey levels


def test_the_clipped_share_is_that_of_the_specimen() -> None:
    extreme, specimen = np.zeros((2, 10, 10), bool)
    extreme[:2] = specimen[:, :5] = True
    assert greys.clipped_share(extreme, specimen) == pytest.approx(0.2)
    assert greys.clipped_share(extreme, ~extreme) == 0
    assert greys.clipped_share(extreme, np.zeros_like(extreme)) == 0


def test_a_drawing_is_plain_but_for_lines_and_a_recording_is_not() -> None:
    plot = np.full((100, 100), 255, np.uint8)
    plot[50] = 0
    assert greys.drawn_share(plot) == pytest.approx(97 / 99)  # all but the two rows that touch the line
    assert greys.drawn_share(plot, step=3) == pytest.approx(1, abs=0.07)
    assert greys.drawn_share(np.full((10, 10), 7, np.uint8)) == 1
    assert greys.drawn_share(np.clip(128 + 20 * noise(), 0, 255).astype(np.uint8)) < 0.01
    few_levels = np.clip(2 + 0.2 * noise(), 0, 40).astype(np.uint8)
    few_levels[0, 0] = 255  # of a range that is hardly used neighbours are often equal, and differ by a level
    assert greys.drawn_share(few_levels) == 0


# Spectra


def test_white_noise_is_flat_and_film_is_not() -> None:
    whites, film_like = (spectrum.spectra(picture, NOWHERE | True) for picture in (noise(), coloured(2.7)))
    np.testing.assert_allclose(whites.typical, whites.typical.mean(), rtol=0.6)
    assert whites.power.mean() == pytest.approx(1, rel=0.1)  # Parseval: of noise of variance 1 every wave has that power
    assert spectrum.flatness(whites) > 0.6
    assert spectrum.flatness(film_like) < 0.1
    assert (whites.side, len(whites.waves)) == (128, len(whites.frequency))
    assert spectrum.spectra(noise(hw=(40, 50)), np.ones((4, 5), bool)).side == 32


def test_a_plane_has_no_power() -> None:
    y, x = np.mgrid[:256, :256]
    plane = spectrum.spectra(300 + 2.0 * x - 0.7 * y + 0.1 * noise(), NOWHERE | True)
    assert plane.power.max() < 0.1


def test_a_power_law_is_measured() -> None:
    found = spectrum.spectra(coloured(2.7), NOWHERE | True)
    middle = slice(4, None)  # longer waves leak through the window
    slope = np.polyfit(np.log(found.frequency[middle]), np.log(found.typical[middle]), 1)[0]
    assert slope == pytest.approx(-2.7, abs=0.25)


def test_patches_that_are_not_film_are_left_out() -> None:
    picture = noise(hw=(256, 512))
    picture[:, 256:] *= 50
    left = np.zeros((8, 16), bool)
    left[:, :8] = True
    found = spectrum.spectra(picture, left)
    assert np.median(found.power) < 2
    everywhere = spectrum.spectra(picture, np.zeros((8, 16), bool))  # forbids all: then all are taken
    assert len(everywhere.power) > len(found.power)


def test_drift_is_seen_in_every_direction_and_a_round_blur_is_none() -> None:
    picture, lines = coloured(2.0), []
    for angle in np.radians([0, 30, 45, 90, 120]):
        line = np.zeros((31, 31), np.float32)
        end = np.rint(16 * 12 * np.array([np.cos(angle), np.sin(angle)])).astype(int)
        cv2.line(line, tuple(240 - end), tuple(240 + end), 1, 1, cv2.LINE_AA, 4)
        lines.append(cv2.filter2D(picture, -1, line / line.sum()))
    drifted = [spectrum.anisotropy(spectrum.spectra(one + 0.05 * noise(5, one.shape), NOWHERE | True)) for one in lines]
    assert min(drifted) > 0.5
    for one in (picture, blurred(picture, 4), noise()):
        assert spectrum.anisotropy(spectrum.spectra(one, NOWHERE | True)) < 0.15


@pytest.mark.parametrize("sigma", [2.0, 4.0, 8.0])
def test_the_blur_is_measured(sigma: float) -> None:
    """Of pictures of three exponents, behind noise of a tenth of their standard deviation."""
    for seed, exponent in enumerate((2.3, 2.7, 3.1)):
        picture = blurred(coloured(exponent, seed), sigma)
        found = focus.blur_px(spectrum.spectra(picture + 0.03 * noise(9, picture.shape), NOWHERE | True))
        assert found == pytest.approx(sigma, rel=0.35)


def test_what_is_sharp_has_no_blur() -> None:
    for exponent in (2.3, 2.7, 3.1):
        assert focus.blur_px(spectrum.spectra(coloured(exponent) + 0.03 * noise(9, (512, 512)), NOWHERE | True)) < 1


# Where there is no film


def field() -> NDArray[np.float32]:
    """Grain of 256 x 256 px around 100."""
    return 100 + 10 * coloured(2.0, side=256) + noise(1)


def test_a_hole_at_the_border_is_found_as_it_is() -> None:
    y, x = np.mgrid[:256, :256]
    beyond = x + 0.4 * y + 5 * np.sin(y / 20) > 260
    for level in (220, 5):
        torn = np.where(beyond, level + noise(2), field()).astype(np.float32)
        found = film.bare(torn, NOWHERE)
        assert (found & beyond).sum() / (found | beyond).sum() > 0.9


def test_what_only_looks_like_a_hole_is_film() -> None:
    y, x = np.mgrid[:256, :256]
    whole = field()
    assert not film.bare(whole, NOWHERE).any()
    assert not film.bare(np.where(np.hypot(y - 128, x - 128) < 50, 220 + noise(2), whole), NOWHERE).any()  # within the field: a large smooth particle
    fading = whole * np.clip(x / 200, 0.2, 1).astype(np.float32)  # the edge of the beam
    assert not film.bare(fading, NOWHERE).any()
    beyond = x > 200
    torn = np.where(beyond, 220 + noise(2), whole).astype(np.float32)
    assert not film.bare(torn, beyond).any()  # known to be something else
    assert not film.bare(np.full((256, 256), 7, np.float32), NOWHERE).any()
