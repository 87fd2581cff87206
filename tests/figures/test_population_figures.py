"""What the figures of a population show, read from their artists."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from exolight.figures.population import ConditionSample, SizeSample, compare_figure, size_histogram_figure
from exolight.figures.style import save


def texts(figure: Figure) -> str:
    """All words of a figure."""
    said = [text.get_text() for axes in figure.axes for text in (*axes.texts, axes.title, axes.xaxis.label, axes.yaxis.label)]
    said += [axes.get_title(loc="left") for axes in figure.axes] + [tick.get_text() for axes in figure.axes for tick in axes.get_xticklabels()]
    said += [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return "\n".join([*said, figure.get_supxlabel()])


def sample(n: int = 60) -> SizeSample:
    return SizeSample(np.array([50.0, 60, 70, 80]), np.array([10.0, 30, 20]), n, 64.0, (61.0, 67.5), 55.0, 75.0, np.log(63), 0.2)


NOTHING = SizeSample(np.zeros(1), np.zeros(0), 0, *[np.nan] * 1, (np.nan, np.nan), *[np.nan] * 4)


def condition(name: str, donors: int = 3, shift: float = 0.0, densities: bool = True) -> ConditionSample:
    medians = 80 + shift + np.arange(donors)
    known = np.arange(donors) + 5.0 if densities else np.full(donors, np.nan)
    nothing = (np.nan, np.nan, np.nan)
    mean = (float(medians.mean()), 70.0 + shift, 92.0 + shift) if donors > 1 else (float(medians.mean()), np.nan, np.nan)
    diameters = np.repeat(medians, 4) + np.tile([-20.0, -5, 5, 30], donors)
    weights = np.full(4 * donors, 0.25)
    names = [f"{name}{k}" for k in range(donors)]
    return ConditionSample(name, names, medians, known, mean, (float(known.mean()), 2.0, 9.0) if densities else nothing, diameters, weights)


def test_the_histogram_shows_bins_fit_median_and_deciles() -> None:
    figure = size_histogram_figure([("", sample(), sample()._replace(median=66.0))], "nm", "box diameter", "A caption about $5 bins.")
    left, right = figure.axes
    for axes, median in ((left, 64), (right, 66)):
        outline = axes.patches[-1].get_data()
        np.testing.assert_array_equal(outline.edges, [50, 60, 70, 80])
        np.testing.assert_array_equal(outline.values, [10, 30, 20])
        curve, lines = axes.lines[-1], [line.get_xdata()[0] for line in axes.lines[:-1]]
        assert lines == [median, 55, 75]
        x, y = curve.get_data()
        expected = 60 * 10 * np.exp(-0.5 * ((np.log(x) - np.log(63)) / 0.2) ** 2) / (x * 0.2 * np.sqrt(2 * np.pi))
        np.testing.assert_allclose(y, expected)
    words = texts(figure)
    for part in ("n = 60", "median 64.0 (61.0 to 67.5) nm", "D10 55.0, D90 75.0 nm", "log-normal 63.0 nm, σ of ln 0.20", "box diameter (nm)", "as found"):
        assert part in words, part
    assert "border-weighted" in words
    assert "vesicles per 10 nm" in words
    assert r"A caption about \$5 bins." in words  # no formula


def test_each_condition_has_a_row_while_they_fit_a_page() -> None:
    figure = size_histogram_figure([(f"condition {k}", sample(), sample()) for k in range(7)], "px", "box diameter", "Caption.")
    assert len(figure.axes) == 10
    assert figure.get_figheight() < 10.5  # the height of an A4 page's text
    words = texts(figure)
    assert "condition 4: as found" in words
    assert "condition 5" not in words
    assert "2 more conditions are in statistics.csv" in words


def test_nothing_sized_says_so() -> None:
    assert texts(size_histogram_figure([("", NOTHING, NOTHING)], "nm", "box diameter", "")).count("no vesicle is sized") == 2
    mixed = size_histogram_figure([("a", sample(), sample()), ("b", NOTHING, NOTHING)], "nm", "box diameter", "")
    assert texts(mixed).count("no vesicle is sized") == 2
    one = sample(1)._replace(log_sd=np.nan, interval=(np.nan, np.nan))
    words = texts(size_histogram_figure([("", one, one)], "nm", "box diameter", ""))
    assert "median 64.0 nm" in words
    assert "log-normal" not in words


def test_donors_means_and_distributions_are_drawn() -> None:
    figure = compare_figure([condition("control"), condition("ill", 4, 10)], "nm", 10.0, "box diameter", "What was found.")
    medians, densities, shares, cumulative = figure.axes
    np.testing.assert_array_equal(medians.lines[0].get_ydata(), [80, 81, 82])
    assert [line.get_ydata()[0] for line in medians.lines if len(line.get_xdata()) == 2][:1] == [81]
    (low, high) = medians.collections[0].get_segments()[0][:, 1]
    assert (low, high) == pytest.approx((70, 92))
    np.testing.assert_array_equal(densities.lines[0].get_ydata(), [5, 6, 7])
    markers = [line.get_marker() for line in medians.lines if line.get_linestyle() == "None" and len(line.get_xdata()) > 2]
    assert len(set(markers)) == 2
    for patch in shares.patches:
        assert patch.get_data().values.sum() == pytest.approx(1)
    assert len({(patch.get_edgecolor(), patch.get_linestyle()) for patch in shares.patches}) == 2
    for line in cumulative.lines:
        assert line.get_ydata()[0] == 0
        assert line.get_ydata()[-1] == 1
        assert (np.diff(line.get_ydata()) >= 0).all()
    words = texts(figure)
    for part in ("control\n3 donors", "ill\n4 donors", "control: 3 donors, 12 sized", "median box diameter (nm)", "What was found."):
        assert part in words, part
    assert "share of the vesicles per 10 nm" in words


def test_shares_are_of_donors_that_weigh_the_same() -> None:
    """Ninety vesicles of one donor and one of another are half each."""
    weights = np.array([1 / 90] * 90 + [1.0])
    one = condition("a", 2)._replace(diameters=np.array([55.0] * 90 + [75.0]), weights=weights)
    shares, cumulative = compare_figure([one, condition("b")], "nm", 10.0, "d", "").axes[2:]
    first = shares.patches[0].get_data()
    assert dict(zip(first.edges[:-1], first.values, strict=True))[50] == pytest.approx(0.5)
    assert dict(zip(first.edges[:-1], first.values, strict=True))[70] == pytest.approx(0.5)
    x, y = cumulative.lines[0].get_data()
    assert y[np.searchsorted(x, 60) - 1] == pytest.approx(0.5)


def test_donors_of_both_conditions_are_joined() -> None:
    before, after = condition("before"), condition("after", 3, 5)._replace(donors=["before2", "before0", "before1"])
    joined = [line for line in compare_figure([before, after], "nm", 10.0, "d", "", paired=True).axes[0].lines if line.get_linewidth() == 0.7]
    np.testing.assert_array_equal([line.get_ydata() for line in joined], [[80, 86], [81, 87], [82, 85]])
    assert not [line for line in compare_figure([before, after], "nm", 10.0, "d", "").axes[0].lines if line.get_linewidth() == 0.7]


def test_what_is_not_known_is_said_and_a_wide_interval_leaves_the_points_apart() -> None:
    one, two = condition("a", 1, densities=False), condition("b", 2, densities=False)
    two = two._replace(median_mean=(80.5, 5.0, 1000.0))
    figure = compare_figure([one, two], "px", 5.0, "d", "")
    assert "no pixel size is known" in texts(figure)
    assert figure.axes[0].get_ylim()[1] < 150
    nothing = one._replace(medians=np.array([np.nan]), median_mean=(np.nan,) * 3, diameters=np.zeros(0), weights=np.zeros(0))
    assert texts(compare_figure([nothing, nothing], "px", 5.0, "d", "")).count("no vesicle is sized") == 3
    assert "no vesicle is sized" not in texts(compare_figure([nothing, two], "px", 5.0, "d", ""))


def test_many_conditions_with_long_names_are_saved(tmp_path: Path) -> None:
    conditions = [condition(f"a very long name of a condition {k} $x", 3, 4 * k) for k in range(9)]
    save(compare_figure(conditions, "nm", 10.0, "box diameter", "Caption " * 60), tmp_path / "compare.png")
    assert (tmp_path / "compare.png").stat().st_size > 10_000
