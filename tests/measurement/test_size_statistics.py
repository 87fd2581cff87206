"""Sizes in numbers: hand-computed, and the same for a weight and for copies."""

from statistics import NormalDist

import numpy as np
import pytest

from exolight.measurement.statistics import SizeStatistics, histogram, size_statistics, weighted_quantiles


def test_quantiles_by_hand() -> None:
    np.testing.assert_allclose(weighted_quantiles([40, 10, 30, 20], [0.1, 0.25, 0.5, 0.6]), [10, 15, 25, 30])
    # shares of 0.1, 0.2, 0.6, 0.1
    np.testing.assert_allclose(weighted_quantiles([10, 20, 30, 40], [0.1, 0.25, 0.3, 0.5, 0.95], [1, 2, 6, 1]), [15, 20, 25, 30, 40])
    assert np.isnan(weighted_quantiles([], [0.5])).all()


@pytest.mark.parametrize("count", [1, 2, 7, 10, 200])
def test_quantiles_without_weights_are_hyndmans_second(count: int) -> None:
    values, shares = np.random.default_rng(count).lognormal(4, 0.4, count), [0.1, 0.25, 0.5, 0.75, 0.9]
    np.testing.assert_allclose(weighted_quantiles(values, shares), np.quantile(values, shares, method="averaged_inverted_cdf"))


def test_a_weight_of_two_is_two_vesicles() -> None:
    values, copies = np.array([50.0, 120, 80, 61, 95]), np.array([1, 3, 2, 1, 4])
    once, repeated = size_statistics(values, copies), size_statistics(np.repeat(values, copies))
    for name in ("mean", "mode", "median", "d10", "d50", "d90", "span", "log_mean", "log_sd"):  # sd and cv know that there are only five vesicles
        assert getattr(once, name) == pytest.approx(getattr(repeated, name)), name
    assert (once.n, repeated.n) == (5, 11)


def test_statistics_by_hand() -> None:
    found = size_statistics([50, 60, 62, 68, 100], bin_width=10)
    assert found == pytest.approx(
        SizeStatistics(
            n=5, mean=68, sd=np.sqrt((18**2 + 8**2 + 6**2 + 0 + 32**2) / 4), mode=65, median=62, d10=50, d50=62, d90=100, span=50 / 62,
            cv=np.sqrt(362) / 68, log_mean=np.log(50 * 60 * 62 * 68 * 100) / 5, log_sd=np.std(np.log([50, 60, 62, 68, 100])),
        )
    )  # fmt: skip
    assert size_statistics([50, 60, 62, 68, 100], bin_width=5).mode == 62.5
    weighted = size_statistics([10, 30], [3, 1])
    assert (weighted.mean, weighted.sd) == pytest.approx((15, np.sqrt((3 * 25 + 225) / 4 * 2)))
    assert weighted.mode == 15
    assert size_statistics([10, 30], [1, 3]).mode == 35


def test_the_log_normal_fit_finds_what_was_put_in() -> None:
    exact = np.exp([NormalDist(4.4, 0.35).inv_cdf((rank + 0.5) / 20_000) for rank in range(20_000)])
    assert size_statistics(exact)[-2:] == pytest.approx((4.4, 0.35), rel=1e-3)
    # Vesicles of chance d / 400 to be seen, weighted by its inverse, are the population again.
    rng = np.random.default_rng(0)
    seen = exact[rng.random(len(exact)) < exact / 400]
    assert size_statistics(seen)[-2] > 4.48
    assert size_statistics(seen, 1 / seen)[-2:] == pytest.approx((4.4, 0.35), abs=0.02)


def test_few_vesicles_say_what_they_can() -> None:
    none = size_statistics([])
    assert none.n == 0
    assert np.isnan(none[1:]).all()
    one = size_statistics([71.0])
    assert (one.n, one.mean, one.median, one.mode, one.span) == (1, 71, 71, 75, 0)
    assert np.isnan([one.sd, one.cv, one.log_sd]).all()


@pytest.mark.parametrize(("diameters", "weights"), [([10, 0], None), ([10, np.nan], None), ([10, 20], [1, 0]), ([10, 20], [1, -1])])
def test_what_is_not_positive_is_refused(diameters: list[float], weights: list[float] | None) -> None:
    for function in (size_statistics, histogram):
        with pytest.raises(ValueError, match="not a positive number"):
            function(diameters, weights)
    with pytest.raises(ValueError, match="not a positive number"):
        weighted_quantiles(diameters, [0.5], weights)


@pytest.mark.parametrize("share", [0, 1, 1.5])
def test_quantiles_lie_between_0_and_1(share: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        weighted_quantiles([1, 2], [share])


def test_histogram_starts_at_a_multiple_and_loses_nothing() -> None:
    edges, counts = histogram([33, 35, 40, 49.9, 50], bin_width=5)
    assert edges.tolist() == [30, 35, 40, 45, 50, 55]
    assert counts.tolist() == [1, 1, 1, 1, 1]
    assert histogram([33, 35, 40, 49.9, 50])[1].tolist() == [2, 2, 1]
    assert histogram([33, 35, 52], [2, 0.5, 4]).counts.tolist() == [2.5, 0, 4]
    assert histogram([]).counts.tolist() == []
    assert histogram([]).edges.tolist() == [0]
