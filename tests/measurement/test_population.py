"""Population statistics: hand-computed, the same for a weight and for copies, unbiased at the border, and intervals as wide as donors differ."""

import time
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from exolight.errors import InputError
from exolight.measurement.population import (
    Population,
    SizeStatistics,
    bootstrap,
    border_weights,
    count_statistics,
    histogram,
    population_from_rows,
    size_statistics,
    summarise,
    weighted_quantiles,
)


def picture(name: str, pixel_size: float | None = 2.0, **more: Any) -> dict[str, Any]:
    return {"image": name, "width": 1000, "height": 500, "pixel_size_nm": pixel_size, "error": None} | more


def vesicle(name: str, px: float, nm: float | None, on_border: bool = False) -> dict[str, Any]:
    return {"image": name, "diameter_px": px, "diameter_nm": nm, "on_border": on_border}


def population(donors: list[list[list[float]]], samples: list[str] | None = None) -> Population:
    """Donor -> picture -> diameters, nm; pictures of 1 µm²; ``samples`` names those of the pictures."""
    pictures = [(str(donor), sizes) for donor, of_donor in enumerate(donors) for sizes in of_donor]
    diameters = np.array([size for _, sizes in pictures for size in sizes], float)
    counts = np.array([len(sizes) for _, sizes in pictures])
    blank = np.array([""] * len(pictures))
    return Population(
        "nm",
        pictures=np.arange(len(pictures)).astype(str),
        samples=np.array(samples) if samples else blank,
        donors=np.array([donor for donor, _ in pictures]),
        conditions=blank,
        counts=counts,
        cut=np.zeros_like(counts),
        areas_um2=np.ones(len(pictures)),
        picture=np.repeat(np.arange(len(pictures)), counts),
        diameters=diameters,
        weights=border_weights(diameters, 1000, 1000),
    )


# Sizes


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


# Border


def test_border_weights_by_hand() -> None:
    np.testing.assert_allclose(border_weights([0, 100, 200], 1000, 500), [1, 1 / (0.9 * 0.8), 1 / (0.8 * 0.6)])
    np.testing.assert_allclose(border_weights([100, 100], [1000, 200], [500, 200]), [1 / 0.72, 4])
    for diameter in (500, 700):
        with pytest.raises(ValueError, match="cannot be whole"):
            border_weights([100, diameter], 1000, 500)


def test_border_weights_take_the_bias_out() -> None:
    """Vesicles lie anywhere; those that the border cuts are left out. The weighted mean, and the weighted density, are those of all."""
    rng = np.random.default_rng(0)
    diameters, (width, height), margin = rng.lognormal(np.log(100), 0.4, 200_000).clip(30, 350), (800, 500), 400
    x, y = (rng.uniform(-margin, side + margin, len(diameters)) for side in (width, height))
    whole = (np.minimum(x, width - x) > diameters / 2) & (np.minimum(y, height - y) > diameters / 2)
    weights = border_weights(diameters[whole], width, height)
    truth = diameters.mean()
    assert size_statistics(diameters[whole]).mean < 0.95 * truth
    assert size_statistics(diameters[whole], weights).mean == pytest.approx(truth, rel=0.01)
    expected = len(diameters) * width * height / ((width + 2 * margin) * (height + 2 * margin))
    assert weights.sum() == pytest.approx(expected, rel=0.02)


# From tables


def test_a_prediction_becomes_a_population() -> None:
    pictures = [
        picture("a.tif", donor="d1", sample="s1", condition="old", masked_px=100_000),
        picture("broken.tif", error="unreadable"),
        picture("empty.tif", donor="d1", sample="s2", condition="old"),
        picture("b.tif", pixel_size=1.0),
        picture("unknown.tif", pixel_size=None),
    ]
    vesicles = [
        vesicle("b.tif", 80, 80), vesicle("a.tif", 50, 100), vesicle("a.tif", 20, 40, on_border=True),
        vesicle("unknown.tif", 33, None), vesicle("b.tif", 600, 600), vesicle("a.tif", 100, 200),
    ]  # fmt: skip
    found = population_from_rows(pictures, vesicles)
    assert found.unit == "nm"
    assert found.pictures.tolist() == ["a.tif", "empty.tif", "b.tif", "unknown.tif"]
    assert (found.donors.tolist(), found.samples.tolist()) == (["d1", "d1", "", ""], ["s1", "s2", "", ""])
    assert found.conditions.tolist() == ["old", "old", "", ""]
    assert (found.counts.tolist(), found.cut.tolist()) == ([3, 0, 2, 1], [1, 0, 0, 0])
    np.testing.assert_allclose(found.areas_um2, [400_000 * 4e-6, 500_000 * 4e-6, 0.5, np.nan])
    assert (found.picture.tolist(), found.diameters.tolist()) == ([2, 0, 0], [80, 100, 200])  # one is cut, one as high as its picture, one without scale
    np.testing.assert_allclose(found.weights, [5e5 / (920 * 420), 2e6 / (1900 * 900), 2e6 / (1800 * 800)])

    counts = count_statistics(found)
    assert counts[:4] == (4, 1, 6, 1)
    assert counts.mean == pytest.approx(1.5)
    assert counts.sd == pytest.approx(np.std([3, 0, 2, 1], ddof=1))
    assert counts.area_um2 == pytest.approx(4.1)
    assert counts.density_per_um2 == pytest.approx(5 / 4.1)
    assert counts.density_weighted_per_um2 == pytest.approx(found.weights.sum() / 4.1)


def test_without_any_pixel_size_sizes_are_in_px() -> None:
    found = population_from_rows([picture("a", None), picture("b", None)], [vesicle("a", 50, None), vesicle("b", 500, None)])
    assert (found.unit, found.diameters.tolist(), found.weights.tolist()) == ("px", [50], [pytest.approx(1 / (0.95 * 0.9))])
    counts = count_statistics(found)
    assert (counts.vesicles, counts.mean) == (2, 1)
    assert np.isnan([counts.area_um2, counts.density_per_um2, counts.density_weighted_per_um2]).all()
    assert any("pixels" in note for note in summarise(found, replicates=0).notes)


def test_another_diameter_can_be_asked_for() -> None:
    rows = [vesicle("a", 50, 100) | {"feret_max_px": 60, "feret_max_nm": 120}]
    assert population_from_rows([picture("a")], rows, "feret_max").diameters.tolist() == [120]


def test_nothing_found_is_data() -> None:
    found = population_from_rows([picture("a"), picture("b")], [])
    summary = summarise(found, replicates=20)
    assert (summary.counts.empty, summary.counts.mean, summary.counts.density_per_um2, summary.sizes.n) == (2, 0, 0, 0)
    assert summary.intervals["counts"]["mean"] == (0, 0)
    assert np.isnan(summary.intervals["sizes"]["mean"]).all()
    nothing = summarise(population_from_rows([], []), replicates=20)
    assert (nothing.counts.pictures, nothing.sizes.n) == (0, 0)
    assert np.isnan(nothing.counts.mean)


def test_tables_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(InputError, match=r"c\.tif has vesicles but is not among the 1 pictures"):
        population_from_rows([picture("a.tif")], [vesicle("c.tif", 50, 100)])
    with pytest.raises(InputError, match="1 pictures are listed twice"):
        population_from_rows([picture("a.tif"), picture("a.tif")], [])


def test_split_gives_each_its_own_pictures_and_vesicles() -> None:
    found = population([[[50, 60], []], [[70]], [[80, 90, 99], [10]]], samples=["1", "2", "1", "1", "1"])
    parts = found.split("donor", "sample")
    assert list(parts) == [("0", "1"), ("0", "2"), ("1", "1"), ("2", "1")]
    assert [part.diameters.tolist() for part in parts.values()] == [[50, 60], [], [70], [80, 90, 99, 10]]
    assert parts["2", "1"].picture.tolist() == [0, 0, 0, 1]
    assert parts["2", "1"].counts.tolist() == [3, 1]
    assert parts["2", "1"].pictures.tolist() == ["3", "4"]
    np.testing.assert_allclose(parts["1", "1"].weights, border_weights([70], 1000, 1000))
    assert len(found.split("picture")) == 5


# Intervals


def _spread(found: Population, statistic: str = "mean", part: str = "sizes") -> float:
    low, high = bootstrap(found, replicates=400)[part][statistic]
    return high - low


def test_the_seed_decides() -> None:
    found = population([[[50, 60, 71], [80]], [[75, 66]]])
    assert bootstrap(found, replicates=50, seed=1) == bootstrap(found, replicates=50, seed=1)
    assert bootstrap(found, replicates=50, seed=1) != bootstrap(found, replicates=50, seed=2)


def test_with_one_level_it_is_the_ordinary_bootstrap() -> None:
    """400 vesicles of one picture: mean ± 1.96 SD / sqrt(n); weighted figures as if each vesicle took its weight along."""
    sizes = np.random.default_rng(0).lognormal(4.5, 0.3, 400)
    found = population([[sizes.tolist()]])
    error = sizes.std(ddof=1) / 20
    intervals = bootstrap(found, replicates=2000)
    np.testing.assert_allclose(intervals["sizes"]["mean"], sizes.mean() + 1.96 * error * np.array([-1, 1]), atol=0.15 * error)
    rng = np.random.default_rng(1)
    draws = [size_statistics(sizes[index], found.weights[index]) for index in rng.integers(0, 400, (2000, 400))]
    for name in ("median", "d90", "cv", "log_sd"):
        expected = np.quantile([getattr(draw, name) for draw in draws], [0.025, 0.975])
        np.testing.assert_allclose(intervals["weighted"][name], expected, rtol=0.02, err_msg=name)
    assert np.isnan(intervals["counts"]["mean"]).all()  # one picture does not tell how pictures differ


@pytest.mark.parametrize("level", ["donor", "sample", "picture"])
def test_the_spread_is_that_of_the_highest_level_that_differs(level: str) -> None:
    """Six units 80 to 130, each of 100 equal vesicles: known to the unit's scatter only, as if N were 6, whichever level they are."""
    units = [[size] * 100 for size in (80.0, 90.0, 100.0, 110.0, 120.0, 130.0)]
    nested = [[unit] for unit in units] if level == "donor" else [units]
    found = population(nested, samples=list("123456") if level == "sample" else None)
    low, high = bootstrap(found, replicates=2000)["sizes"]["mean"]
    error = np.std([80, 90, 100, 110, 120, 130]) / np.sqrt(6)
    assert (low, high) == pytest.approx((105 - 1.96 * error, 105 + 1.96 * error), abs=0.25 * error)
    flat = population([[[size for unit in units for size in unit]]])
    assert _spread(flat) < 0.2 * (high - low)


def test_samples_of_the_same_name_are_their_donors_own() -> None:
    """Two donors, each with samples 1 and 2 that differ: were sample 1 one sample across donors, it would not differ from sample 2."""
    found = population([[[60.0] * 50, [140.0] * 50], [[140.0] * 50, [60.0] * 50]], samples=["1", "2", "1", "2"])
    assert bootstrap(found, replicates=400)["sizes"]["mean"] == (60, 140)
    unknown = replace(found, samples=np.array([""] * 4))
    assert bootstrap(unknown, replicates=400)["sizes"]["mean"] == (60, 140)  # the pictures differ as much


def test_counts_scatter_as_pictures_do_zeros_included() -> None:
    found = population([[[100.0] * count for count in (0, 0, 4, 8)]])
    low, high = bootstrap(found, replicates=2000)["counts"]["mean"]
    error = np.std([0, 0, 4, 8]) / 2
    assert (low, high) == pytest.approx((3 - 1.96 * error, 3 + 1.96 * error), abs=0.5)
    assert _spread(found, "density_per_um2", "counts") == pytest.approx(high - low, abs=0.3)
    assert _spread(found) == 0  # replicates without vesicles say nothing of sizes


def test_density_is_total_by_total() -> None:
    found = population([[[100.0] * 9, [100.0]]])
    found = replace(found, areas_um2=np.array([9.0, 1.0]))
    assert count_statistics(found).density_per_um2 == 1
    assert bootstrap(found, replicates=100)["counts"]["density_per_um2"] == (1, 1)


def test_a_thousand_replicates_of_thousands_of_vesicles_take_seconds() -> None:
    rng = np.random.default_rng(0)
    found = population([[rng.lognormal(4.5, 0.3, 40).tolist() for _ in range(10)] for _ in range(8)])
    start = time.process_time()
    summary = summarise(found)
    assert time.process_time() - start < 5
    for part in ("sizes", "weighted"):
        for name, (low, high) in summary.intervals[part].items():
            assert low <= getattr(getattr(summary, part), name) <= high, (part, name)
    assert summary.intervals["sizes"].keys() == set(SizeStatistics._fields) - {"n"}


# In words


def test_notes_say_what_to_bear_in_mind() -> None:
    many = [90.0] * 30

    def notes(found: Population) -> str:
        return "\n".join(summarise(found, replicates=0).notes)

    assert notes(population([[many]] * 10)) == ""
    assert "only 30 vesicles" in notes(population([[many]]))
    assert "one donor" not in notes(population([[many]]))
    assert "one donor" in notes(population([[many] * 8]))
    assert "donors are unknown" in notes(replace(population([[many] * 8]), donors=np.array([""] * 8)))
    assert "only 3 donors" in notes(population([[many] * 3] * 3))
    assert "1 pictures have no donor" in notes(replace(population([[many] * 3] * 3), donors=np.array([*"aaaabbbb", ""])))
    assert "5 of 240" in notes(replace(population([[many] * 8]), cut=np.array([5] + [0] * 7)))
    assert "2 of 8 pictures" in notes(replace(population([[many] * 8]), areas_um2=np.array([np.nan] * 2 + [1.0] * 6)))


def test_the_summary_is_the_sum_of_its_parts() -> None:
    found = population([[[50, 60, 71], [80]], [[75, 66]]])
    summary = summarise(found, bin_width=5, replicates=30, seed=3)
    assert summary.counts == count_statistics(found)
    assert summary.sizes == size_statistics(found.diameters, bin_width=5)
    assert summary.weighted == size_statistics(found.diameters, found.weights, 5)
    assert summary.intervals == bootstrap(found, 5, 30, 3)
    assert (summary.unit, summary.bin_width) == ("nm", 5)
    assert summarise(found, replicates=0).intervals == {}
