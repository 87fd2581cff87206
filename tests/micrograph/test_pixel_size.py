"""Units one by one; what a file says against what the user gives."""

import pytest

from exolight.micrograph.pixel_size import Calibration, nanometres, settle

HW = (40, 70)


@pytest.mark.parametrize(
    ("spellings", "expected"),
    [
        (["pm"], 0.001),
        (["Å", "\u212b", "A", "Angstrom", "angstroms"], 0.1),
        (["nm", " nm ", "nm\0", "NM", "nanometer", "nanometres"], 1.0),
        (["µm", "\u03bcm", "um", "micron", "microns", "\\u00B5m", "micrometre"], 1000.0),
        (["mm"], 1e6),
        (["cm"], 1e7),
        (["m", "meter", "metres"], 1e9),
        (["1/nm", "1/m", "rad", "px", "", "nm^-1", "eV", "s", "inch"], None),
    ],
)
def test_units(spellings: list[str], expected: float | None) -> None:
    assert {nanometres(spelling) for spelling in spellings} == {expected}


@pytest.mark.parametrize("calibration", [None, Calibration("MRC", None), Calibration("MRC", 0.0), Calibration("ImageJ TIFF", 1.0, 1.0, "pixel")])
def test_what_says_nothing_is_unknown_without_a_warning(calibration: Calibration | None) -> None:
    assert settle(calibration, HW) == (None, "unknown", ())
    assert settle(calibration, HW, 2) == (2.0, "user", ())


@pytest.mark.parametrize("size", [0.0499, 20.1, -1.0, float("nan"), float("inf")])
def test_what_is_implausible_is_ignored_with_a_warning(size: float) -> None:
    found, source, (warning,) = settle(Calibration("MRC", size, 3.0), HW)
    assert (found, source) == (None, "unknown")
    assert warning.startswith(f"its MRC metadata say {size:g} nm per pixel")


def test_both_ends_of_the_range_are_plausible() -> None:
    assert settle(Calibration("MRC", 0.5, unit="Å"), HW)[0] == pytest.approx(0.05)
    assert settle(Calibration("MRC", 0.02, unit="µm"), HW)[0] == pytest.approx(20)


def test_a_thousandth_between_x_and_y_is_no_stretch() -> None:
    assert settle(Calibration("DigitalMicrograph", 1.0, 1.001), HW) == (1.0, "DigitalMicrograph", ())
    assert "not square (1 by 1.02 nm)" in settle(Calibration("DigitalMicrograph", 1.0, 1.02), HW)[2][0]


def test_a_recorded_size_that_is_not_the_files() -> None:
    assert settle(Calibration("FEI TIFF", 1.0, recorded_hw=(40, 70)), HW)[2] == ()
    assert settle(Calibration("FEI TIFF", 1.0, recorded_hw=(0, 0)), HW)[2] == ()
    (warning,) = settle(Calibration("FEI TIFF", None, recorded_hw=(160, 280)), HW)[2]
    assert warning == "its FEI TIFF metadata describe 280 x 160 px, the file has 70 x 40: it was resized or cropped after recording"
    (warning,) = settle(Calibration("FEI TIFF", 1.5, recorded_hw=(160, 280)), HW)[2]
    assert warning.endswith("; if it was resized, its pixels are 6 nm, not 1.5")
