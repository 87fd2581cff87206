"""Measured beside true diameters: hand-computed, without what nobody can size."""

import math
from dataclasses import replace

import numpy as np
import pytest

from exolight.annotated_image import AnnotatedImage
from exolight.evaluation.records import ImageResult
from exolight.evaluation.sizes import BANDS_NM, DiameterPairs, diameter_errors, diameter_errors_by_size, diameter_pairs, sizes, true_diameters_px
from exolight.micrograph import Micrograph


def _reader() -> Micrograph:
    raise AssertionError("sizes need no pixels")


ANGLES = np.linspace(0, 2 * np.pi, 360, endpoint=False)
TRUTH = np.array([[10, 10, 30, 30], [50, 50, 90, 90], [80, 0, 100, 20]], np.float32)
IMAGE = AnnotatedImage(
    "a", _reader, (100, 100), TRUTH, np.zeros(3, np.int64), np.zeros(3, bool), pixel_size_nm=2.0, diameters_nm=np.array([38, 82, 60], np.float32)
)


def _result(boxes: list[list[float]], scores: list[float]) -> ImageResult:
    found = np.array(boxes, np.float32).reshape(-1, 4)
    return ImageResult(0, "a", found, np.array(scores, np.float32), np.zeros(len(found), np.int64), TRUTH, np.zeros(3, np.int64), np.zeros(3, bool))


def test_pairs_of_found_whole_vesicles_at_the_threshold() -> None:
    # exact; two px wider a side; one that the border cuts; one that is none; a weak one
    result = _result([[10, 10, 30, 30], [48, 50, 90, 92], [80, 0, 100, 20], [0, 60, 20, 80]], [0.9, 0.5, 0.9, 0.9])
    np.testing.assert_allclose(diameter_pairs([result], [IMAGE], 0.4).values, [[40, 38], [84, 82]], rtol=1e-6)
    np.testing.assert_allclose(diameter_pairs([result], [IMAGE], 0.6).values, [[40, 38]], rtol=1e-6)


def test_the_truths_of_a_result_may_stand_in_another_order() -> None:
    result = _result([[48, 50, 90, 92]], [0.9])._replace(truth_boxes=TRUTH[[2, 1, 0]] + np.float32(1e-4))
    np.testing.assert_allclose(diameter_pairs([result], [IMAGE], 0.4).values, [[84, 82]], rtol=1e-6)


def test_without_a_true_diameter_there_are_none() -> None:
    result = _result([[10, 10, 30, 30]], [0.9])
    for image in (replace(IMAGE, pixel_size_nm=None), replace(IMAGE, diameters_nm=None)):  # known in nm, but nobody knows how many px that is
        assert true_diameters_px(image) is None
        assert diameter_pairs([result], [image], 0.1).values.shape == (0, 2)
    assert diameter_pairs([], [], 0.1).values.shape == (0, 2)
    assert diameter_errors_by_size(DiameterPairs(np.zeros((0, 2)), "nm")) == {}


def test_true_diameters_are_those_of_the_outlines_where_nothing_better_is_known() -> None:
    disc = np.stack((20 + 10 * np.cos(ANGLES), 20 + 10 * np.sin(ANGLES)), axis=1).astype(np.float32)
    half = np.array([[50, 50], [90, 50], [50, 90]], np.float32)  # 800 px2
    line = np.array([[80, 0], [100, 20]], np.float32)
    image = replace(IMAGE, diameters_nm=None, outlines=(disc, half, line))
    known = true_diameters_px(image)
    assert known is not None
    np.testing.assert_allclose(known, [20, 2 * math.sqrt(800 / math.pi), 20], rtol=1e-4)  # of the line the box's
    result = _result([[10, 10, 30, 30], [50, 50, 90, 90]], [0.9, 0.9])
    pairs = diameter_pairs([result], [image], 0.1)
    assert pairs.unit == "nm"
    np.testing.assert_allclose(pairs.values, [[40, 40], [80, 4 * math.sqrt(800 / math.pi)]], rtol=1e-4)
    pairs = diameter_pairs([result], [replace(image, pixel_size_nm=None)], 0.1)
    assert pairs.unit == "px"
    np.testing.assert_allclose(pairs.values[0], [20, 20], rtol=1e-4)
    errors = diameter_errors_by_size(pairs)
    assert {"diameters", "diameter_error", "diameter_error_px"} <= set(errors)
    assert not [name for name in errors if "nm" in name]  # neither nm nor bands of nm
    known = true_diameters_px(replace(image, diameters_nm=IMAGE.diameters_nm))
    assert known is not None
    np.testing.assert_allclose(known, [19, 41, 30])  # what the annotation says wins


def test_diameters_that_were_measured_otherwise_than_by_the_boxes() -> None:
    result = _result([[10, 10, 30, 30], [50, 50, 90, 90], [60, 60, 70, 70]], [0.9, 0.9, 0.2])._replace(diameters_px=np.array([18.5, 40.5, 9.0]))
    np.testing.assert_allclose(diameter_pairs([result], [IMAGE], 0.4).values, [[37, 38], [81, 82]])
    np.testing.assert_allclose(sizes([result], [IMAGE]).found, [37, 81, 18])


def test_pictures_may_be_a_mapping() -> None:
    result = _result([[10, 10, 30, 30]], [0.9])._replace(image_id=7)
    np.testing.assert_allclose(diameter_pairs([result], {7: IMAGE}, 0.1).values, [[40, 38]], rtol=1e-6)


PAIRS = np.array([[90, 100], [104, 100], [53, 50], [200, 200], [55, 50]], float)  # differences -10, 4, 3, 0, 5 nm; -10, 4, 6, 0, 10 %


def test_errors_are_medians_signed_and_absolute() -> None:
    assert diameter_errors(PAIRS) == pytest.approx(
        {
            "diameters": 5, "diameter_bias_nm": 3, "diameter_error_nm": 4, "diameter_iqr_nm": 4,
            "diameter_bias": 0.04, "diameter_error": 0.06, "diameter_iqr": 0.06,
        }
    )  # fmt: skip


def test_errors_in_px_say_so() -> None:
    assert {name: value for name, value in diameter_errors(PAIRS, "px").items() if name.endswith("px")} == pytest.approx(
        {"diameter_bias_px": 3, "diameter_error_px": 4, "diameter_iqr_px": 4}
    )


def test_errors_by_the_true_size() -> None:
    errors = diameter_errors_by_size(DiameterPairs(PAIRS, "nm"))
    assert {name: value for name, value in errors.items() if "/" not in name} == diameter_errors(PAIRS)
    assert {name.split("/")[1] for name in errors if "/" in name} == set(BANDS_NM) == {"under_30nm", "30_60nm", "60_100nm", "100_200nm", "over_200nm"}
    assert [errors[f"diameters/{band}"] for band in BANDS_NM] == [0, 2, 0, 2, 1]  # 100 nm and 200 nm belong to what begins there
    assert errors["diameter_bias_nm/30_60nm"] == 4
    assert errors["diameter_iqr_nm/30_60nm"] == 1
    assert errors["diameter_error/100_200nm"] == pytest.approx(0.07)
    assert all(math.isnan(errors[f"{name}/60_100nm"]) for name in diameter_errors(PAIRS) if name != "diameters")


def test_all_sizes_without_what_the_border_may_cut_or_nobody_counts() -> None:
    result = _result([[10, 10, 30, 30], [60, 60, 70, 70], [0.5, 40, 20, 60], [40, 5, 50, 15]], [0.9, 0.2, 0.9, 0.9])
    region = np.array([[35, 0, 60, 20]], np.float32)  # holds the last detection, and counts neither way
    result = result._replace(truth_boxes=np.concatenate((TRUTH, region)), truth_labels=np.zeros(4, np.int64), truth_ignore=np.array([False] * 3 + [True]))
    found = sizes([result], [IMAGE])
    assert found.unit == "nm"
    np.testing.assert_allclose(found.scores, [0.9, 0.2], rtol=1e-6)
    np.testing.assert_allclose(found.found, [40, 20])
    np.testing.assert_allclose(found.true, [38, 82])  # area-equivalent ones
    np.testing.assert_allclose(sizes([result], [replace(IMAGE, diameters_nm=None)]).true, [40, 80])  # the boxes'


def test_without_a_scale_sizes_are_in_px() -> None:
    result = _result([[10, 10, 30, 30]], [0.9])
    found = sizes([result, result], {0: replace(IMAGE, pixel_size_nm=None)})
    assert found.unit == "px"
    np.testing.assert_allclose((found.found, found.true[:2]), ([20, 20], [20, 40]))
    mixed = sizes([result, result._replace(image_id=1)], [IMAGE, replace(IMAGE, pixel_size_nm=None)])
    assert mixed.unit == "px"  # nm and px cannot be mixed
    np.testing.assert_allclose(mixed.found, [20, 20])
    assert [len(part) for part in sizes([], [])[:3]] == [0, 0, 0]
