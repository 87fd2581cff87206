"""Where nm per pixel are from, and what is doubtful about them."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from exolight.errors import InputError
from exolight.inference.pixel_sizes import PixelSize, doubts_before, size_by
from exolight.micrograph import Micrograph, ScaleBar

BAR = ScaleBar(200.0, (10.0, 80.0, 210.0, 84.0), "100 nm", 100.0, (80.0, 60.0, 140.0, 74.0), 0.97)  # 0.5 nm per pixel
FIELD = np.full((100, 300), 120, np.uint8)


def test_a_bar_sizes_a_picture_whose_file_says_nothing() -> None:
    sized = size_by(Micrograph(FIELD), BAR)
    assert (sized.pixel_size_nm, sized.pixel_size_source, sized.warnings) == (0.5, "scale bar (100 nm, confidence 0.97)", ())
    unsure = size_by(Micrograph(FIELD), ScaleBar(200.0, BAR.box_xyxy, "100 nm", 100.0, BAR.label_xyxy, 0.7))
    assert (unsure.pixel_size_nm, unsure.pixel_size_source) == (0.5, "scale bar (100 nm, confidence 0.70)")
    assert unsure.warnings == ("the scale bar or its label may be mistaken: look at the one outlined on the overlay",)


@pytest.mark.parametrize(
    ("bar", "words"),
    [
        (None, "no scale bar was found: sized in px only"),
        (ScaleBar(200.0, BAR.box_xyxy, None, None, None, 0.97), "the scale bar's label could not be read (scalebar_nm= gives it): sized in px only"),
        (ScaleBar(200.0, BAR.box_xyxy, "1 mm", 1e6, None, 0.97), "the scale bar comes to nm per pixel that no such picture has: sized in px only"),
    ],
)
def test_without_a_bar_of_use_sizes_are_in_px(bar: ScaleBar | None, words: str) -> None:
    sized = size_by(Micrograph(FIELD, warnings=("before",)), bar)
    assert (sized.pixel_size_nm, sized.pixel_size_source, sized.warnings) == (None, "unknown", ("before", words))
    known = Micrograph(FIELD, 2.0, "FEI TIFF")
    assert size_by(known, bar) == known


@pytest.mark.parametrize(("recorded", "agrees"), [(0.5, True), (0.52, True), (0.48, True), (0.55, False), (0.45, False), (5.0, False)])
def test_what_the_file_says_wins_and_a_disagreement_is_told(recorded: float, agrees: bool) -> None:
    sized = size_by(Micrograph(FIELD, recorded, "FEI TIFF"), BAR)
    assert (sized.pixel_size_nm, sized.pixel_size_source) == (recorded, "FEI TIFF")
    expected = f"its FEI TIFF metadata say {recorded:g} nm per pixel, its scale bar 0.5; the former is used, check which is right"
    assert sized.warnings == (() if agrees else (expected,))


def test_files(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).normal(120, 15, (300, 400)).clip(0, 255).astype(np.uint8)
    pixels[270:276, 200:300] = 255
    cv2.imwrite(str(tmp_path / "plain.png"), pixels)
    tifffile.imwrite(tmp_path / "known.tif", pixels, imagej=True, resolution=(0.5, 0.5), metadata={"unit": "nm"})
    plain, known = tmp_path / "plain.png", tmp_path / "known.tif"

    assert PixelSize().read(plain)[0].pixel_size_nm is None
    assert PixelSize().read(known)[1] is None
    assert PixelSize(1.5).read(known)[0].pixel_size_nm == 1.5
    micrograph, bar = PixelSize(scale_bar_nm=200).read(plain)
    assert bar is not None
    assert bar.length_px == pytest.approx(100, abs=0.5)
    assert micrograph.pixel_size_nm == bar.nm_per_pixel == pytest.approx(2.0, rel=0.01)
    assert micrograph.pixel_size_source.startswith("scale bar (200 nm, ")
    micrograph, bar = PixelSize(scale_bar=True).read(plain)
    assert (micrograph.pixel_size_nm, "could not be read" in micrograph.warnings[0]) == (None, True)
    assert PixelSize(scale_bar_nm=200).read(known)[0].warnings == ()
    (warning,) = PixelSize(scale_bar_nm=500).read(known)[0].warnings
    assert warning.startswith("its ImageJ TIFF metadata say 2 nm per pixel, its scale bar 5")


def test_what_cannot_be_meant() -> None:
    assert PixelSize(scale_bar_nm=500).scale_bar
    for make, words in (
        (lambda: PixelSize(0.0), "pixel_size=0: "),
        (lambda: PixelSize(float("nan")), "pixel_size=nan: "),
        (lambda: PixelSize(scale_bar_nm=0), "scalebar_nm=0: "),
        (lambda: PixelSize(scale_bar_nm=float("nan")), "scalebar_nm=nan: "),
        (lambda: PixelSize(1.5, scale_bar=True), "pixel_size=1.5 and a scale bar both"),
    ):
        with pytest.raises(InputError, match=words):
            make()


def test_doubts_are_told_before_anything_is_sized(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (30, 40), np.uint8)
    paths = [tmp_path / name for name in ("fine.tif", "coarse.tif", "unknown.png", "damaged.tif")]
    for path, size in zip(paths[:2], (0.5, 2.0), strict=True):
        tifffile.imwrite(path, pixels, imagej=True, resolution=(1 / size, 1 / size), metadata={"unit": "nm"})
    cv2.imwrite(str(paths[2]), pixels)
    paths[3].write_bytes(b"nothing")
    mixed, unknown = doubts_before(paths, PixelSize())
    assert mixed.startswith("mixed magnifications: 0.5 nm per pixel in 1 picture (fine.tif), 2 nm per pixel in 1 picture (coarse.tif)")
    assert unknown.startswith("nm per pixel unknown in 1 picture (unknown.png), known in the other 2")
    assert doubts_before(paths, PixelSize(scale_bar=True)) == [mixed]  # bars may know it
    assert doubts_before(paths, PixelSize(1.5)) == doubts_before(paths[:1], PixelSize()) == []
