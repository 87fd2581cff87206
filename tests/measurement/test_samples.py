"""Sample sheets: as people and Excel write them, what cannot be meant is refused with its line, and a template comes back as it was written."""

import logging
from pathlib import Path
from typing import Any

import pytest

from exolight.errors import InputError
from exolight.measurement.samples import SheetLine, join_samples, read_sample_sheet, write_sample_sheet

HEADER = "file,donor,sample,condition"


def sheet(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "samples.csv"
    path.write_bytes(text.encode(encoding))
    return path


def line(file: str, donor: str = "d", **free: str) -> SheetLine:
    return SheetLine(file, donor, f"sample of {file}", "control", free, f"samples.csv:{len(file)}")


def rows(*names: str) -> list[dict[str, Any]]:
    return [{"image": name, "count": 3} for name in names]


def joined(names: list[str], lines: list[SheetLine]) -> list[str]:
    return [row["sample"] for row in join_samples(rows(*names), lines)]


def test_a_sheet_as_it_is_meant(tmp_path: Path) -> None:
    path = sheet(tmp_path, f'{HEADER},grid,age\na/1.tif,D1,s1,old,"3, upper",70\n\n,,,,,\n.\\a\\2.tif , D1 ,s1,old\nb/1.tif,,,,,\n')
    assert read_sample_sheet(path) == [
        SheetLine("a/1.tif", "D1", "s1", "old", {"grid": "3, upper", "age": "70"}, f"{path}:2"),
        SheetLine("a/2.tif", "D1", "s1", "old", {"grid": "", "age": ""}, f"{path}:5"),
        SheetLine("b/1.tif", "", "", "", {"grid": "", "age": ""}, f"{path}:6"),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_excel_writes(tmp_path: Path, delimiter: str, encoding: str, end: str) -> None:
    cells = [["Condition", "FILE", "Donor", "sample", "ø"], ["müde", "é.tif", "Zoë", "1", "0,5" if delimiter != "," else "0.5"]]
    found = read_sample_sheet(sheet(tmp_path, "".join(delimiter.join(row) + end for row in cells), encoding))
    assert [(one.file, one.donor, one.sample, one.condition) for one in found] == [("é.tif", "Zoë", "1", "müde")]
    assert found[0].free == {"ø": cells[1][4]}


def test_accents_are_equal_however_they_are_made(tmp_path: Path) -> None:
    decomposed = "Proenc\u0327a.tif"
    assert read_sample_sheet(sheet(tmp_path, f"{HEADER}\n{decomposed},,,\n"))[0].file == "Proença.tif"
    assert joined([decomposed], [line("Proença.tif")]) == ["sample of Proença.tif"]


@pytest.mark.parametrize(
    ("text", "number", "parts"),
    [
        ("", 1, ["no column file, donor, sample, condition", "nothing"]),
        ("file,donor,treatment\n", 1, ["no column sample, condition", "treatment"]),
        (f"{HEADER},Donor\n", 1, ["'donor'", "twice"]),
        (f"{HEADER},grid,grid\n", 1, ["'grid'", "twice"]),
        (f"{HEADER}\na.tif,d,s,c\n,d,s,c\n", 3, ["no file"]),
        (f"{HEADER}\na, 1.tif,d,s,c\n", 2, ["5 values for 4 columns"]),
        (f"{HEADER}\na.tif,d,s,c\nb.tif,d,s,c\n./a.tif,d,s,c\n", 4, ["a.tif", "line 2"]),
        (f"{HEADER}\na.tif,d,s,old\nb.tif,d,s,young\n", 3, ["sample 's' of donor 'd'", "'young' here and 'old' in line 2"]),
        (f"{HEADER}\na.tif,d,s,old\nb.tif,d,s2,Old\n", 3, ["condition 'Old' is 'old' in line 2"]),
        (f"{HEADER}\na.tif,d,s,old\nb.tif,D,s2,old\n", 3, ["donor 'D' is 'd' in line 2"]),
        (f"{HEADER}\na.tif,d,s,old\nb.tif,d,S,old\n", 3, ["sample 'S' is 's' in line 2"]),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(tmp_path: Path, text: str, number: int, parts: list[str]) -> None:
    path = sheet(tmp_path, text)
    with pytest.raises(InputError) as error:
        read_sample_sheet(path)
    message = str(error.value)
    assert message.startswith(f"{path}:{number}: ")
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_two_donors_may_use_the_same_sample_name(tmp_path: Path) -> None:
    assert len(read_sample_sheet(sheet(tmp_path, f"{HEADER}\na.tif,d1,s,old\nb.tif,d2,s,young\nc.tif,d3,S,young\n"))) == 3


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="CSV UTF-8"):
        read_sample_sheet(sheet(tmp_path, f"{HEADER}\nmüde.tif,,,\n", "cp1252"))
    with pytest.raises(InputError, match=r"none\.csv: cannot be read"):
        read_sample_sheet(tmp_path / "none.csv")
    with pytest.raises(InputError, match=r"samples\.csv:\d+: no CSV"):
        read_sample_sheet(sheet(tmp_path, f'{HEADER}\n"{"a" * 200_000}",,,\n'))


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_a_template_has_a_line_a_picture_and_its_folder_as_sample(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "samples.csv"
    write_sample_sheet(path, ["donor 1/grid 2/a, é.tif", "b.tif"], root="EV", delimiter=delimiter)
    assert path.read_bytes().startswith(b"\xef\xbb\xbffile")
    found = read_sample_sheet(path)
    assert [one.file for one in found] == ["donor 1/grid 2/a, é.tif", "b.tif"]
    assert [(one.donor, one.sample, one.condition) for one in found] == [("", "donor 1/grid 2", ""), ("", "EV", "")]


def test_a_sheet_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    path = sheet(tmp_path, "filled in")
    with pytest.raises(InputError, match="is there already"):
        write_sample_sheet(path, ["a.tif"])
    assert path.read_text() == "filled in"
    with pytest.raises(InputError, match="cannot be written"):
        write_sample_sheet(tmp_path / "no folder" / "samples.csv", ["a.tif"])


def test_pictures_get_what_the_sheet_says() -> None:
    pictures = rows("b/2.tif", "a/1.tif")
    found = join_samples(pictures, [line("a/1.tif", grid="7"), line("b/2.tif", "D2"), line("of another prediction.tif", age="70")])
    assert found == [
        {"image": "b/2.tif", "count": 3, "donor": "D2", "sample": "sample of b/2.tif", "condition": "control", "grid": "", "age": ""},
        {"image": "a/1.tif", "count": 3, "donor": "d", "sample": "sample of a/1.tif", "condition": "control", "grid": "7", "age": ""},
    ]
    assert pictures == rows("b/2.tif", "a/1.tif")


@pytest.mark.parametrize(
    ("name", "file"),
    [("x/a/1.tif", "a/1.tif"), ("1.tif", "x/a/1.tif"), ("x/1.tif", "1.tif"), ("x\\1.tif", "x/1.tif")],
    ids=["end", "longer", "name", "windows"],
)
def test_one_path_may_be_the_end_of_the_other(name: str, file: str) -> None:
    assert joined([name, "other.tif"], [line(file), line("other.tif")]) == [f"sample of {file}", "sample of other.tif"]


def test_the_whole_name_goes_before_its_end() -> None:
    assert joined(["1.tif", "a/1.tif"], [line("a/1.tif"), line("1.tif")]) == ["sample of 1.tif", "sample of a/1.tif"]


def test_the_same_name_in_another_folder_is_another_picture(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert joined(["b/1.tif", "b/2.tif", "b/11.tif"], [line("a/1.tif"), line("b/2.tif")]) == ["", "sample of b/2.tif", ""]
    assert "2 of 3 pictures are not in the sample sheet (b/1.tif" in caplog.text


def test_guesses_are_refused() -> None:
    with pytest.raises(InputError, match=r"^samples\.csv:5: 1\.tif may be a/1\.tif or b/1\.tif; write the pictures' whole names$"):
        joined(["a/1.tif", "b/1.tif"], [SheetLine("1.tif", "", "", "", {}, "samples.csv:5")])
    with pytest.raises(InputError, match=r"1\.tif may be a/1\.tif or b/1\.tif"):
        joined(["1.tif"], [line("a/1.tif"), line("b/1.tif")])
    with pytest.raises(InputError, match=r"^samples\.csv: names none of the 1 pictures \(c\.tif"):
        joined(["c.tif"], [line("a/1.tif")])
    with pytest.raises(InputError, match="names none"):
        joined(["c.tif"], [])
    with pytest.raises(InputError, match=r"^samples\.csv: the tables have a column 'count'"):
        joined(["a.tif"], [line("a.tif", count="4")])
    assert joined([], [line("a.tif")]) == []
