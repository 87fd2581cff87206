"""Intervals as wide as the units differ that are drawn, and right as often as they claim."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from populations import nested, population
from scipy.stats import norm
from scipy.stats import t as student

from exolight.measurement.bootstrap import bootstrap, independent_units, size_units
from exolight.measurement.population import Population
from exolight.measurement.statistics import SizeStatistics, count_statistics, size_statistics


def _spread(found: Population, statistic: str = "mean", part: str = "sizes") -> float:
    low, high = bootstrap(found)[part][statistic]
    return high - low


def _geometric(values: np.ndarray) -> tuple[float, float]:
    """The t interval of the mean of logarithms, as numbers."""
    logs = np.log(values)
    reach = student.ppf(0.975, len(values) - 1) * logs.std(ddof=1) / np.sqrt(len(values))
    return float(np.exp(logs.mean() - reach)), float(np.exp(logs.mean() + reach))


def test_the_seed_decides() -> None:
    found = population([[[50, 60, 71], [80]], [[75, 66]]])
    assert bootstrap(found, replicates=50, seed=1) == bootstrap(found, replicates=50, seed=1)
    assert bootstrap(found, replicates=50, seed=1) != bootstrap(found, replicates=50, seed=2)


def test_the_vesicles_of_one_picture_give_the_ordinary_bootstrap() -> None:
    """400 vesicles: mean ± 1.97 SD / sqrt(n); weighted figures as if each vesicle took its weight along."""
    sizes = np.random.default_rng(0).lognormal(4.5, 0.3, 400)
    found = population([[sizes.tolist()]])
    error = sizes.std(ddof=1) / 20
    intervals = bootstrap(found, replicates=1000)
    np.testing.assert_allclose(intervals["sizes"]["mean"], sizes.mean() + 1.97 * error * np.array([-1, 1]), atol=0.15 * error)
    rng = np.random.default_rng(1)
    draws = [size_statistics(sizes[index], found.weights[index]) for index in rng.integers(0, 400, (1000, 400))]
    for name in ("median", "d90", "cv", "log_sd"):
        expected = np.quantile([getattr(draw, name) for draw in draws], [0.025, 0.975])
        np.testing.assert_allclose(intervals["weighted"][name], expected, rtol=0.03, err_msg=name)
    assert np.isnan(intervals["counts"]["mean"]).all()  # one picture does not tell how pictures differ


@pytest.mark.parametrize("level", ["donor", "sample", "picture"])
def test_the_spread_is_students_of_the_highest_level_that_differs(level: str) -> None:
    """Six units 80 to 130, each of 100 equal vesicles: known as six numbers are, whichever level they are."""
    sizes = np.array([80.0, 90, 100, 110, 120, 130])
    units = [[size] * 100 for size in sizes]
    found = population([[unit] for unit in units] if level == "donor" else [units], samples=list("123456") if level == "sample" else None)
    intervals = bootstrap(found, replicates=4000)["sizes"]
    low, high = _geometric(sizes)
    assert intervals["mean"] == pytest.approx((low, high), rel=0.02)
    reach = student.ppf(0.975, 5) * np.log(sizes).std(ddof=1) / np.sqrt(6)
    assert intervals["log_mean"] == pytest.approx(np.log(sizes).mean() + reach * np.array([-1, 1]), abs=0.03 * reach)
    flat = population([[[size for unit in units for size in unit]]])
    assert _spread(flat) < 0.2 * (high - low)


def test_the_confidence_can_be_chosen() -> None:
    sizes = np.array([80.0, 90, 100, 110, 120, 130])
    found = population([[[size] * 20] for size in sizes])
    (low, high), (lower, higher) = (bootstrap(found, confidence=share)["sizes"]["log_mean"] for share in (0.9, 0.99))
    assert (higher - lower) / (high - low) == pytest.approx(student.ppf(0.995, 5) / student.ppf(0.95, 5))


def test_units_are_the_highest_level_with_several() -> None:
    two_samples = population([[[50], [60, 70], [80]]], samples=["1", "2", "2"])
    level, unit = independent_units(two_samples)
    assert (level, unit.tolist()) == ("samples", [0, 1, 1])
    assert size_units(two_samples)[1].tolist() == [0, 1, 1, 1]
    assert independent_units(replace(two_samples, donors=np.array(["b", "b", "a"])))[0] == "donors"
    assert independent_units(replace(two_samples, donors=np.array(["b", "", "b"])))[1].tolist() == [1, 0, 1]
    assert independent_units(population([[[50], [60]]]))[0] == "pictures"
    # Only one donor, one sample, one picture has sized vesicles: they are what can be drawn.
    assert independent_units(population([[[], [50, 60]], [[]]]))[0] == "donors"
    level, unit = size_units(population([[[], [50, 60]], [[]]]))
    assert (level, unit.tolist()) == ("vesicles", [0, 1])
    assert size_units(population([[[]]]))[1].tolist() == []


def test_counts_scatter_as_pictures_do_zeros_included() -> None:
    """No logarithm of 0: the interval is symmetric, and ends at 0, where counts do."""
    found = population([[[100.0] * count for count in (0, 0, 4, 8)]])
    low, high = bootstrap(found, replicates=4000)["counts"]["mean"]
    assert low == 0
    assert high == pytest.approx(3 + student.ppf(0.975, 3) * np.std([0, 0, 4, 8], ddof=1) / 2, rel=0.03)
    without = bootstrap(population([[[100.0] * count for count in (2, 3, 4, 8)]]), replicates=4000)["counts"]["mean"]
    assert 0 < without[0] < 4.25 < without[1]
    assert without[0] * without[1] == pytest.approx(4.25**2)  # symmetric in the logarithm
    assert _spread(found) == pytest.approx(0, abs=1e-9)  # pictures without vesicles say nothing of sizes


def test_density_is_total_by_total_of_the_pictures_whose_scale_is_known() -> None:
    found = population([[[100.0] * 9, [100.0]]])
    found = replace(found, areas_um2=np.array([9.0, 1.0]))
    assert count_statistics(found).density_per_um2 == 1
    assert bootstrap(found)["counts"]["density_per_um2"] == (1, 1)
    one_known = bootstrap(replace(found, areas_um2=np.array([9.0, np.nan])))["counts"]
    assert np.isnan(one_known["density_per_um2"]).all()
    assert np.isfinite(one_known["mean"]).all()
    three = population([[[100.0] * 9, [100.0] * 5, [100.0]]])
    known = bootstrap(replace(three, areas_um2=np.array([1.0, 1.0, np.nan])))["counts"]["density_per_um2"]
    reach = student.ppf(0.975, 1) * np.log([9, 5]).std(ddof=1) / np.sqrt(2)
    assert np.log(known) == pytest.approx(np.log(7) + reach * np.array([-1, 1]), rel=0.1)


def test_every_statistic_has_an_interval_that_holds_its_estimate() -> None:
    found = nested(np.random.default_rng(0), donors=4)
    intervals = bootstrap(found)
    weightings = {"sizes": size_statistics(found.diameters), "weighted": size_statistics(found.diameters, found.weights), "counts": count_statistics(found)}
    for part, numbers in weightings.items():
        for name, (low, high) in intervals[part].items():
            assert low < getattr(numbers, name) < high, (part, name)
    assert intervals["sizes"].keys() == intervals["weighted"].keys() == set(SizeStatistics._fields) - {"n"}
    assert intervals["counts"].keys() == {"mean", "sd", "density_per_um2", "density_weighted_per_um2"}


SCENARIOS = {
    "2 donors": {"donors": 2},
    "3 donors": {"donors": 3},
    "5 donors": {"donors": 5},
    "8 donors": {"donors": 8},
    "15 donors": {"donors": 15},
    "5 donors that are alike": {"donors": 5, "donor_sd": 0.02, "sample_sd": 0.0, "picture_sd": 0.0},
    "20 pictures of one sample": {"donors": 1, "samples": 1, "pictures": 20, "vesicles": 10.0, "donor_sd": 0.0, "sample_sd": 0.0, "picture_sd": 0.1},
    "200 vesicles of one picture": {"donors": 1, "samples": 1, "pictures": 1, "vesicles": 200.0, "donor_sd": 0.0, "sample_sd": 0.0, "picture_sd": 0.0},
}


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_intervals_hold_the_truth_as_often_as_they_say(scenario: str) -> None:
    """On average in 93 to 97 % of simulated populations, one by one within what chance does to 400 of them; those of a scatter less often, as documented."""
    settings = {"samples": 2, "pictures": 4, "vesicles": 20.0, "donor_sd": 0.15, "sample_sd": 0.05, "picture_sd": 0.05} | SCENARIOS[scenario]
    several = settings["pictures"] > 1
    sigma = np.sqrt(settings["donor_sd"] ** 2 + settings["sample_sd"] ** 2 + settings["picture_sd"] ** 2 + 0.35**2)
    quantiles = {name: 80 * np.exp(norm.ppf(share) * sigma) for name, share in (("d10", 0.1), ("median", 0.5), ("d90", 0.9))}
    mean, cv, rate = 80 * np.exp(sigma**2 / 2), np.sqrt(np.exp(sigma**2) - 1), settings["vesicles"]
    truth = {("weighted", name): value for name, value in quantiles.items()} | {("weighted", "mean"): mean, ("weighted", "log_mean"): np.log(80)}
    scatter = {("weighted", "sd"): mean * cv, ("weighted", "cv"): cv, ("weighted", "log_sd"): sigma}
    if several:
        truth |= {("counts", "mean"): rate, ("counts", "density_weighted_per_um2"): rate / 2.25}
        scatter |= {("counts", "sd"): np.sqrt(rate + rate**2 * (1.5 * (1.15 if settings["donors"] > 1 else 1) - 1))}
    rng, held = np.random.default_rng(1), defaultdict(list)
    for trial in range(400):
        intervals = bootstrap(nested(rng, **settings), replicates=200, seed=trial)
        for part, name in truth | scatter:
            low, high = intervals[part][name]
            held[part, name].append(low <= (truth | scatter)[part, name] <= high)
    shares = {key: float(np.mean(values)) for key, values in held.items()}
    print(scenario, {f"{part}.{name}": round(share, 3) for (part, name), share in shares.items()})
    chance = 2.33 * np.sqrt(0.95 * 0.05 / 400)
    for key in truth:
        assert 0.92 - chance < shares[key] < 0.97 + chance, (key, shares[key])
    assert 0.93 < np.mean([shares[key] for key in truth]) < 0.97
    for key in scatter:
        assert shares[key] > 0.78, (key, shares[key])
