"""The simulated data set as training takes it."""

import math
import pickle
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from quiet_fields import BUSY, QUIET

from exolight.annotated_image import AnnotatedImage
from exolight.errors import InputError
from exolight.simulation import picture as picture_module
from exolight.simulation.grid import Grid
from exolight.simulation.picture import Picture
from exolight.simulation.ranges import Ranges
from exolight.simulation.source import CLASS_NAMES, check, picture, simulate

HW = (96, 128)


def same(one: AnnotatedImage, two: AnnotatedImage) -> bool:
    np.testing.assert_array_equal(one.boxes, two.boxes)
    np.testing.assert_array_equal(one.read().pixels, two.read().pixels)
    return (one.name, one.pixel_size_nm, one.morphology) == (two.name, two.pixel_size_nm, two.morphology)


def test_images_hold_the_truth_of_their_pictures() -> None:
    images, names = simulate(3, HW, (2.0, 3.0), 4, BUSY)
    assert names == list(CLASS_NAMES) == ["exosome"]
    assert [image.name for image in images] == ["simulated_00000", "simulated_00001", "simulated_00002"]
    assert sum(len(image.boxes) for image in images) > 10
    for index, image in enumerate(images):
        made = picture(BUSY, HW, (2.0, 3.0), 4, index)
        truth = made.truth()
        assert (image.image_hw, image.pixel_size_nm, image.path, image.fresh) == (HW, made.grid.pixel_size_nm, None, None)
        np.testing.assert_array_equal(image.boxes, truth.boxes)
        np.testing.assert_array_equal(image.ignore, truth.ignore)
        np.testing.assert_array_equal(image.labels, np.zeros(len(truth.boxes)))
        assert image.labels.dtype == np.int64
        assert image.diameters_nm is not None
        np.testing.assert_array_equal(image.diameters_nm, truth.diameters_nm)
        assert image.morphology == truth.morphology
        assert image.outlines is not None
        assert all(np.array_equal(a, b) for a, b in zip(image.outlines, truth.outlines, strict=True))
        micrograph = image.read()
        np.testing.assert_array_equal(micrograph.pixels, made.pixels())
        assert (micrograph.pixel_size_nm, micrograph.pixel_size_source, micrograph.path) == (made.grid.pixel_size_nm, "simulation", None)


def test_a_picture_does_not_depend_on_how_many_there_are() -> None:
    few, many = simulate(2, HW, 2.5, 7).images, simulate(4, HW, 2.5, 7).images
    assert all(same(one, two) for one, two in zip(few, many, strict=False))
    other = simulate(1, HW, 2.5, 8).images[0]
    assert (other.read().pixels != few[0].read().pixels).any()
    assert (few[0].read().pixels != few[1].read().pixels).any()


def test_the_ranges_are_taken_and_default_to_the_preset() -> None:
    assert same(simulate(1, HW, 2.5, 7).images[0], simulate(1, HW, 2.5, 7, Ranges()).images[0])
    assert not any(len(image.boxes) for image in simulate(4, HW, 2.5, 7, QUIET).images)


def test_pixels_are_drawn_when_they_are_read_and_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    image = simulate(1, HW, 2.5, 7).images[0]
    first = image.read().pixels
    np.testing.assert_array_equal(image.read().pixels, first)
    drawn = []

    def record(*arguments: Any) -> Any:
        drawn.append(arguments)
        return first

    monkeypatch.setattr(picture_module, "record", record)
    images = simulate(3, HW, 2.5, 7, stream=True).images
    assert images[0].fresh is not None
    fresh = images[0].fresh(1)
    assert not drawn
    images[0].read()
    fresh.read()
    assert len(drawn) == 2


def test_a_listed_picture_keeps_its_recipe_and_not_its_scene() -> None:
    images = simulate(4, HW, 2.5, 7, BUSY).images
    assert len({len(image.boxes) for image in images}) > 1
    sizes = [len(pickle.dumps(image.reader)) for image in images]
    assert max(sizes) - min(sizes) < 20


def test_pixel_sizes_are_log_uniform() -> None:
    sizes = np.array([picture(QUIET, (32, 32), (0.5, 8.0), 3, index).grid.pixel_size_nm for index in range(250)])
    logs = np.log(sizes)
    assert 0.5 <= sizes.min() < 0.6 < 6.5 < sizes.max() <= 8
    assert logs.mean() == pytest.approx(math.log(2), abs=0.15)
    assert logs.std() == pytest.approx(math.log(16) / math.sqrt(12), rel=0.1)
    assert picture(QUIET, (32, 32), (0.5, 8.0), 3, 0, 1).grid.pixel_size_nm != sizes[0]
    assert simulate(1, (32, 48), 2.5, 0, QUIET).images[0].pixel_size_nm == pytest.approx(2.5)
    assert simulate(1, (32, 48), [2.5, 2.5], 0, QUIET).images[0].pixel_size_nm == pytest.approx(2.5)


def test_a_picture_of_the_series_is_that_of_its_seed_index_and_epoch() -> None:
    made = picture(BUSY, HW, (2.0, 2.0), 3, 4, 5)
    wanted = Picture(BUSY, Grid(HW, made.grid.pixel_size_nm), 3, 4, 5)
    np.testing.assert_array_equal(made.pixels(), wanted.pixels())
    np.testing.assert_array_equal(made.truth().boxes, wanted.truth().boxes)


# Fresh pictures -----------------------------------------------------------------------------------------------------------------------------------------------


def test_fresh_pictures_are_others_in_every_epoch_and_the_same_when_asked_again() -> None:
    plain, images = simulate(2, HW, (2.0, 3.0), 4, BUSY).images, simulate(2, HW, (2.0, 3.0), 4, BUSY, stream=True).images
    assert all(same(one, two) for one, two in zip(plain, images, strict=True))  # what is listed stays
    one, other = (image.fresh for image in images)
    assert one is not None
    assert other is not None
    pixels = {name: image.read().pixels for name, image in (("listed", images[0]), ("1", one(1)), ("2", one(2)), ("other", other(1)))}
    names = list(pixels)
    for i, a in enumerate(names):
        for b in names[:i]:
            assert (pixels[a] != pixels[b]).mean() > 0.5, (a, b)
    assert same(one(1), one(1))
    np.testing.assert_array_equal(one(1).read().pixels, pixels["1"])
    made = picture(BUSY, HW, (2.0, 3.0), 4, 0, 2)
    np.testing.assert_array_equal(one(2).boxes, made.truth().boxes)  # boxes and pixels belong together
    np.testing.assert_array_equal(pixels["2"], made.pixels())
    assert one(2).name == images[0].name
    assert one(1).pixel_size_nm != one(2).pixel_size_nm


def test_all_of_it_pickles_to_loader_workers() -> None:
    image = simulate(1, HW, (2.0, 3.0), 4, BUSY, stream=True).images[0]
    copy = pickle.loads(pickle.dumps(image))
    assert same(copy, image)
    assert image.fresh is not None
    assert same(copy.fresh(3), image.fresh(3))
    assert same(pickle.loads(pickle.dumps(image.fresh(3))), image.fresh(3))


# Settings -----------------------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"count": 0}, {"count": 2.5}, {"count": "many"}, {"count": True}, {"count": None}, {"seed": -1}, {"seed": 0.5}, {"seed": "1"},
        {"image_hw": (31, 100)}, {"image_hw": (100, 31)}, {"image_hw": (100,)}, {"image_hw": (100, 100, 100)}, {"image_hw": 100}, {"image_hw": None},
        {"image_hw": (100.5, 100)}, {"image_hw": "99"}, {"image_hw": ("100", "100")}, {"image_hw": (math.nan, 100)},
        {"pixel_size_nm": 0.0}, {"pixel_size_nm": -2.0}, {"pixel_size_nm": (2.0, 1.0)}, {"pixel_size_nm": (0.0, 1.0)}, {"pixel_size_nm": math.nan},
        {"pixel_size_nm": [1.0]}, {"pixel_size_nm": [1, 2, 3]}, {"pixel_size_nm": "2"}, {"pixel_size_nm": "23"}, {"pixel_size_nm": ["1", "2"]},
        {"pixel_size_nm": None}, {"pixel_size_nm": True}, {"pixel_size_nm": math.inf}, {"pixel_size_nm": 50.0}, {"pixel_size_nm": (1.0, 50.0)},
        {"pixel_size_nm": 0.01}, {"pixel_size_nm": (1.0, math.inf)}, {"pixel_size_nm": (math.nan, 2.0)},
    ],
    ids=str,
)  # fmt: skip
def test_settings_that_make_no_sense_are_named(wrong: dict[str, Any]) -> None:
    settings: dict[str, Any] = {"count": 1, "image_hw": (32, 48), "pixel_size_nm": 2.0, "seed": 0}
    key, value = next(iter(wrong.items()))
    with pytest.raises(InputError) as error:
        check(**settings | wrong)
    assert str(error.value).startswith(f"simulation: {key}={value!r}: must be ")
    assert "\n" not in str(error.value)
    with pytest.raises(InputError):
        simulate(**settings | wrong)


def test_what_can_be_drawn_is_brought_to_plain_values() -> None:
    assert check(1, [32, 48], 2, 0) == ((32, 48), (2.0, 2.0))
    assert check(5, (64, 64), [1, 2.5], 9) == ((64, 64), (1.0, 2.5))
    assert all(type(value) is float for value in check(1, [32, 48], 2, 0)[1])
    assert check(1, [32, 32], [0.05, 20.0], 0)[1] == (0.05, 20.0)  # what a TEM picture can have
    of_numpy: tuple[Any, ...] = (np.int64(2), (np.int32(32), 40), np.float32(2.0), np.int64(7))
    assert check(*of_numpy) == ((32, 40), (2.0, 2.0))
    of_a_config = OmegaConf.create({"image_hw": [32, 48], "pixel_size_nm": [1.0, 2.5]})
    assert check(1, of_a_config.image_hw, of_a_config.pixel_size_nm, 0) == ((32, 48), (1.0, 2.5))
