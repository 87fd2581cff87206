"""Measured beside true diameters: hand-computed, without what nobody can size."""

from dataclasses import replace

import numpy as np
import pytest

from exolight.annotated_image import AnnotatedImage
from exolight.evaluation.records import ImageResult
from exolight.evaluation.sizes import diameter_errors, diameter_pairs
from exolight.micrograph import Micrograph


def _reader() -> Micrograph:
    raise AssertionError("sizes need no pixels")


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
    np.testing.assert_allclose(diameter_pairs([result], [IMAGE], 0.4), [[40, 38], [84, 82]], rtol=1e-6)
    np.testing.assert_allclose(diameter_pairs([result], [IMAGE], 0.6), [[40, 38]], rtol=1e-6)


def test_the_truths_of_a_result_may_stand_in_another_order() -> None:
    result = _result([[48, 50, 90, 92]], [0.9])._replace(truth_boxes=TRUTH[[2, 1, 0]] + np.float32(1e-4))
    np.testing.assert_allclose(diameter_pairs([result], [IMAGE], 0.4), [[84, 82]], rtol=1e-6)


def test_without_scale_or_truth_there_are_none() -> None:
    result = _result([[10, 10, 30, 30]], [0.9])
    for image in (replace(IMAGE, pixel_size_nm=None), replace(IMAGE, diameters_nm=None)):
        assert diameter_pairs([result], [image], 0.1).shape == (0, 2)
    assert diameter_pairs([], [], 0.1).shape == (0, 2)
    assert diameter_errors(np.zeros((0, 2))) == {}


def test_errors_are_medians_signed_and_absolute() -> None:
    errors = diameter_errors(np.array([[90, 100], [104, 100], [53, 50], [200, 200], [55, 50]], float))
    assert errors == pytest.approx({"diameter_bias_nm": 3, "diameter_error_nm": 4, "diameter_bias": 0.04, "diameter_error": 0.06})
