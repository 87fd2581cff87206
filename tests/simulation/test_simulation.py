"""The simulator: the same picture for the same (seed, index), a truth that fits the pixels, and the look of negative stain."""

import inspect
import math
import pickle
from dataclasses import asdict, replace

import cv2
import numpy as np
import pytest

from exolight.annotated_image import AnnotationSet
from exolight.errors import InputError
from exolight.simulation.outline import clip_polygon, overlap, polygon, polygon_area, random_radii
from exolight.simulation.picture import SceneRanges, draw_scene, render
from exolight.simulation.placement import MAX_OVERLAP, Placed
from exolight.simulation.pool import simulate
from exolight.simulation.vesicles import random_vesicle

HW = (200, 320)


@pytest.fixture(scope="module")
def pictures() -> AnnotationSet:
    return simulate(count=24, image_hw=HW, seed=7)


def test_a_picture_depends_on_seed_and_index_alone(pictures: AnnotationSet) -> None:
    few = simulate(count=3, image_hw=HW, seed=7)
    for one, same in zip(few.images, pictures.images, strict=False):
        assert one.name == same.name
        np.testing.assert_array_equal(one.read().pixels, same.read().pixels)
        np.testing.assert_array_equal(one.boxes, same.boxes)
    assert few.images[2].name == "simulated_00002"
    np.testing.assert_array_equal(render(7, 2, HW).pixels, few.images[2].read().pixels)
    assert (render(8, 2, HW).pixels != few.images[2].read().pixels).any()
    assert (few.images[1].read().pixels != few.images[2].read().pixels).any()


def test_processes_render_the_same_pictures() -> None:
    alone, shared = simulate(count=2, image_hw=(64, 64), seed=1), simulate(count=2, image_hw=(64, 64), seed=1, workers=1)
    for a, b in zip(alone.images, shared.images, strict=True):
        np.testing.assert_array_equal(a.read().pixels, b.read().pixels)


def test_pickles_to_loader_workers(pictures: AnnotationSet) -> None:
    image = pictures.images[0]
    copy = pickle.loads(pickle.dumps(image))
    np.testing.assert_array_equal(copy.read().pixels, image.read().pixels)
    micrograph = copy.read()
    assert (micrograph.pixel_size_nm, micrograph.pixel_size_source, micrograph.path) == (2.0, "simulation", None)


def test_truth_lies_in_the_picture_and_boxes_are_tight_on_outlines(pictures: AnnotationSet) -> None:
    assert pictures.class_names == ["exosome"]
    for image in pictures.images:
        pixels = image.read().pixels
        assert pixels.shape == image.image_hw == HW
        assert pixels.dtype == np.uint8
        assert image.outlines is not None
        assert image.morphology is not None
        assert image.diameters_nm is not None
        assert len(image.boxes) == len(image.labels) == len(image.outlines) == len(image.morphology) == len(image.diameters_nm)
        for box, outline in zip(image.boxes, image.outlines, strict=True):
            assert (box[:2] >= 0).all()
            assert (box[2:] <= (HW[1], HW[0])).all()
            assert (box[:2] < box[2:]).all()
            np.testing.assert_allclose(box, [*outline.min(axis=0), *outline.max(axis=0)])


def test_diameters_agree_with_outlines_and_boxes_of_whole_vesicles() -> None:
    pixel_size_nm, whole = 1.5, 0
    for image in simulate(count=12, image_hw=(256, 300), pixel_size_nm=pixel_size_nm, seed=3).images:
        assert image.outlines is not None
        assert image.diameters_nm is not None
        for box, outline, diameter in zip(image.boxes, image.outlines, image.diameters_nm, strict=True):
            if (box[:2] > 0).all() and (box[2:] < (300, 256)).all():
                whole += 1
                assert diameter == pytest.approx(2 * math.sqrt(polygon_area(outline) / math.pi) * pixel_size_nm, rel=0.01)
                of_box = math.sqrt(float((box[2:] - box[:2]).prod())) * pixel_size_nm
                assert 0.95 < of_box / diameter < 1.3  # rough outlines stick out; a turned ellipse has a larger box
            assert 32 <= diameter <= 250.5
    assert whole > 40


def test_counts_empties_border_and_overlap() -> None:
    images = simulate(count=80, seed=0).images
    numbers = np.array([len(image.boxes) for image in images])
    assert 0.02 <= (numbers == 0).mean() <= 0.25
    assert numbers.max() <= 20
    assert 6 <= numbers[numbers > 0].mean() <= 9.5
    boxes = np.concatenate([image.boxes for image in images])
    assert 0.05 <= ((boxes[:, :2] <= 0) | (boxes[:, 2:] >= 384)).any(axis=1).mean() <= 0.15
    touching = 0
    for image in images:
        outlines = image.outlines or ()
        for i in range(len(outlines)):
            # the visible parts of two cut ones may overlap by more than the whole ones do
            whole = [j for j in range(i) if (image.boxes[[i, j], :2] > 0).all() and (image.boxes[[i, j], 2:] < 384).all()]
            shares = [overlap(outlines[i], outlines[j]) for j in whole]
            assert max(shares, default=0) <= MAX_OVERLAP + 0.02
            touching += max(shares, default=0) > 0
    assert touching > 10
    assert not any(len(image.boxes) for image in simulate(count=3, image_hw=(64, 64), empty_fraction=1.0).images)
    assert not any(len(image.boxes) for image in simulate(count=3, image_hw=(64, 64), mean_vesicles=0).images)


def test_too_little_visible_is_ignored() -> None:
    images = simulate(count=30, image_hw=(128, 160), seed=2, border_fraction=1.0, cluster_fraction=0.0).images
    ignored = np.concatenate([image.ignore for image in images])
    short = np.concatenate([(image.boxes[:, 2:] - image.boxes[:, :2]).min(axis=1, initial=np.inf) for image in images if len(image.boxes)])
    assert 0 < ignored.mean() < 0.6
    assert ignored[short < 6].all()
    for image in images:
        for outline, diameter, ignore in zip(image.outlines or (), image.diameters_nm if image.diameters_nm is not None else (), image.ignore, strict=True):
            if polygon_area(outline) / (math.pi * (diameter / 4) ** 2) < 0.24:  # 2 nm per pixel
                assert ignore


def _seen(morphology: str, seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Density map of one vesicle of 100 nm at 1 nm per pixel in the middle of nothing, normalised radius of each pixel, its halo's density."""
    rng = np.random.default_rng(seed)
    vesicle = random_vesicle(rng, 100.0, (1.0, 1.0))
    while vesicle.morphology != morphology:
        vesicle = random_vesicle(rng, 100.0, (1.0, 1.0))
    centre = (200.0, 200.0)
    ranges = replace(SceneRanges(), specks_per_um2=(0.0, 0.0), aggregates_per_um2=(0.0, 0.0))
    stain = draw_scene(rng, [Placed(vesicle, centre, vesicle.outline(centre))], (400, 400), 1.0, ranges)
    y, x = np.mgrid[:400, :400] + 0.5 - 200
    theta = np.arctan2(y, x) % (2 * math.pi)
    membrane = np.interp(theta, np.arange(129) * 2 * math.pi / 128, np.append(vesicle.radii, vesicle.radii[0]))
    return stain, np.hypot(x, y) / membrane, vesicle.halo


@pytest.mark.parametrize("seed", range(4))
def test_negative_stain_contrast(seed: int) -> None:
    """High density is dark: the halo is darker than the film and gone at 3.5 radii, a cup's rim brighter than its hollow, a solid body than its halo."""
    cup, rho, halo = _seen("cup", seed)
    trough = cup[(rho > 1.05) & (rho < 1.15)].mean()
    assert 0.5 * halo < trough < 1.2 * halo
    assert abs(cup[rho > 3.6].mean()) < 0.01
    assert cup[(rho > 1.8) & (rho < 2.2)].mean() > 0.05  # several radii wide
    assert cup[(rho > 0.8) & (rho < 0.95)].mean() < cup[rho < 0.3].mean() - 0.1
    solid, rho, _ = _seen("solid", seed)
    assert solid[rho < 0.9].mean() < 0.05 < solid[(rho > 1.05) & (rho < 1.15)].mean()


def test_outline_geometry() -> None:
    radii = random_radii(np.random.default_rng(0), 50.0, 1.3, 0.1)
    whole = polygon((30.0, 40.0), radii)
    assert polygon_area(whole) == pytest.approx(math.pi * 25**2, rel=1e-4)
    np.testing.assert_array_equal(clip_polygon(whole, (500, 500)), whole)
    square = np.array([(-2, -3), (6, -3), (6, 5), (-2, 5)], np.float32)
    assert polygon_area(clip_polygon(square, (4, 10))) == pytest.approx(6 * 4)
    assert len(clip_polygon(square + 100, (50, 60))) == 0
    diamond = np.array([(-4, 5), (1, 0), (6, 5), (1, 10)], np.float32)  # cut at x = 0 it spans y 1..9 there, but 0..10 at x = 1
    cut = clip_polygon(diamond - (4, 0), (20, 20))  # now only x 0..2 is left, y 3..7
    np.testing.assert_allclose([*cut.min(axis=0), *cut.max(axis=0)], (0, 3, 2, 7))
    disc = polygon((40.0, 40.0), np.full(128, 20, np.float32))
    assert overlap(disc, disc) == pytest.approx(1, abs=0.08)
    assert overlap(disc, disc + 60) == 0
    assert overlap(disc, disc + np.float32([20, 0])) == pytest.approx(0.391, abs=0.05)  # the lens of two discs one radius apart


def test_same_scene_at_any_magnification() -> None:
    """Half the pixel size, twice the pixels: vesicles of the same nm, and debris of about the same share of the picture."""
    coarse, fine = simulate(count=8, image_hw=(128, 128), pixel_size_nm=4.0, seed=5), simulate(count=8, image_hw=(512, 512), pixel_size_nm=1.0, seed=5)
    a, b = (np.concatenate([image.diameters_nm for image in s.images if image.diameters_nm is not None]) for s in (coarse, fine))
    assert np.median(a) == pytest.approx(np.median(b), rel=0.2)
    shrunk = [cv2.resize(np.asarray(image.read().pixels), (128, 128), interpolation=cv2.INTER_AREA).std() for image in fine.images]
    assert np.mean(shrunk) == pytest.approx(np.mean([image.read().pixels.std() for image in coarse.images]), rel=0.5)


def test_every_range_is_an_argument_with_the_same_default() -> None:
    arguments = inspect.signature(simulate).parameters
    assert {name: arguments[name].default for name in asdict(SceneRanges())} == asdict(SceneRanges())


@pytest.mark.parametrize(
    "wrong",
    [
        {"count": 0},
        {"pixel_size_nm": 0.0},
        {"seed": -1},
        {"empty_fraction": 1.5},
        {"contrast": (1.0, 0.5)},
        {"diameter_median_nm": 10.0},
        {"border_fraction": 0.9, "cluster_fraction": 0.9},
        {"image_hw": (8, 100)},
    ],
)
def test_settings_that_make_no_sense_are_named(wrong: dict) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        simulate(**({"count": 1} | wrong))
