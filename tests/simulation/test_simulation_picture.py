"""A whole picture: the same for the same arguments, and a truth that fits what is drawn."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from quiet_fields import BUSY, FILM_NM, QUIET, disc, scene_of

from exolight.polygons import polygon_area
from exolight.simulation.formation import CARBON_MFP_NM, STAIN_MFP_NM, random_instrument
from exolight.simulation.grid import Grid
from exolight.simulation.marks import strip_rows
from exolight.simulation.outline import overlap
from exolight.simulation.picture import MIN_VISIBLE_FRACTION, MIN_VISIBLE_PX, Picture, describe, instance_mask, record
from exolight.simulation.placement import MAX_OVERLAP
from exolight.simulation.ranges import MORPHOLOGIES, DistractorRanges, InstrumentRanges, Ranges, VesicleRanges
from exolight.simulation.scene import draw_scene, random_scene

GRID = Grid((96, 128), 2.0)
CALLS: dict[str, Any] = {"ranges": Ranges(), "grid": GRID, "seed": 5, "index": 2, "epoch": 1}


# The same picture ---------------------------------------------------------------------------------------------------------------------------------------------


def test_a_picture_depends_on_its_arguments_and_not_on_what_was_drawn_before() -> None:
    first = Picture(**CALLS)
    pixels, truth = first.pixels(), first.truth()
    Picture(**CALLS | {"index": 9}).pixels()
    np.testing.assert_array_equal(first.pixels(), pixels)
    again = Picture(**CALLS)
    again.truth()
    np.testing.assert_array_equal(again.truth().boxes, truth.boxes)
    np.testing.assert_array_equal(again.pixels(), pixels)
    assert again.truth().morphology == truth.morphology


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 6}, {"index": 3}, {"epoch": 0}, {"seed": 2, "index": 5}, {"index": 1, "epoch": 2}, {"grid": Grid((96, 128), 2.01)},
        {"ranges": replace(Ranges(), distractors=replace(DistractorRanges(), specks_per_um2=(800, 900)))},
    ],
    ids=str,
)  # fmt: skip
def test_each_argument_makes_another_picture(other: dict[str, Any]) -> None:
    one, two = Picture(**CALLS), Picture(**CALLS | other)
    assert (one.pixels().astype(float) != two.pixels()).mean() > 0.5
    if "grid" not in other and "ranges" not in other:
        assert one.scene.film.stain_nm != two.scene.film.stain_nm
        assert one.instrument != two.instrument


def test_pixels_have_the_grids_shape_and_the_files_bits() -> None:
    for bits, kind in ((8, np.uint8), (16, np.uint16)):
        instrument = replace(InstrumentRanges(), sixteen_bit_fraction=float(bits == 16), jpeg_fraction=0.0, resampled_fraction=1.0)
        pixels = Picture(replace(Ranges(), instrument=instrument), GRID, 0).pixels()
        assert (pixels.shape, pixels.dtype) == ((96, 128), kind)
        assert len(np.unique(pixels)) > 50


# One specimen, any magnification ----------------------------------------------------------------------------------------------------------------------------


def test_the_same_scene_at_another_pixel_size() -> None:
    fine, coarse = Grid((240, 320), 1.0), Grid((96, 128), 2.5)
    scenes = [random_scene(np.random.default_rng(4), grid.extent_nm, BUSY) for grid in (fine, coarse)]
    one, two = (describe(scene, grid) for scene, grid in zip(scenes, (fine, coarse), strict=True))
    assert len(one.boxes) > 4
    np.testing.assert_array_equal(one.diameters_nm, two.diameters_nm)
    np.testing.assert_allclose(one.boxes, 2.5 * two.boxes, atol=1e-3)
    np.testing.assert_allclose(one.visible, two.visible, atol=0.06)
    np.testing.assert_allclose(one.overlap, two.overlap, atol=0.1)
    assert one.morphology == two.morphology
    stain = [draw_scene(np.random.default_rng(0), scene, grid).stain for scene, grid in zip(scenes, (fine, coarse), strict=True)]
    halved = [stain[0].reshape(48, 5, 64, 5).mean(axis=(1, 3)), stain[1].reshape(48, 2, 64, 2).mean(axis=(1, 3))]
    assert np.corrcoef(halved[0].ravel(), halved[1].ravel())[0, 1] > 0.93
    assert halved[0].mean() == pytest.approx(halved[1].mean(), rel=0.02)


def test_resampling_moves_nothing() -> None:
    scene = random_scene(np.random.default_rng(4), GRID.extent_nm, BUSY)
    instrument = random_instrument(np.random.default_rng(0), QUIET.instrument)
    plain = record(np.random.default_rng(0), scene, instrument, GRID).astype(float)
    for resampling in (0.5, 1.6):
        exported = record(np.random.default_rng(0), scene, replace(instrument, resampling=resampling), GRID).astype(float)
        assert exported.shape == plain.shape
        shifted = [np.roll(exported, shift, (0, 1))[4:-4, 4:-4].ravel() for shift in ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))]
        correlations = [np.corrcoef(plain[4:-4, 4:-4].ravel(), moved)[0, 1] for moved in shifted]
        assert max(correlations) == correlations[0] > 0.9


# Truth --------------------------------------------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scenes() -> list[tuple[Any, Any]]:
    made = [random_scene(np.random.default_rng(seed), GRID.extent_nm, BUSY) for seed in range(12)]
    return [(scene, describe(scene, GRID)) for scene in made]


def test_boxes_are_the_extents_of_outlines_in_the_picture(scenes: list[tuple[Any, Any]]) -> None:
    count = 0
    for scene, truth in scenes:
        n = len(scene.vesicles)
        assert truth.boxes.shape == (n, 4)
        assert (truth.boxes.dtype, truth.diameters_nm.dtype, truth.ignore.dtype) == (np.float32, np.float32, np.bool_)
        assert n == len(truth.outlines) == len(truth.diameters_nm) == len(truth.morphology) == len(truth.visible) == len(truth.overlap) == len(truth.ignore)
        for box, outline in zip(truth.boxes, truth.outlines, strict=True):
            assert (box[:2] >= 0).all()
            assert (box[2:] <= (128, 96)).all()
            assert (box[:2] < box[2:]).all()
            np.testing.assert_array_equal(box, [*outline.min(axis=0), *outline.max(axis=0)])
        count += n
    assert count > 40
    empty = describe(scene_of([], GRID.extent_nm), GRID)
    assert empty.boxes.shape == (0, 4)
    assert empty.ignore.shape == empty.diameters_nm.shape == empty.visible.shape == (0,)


def test_diameters_are_those_of_whole_vesicles(scenes: list[tuple[Any, Any]]) -> None:
    cut = 0
    for scene, truth in scenes:
        for placed, outline, diameter in zip(scene.vesicles, truth.outlines, truth.diameters_nm, strict=True):
            assert diameter == pytest.approx(2 * math.sqrt(polygon_area(placed.outline_nm) / math.pi), rel=1e-5)
            seen = 2 * math.sqrt(polygon_area(outline) / math.pi) * GRID.pixel_size_nm
            cut += seen < 0.99 * diameter
            assert seen < 1.001 * diameter
    assert cut > 5
    truth = describe(scene_of([disc(30, (0.0, 90.0)), disc(20, (150.0, 90.0))], GRID.extent_nm), GRID)
    np.testing.assert_allclose(truth.diameters_nm, [60, 40], rtol=1e-3)
    np.testing.assert_allclose(truth.boxes, [(0, 30, 15, 60), (65, 35, 85, 55)], atol=0.02)


def test_too_little_seen_is_ignored() -> None:
    """Each has its number of the two that decide: share of the area seen, short side in px."""
    wanted = [
        (disc(40.0, (-20.0, 45.0)), 0.196, 20, False),  # its centre half a radius outside: a sliver that people know for a vesicle
        (disc(40.0, (256.0 + 29.0, 50.0)), 0.084, 11, True),
        (disc(40.0, (0.0, 145.0)), 0.5, 40, False),
        (disc(2.5, (150.0, 20.0)), 1.0, 5, True),
        (disc(3.5, (170.0, 20.0)), 1.0, 7, False),
        (disc(20.0, (170.0, 130.0)), 0.0, 40, True),
        (disc(25.0, (172.0, 130.0)), 1.0, 50, False),  # over the one before
        (disc(30.0, (120.0, -27.0)), 0.01, 3, True),
        (disc(400.0, (256.0 + 398.0, 96.0)), 0.0, 2, True),
    ]
    truth = describe(scene_of([placed for placed, *_ in wanted], (192.0, 256.0)), Grid((192, 256), 1.0))
    np.testing.assert_allclose(truth.visible, [visible for _, visible, _, _ in wanted], atol=0.03)
    np.testing.assert_allclose((truth.boxes[:, 2:] - truth.boxes[:, :2]).min(axis=1), [side for _, _, side, _ in wanted], atol=0.1)
    assert truth.ignore.tolist() == [ignored for *_, ignored in wanted]
    assert 0.09 < MIN_VISIBLE_FRACTION < 0.196
    assert 5 < MIN_VISIBLE_PX < 7


def test_the_mask_paints_later_vesicles_over_earlier_ones() -> None:
    scene = scene_of([disc(30, (100.0, 90.0)), disc(30, (130.0, 90.0)), disc(30, (256.0, 90.0))], GRID.extent_nm)
    truth = describe(scene, GRID)
    mask = instance_mask(truth, GRID.hw)
    assert (mask.shape, mask.dtype) == ((96, 128), np.uint16)
    assert mask[45, [40, 57, 75, 120]].tolist() == [1, 2, 2, 3]
    assert mask[5, 5] == 0
    areas = np.bincount(mask.ravel(), minlength=4)[1:] * 4 / (math.pi * 900)
    lens = (2 * math.pi / 3 - math.sqrt(3) / 2) / math.pi  # of discs one radius apart
    np.testing.assert_allclose(areas, [1 - lens, 1, 0.5], atol=0.02)
    np.testing.assert_allclose(truth.visible, [1 - lens, 1, 0.5], atol=0.1)
    np.testing.assert_allclose(truth.overlap, [lens, lens, 0], atol=0.1)
    backwards = instance_mask(describe(replace(scene, vesicles=scene.vesicles[::-1]), GRID), GRID.hw)
    assert backwards[45, [40, 57, 75, 120]].tolist() == [3, 3, 2, 1]


def test_masks_agree_with_outlines(scenes: list[tuple[Any, Any]]) -> None:
    for _, truth in scenes:
        mask = instance_mask(truth, GRID.hw)
        assert mask.max() <= len(truth.boxes)
        for i in np.flatnonzero((truth.overlap == 0) & ~truth.ignore):
            rows, columns = np.nonzero(mask == i + 1)
            outline = truth.outlines[i]
            assert len(rows) == pytest.approx(polygon_area(outline), rel=0.03, abs=2)
            np.testing.assert_allclose([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], truth.boxes[i], atol=1.1)
        for i in np.flatnonzero((truth.visible < 0.999) & (truth.visible > 0.3)):
            whole = math.pi * (truth.diameters_nm[i] / 2 / GRID.pixel_size_nm) ** 2
            assert (mask == i + 1).sum() / whole == pytest.approx(truth.visible[i], abs=0.12)


def test_the_vesicle_is_drawn_where_the_truth_says() -> None:
    """Solid bodies are brighter than what lies round them, within the outline and not a pixel off."""
    bright = replace(BUSY, vesicles=replace(QUIET.vesicles, per_um2=(40, 40), diameter_median_nm=(60, 60), shares={"solid": 1.0}))
    made = Picture(bright, Grid((144, 180), 2.0), 3)
    pixels, truth = made.pixels().astype(float), made.truth()
    assert len(truth.boxes) > 2
    mask = instance_mask(truth, made.grid.hw) > 0

    def contrast(shift: tuple[int, int]) -> float:
        moved = np.roll(mask, shift, (0, 1))
        return float(pixels[moved].mean() - pixels[~moved].mean())

    here = contrast((0, 0))
    assert here > 5
    assert all(contrast(shift) < here for shift in ((0, 3), (3, 0), (0, -3), (-3, 0)))


# Scenes -------------------------------------------------------------------------------------------------------------------------------------------------------


def counts(vesicles: VesicleRanges, seeds: int = 40, extent: tuple[float, float] = (300.0, 400.0)) -> np.ndarray:
    ranges = replace(QUIET, vesicles=vesicles)
    return np.array([len(random_scene(np.random.default_rng(seed), extent, ranges).vesicles) for seed in range(seeds)])


def test_counts_and_empties() -> None:
    small = replace(QUIET.vesicles, diameter_median_nm=(30, 30), diameter_sigma=(0, 0), per_um2=(60, 60))
    assert counts(small).mean() == pytest.approx(60 * 0.12, rel=0.15)
    assert counts(small).std() == pytest.approx(math.sqrt(60 * 0.12), rel=0.4)  # Poisson
    assert counts(replace(small, per_um2=(0, 120))).std() > 1.2 * counts(small).std()
    assert counts(replace(small, maximum=5)).max() == 5
    assert counts(replace(small, empty_fraction=1.0)).max() == 0
    assert counts(replace(small, empty_fraction=0.5)).tolist().count(0) == pytest.approx(20, abs=9)
    assert counts(replace(small, per_um2=(0.001, 0.001))).tolist() == [1] * 40  # what is not empty holds one
    assert counts(replace(small, per_um2=(0, 0))).max() == 0


def diameters(vesicles: VesicleRanges, seeds: int = 30) -> np.ndarray:
    ranges = replace(QUIET, vesicles=vesicles)
    found = [describe(random_scene(np.random.default_rng(seed), (900.0, 1000.0), ranges), Grid((90, 100), 10.0)).diameters_nm for seed in range(seeds)]
    return np.concatenate(found)


def test_diameters_are_log_normal_within_their_range() -> None:
    ranges = replace(QUIET.vesicles, per_um2=(20, 20), diameter_range_nm=(5, 500), diameter_sigma=(0.3, 0.3), diameter_median_nm=(50, 50))
    logs = np.log(diameters(ranges))
    assert np.median(logs) == pytest.approx(math.log(50), abs=0.06)
    assert logs.std() == pytest.approx(0.3, abs=0.04)
    within = diameters(replace(ranges, diameter_range_nm=(45, 60)))
    assert 44.9 < within.min() < 46
    assert 59 < within.max() < 60.1
    assert (np.abs(within - 45) < 0.2).mean() < 0.1  # drawn again, not clipped
    far = diameters(replace(ranges, diameter_range_nm=(50, 50), diameter_sigma=(1, 1)), 3)
    np.testing.assert_allclose(far, 50, rtol=1e-3)  # no draw can hit that


def test_border_and_cluster_fractions_reach_the_picture() -> None:
    apart = replace(QUIET.vesicles, per_um2=(40, 40), diameter_median_nm=(40, 45), diameter_sigma=(0.1, 0.1))

    def of(vesicles: VesicleRanges) -> tuple[float, float]:
        """Share of vesicles that are cut, mean overlap."""
        made = [describe(random_scene(np.random.default_rng(seed), GRID.extent_nm, replace(QUIET, vesicles=vesicles)), GRID) for seed in range(20)]
        boxes = np.concatenate([truth.boxes for truth in made])
        cut = ((boxes[:, :2] <= 0) | (boxes[:, 2:] >= (128, 96))).any(axis=1)
        return float(cut.mean()), float(np.concatenate([truth.overlap for truth in made]).mean())

    plain, border, cluster = of(apart), of(replace(apart, border_fraction=1.0)), of(replace(apart, cluster_fraction=1.0))
    assert plain[0] == 0
    assert border[0] > 0.9
    assert cluster[1] > plain[1] + 0.03


def test_none_overlaps_another_by_more_than_can_be_measured() -> None:
    crowded = replace(BUSY, vesicles=replace(BUSY.vesicles, per_um2=(200, 200), cluster_fraction=0.7, maximum=100))
    most = 0.0
    for seed in range(2):
        outlines = [placed.outline_nm for placed in random_scene(np.random.default_rng(seed), GRID.extent_nm, crowded).vesicles]
        most = max(most, *(overlap(a, b) for i, a in enumerate(outlines) for b in outlines[:i]))
    assert 0.2 < most <= MAX_OVERLAP


@pytest.mark.parametrize("morphology", MORPHOLOGIES)
def test_every_morphology_is_drawn_into_pictures(morphology: str) -> None:
    made = Picture(replace(BUSY, vesicles=replace(BUSY.vesicles, shares={morphology: 1.0})), GRID, 1)
    truth = made.truth()
    assert set(truth.morphology) == {morphology}
    assert made.pixels().std() > 3


# Recording ----------------------------------------------------------------------------------------------------------------------------------------------------


def recorded(scene_ranges: Ranges = QUIET, **instrument: object) -> np.ndarray:
    scene = random_scene(np.random.default_rng(0), GRID.extent_nm, scene_ranges)
    settings = replace(random_instrument(np.random.default_rng(0), QUIET.instrument), **instrument)
    return record(np.random.default_rng(0), scene, settings, GRID)


def test_bare_film_has_its_level_whatever_it_is_made_of() -> None:
    thick = replace(QUIET, film=replace(QUIET.film, stain_nm=(50, 50), carbon_nm=(40, 40)))
    for ranges in (QUIET, thick):
        for level in (0.3, 0.6):
            assert recorded(ranges, level=level).mean() == pytest.approx(255 * level, abs=1)
    assert recorded(level=0.3, inverted=True).mean() == pytest.approx(255 * 0.7, abs=1)
    assert recorded(level=0.3, bits=16).mean() == pytest.approx(65535 * 0.3, rel=0.003)
    torn = replace(QUIET, distractors=replace(QUIET.distractors, tear_fraction=1.0))
    bare = math.exp(-FILM_NM / STAIN_MFP_NM - QUIET.film.carbon_nm[0] / CARBON_MFP_NM)
    assert recorded(torn, level=0.3 * bare).max() == pytest.approx(255 * 0.3, abs=2)  # through a tear all of the beam passes


def test_noise_is_that_of_the_electrons_of_bare_film() -> None:
    for electrons in (100.0, 400.0):
        pixels = recorded(electrons=electrons, bits=16).astype(float)
        assert pixels.std() / pixels.mean() == pytest.approx(1 / math.sqrt(electrons), rel=0.05)


def test_export_from_another_sampling_averages_the_noise_or_spreads_it() -> None:
    plain, shrunk, grown = (recorded(electrons=100.0, bits=16, resampling=resampling).astype(float) for resampling in (1.0, 2.0, 0.5))
    assert shrunk.std() == pytest.approx(plain.std() / 2, rel=0.05)  # four recorded pixels make one
    for pixels, correlated in ((plain, False), (shrunk, False), (grown, True)):
        noise = pixels - pixels.mean()
        assert ((noise[:, 1:] * noise[:, :-1]).mean() / noise.var() > 0.3) == correlated


def test_each_step_of_the_instrument_reaches_the_file() -> None:
    """On a field with a vesicle and no noise."""
    field = replace(QUIET, vesicles=replace(QUIET.vesicles, per_um2=(30, 30), shares={"solid": 1.0}))
    plain = recorded(field, bits=16).astype(float)
    assert recorded(field, bits=16, vignetting=0.5)[0, 0] < 0.8 * plain[0, 0]
    tilted = recorded(field, bits=16, vignetting=0.5, tilt=(0.3, 0.0)).astype(float) / recorded(field, bits=16, vignetting=0.5)
    assert tilted[:, 120].mean() > 1.02 > 0.98 > tilted[:, 5].mean()
    for blur in ({"blur_px": 2.0}, {"camera_blur_px": 2.0}):
        assert np.abs(np.diff(recorded(field, bits=16, **blur).astype(float))).mean() < 0.8 * np.abs(np.diff(plain)).mean()
    assert np.abs(recorded(field, bits=16, fringe=3.0, fringe_nm=6.0) - plain).max() > 0.02 * 65535
    assert np.median(recorded(field, bits=16, gamma=2.0) / plain) < 1
    assert recorded(field, bits=16, readout=2e5).var() - plain.var() == pytest.approx((0.2 * 0.5 * 65535) ** 2, rel=0.1)
    assert (np.abs(recorded(field, bits=16, hot_pixels=0.01) - plain) > 0.3 * 65535).mean() == pytest.approx(0.01, abs=0.005)
    coded = recorded(field, jpeg_quality=30).astype(float)
    assert 0.3 < np.abs(coded - recorded(field)).mean() < 8


def test_what_a_strip_hides_is_not_in_the_truth() -> None:
    vesicles = [disc(20.0, (50.0, 50.0)), disc(20.0, (100.0, 150.0)), disc(10.0, (200.0, 180.0))]
    scene = scene_of(vesicles, (192.0, 256.0))
    truth = describe(scene, Grid((192, 256), 1.0), hidden_rows=42)
    np.testing.assert_allclose(truth.boxes, [(30, 30, 70, 70), (80, 130, 120, 150)], atol=0.1)
    np.testing.assert_allclose(truth.visible, [1.0, 0.5], atol=0.03)
    np.testing.assert_allclose(truth.diameters_nm, [40, 40], rtol=2e-3)
    assert len(truth.morphology) == len(truth.ignore) == 2
    ranges = replace(Ranges(), instrument=replace(Ranges().instrument, marks_fraction=1.0))
    stripped = [made for made in (Picture(ranges, GRID, 3, index) for index in range(40)) if strip_rows(made.instrument.marks or 0, GRID.hw[0])]
    assert stripped
    for made in stripped:
        bottom = GRID.hw[0] - strip_rows(made.instrument.marks or 0, GRID.hw[0])
        assert (made.truth().boxes[:, 3] <= bottom).all()


@pytest.mark.parametrize("bits", [8, 16])
def test_marks_are_burned_over_the_picture_the_same_each_time(bits: int) -> None:
    without, marked = recorded(bits=bits), recorded(bits=bits, marks=7)
    np.testing.assert_array_equal(marked, recorded(bits=bits, marks=7))
    changed = marked != without
    assert 0.002 < changed.mean() < 0.5
    assert set(np.unique(marked[changed])) & {0, 2**bits - 1}
    assert (recorded(bits=bits, marks=8) != marked).any()


@pytest.mark.parametrize("grid", [Grid((100, 100), 0.5), Grid((37, 64), 1.0), Grid((66, 66), 0.5)])
def test_small_and_fine_pictures_are_drawn_whatever_the_halos_coarse_grid(grid: Grid) -> None:
    assert Picture(Ranges(), grid, 1).pixels().shape == grid.hw
