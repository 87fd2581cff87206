"""Matching, curves and the operating point against numbers computed by hand."""

import math
from typing import Literal

import numpy as np
import pytest

from exolight.evaluation.average_precision import average_precision
from exolight.evaluation.curves import best_f1, confidence_curves, match, operating_point, score_at
from exolight.evaluation.records import ImageResult


def result(
    boxes: list[list[float]], scores: list[float], truth: list[list[float]], ignore: list[bool] | None = None,
    labels: list[int] | None = None, truth_labels: list[int] | None = None, image_id: int = 0,
) -> ImageResult:  # fmt: skip
    return ImageResult(
        image_id, str(image_id),
        np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(labels or [0] * len(boxes), np.int64),
        np.array(truth, np.float32).reshape(-1, 4), np.array(truth_labels or [0] * len(truth), np.int64), np.array(ignore or [False] * len(truth), bool),
    )  # fmt: skip


def square(x: float, side: float = 10) -> list[float]:
    return [x, 5, x + side, 5 + side]


def test_the_better_score_takes_the_truth() -> None:
    # shifted by 2: IoU 8 / 12; shifted by 1: IoU 9 / 11, better, but of the lower score
    matched = match(result([square(101), square(102), square(300)], [0.5, 0.8, 0.9], [square(100), square(200)]))
    assert matched.true.tolist() == [False, True, False]
    assert matched.found.tolist() == [True, False]
    assert matched.partner.tolist() == [-1, 0, -1]


def test_a_detection_takes_its_best_free_truth() -> None:
    matched = match(result([square(101), square(103)], [0.9, 0.8], [square(100), square(103)]))
    assert matched.partner.tolist() == [0, 1]
    assert match(result([square(101), square(101)], [0.9, 0.8], [square(100), square(103)])).partner.tolist() == [0, 1]


def test_ignore_regions_count_neither_way() -> None:
    region = [0, 0, 200, 50]
    image = result([square(10), square(30), square(50), square(400)], [0.9, 0.8, 0.7, 0.6], [region, square(50)], ignore=[True, False])
    matched = match(image)
    assert matched.ignored.tolist() == [True, True, False, False]  # any number of detections share the region
    assert matched.true.tolist() == [False, False, True, False]  # the truth inside is preferred
    assert matched.found.tolist() == [False, True]
    assert score_at([image], 0.001) == {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "count_bias": 1.0, "count_mae": 1.0}


def test_classes_do_not_match_each_other() -> None:
    assert not match(result([square(100)], [0.9], [square(100)], labels=[1], truth_labels=[0])).true.any()


def test_the_iou_is_inclusive() -> None:
    image = result([[0, 0, 10, 10]], [0.9], [[0, 0, 10, 20]])  # IoU exactly 0.5
    assert match(image, 0.5).true.all()
    assert not match(image, 0.51).true.any()


FOUR = result([square(0), square(100), square(200), square(300)], [0.9, 0.7, 0.5, 0.3], [square(0), square(200), square(500)])  # true, false, true, false


def test_confidence_curves_by_hand() -> None:
    curves = confidence_curves([FOUR], 1)
    at = lambda threshold: int(np.searchsorted(curves.confidence, threshold))  # noqa: E731
    expected = {0.1: (2 / 4, 2 / 3, 4 / 7), 0.4: (2 / 3, 2 / 3, 4 / 6), 0.6: (1 / 2, 1 / 3, 2 / 5), 0.8: (1, 1 / 3, 2 / 4), 0.95: (1, 0, 0)}
    for threshold, values in expected.items():
        assert (curves.precision[0, at(threshold)], curves.recall[0, at(threshold)], curves.f1[0, at(threshold)]) == pytest.approx(values)
    # the envelope: 1 up to recall 1/3, 2/3 up to recall 2/3, then 0; COCO's grid has 34, 33 and 34 points there
    assert curves.envelope[0, [0, 333, 334, 666, 667, 1000]] == pytest.approx([1, 1, 2 / 3, 2 / 3, 0, 0])
    assert curves.average_precision[0] == pytest.approx((34 + 33 * 2 / 3) / 101)
    assert curves.average_precision[0] == pytest.approx(average_precision([FOUR], ["exosome"])["map_50"], abs=1e-6)


def test_the_operating_point_is_the_middle_of_the_plateau() -> None:
    point = best_f1(confidence_curves([FOUR], 1))
    assert point.threshold == pytest.approx(0.4, abs=2e-3)  # F1 is 2/3 between scores 0.3 and 0.5
    assert (point.precision, point.recall, point.f1) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert score_at([FOUR], point.threshold) == {
        "precision": pytest.approx(2 / 3), "recall": pytest.approx(2 / 3), "f1": pytest.approx(2 / 3), "count_bias": 0.0, "count_mae": 0.0,
    }  # fmt: skip


# true at 0.9, 0.8, 0.5 and 0.2, false at 0.7, 0.4, 0.3 and 0.1, of five truths
LADDER = result(
    [square(0), square(100), square(700), square(200), square(800), square(900), square(300), square(1000)],
    [0.9, 0.8, 0.7, 0.5, 0.4, 0.3, 0.2, 0.1], [square(0), square(100), square(200), square(300), square(400)],
)  # fmt: skip


@pytest.mark.parametrize(
    ("aim", "value", "threshold", "precision", "recall"),
    [
        ("precision", 0.7, 0.45, 3 / 4, 3 / 5),  # 2/3 down to 0.7, 3/4 above 0.4, 3/5 below
        ("precision", 0.55, 0.15, 4 / 7, 4 / 5),
        ("precision", 1.0, 0.75, 1, 2 / 5),
        ("recall", 0.5, 0.45, 3 / 4, 3 / 5),
        ("recall", 0.7, 0.15, 4 / 7, 4 / 5),
        ("recall", 0.1, 0.8, 1, 2 / 5),  # 1 in all of 0.7 to 0.9: the middle of that
        ("recall", 0.95, 0.15, 4 / 7, 4 / 5),  # out of reach: the largest recall, where it is most precise
    ],
)
def test_a_wanted_precision_or_recall(aim: Literal["precision", "recall"], value: float, threshold: float, precision: float, recall: float) -> None:
    point = operating_point(confidence_curves([LADDER], 1), aim, value)
    assert point.threshold == pytest.approx(threshold, abs=2e-3)
    assert (point.precision, point.recall) == pytest.approx((precision, recall))


def test_the_nearest_precision_is_not_that_of_finding_nothing() -> None:
    curves = confidence_curves([LADDER._replace(scores=np.array([0.8, 0.7, 0.9, 0.5, 0.4, 0.3, 0.2, 0.1], np.float32))], 1)
    point = operating_point(curves, "precision", 0.99)
    assert (point.precision, point.recall) == pytest.approx((3 / 4, 3 / 5))


def test_equals_coco_on_random_pictures() -> None:
    rng = np.random.default_rng(0)
    results = []
    for index in range(6):
        low = rng.uniform(0, (900, 400), (40, 2))
        truth = np.concatenate((low, low + rng.uniform(25, 60, (40, 2))), axis=1)
        boxes = truth + rng.normal(0, 4, truth.shape)
        results.append(result(boxes.tolist(), rng.random(40).tolist(), truth.tolist(), (rng.random(40) < 0.1).tolist(), image_id=index))
    curves = confidence_curves(results, 1)
    assert curves.average_precision[0] == pytest.approx(average_precision(results, ["exosome"])["map_50"], abs=1e-6)
    point = best_f1(curves)
    one_class = score_at(results, point.threshold)
    assert (one_class["precision"], one_class["recall"], one_class["f1"]) == pytest.approx((point.precision, point.recall, point.f1))


def test_a_class_without_truth_does_not_move_the_operating_point() -> None:
    curves = confidence_curves([FOUR], 2)
    assert np.isnan(curves.recall[1]).all()
    assert math.isnan(curves.average_precision[1])
    assert best_f1(curves) == best_f1(confidence_curves([FOUR], 1))


@pytest.mark.parametrize("results", [[], [result([], [], [])], [result([square(0)], [0.9], [])]])
def test_no_truth_leaves_the_preset(results: list[ImageResult]) -> None:
    point = best_f1(confidence_curves(results, 1))
    assert point.threshold == 0.25
    assert math.isnan(point.f1)
    assert math.isnan(score_at(results, 0.25)["recall"])


def test_nothing_found_leaves_the_preset() -> None:
    missed = result([square(700)], [0.9], [square(0)])
    point = best_f1(confidence_curves([missed], 1))
    assert (point.threshold, point.recall, point.f1) == (0.25, 0, 0)
    assert math.isnan(score_at([missed], 0.95)["precision"])


def test_counts() -> None:
    results = [result([square(0), square(50)], [0.9, 0.8], [square(0)]), result([], [], [square(0), square(50), square(100)], image_id=1)]
    scores = score_at(results, 0.5)
    assert (scores["count_bias"], scores["count_mae"]) == (-1.0, 2.0)  # +1 and -3
