"""The numbers of a part under plain names: each is that of the function it comes from."""

import math
from dataclasses import replace

import numpy as np
import pytest

from exolight.annotated_image import AnnotatedImage
from exolight.evaluation.bootstrap import bootstrap_intervals
from exolight.evaluation.counts import count_agreement, count_pairs
from exolight.evaluation.errors import error_counts
from exolight.evaluation.records import ImageResult
from exolight.evaluation.size_bands import precision_by_size
from exolight.evaluation.sizes import diameter_errors_by_size, diameter_pairs
from exolight.evaluation.summary import beyond_scores
from exolight.micrograph import Micrograph


def _picture(index: int, found: list[list[float]], scores: list[float], truth: list[list[float]]) -> ImageResult:
    boxes, truths = (np.array(rows, np.float32).reshape(-1, 4) for rows in (found, truth))
    zeros = np.zeros(len(boxes), np.int64), np.zeros(len(truths), np.int64)
    return ImageResult(index, str(index), boxes, np.array(scores, np.float32), zeros[0], truths, zeros[1], np.zeros(len(truths), bool))


RESULTS = [
    _picture(0, [[0, 0, 10, 10], [0, 0, 10, 11], [50, 50, 60, 60]], [0.9, 0.8, 0.7], [[0, 0, 10, 10], [10, 0, 20, 10]]),
    _picture(1, [[0, 0, 10, 10], [70, 70, 80, 80]], [0.9, 0.3], [[0, 0, 10, 10]]),
    _picture(2, [], [], [[5, 5, 9, 9]]),
]


def _reader() -> Micrograph:
    raise AssertionError("scores need no pixels")


def _images(*groups: str | None) -> list[AnnotatedImage]:
    return [
        AnnotatedImage(r.name, _reader, (100, 100), r.truth_boxes, r.truth_labels, r.truth_ignore, group=group)
        for r, group in zip(RESULTS, groups, strict=True)
    ]


IMAGES = _images(None, None, None)


def test_every_number_is_that_of_its_function() -> None:
    numbers = beyond_scores(RESULTS, IMAGES, 1, 0.5)
    kinds = error_counts(RESULTS, 0.5)
    assert (numbers["error_duplicate"], numbers["error_background"], numbers["error_missed"]) == (1, 1, 2)
    assert {name: value for name, value in numbers.items() if name.startswith("error_")} == {f"error_{k}": v for k, v in kinds.items() if k != "true"}
    assert (numbers["touching"], numbers["touching_found"]) == (2, 0.5)
    agreement = count_agreement(count_pairs(RESULTS, 0.5))
    assert (numbers["count_low"], numbers["count_high"]) == (agreement.low, agreement.high)
    low, high = bootstrap_intervals(RESULTS, 1, 0.5, [None] * 3)["f1"]
    assert (numbers["f1_low"], numbers["f1_high"]) == (low, high)
    assert low < high
    assert not any("nm" in name for name in numbers)  # no picture knows its scale


def test_groups_and_sizes_are_those_of_the_pictures() -> None:
    grouped = beyond_scores(RESULTS, _images("a", "a", "b"), 1, 0.5)
    assert (grouped["f1_low"], grouped["f1_high"]) == bootstrap_intervals(RESULTS, 1, 0.5, ["a", "a", "b"])["f1"]
    inside = [result._replace(boxes=result.boxes + 9, truth_boxes=result.truth_boxes + 9) for result in RESULTS]  # away from the border
    scaled = [
        replace(image, boxes=result.truth_boxes, pixel_size_nm=4.0, diameters_nm=np.full(len(image.boxes), 44, np.float32))
        for image, result in zip(IMAGES, inside, strict=True)
    ]
    ranked = [result._replace(scores=1 - result.scores) for result in inside]
    numbers = beyond_scores(inside, scaled, 1, 0.5, ranked=ranked)
    expected = precision_by_size(ranked, scaled, 1) | diameter_errors_by_size(diameter_pairs(inside, scaled, 0.5))
    assert expected["diameters"] == 2
    assert expected["map/30_60nm"] < precision_by_size(inside, scaled, 1)["map/30_60nm"]
    assert {name: numbers[name] for name in expected} == pytest.approx(expected, nan_ok=True)


def test_a_given_temperature_is_used_and_its_own_is_fitted_otherwise() -> None:
    own, given = beyond_scores(RESULTS, IMAGES, 1, 0.5), beyond_scores(RESULTS, IMAGES, 1, 0.5, temperature=1.0)
    assert own["temperature"] != given["temperature"] == 1.0
    assert given["ece_calibrated"] == pytest.approx(given["ece"])
    assert own["ece"] == given["ece"]


def test_nothing_found_and_nothing_there_are_undefined_not_errors() -> None:
    numbers = beyond_scores([_picture(0, [], [], [])], IMAGES[:1], 1, 0.5)
    assert numbers["error_missed"] == 0
    assert math.isnan(numbers["ece"])
    assert math.isnan(numbers["touching_found"])
