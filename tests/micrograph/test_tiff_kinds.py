"""TIFF as programs and cameras write it: numbers, compression, pages, and the place where each maker keeps the pixel size."""

import logging
from pathlib import Path

import microscope_files as files
import numpy as np
import pytest
import tifffile

from exolight.micrograph import read_header, read_micrograph, read_size

HW = (40, 70)
GREY8 = np.arange(40 * 70, dtype=np.uint32).reshape(HW).astype(np.uint8)
GREY16 = (np.arange(40 * 70).reshape(HW) * 20).astype(np.uint16)
RGB16 = np.stack([GREY16, GREY16[::-1], np.full_like(GREY16, 9000)], axis=-1)


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "lzw", "adobe_deflate", "packbits", "zstd", "lzma"])
def test_compressed_tiles_strips_and_bigtiff_come_back_exactly(tmp_path: Path, compression: str | None, byteorder: str, bigtiff: bool) -> None:
    path = tmp_path / "a.tif"
    for layout in ({"tile": (16, 32)}, {"rowsperstrip": 7}):
        for pixels in (GREY8, GREY16, GREY16.astype(np.float32) / 7):
            predictor = compression in ("lzw", "adobe_deflate") and pixels.dtype.kind == "u"
            options = {**layout, "compression": compression, "byteorder": byteorder, "bigtiff": bigtiff, "predictor": predictor}
            tifffile.imwrite(path, pixels.astype(pixels.dtype.newbyteorder(byteorder)), **options)
            micrograph = read_micrograph(path)
            np.testing.assert_array_equal(micrograph.pixels, pixels)
            assert micrograph.pixels.dtype == pixels.dtype
            assert read_size(path) == HW


def test_jpeg_in_tiff_is_near(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(40), np.arange(70)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", smooth, compression="jpeg", compressionargs={"level": 95})
    np.testing.assert_allclose(read_micrograph(tmp_path / "a.tif").pixels.astype(float), smooth, atol=4)


def test_16_bit_colour_with_alpha_becomes_luminance(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.dstack([RGB16, np.zeros(HW, np.uint16)]), photometric="rgb", extrasamples=["unassalpha"])
    read = read_micrograph(tmp_path / "a.tif").pixels
    assert read.dtype == np.uint16
    np.testing.assert_allclose(read, RGB16.astype(float) @ [0.299, 0.587, 0.114], atol=1)


def test_a_colour_palette_becomes_luminance(tmp_path: Path) -> None:
    palette = np.random.default_rng(0).integers(0, 65536, (3, 256)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", GREY8, photometric="palette", colormap=palette)
    expected = (palette >> 8).T.astype(float) @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(read_micrograph(tmp_path / "a.tif").pixels, expected[GREY8], atol=1)


def test_a_thumbnail_is_no_page(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(GREY8[::2, ::2], subfiletype=1)
        writer.write(GREY8)
    micrograph = read_micrograph(tmp_path / "a.tif")
    np.testing.assert_array_equal(micrograph.pixels, GREY8)
    assert micrograph.warnings == ()
    assert not caplog.records


def test_a_stack_says_so_in_the_header_and_once_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.stack([GREY8] * 3), photometric="minisblack")
    (warning,) = read_header(tmp_path / "a.tif").warnings
    assert warning.startswith("a stack of 3 pages, only the first is read")
    assert not caplog.records
    for _ in range(3):
        assert read_micrograph(tmp_path / "a.tif").warnings == (warning,)
    assert [record.getMessage() for record in caplog.records] == [f"{tmp_path / 'a.tif'}: {warning}"]


def assert_size(path: Path, size: float | None, source: str, *parts: str) -> None:
    """The pixel size, its source and its warnings; those of the header; and an override wins."""
    micrograph, header = read_micrograph(path), read_header(path)
    assert micrograph.pixel_size_nm == (None if size is None else pytest.approx(size, rel=1e-5))
    assert micrograph.pixel_size_source == source
    assert len(micrograph.warnings) == len(parts)
    for warning, part in zip(micrograph.warnings, parts, strict=True):
        assert part in warning
        assert "\n" not in warning
    assert (header.pixel_size_nm, header.pixel_size_source, header.warnings) == (micrograph.pixel_size_nm, source, micrograph.warnings)
    assert header.image_hw == micrograph.pixels.shape
    override = read_micrograph(path, 2.0)
    assert (override.pixel_size_nm, override.pixel_size_source) == (2.0, "user")


@pytest.mark.parametrize(("x", "exponent"), [(1.25, -9), (0.00125, -6), (12.5, -10)])
def test_olympus_sis(tmp_path: Path, x: float, exponent: int) -> None:
    files.sis_tiff(tmp_path / "a.tif", GREY16, x, x, exponent)
    np.testing.assert_array_equal(read_micrograph(tmp_path / "a.tif").pixels, GREY16)
    assert_size(tmp_path / "a.tif", 1.25, "Olympus SIS TIFF")


def test_olympus_sis_whose_structure_is_missing(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY16, extratags=[(33560, 4, 1, 99999999, True)])
    assert_size(tmp_path / "a.tif", None, "unknown")


def test_tvips(tmp_path: Path) -> None:
    files.tvips_tiff(tmp_path / "a.tif", GREY16, 1.25, 1.25, HW)
    assert_size(tmp_path / "a.tif", 1.25, "TVIPS TIFF")


@pytest.mark.parametrize("tag", [34680, 34682])
def test_fei(tmp_path: Path, tag: int) -> None:
    scan = {"PixelWidth": "1.25e-009", "PixelHeight": "1.25e-009"}
    files.fei_tiff(tmp_path / "a.tif", GREY16, {"User": {"User": "x"}, "Scan": scan, "Image": {"ResolutionX": 70, "ResolutionY": 40}}, tag)
    assert_size(tmp_path / "a.tif", 1.25, "FEI TIFF")


@pytest.mark.parametrize("sections", [{"Scan": {"PixelWidth": "none"}}, {"Beam": {"PixelWidth": "1e-9"}}, {"Scan": {"PixelWidth": 0}}])
def test_fei_without_a_number(tmp_path: Path, sections: dict[str, dict[str, object]]) -> None:
    files.fei_tiff(tmp_path / "a.tif", GREY16, sections)
    assert_size(tmp_path / "a.tif", None, "unknown")


@pytest.mark.parametrize(
    ("unit", "scale"), [("nm", 1.25), ("µm".encode("latin-1"), 0.00125), ("µm".encode("utf-16-le"), 0.00125), ("microns", 0.00125), ("A", 12.5), ("m", 1.25e-9)]
)
def test_digital_micrograph_tiff(tmp_path: Path, unit: str | bytes, scale: float) -> None:
    files.digital_micrograph_tiff(tmp_path / "a.tif", GREY16, (scale, scale), unit)
    assert_size(tmp_path / "a.tif", 1.25, "DigitalMicrograph TIFF")


def test_private_tags_of_another_maker_are_not_digital_micrographs(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY16, extratags=[(65009, 12, 1, 1.25, True)])
    assert_size(tmp_path / "a.tif", None, "unknown")
    tifffile.imwrite(tmp_path / "a.tif", GREY16, extratags=[(65009, 4, 1, 2, True), (65003, 2, 0, "nm", True)])
    assert_size(tmp_path / "a.tif", None, "unknown")


@pytest.mark.parametrize(("unit", "size"), [("pm", 1250), ("Å", 12.5), ("nm", 1.25), ("µm", 0.00125), ("mm", 1.25e-6), ("cm", 1.25e-7), ("m", 1.25e-9)])
def test_ome(tmp_path: Path, unit: str, size: float) -> None:
    metadata = {"axes": "YX", "PhysicalSizeX": size, "PhysicalSizeXUnit": unit, "PhysicalSizeY": size, "PhysicalSizeYUnit": unit}
    tifffile.imwrite(tmp_path / "a.ome.tif", GREY16, metadata=metadata)
    assert_size(tmp_path / "a.ome.tif", 1.25, "OME-TIFF")


def test_ome_means_micrometres_where_it_names_no_unit(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tif", GREY16, metadata={"axes": "YX", "PhysicalSizeX": 0.00125})
    assert_size(tmp_path / "a.ome.tif", 1.25, "OME-TIFF")


@pytest.mark.parametrize(
    ("unit", "size"),
    [("nm", 1.25), ("nanometer", 1.25), ("um", 0.00125), ("micron", 0.00125), ("\\u00B5m", 0.00125), ("Angstrom", 12.5), ("mm", 1.25e-6)],
)
def test_imagej(tmp_path: Path, unit: str, size: float) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY16, imagej=True, resolution=(1 / size, 1 / size), metadata={"unit": unit})
    assert_size(tmp_path / "a.tif", 1.25, "ImageJ TIFF")


def test_imagej_wins_over_the_camera_whose_picture_it_scaled(tmp_path: Path) -> None:
    scan = "[Scan]\r\nPixelWidth=1.25e-9\r\n"
    tifffile.imwrite(tmp_path / "a.tif", GREY16, imagej=True, resolution=(0.4, 0.4), metadata={"unit": "nm"}, extratags=[(34682, 2, 0, scan, True)])
    assert_size(tmp_path / "a.tif", 2.5, "ImageJ TIFF")


def test_a_resized_export_is_warned_of(tmp_path: Path) -> None:
    scan = {"PixelWidth": "1.25e-9", "PixelHeight": "1.25e-9"}
    for recorded, parts in (
        (
            (80, 140),
            ("describe 140 x 80 px, the file has 70 x 40: it was resized or cropped after recording; if it was resized, its pixels are 2.5 nm, not 1.25",),
        ),
        ((36, 70), ()),  # an information bar was added below
    ):
        files.fei_tiff(tmp_path / "a.tif", GREY16, {"Scan": scan, "Image": {"ResolutionX": recorded[1], "ResolutionY": recorded[0]}})
        assert_size(tmp_path / "a.tif", 1.25, "FEI TIFF", *parts)
    files.tvips_tiff(tmp_path / "b.tif", GREY16, 1.25, 1.25, (80, 140))
    assert_size(tmp_path / "b.tif", 1.25, "TVIPS TIFF", "resized or cropped")


def test_a_stretched_picture_is_warned_of(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY16, imagej=True, resolution=(0.8, 0.4), metadata={"unit": "nm"})
    assert_size(tmp_path / "a.tif", 1.25, "ImageJ TIFF", "its pixels are not square (1.25 by 2.5 nm)")


def test_an_override_that_contradicts_the_file_wins_and_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files.tvips_tiff(tmp_path / "a.tif", GREY16, 1.25, 1.25, HW)
    with caplog.at_level(logging.WARNING):
        micrograph = read_micrograph(tmp_path / "a.tif", 2.5)
    assert (micrograph.pixel_size_nm, micrograph.pixel_size_source) == (2.5, "user")
    assert "2.5 nm per pixel was given, its TVIPS TIFF metadata say 1.25" in caplog.text
    assert read_micrograph(tmp_path / "a.tif", 1.26).warnings == ()
    assert len(read_micrograph(tmp_path / "a.tif", 1.3).warnings) == 1
