"""The overlap of suppression and the threshold that go with it: chosen where surely better, else left as they are."""

import math

import numpy as np
import pytest

from exolight.errors import InputError
from exolight.evaluation.operating_point import Search, choose
from exolight.evaluation.records import ImageResult


def square(x: float) -> list[float]:
    return [x, 5, x + 10, 15]


def picture(image_id: int, true: int, false: int, missed: int = 0, score: float = 0.9, weak: float = 0.9) -> ImageResult:
    """So many true detections of ``score``, false ones of ``weak``, and truths that nothing finds."""
    boxes = [square(20 * k) for k in range(true)] + [square(5000 + 20 * k) for k in range(false)]
    truth = [square(20 * k) for k in range(true + missed)]
    return ImageResult(
        image_id, str(image_id), np.array(boxes, np.float32).reshape(-1, 4), np.array([score] * true + [weak] * false, np.float32),
        np.zeros(true + false, np.int64), np.array(truth, np.float32).reshape(-1, 4), np.zeros(true + missed, np.int64), np.zeros(true + missed, bool),
    )  # fmt: skip


def pictures(false: list[int]) -> list[ImageResult]:
    return [picture(index, 4, number) for index, number in enumerate(false)]


def test_an_overlap_that_is_better_everywhere_is_taken() -> None:
    choice = choose({0.6: pictures([2] * 8), 0.4: pictures([1] * 8), 0.3: pictures([2] * 8)}, 1, Search(), 0.6, [None] * 8)
    assert choice.iou == 0.4
    assert choice.point.f1 == pytest.approx(8 / 9)
    assert choice.point.precision == pytest.approx(4 / 5)
    assert choice.point.threshold == pytest.approx(0.45, abs=2e-3)  # the middle of 0 to 0.9


def test_a_gain_within_noise_is_left() -> None:
    """Better in one picture alone, which a third of the replicates do not hold."""
    tried = {0.6: pictures([2] * 8), 0.4: pictures([0] + [2] * 7)}
    choice = choose(tried, 1, Search(), 0.6, [None] * 8)
    assert (choice.iou, choice.point.f1) == (0.6, pytest.approx(8 / 10))


def test_pictures_of_one_specimen_are_one_witness() -> None:
    """Better in six of eight pictures: sure where each stands for itself, not where the six are of one specimen of three."""
    tried = {0.6: pictures([2] * 8), 0.4: pictures([0] * 6 + [2] * 2)}
    assert choose(tried, 1, Search(), 0.6, [None] * 8).iou == 0.4
    assert choose(tried, 1, Search(), 0.6, ["a"] * 6 + ["b", "c"]).iou == 0.6
    assert choose(tried, 1, Search(), 0.6, ["a"] * 8).iou == 0.6  # one specimen says nothing of others
    assert choose({iou: results[:1] for iou, results in tried.items()}, 1, Search(), 0.6, [None]).iou == 0.6


def test_of_equal_overlaps_the_usual_one_stays() -> None:
    assert choose({0.3: pictures([1] * 8), 0.6: pictures([1] * 8), 0.7: pictures([1] * 8)}, 1, Search(), 0.6, [None] * 8).iou == 0.6


def test_an_overlap_that_alone_reaches_the_aim_is_taken() -> None:
    tried = {0.6: pictures([1] * 8), 0.4: pictures([0] + [1] * 7)}
    assert choose(tried, 1, Search("precision", 0.81), 0.6, [None] * 8).iou == 0.4
    assert choose(tried, 1, Search("precision", 0.79), 0.6, [None] * 8).iou == 0.6  # both do
    assert choose(tried, 1, Search("precision", 0.95), 0.6, [None] * 8).iou == 0.6  # neither does


def test_the_aim_decides_the_threshold() -> None:
    results = [picture(index, 4, 3, 1, score=0.8, weak=0.3) for index in range(4)]
    weaker = [picture(4 + index, 4, 0, 1, score=0.2) for index in range(4)]
    tried = {0.6: results + weaker}
    groups = [None] * 8
    assert choose(tried, 1, Search(), 0.6, groups).point.threshold == pytest.approx(0.1, abs=2e-3)
    point = choose(tried, 1, Search("precision", 0.9), 0.6, groups).point
    assert (point.threshold, point.precision, point.recall) == pytest.approx((0.55, 1, 0.4), abs=2e-3)
    point = choose(tried, 1, Search("recall", 0.4), 0.6, groups).point
    assert (point.threshold, point.precision, point.recall) == pytest.approx((0.55, 1, 0.4), abs=2e-3)
    point = choose(tried, 1, Search("recall", 0.7), 0.6, groups).point
    assert (point.threshold, point.recall) == pytest.approx((0.1, 0.8), abs=2e-3)


def test_what_reaches_an_aim() -> None:
    tried = {0.6: pictures([1] * 4)}
    point = choose(tried, 1, Search(), 0.6, [None] * 4).point
    assert Search().reached_by(point)
    assert Search("precision", 0.8).reached_by(point)
    assert not Search("precision", 0.81).reached_by(point)
    assert Search("recall", 1.0).reached_by(point)


@pytest.mark.parametrize("results", [[], [picture(0, 0, 0)], [picture(0, 0, 2)], [picture(0, 0, 0, missed=1)]])
def test_nothing_to_choose_by_leaves_the_preset(results: list[ImageResult]) -> None:
    choice = choose({0.6: results, 0.3: results}, 1, Search("precision", 0.9), 0.6, [None] * len(results))
    assert (choice.iou, choice.point.threshold) == (0.6, 0.25)
    assert not choice.point.f1 > 0 or math.isnan(choice.point.f1)


@pytest.mark.parametrize(
    ("aim", "value", "ious", "words"),
    [
        ("f2", None, [], "operating_point.aim=f2"),
        ("f1", 0.9, [], "no meaning"),
        ("precision", None, [], "operating_point.value=None: the wanted precision"),
        ("recall", 95, [], "operating_point.value=95: the wanted recall"),
        ("recall", 0, [], "above 0"),
        ("precision", "high", [], "operating_point.value=high"),
        ("f1", None, [0.5, 0], "operating_point.ious"),
        ("f1", None, ["a"], "operating_point.ious"),
    ],
)
def test_impossible_aims(aim: str, value: object, ious: list, words: str) -> None:
    with pytest.raises(InputError, match=words) as raised:
        Search(aim, value, ious)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)
