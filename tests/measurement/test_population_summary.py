"""A population in numbers and words."""

from dataclasses import replace

import numpy as np
from populations import nested, population

from exolight.measurement.bootstrap import bootstrap
from exolight.measurement.population import Population
from exolight.measurement.statistics import count_statistics, size_statistics
from exolight.measurement.summary import summarise


def test_the_summary_is_the_sum_of_its_parts() -> None:
    found = population([[[50, 60, 71], [80]], [[75, 66]]])
    summary = summarise(found, bin_width=5, replicates=30, seed=3)
    assert summary.counts == count_statistics(found)
    assert summary.sizes == size_statistics(found.diameters, bin_width=5)
    assert summary.weighted == size_statistics(found.diameters, found.weights, 5)
    assert summary.intervals == bootstrap(found, 5, 30, 3)
    assert (summary.unit, summary.bin_width) == ("nm", 5)
    assert summary.drawn == {"counts": "2 donors", "sizes": "2 donors"}
    nothing = summarise(found, replicates=0)
    assert (nothing.intervals, nothing.drawn) == ({}, {})
    assert summarise(population([[[], [50, 60]]])).drawn == {"counts": "2 pictures", "sizes": "2 vesicles"}
    assert summarise(population([[[50]]])).drawn == {"counts": "", "sizes": ""}


def test_all_levels_are_told_of() -> None:
    summary = summarise(nested(np.random.default_rng(0), donors=3), replicates=50)
    assert summary.drawn["sizes"] == "3 donors"
    for part in ("counts", "sizes", "weighted"):
        for name, (low, high) in summary.intervals[part].items():
            assert low <= getattr(getattr(summary, part), name) <= high, (part, name)


def test_notes_say_what_to_bear_in_mind() -> None:
    many = [90.0] * 30

    def notes(found: Population) -> str:
        return "\n".join(summarise(found, replicates=0).notes)

    assert notes(population([[many]] * 10)) == ""
    assert "only 30 vesicles" in notes(population([[many]]))
    assert "only 1 vesicle sized" in notes(population([[[90.0]]]))
    assert "one donor" not in notes(population([[many]]))
    assert "one donor" in notes(population([[many] * 8]))
    assert "donors are unknown" in notes(replace(population([[many] * 8]), donors=np.array([""] * 8)))
    assert "only 3 donors" in notes(population([[many] * 3] * 3))
    assert "1 picture without a donor" in notes(replace(population([[many] * 3] * 3), donors=np.array([*"aaaabbbb", ""])))
    cut = replace(population([[many] * 8]), counts=np.array([37] + [30] * 7), cut=np.array([5] + [0] * 7))
    assert "5 of 247 vesicles are cut by the border" in notes(cut)
    assert "2 vesicles as large as a picture" in notes(cut)
    assert "2 of 8 pictures" in notes(replace(population([[many] * 8]), areas_um2=np.array([np.nan] * 2 + [1.0] * 6)))
