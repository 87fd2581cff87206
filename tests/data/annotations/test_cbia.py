"""The CBIA layout as unpacked: datasets are groups, pixel sizes come from resolution.xlsx."""

import zipfile
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pytest
import tifffile

from exolight.data.annotations import read_cbia
from exolight.errors import InputError

HW = (30, 50)
MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'


def write_table(path: Path, rows: list[tuple[object, object]], kind: str = "shared") -> None:
    """A minimal xlsx; texts shared or inline, as Excel and other programs write them."""
    strings: list[str] = []

    def cell(reference: str, value: object) -> str:
        if isinstance(value, int | float):
            return f'<c r="{reference}"><v>{value}</v></c>'
        if kind == "inline":
            return f'<c r="{reference}" t="inlineStr"><is><t>{escape(str(value))}</t></is></c>'
        strings.append(str(value))
        return f'<c r="{reference}" t="s"><v>{len(strings) - 1}</v></c>'

    lines = "".join(f'<row r="{n}">{cell(f"A{n}", a)}{cell(f"B{n}", b)}</row>' for n, (a, b) in enumerate(rows, start=1))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/worksheets/sheet1.xml", f"<worksheet {MAIN}><sheetData>{lines}</sheetData></worksheet>")
        if strings:
            archive.writestr("xl/sharedStrings.xml", f"<sst {MAIN}>{''.join(f'<si><t>{escape(text)}</t></si>' for text in strings)}</sst>")


def write_pictures(root: Path, counts: tuple[int, ...] = (2, 1, 2)) -> None:
    for dataset, count in enumerate(counts, start=1):
        for folder in ("dataset", "annotations"):
            (root / f"{folder}_{dataset:02}").mkdir(parents=True)
        for number in range(1, count + 1):
            mask = np.zeros(HW, np.uint16)
            mask[3:13, 20 : 20 + 5 * dataset] = 1
            mask[20:30, :number] = 9
            tifffile.imwrite(root / f"dataset_{dataset:02}" / f"{number:02}.tif", np.full(HW, 900, np.uint16))
            tifffile.imwrite(root / f"annotations_{dataset:02}" / f"seg_{number:02}.tif", mask)


NAMES = ["dataset_01/01.tif", "dataset_01/02.tif", "dataset_02/01.tif", "dataset_03/01.tif", "dataset_03/02.tif"]
SIZES = [1.1, 1.2, 2.1, 3.1, 3.2]


def test_boxes_groups_and_class(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_pictures(tmp_path)
    images, names = read_cbia(tmp_path)
    assert [image.name for image in images] == NAMES
    assert names == ["exosome"]
    assert [image.group for image in images] == ["dataset_01", "dataset_01", "dataset_02", "dataset_03", "dataset_03"]
    np.testing.assert_array_equal(images[1].boxes, [[20, 3, 25, 13], [0, 20, 2, 30]])
    np.testing.assert_array_equal(images[3].boxes, [[20, 3, 35, 13], [0, 20, 1, 30]])
    assert images[0].read().pixels.dtype == np.uint16
    assert images[0].pixel_size_nm is None
    assert "no resolution.xlsx" in caplog.text


@pytest.mark.parametrize("kind", ["shared", "inline"])
@pytest.mark.parametrize(
    "column",
    [NAMES, ["01/01", "01/02", "02/01", "03/01", "03/02"], ["1/1", "1/2", "2/1.TIF", "3\\01", "dataset_03/2"]],
    ids=["paths", "numbers", "careless"],
)
def test_named_rows_in_any_order(tmp_path: Path, kind: str, column: list[str]) -> None:
    write_pictures(tmp_path)
    rows: list[tuple[object, object]] = [*zip(column, SIZES, strict=True)]
    write_table(tmp_path / "resolution.xlsx", [("image", "nm per pixel"), *rows[::-1]], kind)
    assert [image.pixel_size_nm for image in read_cbia(tmp_path).images] == SIZES
    assert [image.read().pixel_size_nm for image in read_cbia(tmp_path).images] == SIZES


def test_ambiguous_rows_are_taken_in_order_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_pictures(tmp_path)
    write_table(tmp_path / "resolution.xlsx", [("01", 1.1), ("02", 1.2), ("01", 2.1), (1, 3.1), (2, 3.2)])
    assert [image.pixel_size_nm for image in read_cbia(tmp_path).images] == SIZES
    assert "in their order" in caplog.text


def test_a_table_in_each_dataset(tmp_path: Path) -> None:
    write_pictures(tmp_path, (2, 1))
    write_table(tmp_path / "dataset_01" / "resolution.xlsx", [("02", "1,2"), (1, 1.1)])
    write_table(tmp_path / "dataset_02" / "resolution.xlsx", [("01.tif", 2.1)])
    assert [image.pixel_size_nm for image in read_cbia(tmp_path).images] == [1.1, 1.2, 2.1]


def refused(root: Path, *parts: str) -> None:
    with pytest.raises(InputError) as error:
        read_cbia(root)
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "no such folder", "dataset_01/NN.tif")
    refused(tmp_path, "no pictures", "dataset_01/NN.tif")
    write_pictures(tmp_path)
    table = tmp_path / "resolution.xlsx"
    write_table(table, [("a", 1.1), ("b", 1.2)])
    refused(tmp_path, "resolution.xlsx", "2 rows", "5 pictures", "name them in column A")
    write_table(table, [*zip(NAMES, [1.1, 1.2, 250.0, 3.1, 3.2], strict=True)])
    refused(tmp_path, "resolution.xlsx", "dataset_02/01.tif", "250")
    table.write_bytes(b"no zip")
    refused(tmp_path, "resolution.xlsx", "save it again")
    table.unlink()
    (tmp_path / "annotations_01" / "seg_01.tif").rename(tmp_path / "annotations_01" / "seg_07.tif")
    refused(tmp_path, "01.tif: no mask annotations_01/seg_01.tif", "and 1 more")
    tifffile.imwrite(tmp_path / "annotations_01" / "seg_01.tif", np.zeros(HW, np.uint16))
    refused(tmp_path, "seg_07.tif", "annotation of a picture that does not exist")
