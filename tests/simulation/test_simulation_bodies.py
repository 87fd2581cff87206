"""Vesicles and membranes in negative stain: bodies, halos, necks. All as nm of stain; more stain is darker."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from quiet_fields import FILM_NM, NO_VESICLES, QUIET, a_vesicle, disc, distance_and_share, even, scene_of, square

from exolight.polygons import polygon_area
from exolight.simulation.grid import Field, Grid
from exolight.simulation.membranes import Membrane, broken_membrane, draw_membrane, draw_membrane_halo, heap, neck, scrap
from exolight.simulation.outline import fill, overlap
from exolight.simulation.placement import Placed
from exolight.simulation.ranges import MORPHOLOGIES, VesicleRanges
from exolight.simulation.scene import draw_scene, random_scene
from exolight.simulation.vesicles import MOST_HALO_NM, Vesicle, draw_body, draw_seam, draw_slope, halo_grid, random_vesicle, shared

GRID, CENTRE = Grid((220, 260), 2.0), (250.0, 230.0)


def alone(vesicle: Vesicle, seed: int = 0) -> Field:
    """Stain beyond the bare film's where there is nothing but this vesicle, drawn as a whole scene."""
    scene = scene_of([Placed(vesicle, CENTRE, vesicle.outline(CENTRE))], GRID.extent_nm)
    return draw_scene(np.random.default_rng(seed), scene, GRID).stain - np.float32(FILM_NM)


# Random vesicles ----------------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("morphology", MORPHOLOGIES)
def test_every_morphology_can_be_drawn(morphology: str) -> None:
    for seed in range(3):
        vesicle = random_vesicle(np.random.default_rng(seed), 90.0, VesicleRanges(shares={morphology: 0.5}))
        assert vesicle.morphology == morphology
        assert polygon_area(vesicle.outline((10.0, 20.0))) == pytest.approx(math.pi * 45**2, rel=1e-3)
        assert vesicle.radius_nm == pytest.approx(45, rel=0.15)
        assert vesicle.reach_nm == vesicle.radii_nm.max()
        assert (vesicle.lamella_nm > 0) == (morphology == "multilamellar")
        stain = np.zeros(GRID.hw, np.float32)
        draw_body(stain, GRID, even(GRID), vesicle, CENTRE)
        assert np.isfinite(stain).all()
        assert np.abs(stain).max() > 1


def test_shares_are_weights() -> None:
    rng, ranges = np.random.default_rng(0), VesicleRanges(shares={"ring": 3.0, "cup": 1.0, "dark": 0.0})
    names = [random_vesicle(rng, 60.0, ranges).morphology for _ in range(300)]
    assert set(names) == {"ring", "cup"}
    assert names.count("ring") == pytest.approx(225, abs=30)


def test_contrast_and_roughness_are_those_asked_for() -> None:
    def of(ranges: VesicleRanges) -> list[Vesicle]:
        return [random_vesicle(np.random.default_rng(seed), 60.0, replace(ranges, shares={"solid": 1.0})) for seed in range(20)]

    contrasts = [vesicle.contrast for vesicle in of(replace(NO_VESICLES, contrast=(0.4, 0.6)))]
    assert 0.4 <= min(contrasts) < 0.45 < 0.55 < max(contrasts) <= 0.6
    spread = [np.mean([v.radii_nm.std() for v in of(replace(NO_VESICLES, roughness=(r, r)))]) for r in (0, 1, 3)]
    assert spread[0] < spread[1] < spread[2]


def test_an_elongated_one_is_longer_than_a_solid_one() -> None:
    def aspect(morphology: str) -> float:
        return float(np.mean([np.ptp(v.radii_nm) / v.radii_nm.min() for v in (a_vesicle(morphology, 90.0, seed) for seed in range(10))]))

    assert aspect("elongated") > 1.5 * aspect("solid")


# Negative stain -----------------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_the_halo_is_darker_than_the_film_several_radii_wide_and_then_gone(seed: int) -> None:
    for morphology in ("cup", "solid"):
        vesicle = a_vesicle(morphology, 70.0, seed)
        stain = alone(vesicle, seed)
        distance, share = distance_and_share(vesicle, CENTRE, GRID)
        trough, far = stain[(share > 1.05) & (share < 1.15)].mean(), stain[(share > 1.8) & (share < 2.2)].mean()
        assert 0.3 * vesicle.halo_nm < trough < 1.1 * vesicle.halo_nm
        assert 0.02 * trough < far < 0.6 * trough
        assert np.abs(stain[distance > 4 * vesicle.reach_nm + 15]).max() < 1e-3


def test_a_scene_has_both_parts_of_every_halo() -> None:
    vesicle = a_vesicle("solid", 100.0)
    slopes, seams = np.zeros(halo_grid(GRID).hw, np.float32), np.zeros(GRID.hw, np.float32)
    draw_slope(slopes, halo_grid(GRID), vesicle, CENTRE)
    draw_seam(seams, GRID, vesicle, CENTRE)
    outside = distance_and_share(vesicle, CENTRE, GRID)[0] > 2 * vesicle.look["soft"]
    np.testing.assert_allclose(alone(vesicle)[outside], shared(slopes, seams, GRID)[outside], atol=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_a_cup_is_darker_in_its_hollow_than_on_its_rim_and_a_solid_body_brighter_than_its_halo(seed: int) -> None:
    _, share = distance_and_share(a_vesicle("cup", 100.0, seed), CENTRE, GRID)
    cup = alone(a_vesicle("cup", 100.0, seed), seed)
    assert cup[(share > 0.75) & (share < 0.95)].mean() < cup[share < 0.3].mean() - 2
    _, share = distance_and_share(a_vesicle("solid", 100.0, seed), CENTRE, GRID)
    solid = alone(a_vesicle("solid", 100.0, seed), seed)
    assert solid[share < 0.9].mean() < solid[(share > 1.05) & (share < 1.15)].mean() - 5


def test_morphologies_look_as_they_are_called() -> None:
    """Over several of each: a dark one is darker than the film where a solid one is not, a ring's middle is darker than its rim."""

    def mean(morphology: str, low: float, high: float) -> float:
        values = []
        for seed in range(5):
            vesicle = a_vesicle(morphology, 100.0, seed)
            _, share = distance_and_share(vesicle, CENTRE, GRID)
            values.append(alone(vesicle, seed)[(share >= low) & (share < high)].mean())
        return float(np.mean(values))

    assert mean("dark", 0, 0.9) > 1
    assert mean("solid", 0, 0.9) < 0
    assert mean("ring", 0, 0.5) > mean("ring", 0.75, 0.95) + 1


def test_contrast_multiplies_halo_and_body() -> None:
    vesicle = a_vesicle("solid", 100.0)
    slopes = []
    for contrast in (0.5, 1.0):
        halos = np.zeros(GRID.hw, np.float32)
        draw_slope(halos, GRID, replace(vesicle, contrast=contrast), CENTRE)
        draw_seam(halos, GRID, replace(vesicle, contrast=contrast), CENTRE)
        slopes.append(halos)
    np.testing.assert_allclose(slopes[1], 2 * slopes[0], atol=1e-4)
    bodies = []
    for contrast in (0.5, 1.0):
        stain = np.zeros(GRID.hw, np.float32)
        draw_body(stain, GRID, even(GRID), replace(vesicle, contrast=contrast), CENTRE)
        bodies.append(stain)
    np.testing.assert_allclose(bodies[1], 2 * bodies[0], atol=1e-4)
    assert np.abs(bodies[1]).max() > 1


def test_stain_is_highest_at_the_membrane_and_falls_outwards() -> None:
    vesicle = replace(a_vesicle("solid", 100.0), radii_nm=np.full(128, 50, np.float32))
    grid = Grid((900, 900), 0.5)
    centre = (225.0, 225.0)
    slope, seam = np.zeros(grid.hw, np.float32), np.zeros(grid.hw, np.float32)
    draw_slope(slope, grid, vesicle, centre)
    draw_seam(seam, grid, vesicle, centre)
    distance, _ = distance_and_share(vesicle, centre, grid)
    at = [(distance > d) & (distance < d + 1) for d in (0, 5, 20, 60, 100)]
    assert (slope + seam)[at[0]].mean() == pytest.approx(vesicle.halo_nm, rel=0.1)
    means = [(slope + seam)[ring].mean() for ring in at]
    assert means == sorted(means, reverse=True)
    assert means[-1] < 0.5 * means[0]
    assert seam[at[2]].mean() < 0.2 * seam[at[0]].mean()  # the steep part
    assert slope[at[2]].mean() > 0.5 * slope[at[0]].mean()  # the wide one
    assert slope[at[0]].max() > 1.3 * slope[at[0]].min()  # drying draws it to one side


def test_halos_and_bodies_are_drawn_in_place_and_clipped() -> None:
    vesicle = a_vesicle("cup", 100.0)
    grid = Grid((60, 80), 2.0)
    for draw in (draw_slope, draw_seam):
        once, twice, away = np.zeros(grid.hw, np.float32), np.full(grid.hw, 3, np.float32), np.zeros(grid.hw, np.float32)
        draw(once, grid, vesicle, (-20.0, 50.0))
        for _ in range(2):
            draw(twice, grid, vesicle, (-20.0, 50.0))
        np.testing.assert_allclose(twice, 3 + 2 * once, rtol=1e-5)
        assert once.max() > 1
        draw(away, grid, vesicle, (-2000.0, 50.0))
        assert not away.any()
    stain = np.zeros(grid.hw, np.float32)
    draw_body(stain, grid, even(grid), vesicle, (2000.0, 50.0))
    assert not stain.any()
    whole = np.zeros((60, 160), np.float32)  # what a border cuts is the part of the whole
    draw_body(whole, Grid((60, 160), 2.0), even(Grid((60, 160), 2.0)), vesicle, (160.0, 50.0))
    draw_body(stain, grid, even(grid), vesicle, (160.0, 50.0))
    np.testing.assert_allclose(stain, whole[:, :80], atol=1e-3)


def test_a_body_lies_over_what_is_there_and_ends_at_its_membrane() -> None:
    vesicle = a_vesicle("solid", 100.0)
    over = []
    for below in (0.0, 100.0):
        stain = np.full(GRID.hw, below, np.float32)
        draw_body(stain, GRID, even(GRID), vesicle, CENTRE)
        over.append(stain)
    seen = over[1] - over[0]  # per cent of what is below
    distance, _ = distance_and_share(vesicle, CENTRE, GRID)
    assert 0 < seen[distance < -10].max() < 15
    np.testing.assert_allclose(seen[distance > 10], 100)
    assert seen[np.abs(distance) < 0.5].mean() == pytest.approx(50, abs=7)


def test_a_multilamellar_one_has_lines_at_its_period() -> None:
    onion = a_vesicle("multilamellar", 120.0)
    onion = replace(onion, radii_nm=np.full(128, 60, np.float32), look=onion.look | {"lamellae": 4.0})
    grid = Grid((300, 300), 0.5)
    centre = (75.0, 75.0)
    with_lines, without = np.zeros(grid.hw, np.float32), np.zeros(grid.hw, np.float32)
    draw_body(with_lines, grid, even(grid), onion, centre)
    draw_body(without, grid, even(grid), replace(onion, lamella_nm=0.0), centre)
    distance, _ = distance_and_share(onion, centre, grid)
    depth = -distance / onion.lamella_nm
    for whole, sign in ((1.0, 1), (1.5, -1), (2.0, 1), (2.5, -1)):
        band = np.abs(depth - whole) < 0.1
        assert sign * (with_lines - without)[band].mean() > 0.1, whole
    np.testing.assert_array_equal(with_lines[depth < 0.4], without[depth < 0.4])


# Halos together -----------------------------------------------------------------------------------------------------------------------------------------------


def test_stain_is_finite_and_shared() -> None:
    grid = Grid((96, 120), 2.0)
    coarse = halo_grid(grid)
    little = shared(np.full(coarse.hw, 2, np.float32), np.full(grid.hw, 3, np.float32), grid)
    assert little.shape == grid.hw
    np.testing.assert_allclose(little, 5, rtol=0.02)
    much = shared(np.full(coarse.hw, 1000, np.float32), np.full(grid.hw, 1000, np.float32), grid)
    np.testing.assert_allclose(much, MOST_HALO_NM, rtol=1e-3)
    two = shared(np.full(coarse.hw, 30, np.float32), np.full(grid.hw, 30, np.float32), grid)
    assert 30 < two[0, 0] < MOST_HALO_NM


@pytest.mark.parametrize("pixel_size_nm", [0.8, 2.0, 7.0])
def test_slopes_are_drawn_coarser_and_land_in_place(pixel_size_nm: float) -> None:
    grid = Grid((round(480 / pixel_size_nm), round(560 / pixel_size_nm)), pixel_size_nm)
    coarse = halo_grid(grid)
    assert coarse == grid.coarser(round(coarse.pixel_size_nm / pixel_size_nm))
    assert coarse.pixel_size_nm == pytest.approx(6, rel=0.25)
    vesicle = a_vesicle("solid", 100.0)
    slopes, direct = np.zeros(coarse.hw, np.float32), np.zeros(grid.hw, np.float32)
    draw_slope(slopes, coarse, vesicle, (200.0, 300.0))
    draw_slope(direct, grid, vesicle, (200.0, 300.0))
    nothing = np.zeros(grid.hw, np.float32)
    on_the_grid = shared(slopes, nothing, grid)
    exact = MOST_HALO_NM * np.tanh(direct / MOST_HALO_NM)
    outside = distance_and_share(vesicle, (200.0, 300.0), grid)[0] > 10
    assert np.abs(on_the_grid - exact)[outside].max() < 0.1 * exact.max()
    assert np.abs(on_the_grid - exact)[outside].mean() < 0.01 * exact.max()


# Membranes ----------------------------------------------------------------------------------------------------------------------------------------------------

PATCH = Membrane((square(100.5, 219.5),), base_nm=-6.0, rim_nm=0.0, mottle_nm=0.0, halo_nm=20.0, halo_decay_nm=15.0)
FINE = Grid((160, 200), 2.0)  # 320 x 400 nm


def drawn(membrane: Membrane, below: float = 0.0, grid: Grid = FINE) -> Field:
    stain = np.full(grid.hw, below, np.float32)
    draw_membrane(stain, grid, even(grid), membrane)
    return stain


def test_bounds_of_all_pieces() -> None:
    low, high = replace(PATCH, pieces=(square(100, 220), square(50, 60))).bounds
    np.testing.assert_array_equal((low, high), [(50, 50), (220, 220)])


def test_a_membrane_lies_over_what_is_there_within_its_edge() -> None:
    one, other = drawn(PATCH), drawn(PATCH, 100.0)
    inside = (slice(55, 105), slice(55, 105))
    assert -6 <= one[inside].max() < -5  # a little of what is below shines through
    assert np.abs((other - one)[inside] - 100).min() > 85
    outside = np.ones(FINE.hw, bool)
    outside[46:114, 46:114] = False
    np.testing.assert_array_equal(one[outside], 0)
    assert np.abs(one[80, 45:115].sum() * FINE.pixel_size_nm / one[80, 80] - 120) < 4  # as wide as it is
    assert not drawn(replace(PATCH, pieces=(square(1000, 1100),))).any()


def test_the_rim_is_a_brighter_band_along_the_edge_and_not_along_the_border() -> None:
    rim = drawn(replace(PATCH, rim_nm=10.0)) - drawn(PATCH)
    assert rim[80, 52:55].min() < -7
    assert abs(rim[80, 80]) < 0.1
    np.testing.assert_allclose(rim[80, :80], rim[80, 80:160][::-1], atol=0.6)
    cut = replace(PATCH, rim_nm=10.0, pieces=(square(-100, 120),))
    row = drawn(cut)[20]
    assert row[0] == pytest.approx(row[20], abs=0.1)
    assert row[55:59].min() < row[20] - 5


def test_an_edge_just_beyond_the_border_still_has_its_rim() -> None:
    beyond = replace(PATCH, rim_nm=10.0, pieces=(square(105, 205),))
    wide, cut = drawn(beyond), drawn(beyond, grid=Grid((160, 100), 2.0))  # which ends 5 nm before the edge
    np.testing.assert_allclose(cut, wide[:, :100], atol=0.01)


def test_a_fold_is_a_bright_line_with_a_dark_flank() -> None:
    change = drawn(replace(PATCH, folds=((160.0, 160.0, 0.0, 10.0),))) - drawn(PATCH)
    assert change.min() < -4
    assert change.max() > 4
    assert np.abs(change[72:88, 75:85]).max() > 4 > 10 * np.abs(change[[55, 105], 75:85]).max()  # across y, at its point
    assert np.abs(change[:, 79]).max() > np.abs(change[:, 60]).max()


def test_stain_round_a_membrane_decays_from_its_edge() -> None:
    halos = np.full(FINE.hw, 1, np.float32)
    draw_membrane_halo(halos, FINE, PATCH)
    halos -= 1
    assert halos[80, 80] == pytest.approx(20, rel=0.01)
    for pixels in (5, 10, 20):  # beyond the edge at 219.5 nm
        distance = (110 + pixels + 0.5) * 2 - 219.5
        assert -15 * math.log(halos[80, 110 + pixels] / 20) == pytest.approx(distance, abs=3)
    nothing = np.zeros(FINE.hw, np.float32)
    draw_membrane_halo(nothing, FINE, replace(PATCH, halo_nm=0.0))
    draw_membrane_halo(nothing, FINE, replace(PATCH, pieces=(square(1000, 1100),)))
    assert not nothing.any()


@pytest.mark.parametrize("make", [scrap, broken_membrane, heap])
def test_random_membranes_are_deterministic_where_asked_and_brighter_than_the_stain_round_them(
    make: Callable[[np.random.Generator, tuple[float, float]], Membrane],
) -> None:
    grid, at, differences, sizes = Grid((250, 250), 2.0), (250.0, 250.0), [], []
    for seed in range(12):
        membrane = make(np.random.default_rng(seed), at)
        again = make(np.random.default_rng(seed), at)
        np.testing.assert_array_equal(np.concatenate(membrane.pieces), np.concatenate(again.pieces))
        low, high = membrane.bounds
        assert (np.abs((low + high) / 2 - at) < 350).all()
        sizes.append(float((high - low).max()))
        body = np.zeros(grid.hw, np.uint8)
        for piece in membrane.pieces:
            fill(body, piece / 2, 1)
        stain = np.zeros(grid.hw, np.float32)
        draw_membrane_halo(stain, grid, membrane)
        ring = (stain > 0.6 * membrane.halo_nm) & (body == 0)
        draw_membrane(stain, grid, even(grid), membrane)
        differences.append(stain[ring].mean() - stain[body == 1].mean())
    assert np.mean(differences) > 3
    assert 20 < np.median(sizes) < 400
    assert len(set(sizes)) == 12


def test_scraps_are_thin_lines_of_the_length_they_promise() -> None:
    for seed in range(30):
        membrane = scrap(np.random.default_rng(seed), (400.0, 400.0))
        low, high = membrane.bounds
        assert math.dist(low, high) < 260 + 2 * 34
        canvas = np.zeros((800, 800), np.uint8)
        for piece in membrane.pieces:
            fill(canvas, piece, 1)
        assert 5 * 40 < canvas.sum() < 260 * 34 * 1.3


# Necks --------------------------------------------------------------------------------------------------------------------------------------------------------


def test_a_neck_joins_two_within_their_width() -> None:
    one, other = disc(50, (150.0, 160.0)), disc(35, (150.0, 250.0))  # 5 nm apart
    for seed in range(5):
        joined = neck(np.random.default_rng(seed), one, other)
        low, high = joined.bounds
        assert 20 < high[0] - low[0] < 70.1  # across: no wider than the smaller one
        assert (low[0] + high[0]) / 2 == pytest.approx(150, abs=1)
        canvas = np.zeros((400, 300), np.uint8)
        for piece in joined.pieces:
            fill(canvas, piece, 1)
        assert canvas[160:250, 150].all()  # from centre to centre
        outer = np.zeros_like(canvas)
        for placed in (one, other):
            fill(outer, placed.outline_nm, 1)
        assert (canvas & ~outer & 1).sum() < 70 * 60  # only between the two
        assert joined.halo_nm == 0


def test_between_two_that_are_joined_there_is_less_stain() -> None:
    one, other = disc(50, (150.0, 160.0)), disc(40, (150.0, 258.0))
    scene = scene_of([one, other], GRID.extent_nm)
    with_neck = replace(scene, necks=(neck(np.random.default_rng(0), one, other),))
    apart, together = (draw_scene(np.random.default_rng(0), s, GRID).stain for s in (scene, with_neck))
    between = (slice(106, 108), slice(73, 77))
    assert together[between].mean() < apart[between].mean() - 10
    bodies = [distance_and_share(placed.vesicle, placed.centre_nm, GRID)[0] for placed in (one, other)]
    assert np.abs(together - apart)[(bodies[0] < -10) | (bodies[1] < -10)].max() < 0.1 * np.abs(together - apart).max()  # it lies under both


def test_random_scenes_join_neighbours_by_necks() -> None:
    ranges = replace(QUIET.vesicles, per_um2=(60, 60), diameter_median_nm=(50, 60), cluster_fraction=1.0, neck_fraction=1.0, shares={"solid": 1.0}, maximum=12)
    scene = random_scene(np.random.default_rng(0), (500.0, 600.0), replace(QUIET, vesicles=ranges))
    joined = [placed for placed in scene.vesicles if placed.joined is not None]
    assert len(scene.necks) == len(joined) == len(scene.vesicles) - 1 > 3
    for made, placed in zip(scene.necks, joined, strict=True):
        assert placed.joined is not None
        ends = np.array([placed.centre_nm, scene.vesicles[placed.joined].centre_nm])
        low, high = made.bounds
        assert (low <= ends.min(axis=0)).all()
        assert (high >= ends.max(axis=0)).all()
    assert not random_scene(np.random.default_rng(0), (500.0, 600.0), replace(QUIET, vesicles=replace(ranges, neck_fraction=0.0))).necks


# Order --------------------------------------------------------------------------------------------------------------------------------------------------------


def test_later_vesicles_lie_on_earlier_ones_and_all_on_membranes() -> None:
    bright, dark = disc(50, (220.0, 220.0)), disc(50, (270.0, 220.0))
    dark = dark._replace(vesicle=replace(dark.vesicle, look=dark.vesicle.look | {"base": 25.0}))
    assert overlap(bright.outline_nm, dark.outline_nm) > 0.2
    both = (distance_and_share(bright.vesicle, bright.centre_nm, GRID)[1] < 0.9) & (distance_and_share(dark.vesicle, dark.centre_nm, GRID)[1] < 0.9)
    dark_above, bright_above = (draw_scene(np.random.default_rng(0), scene_of(order, GRID.extent_nm), GRID).stain for order in ([bright, dark], [dark, bright]))
    assert dark_above[both].mean() > bright_above[both].mean() + 15
    scene = scene_of([bright], GRID.extent_nm)
    membrane = replace(PATCH, pieces=(square(180, 260),), base_nm=40.0, halo_nm=0.0)
    change = draw_scene(np.random.default_rng(0), replace(scene, membranes=(membrane,)), GRID).stain - draw_scene(np.random.default_rng(0), scene, GRID).stain
    body = distance_and_share(bright.vesicle, bright.centre_nm, GRID)[0]
    assert change[body > 2].max() > 15 > 3 * np.abs(change[body < -8]).max()


def test_a_body_keeps_out_what_stain_there_is_and_no_more() -> None:
    vesicle = a_vesicle("solid", 100.0)
    scene = scene_of([Placed(vesicle, CENTRE, vesicle.outline(CENTRE))], GRID.extent_nm)
    thin = replace(scene, film=replace(scene.film, stain_nm=0.5))
    stain = draw_scene(np.random.default_rng(0), thin, GRID).stain
    assert stain.min() == 0
    assert (stain == 0).sum() > 500
