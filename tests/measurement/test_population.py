"""From tables to populations: units, nesting, what is not sized, and weights that take the border's bias out."""

from typing import Any

import numpy as np
import pytest
from populations import population

from exolight.errors import InputError
from exolight.measurement.population import border_weights, is_analysed, members, population_from_rows
from exolight.measurement.statistics import count_statistics, size_statistics
from exolight.measurement.summary import summarise


def picture(name: str, pixel_size: float | None = 2.0, **more: Any) -> dict[str, Any]:
    return {"image": name, "width": 1000, "height": 500, "pixel_size_nm": pixel_size, "error": None} | more


def vesicle(name: str, px: float, nm: float | None, on_border: bool = False) -> dict[str, Any]:
    return {"image": name, "diameter_px": px, "diameter_nm": nm, "on_border": on_border}


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
        picture("a.tif", donor="d1", sample="s1", condition="old", analysed_share=0.8),
        picture("broken.tif", error="unreadable"),
        picture("blurred.tif", count=None, analysed_share=0.0),
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


def test_a_count_of_0_is_a_count_and_none_is_none() -> None:
    assert is_analysed(picture("a")) is is_analysed(picture("a", count=0)) is is_analysed(picture("a", count=3)) is True
    assert is_analysed(picture("a", count=None)) is is_analysed(picture("a", count=None, error="broken")) is False
    with pytest.raises(InputError, match="not among the 0 pictures"):
        population_from_rows([picture("a", count=None)], [vesicle("a", 50, 100)])


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
    assert found.split("condition").keys() == {("",)}


def test_members_of_groups_in_their_order() -> None:
    assert [one.tolist() for one in members(np.array([2, 0, 2, 0, 0]), 4)] == [[1, 3, 4], [], [0, 2], []]
    assert members(np.zeros(0, np.int64), 0) == []
