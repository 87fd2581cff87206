"""What is measured of a vesicle: discs of known size and grey levels."""

import json
import math

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from exolight.measurement.contour import ellipse_of
from exolight.measurement.vesicles import Greys, Measurement, grey_levels, measure

CENTRE, RADIUS = (90.0, 100.0), 20.0
BOX = np.array([70, 80, 110, 120], np.float32)


def _disc(hw: tuple[int, int] = (200, 180), noise: float = 4.0) -> NDArray[np.float32]:
    """A body of 160, a trough of 60 from 1 to 1.4 radii, film of 120 from 2.5 radii on."""
    y, x = np.mgrid[: hw[0], : hw[1]] + 0.5
    reach = np.hypot(x - CENTRE[0], y - CENTRE[1]) / RADIUS
    grey = np.where(reach < 1, 160.0, np.interp(reach, (1.4, 2.5), (60, 120)))
    return (grey + noise * np.random.default_rng(1).normal(size=hw)).astype(np.float32)


def test_grey_levels_of_known_regions() -> None:
    found = grey_levels(_disc(noise=4.0), ellipse_of(BOX))
    assert found.inside == pytest.approx(160, abs=1)
    assert found.halo == pytest.approx(60, abs=1)
    assert found.background == pytest.approx(120, abs=1)
    assert found.halo_contrast == pytest.approx(((160 + 120) / 2 - 60) / 4, rel=0.1)


def test_halo_contrast_knows_no_grey_scale() -> None:
    picture, points = _disc(), ellipse_of(BOX)
    assert grey_levels(picture * 200 + 5000, points).halo_contrast == pytest.approx(grey_levels(picture, points).halo_contrast, rel=1e-4)
    assert grey_levels(-picture, points).halo_contrast == pytest.approx(-grey_levels(picture, points).halo_contrast, rel=1e-4)
    assert math.isnan(grey_levels(_disc(noise=0.0), points).halo_contrast)


def test_inside_is_a_mean_over_the_area() -> None:
    """Grey = x: the mean over an outline is its centroid's x, however unevenly its points lie."""
    picture = np.tile(np.arange(180, dtype=np.float32) + 0.5, (200, 1))
    square = np.array([[60, 60], [100, 60], [100, 100], [99, 100], [98, 100], [97, 100], [60, 100]], np.float32)
    assert grey_levels(picture, square).inside == pytest.approx(80, abs=0.5)
    triangle = np.array([[60, 60], [120, 60], [60, 120]], np.float32)
    assert grey_levels(picture, triangle).inside == pytest.approx(80, abs=0.5)


def test_other_vesicles_are_no_halo() -> None:
    picture, numbers = _disc(), np.zeros((200, 180), np.int32)
    numbers[80:120, 70:110] = 1
    picture[:, 113:] = 255
    numbers[:, 113:] = 2
    assert grey_levels(picture, ellipse_of(BOX), numbers, 1).halo == pytest.approx(60, abs=1)
    assert grey_levels(picture, ellipse_of(BOX)).halo > 70


def test_what_is_not_in_the_picture_is_nan() -> None:
    found = grey_levels(_disc()[85:115, 75:105], ellipse_of(BOX - [75, 85, 75, 85]))
    assert found.inside == pytest.approx(160, abs=1)
    assert math.isnan(found.halo)
    assert math.isnan(found.background)
    assert math.isnan(found.halo_contrast)


def test_measure_with_outlines() -> None:
    (found,) = measure(_disc(), BOX[None])
    assert found.source == "contour"
    assert found.diameter == pytest.approx(40, rel=0.03)  # a real edge is softer than this one
    assert found.shape is not None
    assert found.outline is not None
    assert found.diameter == found.shape.diameter
    assert found.box_diameter == 40
    assert not found.on_border
    assert found.quality > 0.9
    assert found.greys is not None
    assert found.greys.inside == pytest.approx(157, abs=4)


def test_measure_without_outlines_looks_at_boxes_alone() -> None:
    boxes = np.array([[10, 20, 40, 60], [0.5, 20, 40, 60]], np.float32)
    first, second = measure(np.zeros((100, 100), np.uint8), boxes, contour=False)
    assert (first.source, first.on_border, first.outline, first.shape, first.greys) == ("box", False, None, None, None)
    assert first.diameter == first.box_diameter == pytest.approx(math.sqrt(1200))
    assert math.isnan(first.quality)
    assert second.on_border
    assert measure(np.zeros((100, 100), np.uint8), boxes[:0], contour=False) == measure(np.zeros((100, 100), np.uint8), boxes[:0]) == []


def test_where_no_outline_is_believable_the_box_is_measured() -> None:
    (found,) = measure(np.full((100, 100), 9, np.uint8), np.array([[30, 30, 60, 50]], np.float32))
    assert (found.source, found.shape, found.outline) == ("box", None, None)
    assert found.diameter == found.box_diameter == pytest.approx(math.sqrt(600))
    assert found.quality < 0.2
    assert found.greys is not None
    assert found.greys[:3] == (9, 9, 9)


def test_neighbours_do_not_darken_each_others_halo() -> None:
    picture = _disc(noise=2.0)
    cv2.circle(picture, (90, 146), 20, 160.0, -1)  # below, touching the trough
    boxes = np.stack((BOX, [69.5, 125.5, 111.5, 167.5])).astype(np.float32)
    first = measure(picture, boxes)[0].greys
    assert first is not None
    assert first.halo == pytest.approx(60, abs=6)


def test_records_say_their_unit() -> None:
    (found,) = measure(_disc(), BOX[None])
    assert found.shape is not None
    px, nm = found.record(), found.record(2.5)
    assert nm["diameter_nm"] == pytest.approx(2.5 * px["diameter_px"])
    assert nm["area_nm2"] == pytest.approx(2.5**2 * px["area_px2"]) == pytest.approx(2.5**2 * found.shape.area)
    assert nm["feret_max_nm"] == pytest.approx(2.5 * found.shape.feret_max)
    assert nm["roundness"] == px["roundness"]
    assert nm["box_diameter_nm"] == 100
    assert (nm["source"], nm["on_border"], nm["grey_inside"]) == ("contour", False, found.greys.inside if found.greys else None)
    assert len(px) == len(nm) == 16
    json.dumps(px, allow_nan=False)


def test_records_of_boxes_have_the_same_columns() -> None:
    (found,), (box,) = measure(_disc(), BOX[None]), measure(_disc(), BOX[None], contour=False)
    assert list(box.record(1.0)) == list(found.record(1.0))
    assert box.record()["feret_max_px"] is None
    assert Measurement("box", 1.0, 1.0, False, greys=Greys(1.0, math.nan, 2.0, math.nan)).record()["grey_halo"] is None
