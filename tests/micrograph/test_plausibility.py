"""What headers say about the scale of a folder, by hand."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from exolight.micrograph import Header, read_header
from exolight.micrograph.plausibility import doubts_of_scale

WIDTH = 2048


def header(name: str, nm: float | None, source: str = "Olympus SIS TIFF", width: int = WIDTH, warnings: tuple[str, ...] = ()) -> Header:
    return Header((2048, width), nm, "unknown" if nm is None else source, Path("folder") / name, warnings)


def series(count: int, nm: float | None, source: str = "Olympus SIS TIFF", first: int = 0) -> list[Header]:
    return [header(f"{k}.tif", nm, source) for k in range(first, first + count)]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        series(5, None),
        series(5, 0.62),
        series(3, 0.62) + series(3, 0.9),  # less than half as coarse again
        [header("a.tif", 0.62), header("b.tif", 0.622), header("c.tif", 0.62, "FEI TIFF", 4096)],  # another microscope's camera
        [header("a.tif", 0.62), header("b.tif", 0.62), header("binned.tif", 0.9, width=1024)],
        [header("a.tif", 0.62, "ImageJ TIFF"), header("b.tif", 0.62, "ImageJ TIFF", 900)],  # ImageJ cropped it, or wrote the new size
        [header("a.tif", 0.62, "user"), header("b.tif", 0.62, "user", 900)],
        [header("a.tif", 0.62), header("b.tif", 0.62, width=1024, warnings=("its metadata ...: it was resized or cropped after recording",))],
    ],
)
def test_nothing_doubtful(headers: list[Header]) -> None:
    assert doubts_of_scale(headers) == []


def test_mixed_magnifications_are_counted() -> None:
    (doubt,) = doubts_of_scale(series(2, 1.25, first=4) + series(4, 0.62))
    assert doubt == (
        "mixed magnifications: 0.62 nm per pixel in 4 pictures (0.tif, 1.tif, 2.tif, ...), 1.25 nm per pixel in 2 pictures (4.tif, 5.tif); "
        "sizes in nm are right only if each of these is"
    )


def test_of_many_magnifications_the_range_is_told() -> None:
    (doubt,) = doubts_of_scale([header(f"{k}.tif", 1 + k / 10) for k in range(9)])
    assert doubt.startswith("mixed magnifications: 1 nm per pixel (0.tif) to 1.8 (8.tif); ")


def test_some_with_a_pixel_size_and_some_without() -> None:
    (doubt,) = doubts_of_scale([*series(3, 0.62), header("a.png", None)])
    assert doubt == "nm per pixel unknown in 1 picture (a.png), known in the other 3; sizes stay in pixels where it is unknown"


def test_the_same_pixel_size_at_another_width() -> None:
    (doubt,) = doubts_of_scale([header("small.tif", 0.62, width=1024), *series(3, 0.62)])
    assert doubt.startswith("1 picture (small.tif) of another width, 1024 px, than others of the same microscope with the same nm per pixel; ")
    assert "resized after recording" in doubt


def test_everything_at_once_and_from_files(tmp_path: Path) -> None:
    for name, per_um in (("a.tif", 1000), ("b.tif", 400)):
        tifffile.imwrite(tmp_path / name, np.zeros((8, 9), np.uint8), imagej=True, resolution=(per_um, per_um), metadata={"unit": "um"})
    tifffile.imwrite(tmp_path / "c.tif", np.zeros((8, 9), np.uint8))
    headers = [read_header(path) for path in sorted(tmp_path.iterdir())]
    doubts = doubts_of_scale([*headers, header("w.tif", 1.0, "TIA"), header("x.tif", 1.0, "TIA", 900)])
    assert [doubt.split()[0] for doubt in doubts] == ["mixed", "nm", "1"]
    assert doubts_of_scale([read_header(path, 0.5) for path in sorted(tmp_path.iterdir())]) == []
