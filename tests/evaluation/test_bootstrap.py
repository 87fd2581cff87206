"""Weighted scores equal the scores of a list in which pictures occur that often; intervals follow from how groups can be drawn."""

import math

import numpy as np
import pytest
from numpy.typing import ArrayLike

from exolight.evaluation.average_precision import average_precision
from exolight.evaluation.bootstrap import NAMES, bootstrap_intervals, bootstrap_weights, weighted_counts, weighted_precision
from exolight.evaluation.curves import confidence_curves, score_at
from exolight.evaluation.records import ImageResult


def picture(image_id: int, classes: int = 1, crowds: int = 0) -> ImageResult:
    """Twelve truths, most found with jitter, more false detections the higher ``image_id``."""
    rng = np.random.default_rng(image_id)
    low = rng.uniform(0, 500, (12, 2))
    truth = np.concatenate((low, low + rng.uniform(20, 60, (12, 2))), axis=1)
    labels, found = rng.integers(0, classes, 12), rng.random(12) < 0.8
    low = rng.uniform(0, 500, (2 * image_id, 2))
    boxes = np.concatenate((truth[found] + rng.normal(0, 3, (found.sum(), 4)), np.concatenate((low, low + 40), axis=1)))
    given = np.concatenate((labels[found], rng.integers(0, classes, 2 * image_id)))
    scores = rng.uniform(0.001, 1, len(boxes)).astype(np.float32)
    return ImageResult(image_id, str(image_id), boxes.astype(np.float32), scores, given, truth.astype(np.float32), labels, np.arange(12) < crowds)


def existing(results: list[ImageResult], classes: int, threshold: float) -> dict[str, float]:
    scores = average_precision(results, [str(label) for label in range(classes)]) | score_at(results, threshold)
    return {name: scores[name] for name in NAMES}


def weighted_scores(results: list[ImageResult], classes: int, threshold: float, weights: ArrayLike) -> dict[str, np.ndarray]:
    """All scores of ``NAMES``."""
    return weighted_precision(results, classes, weights) | weighted_counts(results, classes, threshold, weights)


def counted(number: int) -> ImageResult:
    """One truth, found ``number`` times."""
    box, none = np.array([[0, 0, 10, 10]], np.float32), np.zeros(1, np.int64)
    return ImageResult(0, "", box.repeat(number, axis=0), np.full(number, 0.9, np.float32), none.repeat(number), box, none, none.astype(bool))


@pytest.mark.parametrize(("classes", "crowds"), [(1, 0), (1, 3), (3, 3)])
def test_weights_of_one_give_the_existing_scores(classes: int, crowds: int) -> None:
    results = [picture(index, classes, crowds) for index in range(6)]
    scores = {name: values[0] for name, values in weighted_scores(results, classes, 0.4, np.ones((1, 6))).items()}
    assert scores == pytest.approx(existing(results, classes, 0.4), abs=1e-6)
    assert scores["map_50"] == pytest.approx(confidence_curves(results, classes).average_precision.mean(), abs=1e-9)


def test_whole_weights_are_pictures_that_occur_so_often() -> None:
    results = [picture(index, 2, 1) for index in range(5)]
    weights = np.array([[2, 0, 1, 3, 0], [0, 0, 0, 0, 1], [1, 1, 0, 0, 4]])
    scores = weighted_scores(results, 2, 0.4, weights)
    for row, times in enumerate(weights):
        drawn = [result for result, often in zip(results, times, strict=True) for _ in range(often)]
        assert {name: values[row] for name, values in scores.items()} == pytest.approx(existing(drawn, 2, 0.4), abs=1e-6)


def test_only_ratios_of_weights_matter() -> None:
    results, weights = [picture(index) for index in range(4)], np.array([[0.5, 1, 0.25, 2]])
    scores, scaled = weighted_scores(results, 1, 0.4, weights), weighted_scores(results, 1, 0.4, 8 * weights)
    assert {name: values[0] for name, values in scores.items()} == pytest.approx({name: values[0] for name, values in scaled.items()})


def test_a_group_is_drawn_whole() -> None:
    weights = bootstrap_weights(["a", "b", None, "a", None, "b"], 500, seed=3)
    assert weights.shape == (500, 6)
    assert (weights[:, 0] == weights[:, 3]).all()
    assert (weights[:, 1] == weights[:, 5]).all()
    assert (weights[:, [0, 1, 2, 4]].sum(axis=1) == 4).all()  # four units: a, b and two pictures
    assert weights.mean(axis=0) == pytest.approx(1, abs=0.15)
    assert (bootstrap_weights(["a", "b"], 10, 0) == bootstrap_weights(["a", "b"], 10, 0)).all()
    assert (bootstrap_weights(["a", "b"], 10, 0) != bootstrap_weights(["a", "b"], 10, 1)).any()


def test_two_groups_by_hand() -> None:
    # a quarter of the replicates holds either group alone: the interval reaches from one group's scores to the other's
    results = [picture(index) for index in (0, 1, 4, 5)]
    intervals = bootstrap_intervals(results, 1, 0.3, ["a", "a", "b", "b"], replicates=200)
    a, b = existing(results[:2], 1, 0.3), existing(results[2:], 1, 0.3)
    assert set(intervals) == set(NAMES)
    for name in NAMES:
        assert intervals[name] == pytest.approx(sorted((a[name], b[name])), abs=1e-6)


def test_the_interval_is_of_95_percent() -> None:
    # of three groups the same one is drawn thrice in 3.7 % of the replicates: more than 2.5 %, less than 5 %
    assert bootstrap_intervals([counted(1), counted(3), counted(9)], 1, 0.5, replicates=2000)["count_bias"] == (0, 8)


def test_pictures_are_drawn_where_no_groups_are_given() -> None:
    # differences of 0 and 4 in 50 pictures each: mean 2, standard error 2 / sqrt(100)
    results = [counted(1), counted(5)] * 50
    assert bootstrap_intervals(results, 1, 0.5, replicates=400)["count_bias"] == pytest.approx((2 - 1.96 * 0.2, 2 + 1.96 * 0.2), abs=0.08)
    together = bootstrap_intervals(results, 1, 0.5, [str(index // 20) for index in range(100)], replicates=50)
    assert together["count_bias"] == pytest.approx((2, 2))  # every group of 20 has the same mean
    one, again, other = (bootstrap_intervals(results, 1, 0.5, replicates=50, seed=seed) for seed in (1, 1, 2))
    assert one == again != other


def test_undefined_scores() -> None:
    full = picture(3)
    empty = full._replace(truth_boxes=full.truth_boxes[:0], truth_labels=full.truth_labels[:0], truth_ignore=full.truth_ignore[:0])
    silent = full._replace(boxes=full.boxes[:0], scores=full.scores[:0], labels=full.labels[:0])
    scores = weighted_scores([empty, silent, full], 2, 0.4, [[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1]])
    assert np.isnan(scores["map"]).tolist() == np.isnan(scores["recall"]).tolist() == [True, False, True, False]
    assert np.isnan(scores["precision"]).tolist() == [False, True, True, False]
    assert np.isnan(scores["count_bias"]).tolist() == [False, False, True, False]
    assert scores["map"][1] == 0
    alone = weighted_scores([full], 1, 0.4, [[1]])
    assert scores["map"][3] == pytest.approx(alone["map"][0])  # a class without truth does not count
    nothing = empty._replace(boxes=silent.boxes, scores=silent.scores, labels=silent.labels)
    intervals = bootstrap_intervals([nothing, full], 1, 0.4, replicates=50)
    assert intervals["map"] == pytest.approx((alone["map"][0],) * 2)  # replicates without truth are left out
    assert math.isnan(bootstrap_intervals([empty, empty], 1, 0.4, replicates=50)["recall"][0])


def test_one_group_leaves_nothing_to_draw() -> None:
    results = [picture(0), picture(1)]
    for intervals in (bootstrap_intervals(results, 1, 0.4, ["a", "a"]), bootstrap_intervals(results[:1], 1, 0.4), bootstrap_intervals([], 1, 0.4)):
        assert list(intervals) == list(NAMES)
        assert all(math.isnan(value) for interval in intervals.values() for value in interval)


def test_average_precision_may_come_from_another_suppression() -> None:
    used, ranked = [picture(0), picture(4)], [picture(3), picture(5)]
    both, one, other = (bootstrap_intervals(results, 1, 0.4, replicates=50, ranked=r) for results, r in ((used, ranked), (used, None), (ranked, None)))
    for name in NAMES:
        assert both[name] == (other if name.startswith("map") else one)[name]


def test_weights_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(1, 3\) for 2 pictures"):
        weighted_precision([picture(0), picture(1)], 1, np.ones((1, 3)))
    with pytest.raises(ValueError, match=r"\(2,\) for 2 pictures"):
        weighted_counts([picture(0), picture(1)], 1, 0.4, np.ones(2))
