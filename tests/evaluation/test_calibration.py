"""Reliability by hand; the temperature that made the data is found again."""

import math

import numpy as np
import pytest
from scipy.special import expit

from exolight.evaluation.calibration import TEMPERATURES, apply_temperature, fit_temperature, reliability, scored_detections
from exolight.evaluation.records import ImageResult


def simulated(temperature: float, number: int = 20_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose logits are ``temperature`` times those of the chance of being true."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, number)
    return expit(temperature * logits), rng.random(number) < expit(logits)


def test_scored_detections_leave_out_regions_to_ignore() -> None:
    box, region, on_region, far = [0, 0, 10, 10], [100, 0, 200, 50], [120, 0, 130, 10], [300, 0, 310, 10]
    result = ImageResult(
        0, "0", np.array([box, on_region, far, far], np.float32), np.array([0.75, 0.9, 0.5, 0.125], np.float32), np.zeros(4, np.int64),
        np.array([box, region], np.float32), np.zeros(2, np.int64), np.array([False, True]),
    )  # fmt: skip
    scores, true = scored_detections([result, result])
    assert scores.tolist() == [0.75, 0.5, 0.125] * 2
    assert true.tolist() == [True, False, False] * 2
    assert scored_detections([result], threshold=0.5)[0].tolist() == [0.75, 0.5]
    assert [len(each) for each in scored_detections([])] == [0, 0]


def test_reliability_by_hand() -> None:
    # bins (0, 1/4], (1/4, 1/2], (1/2, 3/4], (3/4, 1]; edges belong to the bin below, 0 to the first
    table = reliability([0, 0.25, 0.3, 0.5, 0.9, 1], [False, True, False, False, True, True], bins=4)
    assert table.edges.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert table.counts.tolist() == [2, 2, 0, 2]
    np.testing.assert_allclose(table.mean_score, [0.125, 0.4, np.nan, 0.95])
    np.testing.assert_allclose(table.share_true, [0.5, 0, np.nan, 1])
    assert table.ece == pytest.approx((2 * 0.375 + 2 * 0.4 + 2 * 0.05) / 6)


def test_bins_of_equal_count() -> None:
    scores = np.array([0.01, 0.02, 0.03, 0.05, 0.08, 0.9])
    table = reliability(scores, scores > 0.04, bins=3, equal_count=True)
    assert table.counts.tolist() == [2, 2, 2]
    np.testing.assert_allclose(table.mean_score, [0.015, 0.04, 0.49])
    np.testing.assert_allclose(table.share_true, [0, 0.5, 1])
    np.testing.assert_allclose(table.edges[[0, -1]], [0.01, 0.9])
    tied = reliability([0.5] * 5 + [0.9], [True] * 6, bins=3, equal_count=True)
    assert tied.counts.tolist() == [5, 0, 1]  # equal scores stay together


@pytest.mark.parametrize("equal_count", [False, True])
def test_calibrated_scores_have_no_error(equal_count: bool) -> None:
    assert reliability(*simulated(1), equal_count=equal_count).ece < 0.015
    assert reliability(*simulated(3), equal_count=equal_count).ece > 0.1
    assert len(reliability([0.5], [True], equal_count=equal_count).counts) == 10


def test_no_detections() -> None:
    for equal_count in (False, True):
        table = reliability([], [], equal_count=equal_count)
        assert table.counts.sum() == 0
        assert math.isnan(table.ece)
        assert np.isnan(table.share_true).all()
    assert math.isnan(fit_temperature([], []))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_made_the_data_is_found(temperature: float) -> None:
    fitted = fit_temperature(*simulated(temperature))
    assert fitted == pytest.approx(temperature, rel=0.05)
    scores, true = simulated(temperature, seed=1)  # others than it was fitted on
    assert reliability(apply_temperature(scores, fitted), true).ece < 0.015


def test_the_fit_by_hand() -> None:
    # 3 of 4 detections at a score of 0.9 are true: the likeliest temperature makes it 0.75, logit ln 3 of ln 9
    assert fit_temperature([0.9] * 4, [True, True, True, False]) == pytest.approx(2, rel=1e-4)


def test_a_fit_that_has_no_end() -> None:
    assert fit_temperature([0.0, 0.2, 0.8, 1.0], [False, False, True, True]) == pytest.approx(TEMPERATURES[0], rel=1e-3)
    assert fit_temperature([0.0, 0.2, 0.8, 1.0], [True, True, False, False]) == pytest.approx(TEMPERATURES[1], rel=1e-3)
    assert math.isnan(fit_temperature([0.2, 0.8], [True, True]))
    assert math.isnan(fit_temperature([0.2, 0.8], [False, False]))


def test_a_temperature_keeps_order_and_ends() -> None:
    scores = np.array([[0, 0.001, 0.1, 0.5], [0.6, 0.9, 0.999, 1]], np.float32)
    np.testing.assert_allclose(apply_temperature(scores, 1), scores, atol=1e-12)
    for temperature in (0.5, 3.0):
        changed = apply_temperature(scores, temperature)
        assert (np.diff(changed.ravel()) > 0).all()
        assert changed.ravel()[[0, 3, 7]].tolist() == [0, 0.5, 1]
        np.testing.assert_allclose(apply_temperature(changed, 1 / temperature), scores, atol=1e-9)
    assert apply_temperature(0.9, 2) == pytest.approx(0.75)  # odds 9, root 3
