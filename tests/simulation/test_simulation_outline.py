"""Outlines: area, cut at the border, painting, overlap, and where vesicles stand."""

import math

import numpy as np
import pytest
from quiet_fields import a_vesicle, square

from exolight.polygons import clip_polygon, polygon_area
from exolight.simulation.outline import ANGLES, fill, overlap, polygon, random_radii
from exolight.simulation.placement import MAX_OVERLAP, Placed, place, visible_and_overlap


def round_one(radius: float, x: float, y: float) -> np.ndarray:
    return polygon((x, y), np.full(ANGLES, radius, np.float32))


# Outlines -----------------------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("aspect", "roughness"), [(1.0, 0.0), (1.3, 0.1), (2.5, 0.0), (1.5, 0.25)])
def test_the_diameter_is_the_area_equivalent_one(aspect: float, roughness: float) -> None:
    for seed in range(5):
        radii = random_radii(np.random.default_rng(seed), 50.0, aspect, roughness)
        assert radii.shape == (ANGLES,)
        assert polygon_area(polygon((30.0, -40.0), radii)) == pytest.approx(math.pi * 25**2, rel=1e-4)


def test_without_roughness_an_outline_is_an_ellipse_of_its_aspect_turned_at_random() -> None:
    longest = []
    for seed in range(8):
        radii = random_radii(np.random.default_rng(seed), 80.0, 2.0, 0.0)
        assert radii.max() / radii.min() == pytest.approx(2.0, rel=0.01)
        assert radii.max() == pytest.approx(40 * math.sqrt(2), rel=0.01)
        longest.append(int(radii.argmax()) % (ANGLES // 2))
    assert len(set(longest)) > 4
    np.testing.assert_allclose(random_radii(np.random.default_rng(0), 80.0, 1.0, 0.0), 40, rtol=1e-3)


def test_roughness_disturbs_in_proportion_and_mostly_slowly() -> None:
    def spectrum(roughness: float) -> np.ndarray:
        radii = np.array([random_radii(np.random.default_rng(seed), 2.0, 1.0, roughness) for seed in range(60)])
        return np.asarray((np.abs(np.fft.rfft(radii - 1, axis=1)) ** 2).mean(axis=0))

    one, two = spectrum(0.04), spectrum(0.08)
    assert math.sqrt(two[2:20].sum() / one[2:20].sum()) == pytest.approx(2, rel=0.1)
    assert one[2:8].sum() > 10 * one[8:20].sum() > 100 * one[21:].sum()


def test_polygon_goes_from_the_x_axis_towards_y() -> None:
    radii = np.zeros(ANGLES, np.float32)
    radii[[0, ANGLES // 4, ANGLES // 2]] = (3, 5, 7)
    points = polygon((10.0, 20.0), radii)
    np.testing.assert_allclose(points[[0, ANGLES // 4, ANGLES // 2]], [(13, 20), (10, 25), (3, 20)], atol=1e-5)


def test_area_by_hand() -> None:
    assert polygon_area(np.array([(0, 0), (4, 0), (0, 3)], np.float32)) == 6
    assert polygon_area(np.array([(0, 0), (0, 3), (4, 0)], np.float32)) == 6  # either way round
    assert polygon_area(np.array([(0, 0), (4, 0), (4, 4), (2, 1), (0, 4)], np.float32)) == 10  # a notch
    assert polygon_area(np.zeros((0, 2), np.float32)) == 0


def test_cut_at_the_border() -> None:
    whole = round_one(20, 30.0, 40.0)
    np.testing.assert_array_equal(clip_polygon(whole, (500, 500)), whole)
    corner = np.array([(-2, -3), (6, -3), (6, 5), (-2, 5)], np.float32)
    assert polygon_area(clip_polygon(corner, (4, 10))) == pytest.approx(6 * 4)
    assert polygon_area(clip_polygon(square(-5, 50), (7, 9))) == pytest.approx(63)  # the whole field
    assert len(clip_polygon(corner + 100, (50, 60))) == 0
    diamond = np.array([(-8, 5), (-3, 0), (2, 5), (-3, 10)], np.float32)  # only x 0..2 is inside, where it spans y 3..7
    cut = clip_polygon(diamond, (20, 20))
    np.testing.assert_allclose([*cut.min(axis=0), *cut.max(axis=0)], (0, 3, 2, 7))
    assert polygon_area(clip_polygon(round_one(20, 60.0, 40.0), (80, 60))) == pytest.approx(polygon_area(whole) / 2, rel=1e-3)


def test_painting_is_in_place_and_at_most_half_a_pixel_too_wide() -> None:
    for seed in range(4):
        x, y = 40 + np.random.default_rng(seed).random(2)
        canvas = np.full((90, 100), 5, np.uint16)
        fill(canvas, round_one(25, 3 + x, y - 7), 300, (3.0, -7.0))
        painted = canvas == 300
        assert set(np.unique(canvas)) == {5, 300}
        rows, columns = np.nonzero(painted)
        assert (columns + 0.5).mean() == pytest.approx(x, abs=0.1)
        assert (rows + 0.5).mean() == pytest.approx(y, abs=0.1)
        assert 25 <= math.sqrt(painted.sum() / math.pi) <= 25.55


def test_overlap_is_a_share_of_the_smaller_one() -> None:
    assert overlap(square(0, 100), square(0, 100)) == pytest.approx(1, abs=0.05)
    assert overlap(square(0, 100), square(50, 150)) == pytest.approx(0.25, abs=0.03)
    assert overlap(square(0, 400), square(350, 450)) == pytest.approx(0.25, abs=0.03)
    assert overlap(square(350, 450), square(0, 400)) == pytest.approx(0.25, abs=0.03)
    assert overlap(square(0, 100), square(120, 150)) == 0
    lens = 2 * math.pi / 3 - math.sqrt(3) / 2  # of two discs one radius apart, in squared radii
    assert overlap(round_one(60, 0, 0), round_one(60, 60, 0)) == pytest.approx(lens / math.pi, abs=0.03)
    corner_to_corner = round_one(60, 100, 100)  # the boxes meet, the discs do not
    assert overlap(round_one(60, 0, 0), corner_to_corner) == 0


# Seen and shared ----------------------------------------------------------------------------------------------------------------------------------------------


def test_visible_and_overlap_of_squares() -> None:
    """Painting is half a pixel too wide: a hundredth of these sides."""
    below, above = square(20, 120), square(20, 120) + np.array([50, 0], np.float32)  # the later one over the right half of the other
    visible, shared = visible_and_overlap([below, above], (150, 300))
    np.testing.assert_allclose(visible, [0.5, 1], atol=0.03)
    np.testing.assert_allclose(shared, [0.5, 0.5], atol=0.03)
    visible, shared = visible_and_overlap([above, below], (150, 300))
    np.testing.assert_allclose(visible, [0.5, 1], atol=0.03)  # in the order given
    cut, hidden = square(-30, 70), square(10, 30)
    visible, shared = visible_and_overlap([hidden, cut], (150, 300))
    np.testing.assert_allclose(visible, [0, 0.49], atol=0.01)
    np.testing.assert_allclose(shared, [1, 400 / 4900], atol=0.02)  # of what is in the picture
    visible, shared = visible_and_overlap([square(10, 110), square(40, 80), square(40, 80)], (150, 300))  # three deep
    np.testing.assert_allclose(visible, [0.84, 0, 1], atol=0.02)
    np.testing.assert_allclose(shared, [0.16, 1, 1], atol=0.02)


def test_visible_and_overlap_of_what_is_alone_outside_or_nothing() -> None:
    visible, shared = visible_and_overlap([round_one(30, 50.0, 50.0), round_one(30, 0.0, 150.0), round_one(30, -100.0, 50.0)], (200, 120))
    np.testing.assert_allclose(visible, [1, 0.5, 0], atol=0.001)  # what is cut is known exactly
    np.testing.assert_array_equal(shared, [0, 0, 0])
    visible, shared = visible_and_overlap([], (20, 30))
    assert visible.shape == shared.shape == (0,)


# Places -------------------------------------------------------------------------------------------------------------------------------------------------------

FIELD = (700.0, 1000.0)


def placed(border: float = 0.0, cluster: float = 0.0, neck: float = 0.0, count: int = 16, extent: tuple[float, float] = FIELD, seed: int = 0) -> list[Placed]:
    vesicles = [a_vesicle("solid", 80.0, i) for i in range(count)]
    return place(np.random.default_rng(seed), vesicles, extent, border, cluster, neck)


def is_cut(one: Placed, extent: tuple[float, float] = FIELD) -> bool:
    low, high = one.outline_nm.min(axis=0), one.outline_nm.max(axis=0)
    return bool((low < 0).any() or (high > extent[::-1]).any())


def gaps(found: list[Placed]) -> list[float]:
    """From each to its nearest, centre to centre, in sums of their radii."""
    apart = [[math.dist(a.centre_nm, b.centre_nm) / (a.vesicle.radius_nm + b.vesicle.radius_nm) for b in found if b is not a] for a in found]
    return [min(row) for row in apart]


def test_everything_has_its_place_inside_unless_asked_otherwise() -> None:
    found = placed()
    assert len(found) == 16
    assert not any(is_cut(one) for one in found)
    for i, one in enumerate(found):
        np.testing.assert_array_equal(one.outline_nm, a_vesicle("solid", 80.0, i).outline(one.centre_nm))
        assert one.joined is None


def test_border_fraction() -> None:
    assert all(is_cut(one) for one in placed(border=1.0))
    assert all(len(clip_polygon(one.outline_nm, FIELD)) for one in placed(border=1.0))
    outlines = [one.outline_nm for seed in range(4) for one in placed(border=1.0, seed=seed)]
    low, high = np.array([o.min(axis=0) for o in outlines]), np.array([o.max(axis=0) for o in outlines])
    cut = np.concatenate((low < 0, high > FIELD[::-1]), axis=1).mean(axis=0)  # by the left, top, right, bottom border
    assert cut[[0, 2]].min() > 0.1  # the shorter ones
    assert cut[[1, 3]].min() > 0.15
    assert 0.2 < np.mean([is_cut(one) for seed in range(8) for one in placed(border=0.4, seed=seed)]) < 0.6


def test_cluster_fraction() -> None:
    assert max(gaps(placed(cluster=1.0))) < 1.15  # each beside or over another
    assert np.median(gaps(placed())) > 1.3
    assert np.median(gaps(placed(cluster=0.5))) < np.median(gaps(placed()))


def test_neck_fraction_joins_neighbours() -> None:
    assert all(one.joined is None for one in placed(cluster=1.0, neck=0.0))
    assert all(one.joined is None for one in placed(cluster=0.0, neck=1.0))
    found = placed(cluster=1.0, neck=1.0)
    assert found[0].joined is None
    for i, one in enumerate(found[1:], start=1):
        assert one.joined is not None
        assert one.joined < i
        other = found[one.joined]
        assert math.dist(one.centre_nm, other.centre_nm) < 1.1 * (one.vesicle.radius_nm + other.vesicle.radius_nm)


def test_none_is_hidden_and_what_finds_no_place_is_left_out() -> None:
    extent = (260.0, 330.0)
    found = placed(border=0.2, cluster=0.5, count=60, extent=extent)
    assert 8 < len(found) < 60
    shares = [overlap(a.outline_nm, b.outline_nm) for i, a in enumerate(found) for b in found[:i]]
    assert max(shares) <= MAX_OVERLAP
    assert max(shares) > 0.1
    assert all(len(clip_polygon(one.outline_nm, extent)) > 2 for one in found)


def test_what_is_not_beside_another_stands_apart() -> None:
    found = placed(border=0.2, count=60, extent=(330.0, 420.0))
    assert len(found) > 8
    assert max(overlap(a.outline_nm, b.outline_nm) for i, a in enumerate(found) for b in found[:i]) == 0


def test_a_field_smaller_than_the_vesicle() -> None:
    found = placed(count=1, extent=(50.0, 60.0))
    assert len(found) == 1
    assert 0 <= found[0].centre_nm[0] <= 60
    assert 0 <= found[0].centre_nm[1] <= 50
