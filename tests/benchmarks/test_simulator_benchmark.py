"""The parts of benchmarks/simulator.py that measure: small arrays with known answers."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from exolight.errors import InputError

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))  # scripts, no package
import realism
import simulator

NO = float("nan")


def disc_mask(side: int, radius: float, value: int = 1) -> realism.Mask:
    y, x = np.mgrid[:side, :side] - side // 2
    return np.where(x**2 + y**2 < radius**2, value, 0).astype(np.int32)


def test_the_outline_runs_between_pixels() -> None:
    inside = np.array([[False, False, True, True, True]])
    assert realism.signed_distance(inside).tolist() == [[1.5, 0.5, -0.5, -1.5, -2.5]]


def test_distance_is_counted_in_radii_of_the_nearest_vesicle() -> None:
    mask = np.zeros((1, 30), np.int32)
    mask[0, 0], mask[0, 20:] = 1, 2
    small, large = np.sqrt(1 / np.pi), np.sqrt(10 / np.pi)
    distance = realism.relative_distance(mask)
    assert distance[0, 1] == pytest.approx(0.5 / small)
    assert distance[0, 19] == pytest.approx(0.5 / large)
    assert np.isinf(realism.relative_distance(np.zeros((4, 5), np.int32))).all()


def test_the_background_is_away_from_halos_and_a_tenth_of_the_picture_at_the_least() -> None:
    mask = disc_mask(81, 10)
    distance = realism.relative_distance(mask)
    np.testing.assert_array_equal(realism.background_of(mask), distance >= realism.HALO_RADII)
    assert realism.background_of(np.zeros((4, 5), np.int32)).all()
    crowd = np.zeros((10, 10), np.int32)
    crowd[:5] = 1
    assert 0.1 <= realism.background_of(crowd).mean() < 0.5


def test_moments_of_two_values() -> None:
    picture = np.array([[0, 0, 0, 4]], np.float32)  # mean 1, deviations -1 -1 -1 3
    assert realism.moments(picture) == pytest.approx((1, np.sqrt(3), 6 / 3**1.5, 21 / 9 - 3))
    assert np.isnan(realism.moments(np.ones((2, 2), np.float32))[2])


def test_block_spread_leaves_vesicles_out() -> None:
    picture = np.repeat(np.arange(8, dtype=np.float32)[None], 8, axis=0)  # block means 0.5, 2.5, 4.5, 6.5
    outside = np.ones((8, 8), bool)
    assert realism.block_spread(picture, outside) == 6.0
    outside[:, 6:] = False
    assert realism.block_spread(picture, outside) == 4.0
    assert np.isnan(realism.block_spread(picture, np.zeros((8, 8), bool)))


def test_what_is_not_used_does_not_leak_into_the_high_pass() -> None:
    picture, use = np.full((20, 20), 5.0, np.float32), np.ones((20, 20), bool)
    picture[5:9, 5:9], use[5:9, 5:9] = 1000, False
    np.testing.assert_allclose(realism.high_passed(picture, use, 3.0), 0, atol=1e-4)


def test_autocorrelation_of_stripes() -> None:
    stripes = np.tile([1.0, -1.0], (6, 3))  # along columns 1 at every lag, along rows -1, 1, -1
    use = np.ones((6, 6), bool)
    assert realism.autocorrelation(stripes, use, (1, 2)) == pytest.approx([0.0, 1.0])
    use[:, 1::2] = False
    assert realism.autocorrelation(stripes, use, (1,)) == pytest.approx([1.0])
    assert np.isnan(realism.autocorrelation(stripes, np.zeros((6, 6), bool), (1,))[0])


def test_autocorrelation_of_blurred_noise() -> None:
    noise = cv2.GaussianBlur(np.random.default_rng(0).normal(size=(400, 400)), (0, 0), 2.0)
    expected = [np.exp(-(lag**2) / 16) for lag in (1, 2, 4)]  # exp(-lag^2 / 4 sigma^2)
    assert realism.autocorrelation(noise, np.ones(noise.shape, bool), (1, 2, 4)) == pytest.approx(expected, abs=0.03)


def test_robust_sd_is_that_of_normal_values_and_ignores_a_few() -> None:
    values = np.random.default_rng(0).normal(3, 2, 20000)
    assert realism.robust_sd(values) == pytest.approx(2, rel=0.03)
    values[:200] = 1e6
    assert realism.robust_sd(values) == pytest.approx(2, rel=0.03)


def test_specks_are_counted_by_sign_and_area_outside_vesicles() -> None:
    picture = np.random.default_rng(1).normal(0, 0.1, (100, 100)).astype(np.float32)  # 0.16 um2 at 4 nm per pixel
    for x, y, grey in ((20, 20, 0.8), (50, 20, 0.8), (80, 20, 0.8), (20, 70, -0.8), (80, 80, 0.8)):
        picture[y - 1 : y + 2, x - 1 : x + 2] += grey
    outside = np.ones((100, 100), bool)
    area = outside.sum() * 16e-6
    bright, dark = realism.specks(picture, outside, 4.0)
    assert (round(bright * area), round(dark * area)) == (4, 1)
    outside[70:, 70:] = False
    assert round(realism.specks(picture, outside, 4.0)[0] * outside.sum() * 16e-6) == 3
    assert np.isnan(realism.specks(picture, np.zeros((100, 100), bool), 4.0)).all()


def test_the_profile_reads_interior_rim_trough_and_background() -> None:
    mask, size = disc_mask(161, 20), 161
    distance = realism.signed_distance(mask > 0) / realism.radius(mask > 0)
    picture = np.full((size, size), 100, np.float32)
    picture[distance < 0.25], picture[distance < 0], picture[distance < -0.5] = 50, 150, 120
    profile = dict(zip(realism.BINS[:-1], realism.vesicle_profile(picture, mask, 1), strict=True))
    assert [profile[start] for start in (-1.0, -0.75, -0.25, -0.1)] == pytest.approx([1.2, 1.2, 1.5, 1.5], abs=0.02)
    assert [profile[start] for start in (0.0, 0.1, 0.25, 0.5, 2.0)] == pytest.approx([0.5, 0.5, 1, 1, 1], abs=0.02)


def test_the_profile_leaves_other_vesicles_out() -> None:
    mask = disc_mask(161, 15)
    mask[:, 100:110] = 2
    picture = np.where(mask == 2, 1000, 100).astype(np.float32)
    assert realism.vesicle_profile(picture, mask, 1) == pytest.approx([1.0] * 12)


def test_no_profile_without_a_background_of_its_own() -> None:
    mask = np.full((40, 40), 2, np.int32)
    mask[15:25, 15:25] = 1
    assert np.isnan(realism.vesicle_profile(np.ones((40, 40), np.float32), mask, 1)).all()


def test_the_edge_of_a_step_and_of_a_ramp() -> None:
    mask = disc_mask(121, 24)
    distance = realism.signed_distance(mask > 0)
    step = np.where(mask > 0, 1.5, 0.5).astype(np.float32)
    slope, width = realism.edge(step, mask, 1, 2.0)
    assert 0.8 / slope == pytest.approx(width)
    assert 1.6 <= width < 2.4  # 80 % of a step of a pixel, or little more
    ramp = np.clip(1 - distance / 10, 0.5, 1.5).astype(np.float32)  # 1 grey over 10 px
    slope, width = realism.edge(ramp, mask, 1, 2.0)
    assert slope == pytest.approx(0.05)
    assert width == pytest.approx(16, rel=0.05)


def test_no_edge_of_a_dark_or_tiny_vesicle() -> None:
    mask = disc_mask(61, 12)
    assert np.isnan(realism.edge(np.where(mask > 0, 0.5, 1.0).astype(np.float32), mask, 1, 2.0)).all()
    tiny = disc_mask(61, 1)
    assert np.isnan(realism.edge(np.where(tiny > 0, 2.0, 1.0).astype(np.float32), tiny, 1, 2.0)).all()


def test_vesicles_cut_by_the_border_are_not_whole() -> None:
    mask = np.zeros((9, 12), np.int32)
    mask[3:5, 3:5], mask[7:, 5:7], mask[4, 11] = 4, 7, 9
    assert realism.labels(mask) == [4, 7, 9]
    assert realism.whole(mask) == [4]


def test_a_mask_holds_the_pixels_whose_centres_lie_inside() -> None:
    square = np.array([[2, 4], [8, 4], [8, 8], [2, 8]], np.float32)
    mask = simulator.mask_of([square], (8, 10), 1.0)
    assert mask.sum() == 24
    assert mask[4:8, 2:8].all()
    assert simulator.mask_of([square], (4, 5), 0.5).sum() == 6
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    circle = (np.array([20.3, 19.6]) + 15 * np.stack((np.cos(angle), np.sin(angle)), axis=1)).astype(np.float32)
    assert realism.radius(simulator.mask_of([circle], (40, 40), 1.0) > 0) == pytest.approx(15, abs=0.05)
    assert not simulator.mask_of([np.zeros((0, 2), np.float32)], (4, 4), 1.0).any()


def test_a_picture_without_vesicles_counts_in_the_background_alone() -> None:
    picture = np.random.default_rng(0).normal(100, 5, (64, 64)).astype(np.float32)
    empty = realism.measure(realism.Field(picture, np.zeros((64, 64), np.int32)), 3.84)
    held = realism.measure(realism.Field(picture, disc_mask(64, 8)), 3.84)
    assert set(held) - set(empty) >= {"mean", "vesicles / um2", "diameter, nm", "edge slope / nm"}
    assert set(empty) < set(held)
    assert empty["grain SD"] == pytest.approx([0.05], rel=0.05)
    assert held["diameter, nm"] == pytest.approx([2 * 8 * 3.84], rel=0.03)
    assert held["vesicles / um2"] == pytest.approx([1 / (64 * 0.00384) ** 2])


def test_a_summary_is_of_numbers_and_the_table_compares_medians() -> None:
    real = {"a": realism.summary([0, 1, 2, NO, 3, 4]), "b": realism.summary([1.0]), "grain autocorrelation, 3 px": realism.summary([1.0])}
    assert real["a"] == pytest.approx({"p10": 0.4, "p25": 1, "median": 2, "p75": 3, "p90": 3.6, "n": 5})
    lines = realism.table(real, {"a": realism.summary([3.5]), "b": realism.summary([2.0])}).splitlines()[2:]
    assert lines[0] == "| a | 2 (0.4 to 3.6), 5 | 3.5 (3.5 to 3.5), 1 | yes |"
    assert lines[1].endswith("| no |")
    assert len(lines) == 2


@pytest.mark.parametrize("preset", simulator.PRESETS)
def test_simulated_fields_are_reduced_with_their_truth(preset: str) -> None:
    (field,) = simulator.reduced_fields(preset, 1, 0, (60, 64), 3.84)
    assert field.pixels.shape == field.mask.shape == (60, 64)
    assert field.pixels.dtype == np.float32
    assert 0 <= field.pixels.min() < field.pixels.max() <= 255


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(ValueError, match="known are default"):
        simulator.simulated("foggy", 1, 0, (64, 64), 2.0)


def test_real_fields_are_read_and_must_be_of_one_size(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no PNG pictures"):
        simulator.real_fields(tmp_path)
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    mask = disc_mask(40, 6, 300).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "images/a.png"), np.full((40, 40), 514, np.uint16))
    cv2.imwrite(str(tmp_path / "masks/a.png"), mask)
    (field,) = simulator.real_fields(tmp_path)
    np.testing.assert_array_equal(field.mask, mask)
    assert (field.pixels == 2).all()
    cv2.imwrite(str(tmp_path / "images/b.png"), np.zeros((30, 40), np.uint8))
    cv2.imwrite(str(tmp_path / "masks/b.png"), np.zeros((30, 40), np.uint16))
    with pytest.raises(InputError, match=r"b\.png.*one size"):
        simulator.real_fields(tmp_path)


def test_a_sheet_has_its_tiles_in_place(tmp_path: Path) -> None:
    tile = np.full((simulator.TILE, simulator.TILE), 90, np.float32)
    canvas = simulator.contact_sheet([("real", [tile, tile]), ("simulated", [tile])])
    pitch = simulator.TILE + simulator.GAP
    assert canvas.shape == (2 * pitch + simulator.FOOT, simulator.SIDE + 2 * pitch)
    assert (canvas[:, simulator.SIDE :] == 90).sum() == 3 * tile.size
    assert (canvas[2 * pitch :, simulator.SIDE :] == 0).any(axis=0).sum() == round(200 / 1.566)
    simulator.write_sheet(tmp_path / "sheet.png", canvas)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "sheet.png"), cv2.IMREAD_UNCHANGED), canvas)
