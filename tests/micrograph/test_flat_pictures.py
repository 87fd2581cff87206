"""Reading pictures: what is recorded comes back, whatever the file's kind and name; what cannot be read says so in one line."""

import io
import logging
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from exolight.errors import InputError
from exolight.micrograph import read_micrograph, read_size

HW = (40, 70)
GREY8 = np.arange(40 * 70, dtype=np.uint32).reshape(HW).astype(np.uint8)
GREY16 = (np.arange(40 * 70).reshape(HW) * 20).astype(np.uint16)
RGB = np.stack([GREY8, GREY8[::-1], np.full_like(GREY8, 90)], axis=-1)
LUMINANCE = RGB.astype(float) @ [0.299, 0.587, 0.114]  # ITU-R BT.601


def one_line(error: pytest.ExceptionInfo[InputError], *parts: str) -> None:
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize("pixels", [GREY8, GREY16], ids=["8 bit", "16 bit"])
@pytest.mark.parametrize("name", ["Proença (1).tif", "12_µm.tif", "exo, 2.TIFF", "a=b {c}.png", "電顕.png", "über.bmp"])
def test_grey_comes_back_exactly_under_any_name(tmp_path: Path, name: str, pixels: np.ndarray) -> None:
    path = tmp_path / name
    if name.endswith("bmp"):
        pixels = GREY8
        Image.fromarray(pixels).save(path)
    elif name.endswith("png"):
        Image.fromarray(pixels).save(path)
    else:
        tifffile.imwrite(path, pixels)
    micrograph = read_micrograph(path)
    np.testing.assert_array_equal(micrograph.pixels, pixels)
    assert micrograph.pixels.dtype == pixels.dtype
    assert (micrograph.pixel_size_nm, micrograph.pixel_size_source, micrograph.path) == (None, "unknown", path)
    assert read_size(path) == HW


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_colour_becomes_luminance_and_grey_in_colour_stays_itself(tmp_path: Path, suffix: str) -> None:
    for pixels, expected in ((RGB, LUMINANCE), (np.stack([GREY8] * 3, axis=-1), GREY8)):
        path = tmp_path / f"a{suffix}"
        Image.fromarray(pixels).save(path)
        read = read_micrograph(path).pixels
        assert read.dtype == np.uint8
        np.testing.assert_allclose(read.astype(float), expected, atol=1)
    np.testing.assert_array_equal(read, GREY8)


def test_alpha_palette_and_black_and_white(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.dstack([RGB, np.zeros(HW, np.uint8)])).save(path)  # transparent: alpha is dropped, not multiplied
    np.testing.assert_allclose(read_micrograph(path).pixels, LUMINANCE, atol=1)
    Image.fromarray(GREY8).convert("P").save(path)
    np.testing.assert_array_equal(read_micrograph(path).pixels, GREY8)
    Image.fromarray(GREY8 > 9).save(path)
    np.testing.assert_array_equal(read_micrograph(path).pixels, (GREY8 > 9) * 255)


def test_jpeg_is_near_and_exif_orientation_is_ignored_by_both_readers(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(40), np.arange(70)).astype(np.uint8)
    picture = Image.fromarray(smooth)
    exif = picture.getexif()
    exif[0x0112] = 6  # turned by 90 degrees
    path = tmp_path / "a.jpg"
    picture.save(path, exif=exif, quality=95)
    np.testing.assert_allclose(read_micrograph(path).pixels.astype(float), smooth, atol=4)
    assert read_size(path) == HW


@pytest.mark.parametrize("layout", ["planar", "chunky", "16 bit chunky", "RGBA", "lzw"])
def test_colour_tiffs(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "a.tif"
    if layout == "planar":
        tifffile.imwrite(path, np.moveaxis(RGB, -1, 0), photometric="rgb", planarconfig="separate")
    elif layout == "RGBA":
        tifffile.imwrite(path, np.dstack([RGB, np.zeros(HW, np.uint8)]), photometric="rgb", extrasamples=["unassalpha"])
    elif layout == "16 bit chunky":
        tifffile.imwrite(path, RGB.astype(np.uint16) * 257, photometric="rgb")
    else:
        tifffile.imwrite(path, RGB, photometric="rgb", compression="lzw" if layout == "lzw" else None)
    read = read_micrograph(path).pixels
    scale = 257 if layout.startswith("16") else 1
    assert read.dtype == (np.uint16 if scale > 1 else np.uint8)
    np.testing.assert_allclose(read / scale, LUMINANCE, atol=1)
    assert read_size(path) == HW


def test_tiff_palette_and_min_is_white_are_read_as_displayed(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    ramp = np.arange(256, dtype=np.uint16) * 257
    tifffile.imwrite(path, GREY8, photometric="palette", colormap=np.stack([ramp[::-1]] * 3))
    np.testing.assert_array_equal(read_micrograph(path).pixels, 255 - GREY8)
    for pixels, expected in ((GREY8, 255 - GREY8), (GREY16, 65535 - GREY16), (GREY8 > 9, (GREY8 <= 9) * 255)):
        tifffile.imwrite(path, pixels, photometric="miniswhite")
        np.testing.assert_array_equal(read_micrograph(path).pixels, expected)


@pytest.mark.parametrize("dtype", ["int16", "uint32", "int32", "float16", "float64", "float32", ">f4"])
def test_other_numbers_become_float32(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY8.astype(dtype))
    read = read_micrograph(path).pixels
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, GREY8)


def test_big_endian_16_bit(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY16.astype(">u2"), byteorder=">")
    read = read_micrograph(tmp_path / "a.tif").pixels
    assert read.dtype == np.dtype("=u2")
    np.testing.assert_array_equal(read, GREY16)


@pytest.mark.parametrize("imagej", [True, False])
def test_the_first_page_of_a_stack_is_read_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture, imagej: bool) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.stack([GREY16, GREY16 + 1, GREY16 + 2, GREY16 + 3, GREY16]), imagej=imagej, photometric="minisblack")
    np.testing.assert_array_equal(read_micrograph(path).pixels, GREY16)
    (record,) = caplog.records
    assert "stack.tif" in record.getMessage()
    assert " 5 pages" in record.getMessage()
    assert read_size(path) == HW


@pytest.mark.parametrize(("unit", "per_pixel"), [("nm", 1.25), ("nanometer", 1.25), ("um", 0.00125), ("micron", 0.00125), ("\\u00B5m", 0.00125)])
def test_imagej_pixel_size(tmp_path: Path, unit: str, per_pixel: float) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GREY8, imagej=True, resolution=(1 / per_pixel, 1 / per_pixel), metadata={"unit": unit})
    micrograph = read_micrograph(path)
    assert micrograph.pixel_size_nm == pytest.approx(1.25, rel=1e-5)
    assert micrograph.pixel_size_source == "ImageJ TIFF"
    override = read_micrograph(path, 2.0)
    assert (override.pixel_size_nm, override.pixel_size_source) == (2.0, "user")


def test_a_resolution_without_unit_means_nothing(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY8, imagej=True, resolution=(1, 1))
    tifffile.imwrite(tmp_path / "b.tif", GREY8, resolution=(72, 72), resolutionunit="INCH")
    for name in ("a.tif", "b.tif"):
        assert read_micrograph(tmp_path / name).pixel_size_nm is None


@pytest.mark.parametrize(("size", "unit"), [(1.5, "nm"), (0.0015, "µm"), (15.0, "Å")])
def test_ome_pixel_size(tmp_path: Path, size: float, unit: str) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tif", GREY8, metadata={"axes": "YX", "PhysicalSizeX": size, "PhysicalSizeXUnit": unit})
    micrograph = read_micrograph(tmp_path / "a.ome.tif")
    assert micrograph.pixel_size_nm == pytest.approx(1.5)
    assert micrograph.pixel_size_source == "OME-TIFF"


def test_an_implausible_recorded_size_is_unknown_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY8, imagej=True, resolution=(1, 1), metadata={"unit": "um"})
    micrograph = read_micrograph(tmp_path / "a.tif")
    assert (micrograph.pixel_size_nm, micrograph.pixel_size_source) == (None, "unknown")
    assert "1000 nm per pixel" in caplog.text


@pytest.mark.parametrize("size", [0.0, -1.0, 0.049, 20.1, float("nan"), float("inf")])
def test_an_implausible_override_is_refused(tmp_path: Path, size: float) -> None:
    Image.fromarray(GREY8).save(tmp_path / "a.png")
    with pytest.raises(InputError) as error:
        read_micrograph(tmp_path / "a.png", size)
    one_line(error, "a.png", "0.05 to 20", "give nanometres per pixel")


def test_non_numbers_become_the_median(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pixels = np.full(HW, 3.0, np.float32)
    pixels[0, :3] = np.nan, np.inf, -np.inf
    pixels[1, 1] = 7
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    with caplog.at_level(logging.WARNING):
        read = read_micrograph(tmp_path / "a.tif").pixels
    np.testing.assert_array_equal(read[0, :3], 3)
    assert read[1, 1] == 7
    assert "3 pixels are no number" in caplog.text
    tifffile.imwrite(tmp_path / "nan.tif", np.full(HW, np.nan, np.float32))
    with pytest.raises(InputError) as error:
        read_micrograph(tmp_path / "nan.tif")
    one_line(error, "nan.tif", "export the picture again")


def encoded(kind: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, HW, np.uint8)
    file = io.BytesIO()
    if kind == "LZW":
        tifffile.imwrite(file, noise, compression="lzw", rowsperstrip=8)
    else:
        Image.fromarray(noise).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kept", [0.05, 0.5, 0.99])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "LZW"])
def test_a_file_cut_short_is_refused(tmp_path: Path, kind: str, kept: float) -> None:
    path = tmp_path / "Proença (1).dat"
    data = encoded(kind)
    path.write_bytes(data)
    assert read_micrograph(path).pixels.shape == HW  # told apart by content
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(InputError) as error:
        read_micrograph(path)
    one_line(error, "Proença (1).dat", ";")


@pytest.mark.parametrize("read", [read_micrograph, read_size])
def test_what_is_no_picture_is_refused(tmp_path: Path, read: object) -> None:
    assert callable(read)
    cases = {"missing.png": None, "empty.tif": b"", "text.tif": b"<html>\n</html>", "tiff.tif": b"II*\0 rubbish", "png.png": b"\x89PNG\r\n\x1a\nrubbish"}
    for name, data in cases.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError) as error:
            read(tmp_path / name)
        one_line(error, name, ";")
    with pytest.raises(InputError) as error:
        read(tmp_path)
    one_line(error, tmp_path.name, "folder")


def test_the_real_micrograph(real_data: Path) -> None:
    path = real_data / "micrographs" / "ev_negative_stain.jpg"
    assert read_size(path) == (3072, 3072)
    micrograph = read_micrograph(path, 0.624)
    assert micrograph.pixels.shape == (3072, 3072)
    assert micrograph.pixels.dtype == np.uint8
