"""What lies about and is no vesicle, and the film on which all lies: each kind alone. Stain in nm; more is darker."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from quiet_fields import EVEN_FILM, FILM_NM, NOTHING_ELSE, QUIET, even

from exolight.simulation.debris import Blot, Debris, Disc, draw_debris, draw_puddles, random_debris
from exolight.simulation.film import Film, beyond_tear, carbon, edge_stain, film_stain, grain, random_film
from exolight.simulation.formation import transmission
from exolight.simulation.grid import Field, Grid
from exolight.simulation.picture import describe, instance_mask
from exolight.simulation.ranges import DistractorRanges
from exolight.simulation.scene import Specimen, draw_scene, random_scene

GRID = Grid((180, 220), 2.0)  # 360 x 440 nm


def of_one_kind(seed: int = 0, **kind: object) -> Specimen:
    """A field with nothing but this kind of distractor, and the proof that it holds no vesicles."""
    scene = random_scene(np.random.default_rng(seed), GRID.extent_nm, replace(QUIET, distractors=replace(NOTHING_ELSE, **kind)))
    truth = describe(scene, GRID)
    assert len(truth.boxes) == len(truth.outlines) == len(truth.ignore) == 0
    assert not instance_mask(truth, GRID.hw).any()
    return draw_scene(np.random.default_rng(seed), scene, GRID)


# Kinds --------------------------------------------------------------------------------------------------------------------------------------------------------


def test_without_any_the_film_is_bare() -> None:
    stain, thickness, whole = of_one_kind()
    np.testing.assert_allclose(stain, FILM_NM, rtol=1e-5)
    assert (thickness, whole) == (EVEN_FILM.carbon_nm[0], None)


def test_the_bare_film_has_its_drift_and_its_grain() -> None:
    drifting = replace(QUIET, film=replace(EVEN_FILM, drift=(0.4, 0.4)))
    scene = random_scene(np.random.default_rng(0), GRID.extent_nm, drifting)
    np.testing.assert_allclose(draw_scene(np.random.default_rng(0), scene, GRID).stain, film_stain(scene.film, GRID), rtol=1e-5)
    assert np.ptp(film_stain(scene.film, GRID)) > 3
    grainy = random_scene(np.random.default_rng(0), GRID.extent_nm, replace(QUIET, film=replace(EVEN_FILM, grain_nm=(2, 2))))
    stain = draw_scene(np.random.default_rng(0), grainy, GRID).stain
    assert stain.std() == pytest.approx(2, rel=0.3)  # each part of it is drawn stronger or weaker
    assert stain.mean() == pytest.approx(FILM_NM, abs=0.3)


@pytest.mark.parametrize(
    ("kind", "brighter", "darker"),
    [
        ({"specks_per_um2": (300, 300)}, True, True),  # stain is pushed aside
        ({"lipoproteins_per_um2": (100, 100)}, True, False),
        ({"aggregates_per_um2": (20, 20)}, True, True),  # crumbs in a puddle
        ({"crystals_per_um2": (20, 20)}, False, True),
        ({"puddles_per_um2": (10, 10)}, False, True),
        ({"gold_per_um2": (50, 50)}, False, True),
        ({"dust_fraction": 1.0}, False, True),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_debris_is_bright_where_it_keeps_stain_out_and_dark_where_it_is_stain(kind: dict[str, object], brighter: bool, darker: bool) -> None:
    changes = np.concatenate([of_one_kind(seed, **kind).stain - np.float32(FILM_NM) for seed in range(4)])
    assert (changes.min() < -1.5) == brighter
    assert (changes.max() > 1.5) == darker
    assert (np.abs(changes) > 0.5).mean() > 0.001


@pytest.mark.parametrize("kind", ["scraps_per_um2", "membranes_per_um2", "heaps_per_um2"])
def test_membranes_are_bright_in_dark_stain(kind: str) -> None:
    changes = np.concatenate([of_one_kind(seed, **{kind: (25, 25)}).stain - np.float32(FILM_NM) for seed in range(3)])
    assert changes.max() > 5
    assert changes.min() < -1
    assert np.mean(changes) > 0  # more stain gathers than they keep out


def test_a_fold_is_three_layers_of_film_with_stain_along_it() -> None:
    stain, thickness, whole = of_one_kind(fold_fraction=1.0)
    assert whole is None
    assert isinstance(thickness, np.ndarray)
    one = EVEN_FILM.carbon_nm[0]
    assert (float(thickness.min()), float(thickness.max())) == (one, 3 * one)
    edge = (thickness > 1.3 * one) & (thickness < 2.7 * one)
    assert edge.any()
    assert (thickness == one).sum() > 3 * (thickness == 3 * one).sum() > 0  # a line, not half the field
    assert stain.min() >= FILM_NM - 1e-3
    assert stain[edge].mean() > FILM_NM + 3
    assert transmission(stain, thickness)[thickness == 3 * one].max() < transmission(stain, thickness).max()


def test_a_tear_takes_the_film_from_one_side() -> None:
    for seed in range(4):
        stain, thickness, whole = of_one_kind(seed, tear_fraction=1.0)
        assert thickness == EVEN_FILM.carbon_nm[0]
        assert whole is not None
        assert (whole.min(), whole.max()) == (0, 1)
        assert 0.01 < (whole == 0).mean() < 0.5
        assert whole[90, 110] == 1  # the field's middle is on the film
        light = transmission(stain, thickness, whole)
        np.testing.assert_array_equal(light[whole == 0], 1)
        assert light[whole == 1].max() < 0.8
        edge = (whole > 0.2) & (whole < 0.8)
        assert stain[edge].mean() > FILM_NM + 3


def test_no_vesicle_lies_beyond_a_tear() -> None:
    vesicles = replace(QUIET.vesicles, per_um2=(150, 150), diameter_median_nm=(40, 50), cluster_fraction=0.5, neck_fraction=1.0)
    torn = replace(QUIET, vesicles=vesicles, distractors=replace(NOTHING_ELSE, tear_fraction=1.0))
    for seed in range(4):
        scene = random_scene(np.random.default_rng(seed), GRID.extent_nm, torn)
        assert len(scene.vesicles) > 3
        for placed in scene.vesicles:
            assert not beyond_tear(scene.film, placed.outline_nm).any()
            if placed.joined is not None:  # and still has its partner
                other = scene.vesicles[placed.joined]
                assert math.dist(placed.centre_nm, other.centre_nm) < 1.1 * (placed.vesicle.radius_nm + other.vesicle.radius_nm)


def test_a_membrane_that_would_hide_under_a_vesicle_is_left_out() -> None:
    vesicles = replace(QUIET.vesicles, per_um2=(60, 60))
    ranges = replace(QUIET, vesicles=vesicles, distractors=replace(NOTHING_ELSE, membranes_per_um2=(60, 60), heaps_per_um2=(60, 60)))
    scene = random_scene(np.random.default_rng(0), GRID.extent_nm, ranges)
    assert len(scene.membranes) > 1
    for membrane in scene.membranes:
        low, high = membrane.bounds
        assert not any((low < placed.centre_nm).all() and (high > placed.centre_nm).all() for placed in scene.vesicles)
    alone = random_scene(np.random.default_rng(0), GRID.extent_nm, replace(ranges, vesicles=QUIET.vesicles))
    assert len(alone.membranes) > len(scene.membranes)


# Numbers ------------------------------------------------------------------------------------------------------------------------------------------------------


def debris_of(extent_nm: tuple[float, float], seed: int = 0, **kind: Any) -> Debris:
    return random_debris(np.random.default_rng(seed), extent_nm, replace(NOTHING_ELSE, **kind))


def test_specks_go_with_the_area_and_lie_all_over_it() -> None:
    few, many = (debris_of(extent, specks_per_um2=(400, 400)) for extent in ((1000.0, 1000.0), (2000.0, 3000.0)))
    one, six = (sum(len(points) for points in debris.specks) for debris in (few, many))
    assert 400 < one < 400 * 5  # threads have up to five points
    assert six / one == pytest.approx(6, rel=0.25)
    points = np.concatenate(many.specks)
    for axis, side in ((0, 3000), (1, 2000)):
        shares, _ = np.histogram(points[:, axis], 4, (0, side))
        np.testing.assert_allclose(shares / len(points), 0.25, atol=0.05)


@pytest.mark.parametrize("kind", ["lipoproteins_per_um2", "gold_per_um2"])
def test_round_particles_are_as_many_as_asked_and_of_their_kinds_size(kind: str) -> None:
    density: dict[str, Any] = {kind: (50, 50)}
    discs = debris_of((2000.0, 3000.0), **density).discs
    assert len(discs) == pytest.approx(300, abs=60)
    assert 0 <= min(disc.x for disc in discs) < 300 < 2700 < max(disc.x for disc in discs) <= 3000
    assert max(disc.y for disc in discs) <= 2000
    diameters = np.array([2 * disc.radius for disc in discs])
    if kind == "gold_per_um2":
        assert ((diameters >= 5) & (diameters <= 15)).all()
        assert min(disc.stain_nm for disc in discs) > 20
    else:
        assert ((diameters >= 8) & (diameters <= 40)).all()
        assert 0 < (diameters > 28).mean() < 0.15
        assert max(disc.stain_nm for disc in discs) < 0


def test_other_debris_is_as_much_as_asked() -> None:
    extent = (2000.0, 3000.0)
    assert len(debris_of(extent, puddles_per_um2=(10, 10)).blots) == pytest.approx(60, abs=25)
    assert 60 - 25 < len(debris_of(extent, crystals_per_um2=(10, 10)).blots) < 3.5 * 60  # in groups
    aggregates = debris_of(extent, aggregates_per_um2=(10, 10))
    assert len(aggregates.puddles) == pytest.approx(60, abs=25)
    assert len(aggregates.crumbs) > 5 * len(aggregates.puddles)
    near = np.hypot(*(aggregates.crumbs[:, None, :2] - aggregates.puddles[None, :, :2]).transpose(2, 0, 1)).min(axis=1)
    assert np.percentile(near, 95) < 150  # the crumbs lie in the puddles
    assert sum(len(debris_of((300.0, 300.0), seed, dust_fraction=0.3).blots) for seed in range(200)) == pytest.approx(60, abs=20)
    nothing = debris_of(extent)
    assert (len(nothing.crumbs), len(nothing.puddles), len(nothing.discs), len(nothing.blots)) == (0, 0, 0, 0)
    assert not any(len(points) for points in nothing.specks)


# Drawing ------------------------------------------------------------------------------------------------------------------------------------------------------

NOTHING = Debris(tuple(np.zeros((0, 3)) for _ in debris_of((1.0, 1.0)).specks), np.zeros((0, 3)), np.zeros((0, 4)), (), ())


def debris_drawn(debris: Debris, grid: Grid = GRID) -> Field:
    stain = np.full(grid.hw, 3, np.float32)
    draw_debris(stain, grid, debris)
    return stain - np.float32(3)


def puddles_drawn(debris: Debris, grid: Grid = GRID) -> Field:
    stain = np.full(grid.hw, 3, np.float32)
    draw_puddles(stain, grid, even(grid), debris)
    return stain - np.float32(3)


def test_a_speck_is_a_bright_spot_with_a_faint_seam_where_it_lies() -> None:
    for which in range(len(NOTHING.specks)):
        specks = list(NOTHING.specks)
        specks[which] = np.array([[301.0, 121.0, 6.0], [101.0, 201.0, -6.0], [-50.0, 10.0, 6.0], [10.0, 5000.0, 6.0]])
        stain = debris_drawn(replace(NOTHING, specks=tuple(specks)))
        assert np.unravel_index(stain.argmin(), stain.shape) == (60, 150)
        assert np.unravel_index(stain.argmax(), stain.shape) == (100, 50)  # a dark one
        assert -6.1 < stain.min() < -2
        around = stain[40:81, 130:171]
        assert 0.05 < around.max() < 3
        assert abs(around.sum()) < 0.2 * np.abs(around).sum()  # pushed aside
        assert np.abs(stain[:, 180:]).max() < 1e-3


def test_many_specks_at_one_place_saturate() -> None:
    heaped = replace(NOTHING, crumbs=np.repeat([[301.0, 121.0, 8.0]], 50, axis=0))
    alone = replace(NOTHING, crumbs=heaped.crumbs[:1])
    assert 2 * debris_drawn(alone).min() > debris_drawn(heaped).min() > 10 * debris_drawn(alone).min()


def test_specks_are_as_bright_on_any_grid() -> None:
    crumbs = np.array([[150.0, 121.0, 4.0], [250.0, 60.0, 4.0]])
    light = []
    for size in (0.5, 1.0, 3.0):
        stain = debris_drawn(replace(NOTHING, crumbs=crumbs), Grid((round(180 / size), round(360 / size)), size))
        light.append(-stain.clip(None, 0).sum() * size**2)
    assert max(light) < 1.5 * min(light)


def test_a_round_particle_is_a_disc_of_its_stain() -> None:
    stain = debris_drawn(replace(NOTHING, discs=(Disc(200.0, 100.0, 30.0, 60.0), Disc(-900.0, 0.0, 30.0, 60.0))))
    assert stain[50, 100] == pytest.approx(57)  # in place of what was there
    assert (stain / 57).sum() * 4 == pytest.approx(math.pi * 30**2, rel=0.03)
    rows, columns = np.nonzero(stain)
    assert (rows + 0.5).mean() * 2 == pytest.approx(100, abs=0.1)
    assert (columns + 0.5).mean() * 2 == pytest.approx(200, abs=0.1)


def test_a_round_puddle_is_a_gaussian_added_to_what_is_there() -> None:
    stain = puddles_drawn(replace(NOTHING, puddles=np.array([[201.0, 101.0, 20.0, 12.0], [9000.0, 0.0, 20.0, 12.0]])))
    assert stain[50, 100] == pytest.approx(12, rel=1e-3)
    assert stain[50, 110] == pytest.approx(12 * math.exp(-0.5), rel=1e-3)
    assert stain[60, 110] == pytest.approx(12 * math.exp(-1), rel=1e-3)
    assert not stain[:, 200:].any()


@pytest.mark.parametrize("soft_nm", [0.5, 6.0, 25.0])
def test_a_blot_is_its_outline_with_a_soft_edge(soft_nm: float) -> None:
    grid = Grid((200, 260), 2.0)
    corners = np.array([(150, 100), (350, 100), (350, 280), (150, 280)], np.float32)
    stain = puddles_drawn(replace(NOTHING, blots=(Blot(corners, 40.0, soft_nm, 0.0), Blot(corners + 5000, 40.0, soft_nm, 0.0))), grid)
    assert stain[95, 125] == pytest.approx(40, rel=0.01)
    assert stain.sum() * 4 == pytest.approx(40 * 200 * 180, rel=0.1)
    assert 10 < stain[95, 74:76].mean() < 30.1  # half at its edge
    assert np.abs(stain[[10, 190], 125]).max() < 0.5
    width = (stain[95, 40:110] > 6).argmax() - (stain[95, 40:110] > 34).argmax()
    assert -2 * width == pytest.approx(2 * 1.03 * soft_nm, abs=5)  # from 15 % to 85 %


def test_a_blot_cut_by_the_border_is_part_of_the_whole() -> None:
    corners = np.array([(150, 100), (350, 100), (350, 280), (150, 280)], np.float32)
    debris = replace(NOTHING, blots=(Blot(corners, 40.0, 12.0, 0.0),))
    whole, part = puddles_drawn(debris, Grid((200, 260), 2.0)), puddles_drawn(debris, Grid((200, 120), 2.0))
    np.testing.assert_allclose(part, whole[:, :120], atol=1.5)


# Film ---------------------------------------------------------------------------------------------------------------------------------------------------------


def film_of(seed: int = 0, distractors: DistractorRanges = NOTHING_ELSE, extent: tuple[float, float] = GRID.extent_nm, **ranges: object) -> Film:
    return random_film(np.random.default_rng(seed), extent, replace(EVEN_FILM, **ranges), distractors)


def test_film_is_drawn_from_its_ranges() -> None:
    films = [film_of(seed, stain_nm=(8, 20), carbon_nm=(5, 9), grain_nm=(1, 2), grain_size=(0.5, 0.8)) for seed in range(40)]
    for name, low, high in (("stain_nm", 8, 20), ("carbon_nm", 5, 9), ("grain_nm", 1, 2), ("grain_size", 0.5, 0.8)):
        values = np.array([getattr(film, name) for film in films])
        assert low <= values.min() < low + 0.2 * (high - low) < high - 0.2 * (high - low) < values.max() <= high
    torn = [bool(film_of(seed, replace(NOTHING_ELSE, tear_fraction=0.5)).tears) for seed in range(100)]
    folded = [bool(film_of(seed, replace(NOTHING_ELSE, fold_fraction=0.5)).folds) for seed in range(100)]
    assert 35 < sum(torn) < 65
    assert 35 < sum(folded) < 65


def test_stain_drifts_slowly_and_the_same_on_any_grid() -> None:
    np.testing.assert_allclose(film_stain(film_of(), GRID), FILM_NM)
    spreads = []
    for seed in range(20):
        stain = film_stain(film_of(seed, drift=(0.4, 0.4)), GRID)
        spreads.append(np.log(stain / FILM_NM).std())
        assert np.abs(np.log(stain[:, 1:] / stain[:, :-1])).max() < 0.1
    assert 0.2 < np.mean(spreads) < 0.5
    coarse = film_stain(film_of(0, drift=(0.4, 0.4)), GRID.coarser(4))
    np.testing.assert_allclose(coarse, film_stain(film_of(0, drift=(0.4, 0.4)), GRID).reshape(45, 4, 55, 4).mean(axis=(1, 3)), rtol=0.02)


def test_grain_is_the_one_measured_on_a_real_field() -> None:
    """Autocorrelation 0.78 / 0.55 / 0.38 / 0.21 / 0.11 at lags of 1 / 2 / 4 / 8 / 12 px of 1.92 nm."""
    film = film_of(grain_nm=(3, 3))
    film = replace(film, grain_shares=tuple(1.0 for _ in film.grain_shares))
    made = grain(np.random.default_rng(0), film, Grid((480, 640), 1.92))
    assert made.std() == pytest.approx(3, rel=0.08)
    assert abs(made.mean()) < 0.15
    for lag, measured in ((1, 0.78), (2, 0.55), (4, 0.38), (8, 0.21), (12, 0.11)):
        along = [(made[:, lag:] * made[:, :-lag]).mean(), (made[lag:] * made[:-lag]).mean()]
        assert np.mean(along) / made.var() == pytest.approx(measured, abs=0.08), lag


def test_grain_scales_with_its_size_and_strength() -> None:
    def correlation(film: Film, lag: int) -> float:
        made = grain(np.random.default_rng(0), film, Grid((300, 300), 2.0))
        return float((made[:, lag:] * made[:, :-lag]).mean() / made.var())

    film = film_of(grain_nm=(3, 3))
    assert correlation(replace(film, grain_size=2.0), 8) > correlation(film, 8) + 0.1
    one, two = (grain(np.random.default_rng(0), replace(film, grain_nm=strength), GRID) for strength in (2.0, 4.0))
    np.testing.assert_allclose(two, 2 * one, rtol=1e-5, atol=1e-6)
    assert not grain(np.random.default_rng(0), replace(film, grain_nm=0.0), GRID).any()


def test_the_larger_part_of_a_torn_field_is_film() -> None:
    torn, shares = replace(NOTHING_ELSE, tear_fraction=1.0), []
    for seed in range(40):  # in every direction
        _, whole = carbon(film_of(seed, torn), GRID.coarser(4))
        assert whole is not None
        shares.append((whole == 1).mean())
        assert whole[22, 27] == 1
    assert 0.5 < min(shares) < max(shares) < 1


def test_beyond_a_tear_is_where_the_film_is_gone() -> None:
    torn = replace(NOTHING_ELSE, tear_fraction=1.0)
    x, y = (c.ravel() for c in np.meshgrid(np.arange(1, 440, 2.0), np.arange(1, 360, 2.0)))
    for seed in range(4):
        film = film_of(seed, torn)
        _, whole = carbon(film, GRID)
        assert whole is not None
        beyond = beyond_tear(film, np.stack((x, y), 1).astype(np.float32)).reshape(GRID.hw)
        assert beyond[whole == 0].all()
        assert not beyond[whole == 1].any()
        assert not beyond_tear(film_of(seed), np.stack((x, y), 1).astype(np.float32)).any()
        stain = edge_stain(film, GRID)
        assert isinstance(stain, np.ndarray)
        assert stain[(whole > 0) & (whole < 1)].min() > 0.5 * stain.max()
        assert stain.min() < 0.01 * stain.max()
    assert edge_stain(film_of(), GRID) == 0
