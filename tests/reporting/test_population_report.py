"""What a finished prediction says of its population, and its conditions beside each other: files, numbers and words."""

import csv
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exolight.errors import InputError
from exolight.measurement.bootstrap import bootstrap
from exolight.measurement.compare import compare
from exolight.measurement.population import Population, population_from_rows
from exolight.measurement.samples import join_samples, read_sample_sheet
from exolight.measurement.statistics import count_statistics, size_statistics
from exolight.reporting import compare_command, population
from exolight.reporting.comparison import tell
from exolight.reporting.plain import plain, write_csv
from exolight.reporting.population import not_analysable, population_report, sampled
from exolight.reporting.tables import IMAGE_COLUMNS, VESICLE_COLUMNS

Row = dict[str, Any]
Tables = tuple[list[Row], list[Row]]


def prediction(donors: int = 6, nm: bool = True, per_picture: int = 12) -> Tables:
    """Rows of two pictures of each donor, in folders donor/sample; those of donors 0, 2, 4 hold smaller vesicles."""
    rng = np.random.default_rng(0)
    images, vesicles = [], []
    for donor in range(donors):
        for field in "ab":
            name, scale = f"D{donor}/grid {field}/EV_1, 2.tif", 2.0 if nm else None
            images.append({"image": name, "width": 1000, "height": 800, "count": per_picture, "pixel_size_nm": scale, "error": None})
            for k, size in enumerate(rng.lognormal(np.log(40 if donor % 2 else 30) + rng.normal(0, 0.05), 0.3, per_picture).round(2).tolist()):
                vesicles.append({"image": name, "diameter_px": size, "diameter_nm": 2 * size if nm else None, "on_border": k == 0})
    return images, vesicles


def sheet(path: Path, images: list[Row], conditions: str = "smaller larger", donors: bool = True) -> Path:
    """Names the donors after the pictures' folders, and gives them the ``conditions`` in turn."""
    names = conditions.split()
    lines = [f'"{row["image"]}",{row["image"][:2] + "," + row["image"][3:9] if donors else ","},{names[int(row["image"][1]) % len(names)]}' for row in images]
    path.write_text("\n".join(["file,donor,sample,condition", *lines]), "utf-8")
    return path


def read_population(images: list[Row], vesicles: list[Row], samples: Path) -> Population:
    return population_from_rows(sampled(images, samples), vesicles)


def read(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_prediction(folder: Path, tables: Tables) -> Path:
    folder.mkdir(parents=True)
    for name, columns, rows in zip(("images.csv", "detections.csv"), (IMAGE_COLUMNS, VESICLE_COLUMNS), tables, strict=True):
        write_csv(folder / name, columns, rows)
    return folder


# The report


def test_without_a_sheet_there_are_all_and_every_picture_and_a_template(tmp_path: Path) -> None:
    images, vesicles = prediction()
    failed = {"image": "broken.tif", "width": None, "height": None, "count": None, "pixel_size_nm": None, "error": "unreadable"}
    told = population_report(tmp_path, [*images, failed], vesicles)
    rows = read(tmp_path / "statistics.csv")
    assert [row["level"] for row in rows] == ["all"] + ["picture"] * 12
    assert [row["picture"] for row in rows[1:]] == [row["image"] for row in images]
    found = population_from_rows(images, vesicles)
    counts, sizes, weighted = count_statistics(found), size_statistics(found.diameters), size_statistics(found.diameters, found.weights)
    intervals = bootstrap(found)
    for names, numbers, part in (
        ({"mean": "vesicles_per_picture", "density_per_um2": "density_per_um2", "cut": "cut", "empty": "empty"}, counts, "counts"),
        ({"n": "sized", "mean": "mean", "mode": "mode", "median": "median", "d90": "d90", "log_sd": "log_sd"}, sizes, "sizes"),
        ({"mean": "weighted_mean", "median": "weighted_median", "d10": "weighted_d10", "span": "weighted_span"}, weighted, "weighted"),
    ):
        for name, column in names.items():
            assert float(rows[0][column]) == pytest.approx(getattr(numbers, name), rel=1e-5), column
            assert told[part][name] == pytest.approx(getattr(numbers, name), rel=1e-5)
            if name in intervals[part]:
                ends = [float(rows[0][f"{column}_{end}"]) for end in ("low", "high")]
                assert ends == pytest.approx(intervals[part][name], rel=1e-5)
                assert told["intervals"][part][name] == ends
    assert (rows[0]["unit"], rows[0]["bin_width"], rows[0]["sizes_drawn"]) == ("nm", "10.0", "12 pictures")
    one = population_from_rows(images[3:4], [row for row in vesicles if row["image"] == images[3]["image"]])
    assert float(rows[4]["median"]) == pytest.approx(size_statistics(one.diameters).median)
    assert rows[4]["vesicles_per_picture_low"] == ""  # one picture does not tell how pictures differ
    assert rows[4]["sizes_drawn"] == "11 vesicles"
    assert told["diameter"] == "box diameter √(w·h)"
    assert any("donors are unknown" in note for note in told["notes"])
    json.dumps(told, allow_nan=False)
    lines = read_sample_sheet(tmp_path / "samples.csv")
    assert [(line.file, line.sample, line.condition) for line in lines[:2]] == [(images[0]["image"], "D0/grid a", ""), (images[1]["image"], "D0/grid b", "")]
    assert (tmp_path / "figures/size_histogram.png").stat().st_size > 10_000
    assert not (tmp_path / "figures/compare.png").exists()


def test_with_a_sheet_every_level_has_its_rows_and_conditions_are_compared(tmp_path: Path) -> None:
    images, vesicles = prediction()
    given = sheet(tmp_path / "given.csv", images)
    (tmp_path / "out").mkdir()
    told = population_report(tmp_path / "out", images, vesicles, given, bin_width=5)
    rows = read(tmp_path / "out/statistics.csv")
    levels = [row["level"] for row in rows]
    assert {level: levels.count(level) for level in dict.fromkeys(levels)} == {"all": 1, "condition": 2, "donor": 6, "sample": 12, "picture": 12}
    donor = next(row for row in rows if row["level"] == "donor" and row["donor"] == "D3")
    assert (donor["condition"], donor["sample"], donor["picture"], donor["pictures"], donor["sizes_drawn"]) == ("larger", "", "", "2", "2 samples")
    sample = next(row for row in rows if row["level"] == "sample" and row["donor"] == "D3")
    assert (sample["condition"], sample["sample"], sample["picture"]) == ("larger", "grid a", "")
    joined = population_from_rows(join_samples(images, read_sample_sheet(given)), vesicles)
    larger = joined.split("condition")[("larger",)]
    condition = next(row for row in rows if row["level"] == "condition" and row["condition"] == "larger")
    assert float(condition["weighted_d50"]) == pytest.approx(size_statistics(larger.diameters, larger.weights).d50, rel=1e-5)
    assert (condition["sizes_drawn"], told["drawn"]["sizes"], told["bin_width"]) == ("3 donors", "6 donors", 5)
    assert (tmp_path / "out/samples.csv").read_bytes() == given.read_bytes()  # so that it can be compared again
    for name in ("comparison.csv", "comparison.json", "figures/compare.png", "figures/size_histogram.png"):
        assert (tmp_path / "out" / name).stat().st_size > 100
    assert not list((tmp_path / "out").glob(".*"))


def test_a_sheet_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    images, vesicles = prediction(2)
    (tmp_path / "samples.csv").write_text("somebody's work")
    population_report(tmp_path, images, vesicles)
    population_report(tmp_path, images, vesicles, sheet(tmp_path / "given.csv", images))
    assert (tmp_path / "samples.csv").read_text() == "somebody's work"


def test_conditions_that_cannot_be_compared_lose_nothing(tmp_path: Path) -> None:
    images, vesicles = prediction()
    told = population_report(tmp_path, images, vesicles, sheet(tmp_path / "given.csv", images, donors=False))
    assert "conditions are not compared: D0/grid a/EV_1, 2.tif: condition 'smaller', but no donor" in told["notes"][-1]
    assert len(read(tmp_path / "statistics.csv")) > 12
    assert not (tmp_path / "comparison.csv").exists()
    one = population_report(tmp_path, images, vesicles, sheet(tmp_path / "given.csv", images, "only"))
    assert not any("compared" in note for note in one["notes"])


def test_nothing_found_and_no_pixel_size_are_no_errors(tmp_path: Path) -> None:
    images, vesicles = prediction(nm=False)
    told = population_report(tmp_path, images, vesicles)
    assert (told["unit"], told["bin_width"], told["counts"]["density_per_um2"]) == ("px", 5, None)
    nothing = population_report(tmp_path, images, [], sheet(tmp_path / "given.csv", images))
    assert (nothing["counts"]["vesicles"], nothing["sizes"]["median"], nothing["intervals"]["sizes"]["median"]) == (0, None, [None, None])
    nobody = population_report(tmp_path, [], [])
    assert nobody["counts"]["pictures"] == 0


def test_outlines_give_another_diameter(tmp_path: Path) -> None:
    images, vesicles = prediction(2)
    rows = [row | {"measured_from": "contour" if k else "box"} for k, row in enumerate(vesicles)]
    assert population_report(tmp_path, images, rows)["diameter"] == "area-equivalent diameter"
    assert population_report(tmp_path, images, [row | {"measured_from": "box"} for row in vesicles])["diameter"] == "box diameter √(w·h)"


def unanalysed(tables: Tables, *names: str) -> Tables:
    """The same tables, where the pictures that begin like this could be read and not analysed."""
    images = [row | ({"count": None, "quality_verdict": "reject"} if row["image"].startswith(names) else {}) for row in tables[0]]
    return images, [row for row in tables[1] if not row["image"].startswith(names)]


def test_pictures_that_are_not_analysable_are_in_no_number_and_are_told(tmp_path: Path) -> None:
    images, vesicles = unanalysed(prediction(), "D1/grid a", "D5/")
    given = sheet(tmp_path / "given.csv", images)
    (tmp_path / "out").mkdir()
    told = population_report(tmp_path / "out", images, vesicles, given)
    rows = read(tmp_path / "out/statistics.csv")

    def row(level: str, **names: str) -> Row:
        return next(one for one in rows if one["level"] == level and all(one[key] == value for key, value in names.items()))

    assert (row("all")["pictures"], row("all")["not_analysable"], row("all")["empty"]) == ("9", "3", "0")
    assert [(row("condition", condition=one)["pictures"], row("condition", condition=one)["not_analysable"]) for one in ("smaller", "larger")] == [
        ("6", "0"), ("3", "3"),
    ]  # fmt: skip
    assert (row("donor", donor="D1")["pictures"], row("donor", donor="D1")["not_analysable"]) == ("1", "1")
    lost = row("donor", donor="D5")
    assert lost["not_analysable"] == "2"
    assert {value for key, value in lost.items() if key not in ("level", "condition", "donor", "not_analysable")} == {""}
    assert [one["level"] for one in rows] == sorted((one["level"] for one in rows), key=["all", "condition", "donor", "sample", "picture"].index)
    assert sum(one["level"] == "picture" for one in rows) == 12
    assert told["notes"][0] == "3 of 12 pictures are not analysable (images.csv says why): they are in no number"
    assert told["counts"]["pictures"] == 9
    content = json.loads((tmp_path / "out/comparison.json").read_text("utf-8"))
    assert content["not_analysable"] == {"larger": 3}
    assert {point["donor"] for pair in content["pairs"] for point in pair["points"]} == {"D0", "D1", "D2", "D3", "D4"}
    assert [one["image"] for one in not_analysable(sampled(images))] == [f"{name}/EV_1, 2.tif" for name in ("D1/grid a", "D5/grid a", "D5/grid b")]


def test_compare_says_what_is_left_out(tmp_path: Path, capsys: Any) -> None:
    tables = prediction()
    some = write_prediction(tmp_path / "some", unanalysed(tables, "D5/"))
    given = sheet(tmp_path / "given.csv", tables[0])
    assert compare_command.main([str(some), f"samples={given}"]) == 0
    assert "(2 of 12 pictures are not analysable and left out)" in capsys.readouterr().out
    most = write_prediction(tmp_path / "most", unanalysed(tables, "D1/", "D3/", "D5/"))
    assert compare_command.main([str(most), f"samples={given}"]) == 2
    said = capsys.readouterr().err
    assert "names only the condition 'smaller'; two are needed to compare (6 of 12 pictures are not analysable and left out)" in said


def test_too_many_bins_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"bin=0\.001: the largest vesicle would be in bin \d+; give a larger width in nm"):
        population_report(tmp_path, *prediction(2), bin_width=0.001)


def test_pictures_have_fewer_replicates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a thousand pictures they would take minutes."""
    asked = []
    original = population.summarise
    monkeypatch.setattr(population, "summarise", lambda group, width, replicates: asked.append(replicates) or original(group, width, replicates))
    population_report(tmp_path, *prediction(2))
    assert asked == [400] + [100] * 4


# The comparison


def test_the_comparison_is_written_as_it_was_found(tmp_path: Path) -> None:
    images, vesicles = prediction(6)
    given = sheet(tmp_path / "given.csv", images, "a b c")
    population_report(tmp_path, images, vesicles, given)
    pairs = compare(read_population(images, vesicles, given))
    rows = read(tmp_path / "comparison.csv")
    assert [(row["first"], row["second"], row["quantity"]) for row in rows] == [
        (first, second, quantity) for first, second in (("a", "b"), ("a", "c"), ("b", "c")) for quantity in ("median_diameter", "density")
    ]
    for row, effect in zip(rows, [effect for pair in pairs for effect in (pair.size, pair.density)], strict=True):
        assert float(row["difference"]) == pytest.approx(effect.difference, rel=1e-5)
        assert [float(row["low"]), float(row["high"])] == pytest.approx(effect.interval, rel=1e-5)
        for column, value in (("p_value", effect.p_value), ("p_holm", effect.p_holm), ("smallest_p", effect.smallest_p)):
            assert float(row[column]) == pytest.approx(value, rel=1e-5)
        assert float(row["hedges_g"] or "nan") == pytest.approx(effect.hedges_g if effect.hedges_g is not None else np.nan, rel=1e-5, nan_ok=True)
        assert (row["donors_first"], row["vesicles_first"], row["note"], row["paired"]) == ("2", "48", effect.note, "False")
    assert float(rows[0]["wasserstein"]) == pytest.approx(pairs[0].wasserstein, rel=1e-5)
    assert (rows[0]["unit"], rows[1]["unit"], rows[1]["wasserstein"]) == ("nm", "1/um2", "")
    content = json.loads((tmp_path / "comparison.json").read_text("utf-8"))
    assert content["pairs"][2]["size"]["p_holm"] == pytest.approx(pairs[2].size.p_holm, rel=1e-5)
    assert [point["donor"] for point in content["pairs"][0]["points"]] == ["D0", "D3", "D1", "D4"]
    assert (content["samples"], content["unit"], content["border_weighted"], content["bin_width"]) == (str(given), "nm", True, 10)
    assert content["in_words"] == [line.strip() for line in tell(pairs).splitlines()]


def test_words_say_what_the_numbers_do(tmp_path: Path) -> None:
    images, vesicles = prediction(8)
    pair = compare(read_population(images, vesicles, sheet(tmp_path / "s.csv", images)))[0]
    said = tell([pair])
    assert said.startswith('"smaller" (4 donors, 96 vesicles) and "larger" (4 donors, 96 vesicles):\n')
    size, density = (line for line in said.splitlines() if "donors' " in line)
    assert f'on average {pair.size.difference:.3g} nm larger in "larger" (95 % interval of the difference +' in size
    assert f"p = {pair.size.p_value:.2g}, Hedges' g = +" in size
    assert "the same in both" in density
    assert "corrected" not in said
    assert "corrected for several pairs" in tell([pair, pair])
    assert f"{pair.ks:.2f} (Kolmogorov-Smirnov)" in said
    lone = compare(read_population(*prediction(2), sheet(tmp_path / "s.csv", images)))
    assert "Hedges" not in tell(lone)
    assert "p =" not in tell(lone)
    assert "No p-value and no interval: the vesicles of one donor are not independent" in tell(lone)
    px = compare(read_population(*prediction(4, nm=False), sheet(tmp_path / "s.csv", images)))
    assert "The donors' densities are not compared. No p-value" in tell(px)


def test_plain_values_are_what_json_knows() -> None:
    sizes = size_statistics([50.0, 60])
    assert plain({1: (np.float64(1 / 3), float("nan"), True), "sizes": sizes})["1"] == [0.333333, None, True]
    assert plain(sizes)["mean"] == 55
    json.dumps(plain(sizes), allow_nan=False)


# The command


@pytest.mark.parametrize("name", ["EV grid 3 (donor=2)", "bin=7", "Proença, µ", "samples=x"])
def test_a_finished_prediction_is_compared_without_predicting_again(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    images, vesicles = prediction(8)
    folder = write_prediction(tmp_path / name, (images, vesicles))
    sheet(folder / "samples.csv", images)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert compare_command.main([name, "bin=5"]) == 0
    out = capsys.readouterr().out
    assert out.startswith('"smaller" (4 donors, 96 vesicles) and "larger" (4 donors, 96 vesicles):')
    assert name in out.splitlines()[-1]
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name in before} == before
    assert {"statistics.csv", "comparison.csv", "comparison.json", "figures"} <= {path.name for path in folder.iterdir()}
    assert read(folder / "statistics.csv")[0]["bin_width"] == "5.0"
    direct = read_population(images, vesicles, folder / "samples.csv")
    assert float(read(folder / "comparison.csv")[0]["difference"]) == pytest.approx(compare(direct)[0].size.difference, rel=1e-4)


def test_the_sheet_and_the_output_can_lie_elsewhere(tmp_path: Path, capsys: Any) -> None:
    images, vesicles = prediction(4)
    folder = write_prediction(tmp_path / "prediction", (images, vesicles))
    given, output = sheet(tmp_path / "a=b, ü.csv", images), tmp_path / "new (1)" / "out=put"
    assert compare_command.main([f"output={output}", str(folder), f"samples={given}"]) == 0
    assert (output / "comparison.csv").exists()
    assert sorted(path.name for path in folder.iterdir()) == ["detections.csv", "images.csv"]
    assert str(output) in capsys.readouterr().out


def test_without_a_sheet_one_is_written_to_be_filled_in(tmp_path: Path, capsys: Any) -> None:
    folder = write_prediction(tmp_path / "prediction", prediction(2))
    assert compare_command.main([str(folder)]) == 2
    assert "one has been written; fill in donor and condition" in capsys.readouterr().err
    assert len(read_sample_sheet(folder / "samples.csv")) == 4
    assert compare_command.main([str(folder)]) == 2
    assert "samples.csv: the sample sheet names no condition; two are needed to compare" in capsys.readouterr().err
    assert not (folder / "comparison.csv").exists()


def test_what_is_wrong_is_one_line(tmp_path: Path, capsys: Any, caplog: pytest.LogCaptureFixture) -> None:
    images, vesicles = prediction(4)
    folder = write_prediction(tmp_path / "prediction", (images, vesicles))
    given = sheet(tmp_path / "given.csv", images)
    unfinished = write_prediction(tmp_path / "unfinished", (images, vesicles))
    (unfinished / "unfinished.json").write_text("{}")
    broken = write_prediction(tmp_path / "broken", (images, vesicles))
    table = broken / "detections.csv"
    table.write_text(table.read_text("utf-8").replace(",", ";"), "utf-8")
    mangled = write_prediction(tmp_path / "mangled", (images, vesicles))
    table = mangled / "images.csv"
    table.write_text(table.read_text("utf-8").replace("1000", "1.000,0"), "utf-8")
    worded = write_prediction(tmp_path / "worded", (images, vesicles))
    table = worded / "detections.csv"
    table.write_text(table.read_text("utf-8").replace(",30", ",thirty"), "utf-8")
    short = write_prediction(tmp_path / "short", (images, vesicles))
    table = short / "detections.csv"
    table.write_text(table.read_text("utf-8").replace("on_border", "border"), "utf-8")
    (tmp_path / "file").write_text("")
    other = sheet(tmp_path / "other.csv", [row | {"image": f"D{k}/x_/{k}.tif"} for k, row in enumerate(images)])
    for arguments, words in (
        ([str(tmp_path / "nowhere")], "no such folder"),
        ([str(tmp_path / "bins=5")], "options are samples=, bin= and output="),
        ([str(tmp_path)], "no prediction (detections.csv and images.csv not there)"),
        ([str(unfinished)], "not finished; repeat its command"),
        ([str(folder), "bin=wide"], "bin=wide: a number above 0"),
        ([str(folder), "bin=-5"], "bin=-5: a number above 0"),
        ([str(folder), "bin=inf"], "bin=inf: a number above 0"),
        ([str(folder), "bin="], "bin=: nothing stands behind it"),
        ([str(folder), str(tmp_path)], "one finished prediction"),
        (["bin=5"], "one finished prediction"),
        ([str(folder), "samples=nowhere.csv"], "nowhere.csv: cannot be read"),
        ([str(folder), f"samples={other}"], "names none of the 8 pictures"),
        ([str(folder), f"samples={given}", f"output={tmp_path / 'file'}"], "is a file; give a folder"),
        ([str(folder), f"samples={given}", "bin=1e-6"], "give a larger width"),
        ([str(folder), f"samples={sheet(tmp_path / 'one.csv', images, 'only')}"], "one.csv: the sample sheet names only the condition 'only'"),
        ([str(broken), f"samples={given}"], "detections.csv: not as predict.py wrote it (no column image, diameter_px"),
        ([str(short), f"samples={given}"], "detections.csv: not as predict.py wrote it (no column on_border)"),
        ([str(mangled), f"samples={given}"], "images.csv: not as predict.py wrote it (8 of 8 rows are not whole)"),
        ([str(worded), f"samples={given}"], "detections.csv: not as predict.py wrote it (could not convert"),
    ):
        with caplog.at_level(logging.CRITICAL):
            assert compare_command.main(arguments) == 2, arguments
        error = capsys.readouterr().err
        assert words in error, (arguments, error)
        assert error.count("\n") == 1, error


def test_help_is_printed(capsys: Any) -> None:
    assert compare_command.main(["--help"]) == 0
    assert compare_command.main([]) == 2
    assert capsys.readouterr().out.count("exolight compare PREDICTION [samples=SHEET.csv]") == 2
