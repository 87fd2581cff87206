"""Count agreement against numbers computed by hand."""

import math

import numpy as np
import pytest

from exolight.evaluation.counts import count_agreement, count_pairs
from exolight.evaluation.curves import score_at
from exolight.evaluation.records import ImageResult


def result(boxes: list[list[float]], scores: list[float], truth: list[list[float]], ignore: list[bool]) -> ImageResult:
    return ImageResult(
        0, "0", np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.zeros(len(boxes), np.int64),
        np.array(truth, np.float32).reshape(-1, 4), np.zeros(len(truth), np.int64), np.array(ignore, bool),
    )  # fmt: skip


def test_pairs_leave_out_what_score_at_leaves_out() -> None:
    box, far, region = [0, 0, 10, 10], [300, 0, 310, 10], [100, 0, 200, 50]
    on_region = [120, 0, 130, 10]
    first = result([box, far, on_region, far], [0.9, 0.8, 0.7, 0.1], [box, region], [False, True])  # one true, one false, one ignored, one weak
    results = [first, result([], [], [box, far], [False, False]), result([], [], [], [])]
    pairs = count_pairs(results, 0.5)
    assert pairs.tolist() == [[2, 1], [0, 2], [0, 0]]
    agreement, scores = count_agreement(pairs), score_at(results, 0.5)
    assert (agreement.bias, agreement.mae) == pytest.approx((scores["count_bias"], scores["count_mae"]))
    assert count_pairs(results, 0.05)[0].tolist() == [3, 1]
    assert count_pairs([], 0.5).shape == (0, 2)


def test_agreement_by_hand() -> None:
    # differences 2, 0, -1, 3: mean 1, squared deviations 1, 1, 4, 4
    agreement = count_agreement([(4, 2), (4, 4), (5, 6), (11, 8)])
    sd = math.sqrt(10 / 3)
    assert agreement.pictures == 4
    assert agreement[1:6] == pytest.approx((1, 1.5, sd, 1 - 1.96 * sd, 1 + 1.96 * sd))
    # found 4 4 5 11: mean 6, variance 34 / 4; true 2 4 6 8: mean 5, variance 20 / 4; covariance (6 + 2 - 1 + 15) / 4
    assert agreement.concordance == pytest.approx(2 * 22 / (34 + 20 + 4 * 1))


def test_concordance_forgives_neither_bias_nor_scale() -> None:
    true = np.arange(1, 6)
    assert count_agreement(np.column_stack((true, true))).concordance == pytest.approx(1)
    assert count_agreement(np.column_stack((6 - true, true))).concordance == pytest.approx(-1)
    assert count_agreement(np.column_stack((true + 2, true))).concordance == pytest.approx(2 * 2 / (2 + 2 + 4))
    assert count_agreement(np.column_stack((2 * true, true))).concordance == pytest.approx(2 * 4 / (8 + 2 + 9))


def test_what_too_few_pictures_cannot_tell() -> None:
    assert all(map(math.isnan, count_agreement([])[1:]))
    one = count_agreement([(3, 5)])
    assert one[:3] == (1, -2, 2)
    assert all(map(math.isnan, one[3:]))
    same = count_agreement([(3, 3), (3, 3)])
    assert same[:6] == (2, 0, 0, 0, 0, 0)
    assert math.isnan(same.concordance)
