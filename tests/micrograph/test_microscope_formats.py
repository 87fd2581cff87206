"""DM3, DM4, TIA, Velox and MRC: the pixels come back exactly, with the pixel size in nm and where it is from."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import microscope_files as files
import mrcfile
import numpy as np
import pytest

from exolight.errors import InputError
from exolight.micrograph import read_header, read_micrograph, read_size
from exolight.micrograph.opened import ncempy_io

HW = (40, 70)
GREY16 = (np.arange(40 * 70).reshape(HW) * 20).astype(np.uint16)
NUMBERS = ["uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64"]


def write_velox(path: Path, pixels: np.ndarray) -> None:
    files.velox(path, pixels[..., None])


def write_tia(path: Path, pixels: np.ndarray) -> None:
    files.tia(path, [pixels])


def write_dm4(path: Path, pixels: np.ndarray) -> None:
    files.digital_micrograph(path, pixels, version=4)


WRITERS: dict[str, tuple[Callable[[Path, np.ndarray], None], str, list[str]]] = {
    "dm3": (files.digital_micrograph, "DigitalMicrograph", NUMBERS),
    "dm4": (write_dm4, "DigitalMicrograph", NUMBERS),
    "ser": (write_tia, "TIA", NUMBERS),
    "emd": (write_velox, "Velox", NUMBERS),
    "mrc": (files.mrc, "MRC", ["uint16", "int8", "int16", "float32"]),
}


def one_line(error: pytest.ExceptionInfo[InputError], *parts: str) -> None:
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize("name", ["Proença (1)", "12_µm", "電顕"])
@pytest.mark.parametrize("kind", WRITERS)
def test_numbers_pixel_size_and_source(tmp_path: Path, kind: str, name: str) -> None:
    write, source, numbers = WRITERS[kind]
    path = tmp_path / f"{name}.{kind}"
    for number in numbers:
        pixels = GREY16.astype(number)
        write(path, pixels)
        micrograph = read_micrograph(path)
        np.testing.assert_array_equal(micrograph.pixels, pixels)
        assert micrograph.pixels.dtype == (number if number in ("uint8", "uint16") else "float32")
        assert (micrograph.pixel_size_nm, micrograph.pixel_size_source) == (pytest.approx(1.25), source)
        assert (micrograph.path, micrograph.warnings) == (path, ())
        header = read_header(path)
        assert (header.image_hw, header.pixel_size_nm, header.pixel_size_source) == (HW, micrograph.pixel_size_nm, source)
        assert read_size(path) == HW


@pytest.mark.parametrize("kind", WRITERS)
def test_the_format_is_told_by_content_and_an_override_wins(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "picture.tif"
    WRITERS[kind][0](path, GREY16)
    override = read_micrograph(path, 2.0)
    np.testing.assert_array_equal(override.pixels, GREY16)
    assert (override.pixel_size_nm, override.pixel_size_source) == (2.0, "user")
    assert "2 nm per pixel was given" in override.warnings[0]
    for refused in (0.049, 20.1):
        with pytest.raises(InputError) as error:
            read_micrograph(path, refused)
        one_line(error, "picture.tif", "0.05 to 20")


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("kept", [0.01, 0.3, 0.6, 0.99])
def test_a_file_cut_short_is_refused(tmp_path: Path, kind: str, kept: float) -> None:
    path = tmp_path / f"a.{kind}"
    WRITERS[kind][0](path, np.random.default_rng(0).integers(0, 60000, HW).astype(np.uint16))
    data = path.read_bytes()
    end = {"dm3": 400, "dm4": 400, "ser": 8}.get(kind, 0)  # what follows the pixels is not missed
    path.write_bytes(data[: int((len(data) - end) * kept)])
    with pytest.raises(InputError) as error:
        read_micrograph(path)
    one_line(error, f"a.{kind}", ";")


@pytest.mark.parametrize(("unit", "scale"), [("nm", 1.25), ("µm", 0.00125), ("\u03bcm", 0.00125), ("Å", 12.5), ("A", 12.5), ("pm", 1250), ("m", 1.25e-9)])
@pytest.mark.parametrize("version", [3, 4])
def test_digital_micrograph_units(tmp_path: Path, version: int, unit: str, scale: float) -> None:
    files.digital_micrograph(tmp_path / "a.dm3", GREY16, scale, unit, version)
    assert read_micrograph(tmp_path / "a.dm3").pixel_size_nm == pytest.approx(1.25)


def test_digital_micrograph_without_a_length(tmp_path: Path) -> None:
    path = tmp_path / "a.dm3"
    files.digital_micrograph(path, GREY16, 1.0, "")
    assert (read_micrograph(path).pixel_size_nm, read_micrograph(path).pixel_size_source, read_micrograph(path).warnings) == (None, "unknown", ())
    files.digital_micrograph(path, GREY16, 1.0, "1/nm")
    micrograph = read_micrograph(path)
    assert (micrograph.pixel_size_nm, micrograph.pixel_size_source) == (None, "unknown")
    assert "a diffraction pattern?" in micrograph.warnings[0]


@pytest.mark.parametrize("grey", [False, True])
def test_digital_micrograph_passes_over_the_thumbnail(tmp_path: Path, grey: bool) -> None:
    files.digital_micrograph(tmp_path / "a.dm3", GREY16, grey=grey)
    np.testing.assert_array_equal(read_micrograph(tmp_path / "a.dm3").pixels, GREY16)


def test_digital_micrograph_series_stretched_and_colour(tmp_path: Path) -> None:
    path = tmp_path / "a.dm4"
    files.digital_micrograph(path, np.stack([GREY16, GREY16 + 1, GREY16]), (1.25, 1.25, 1.0), version=4)
    np.testing.assert_array_equal(read_micrograph(path).pixels, GREY16)
    assert read_micrograph(path).warnings[0].startswith("a stack of 3 frames, only the first is read")
    files.digital_micrograph(path, GREY16, (1.25, 2.5), version=4)
    assert "not square" in read_micrograph(path).warnings[0]
    files.digital_micrograph(path, GREY16, version=4, kind=23)
    with pytest.raises(InputError) as error:
        read_micrograph(path)
    one_line(error, "a.dm4", "without a grey picture", "export the picture as TIFF")


@pytest.mark.parametrize("version", [0x210, 0x220])
def test_tia_series_and_its_notes(tmp_path: Path, version: int) -> None:
    files.tia(tmp_path / "grid [2]_1.ser", [GREY16, GREY16 + 1], (1.25e-9, 2.5e-9), version)
    notes = tmp_path / "grid [2].emi"
    notes.write_bytes(b"JK\0\2 damaged <ObjectInfo>")
    for path in (tmp_path / "grid [2]_1.ser", notes):
        micrograph = read_micrograph(path)
        np.testing.assert_array_equal(micrograph.pixels, GREY16)
        assert (micrograph.pixel_size_nm, micrograph.pixel_size_source, micrograph.path) == (pytest.approx(1.25), "TIA", path)
        assert [warning[:21] for warning in micrograph.warnings] == ["a stack of 2 pictures", "its TIA metadata say "]
    files.tia(tmp_path / "grid [2]_2.ser", [GREY16])
    assert "a stack of 2 series" in read_header(notes).warnings[0]
    (tmp_path / "grid [2]_1.ser").unlink()
    with pytest.raises(InputError) as error:
        read_micrograph(notes)
    one_line(error, "grid [2].emi", "grid [2]_1.ser", "copy both")


def test_tia_is_read_as_ncempy_reads_it(tmp_path: Path) -> None:
    files.tia(tmp_path / "a_1.ser", [GREY16])
    independent = ncempy_io("ser", tmp_path).serReader(tmp_path / "a_1.ser")
    np.testing.assert_array_equal(read_micrograph(tmp_path / "a_1.ser").pixels, independent["data"])
    assert independent["pixelSize"] == [1.25e-9, 1.25e-9]


def test_tia_of_spectra_complex_numbers_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a_1.ser"
    files.tia(path, [GREY16], kind=9)
    with pytest.raises(InputError) as error:
        read_micrograph(path)
    one_line(error, "data type 9")
    data = bytearray(path.read_bytes())
    data[6:8] = b"\x20\x41"
    path.write_bytes(data)
    with pytest.raises(InputError) as error:
        read_micrograph(path)
    one_line(error, "without a picture")


@pytest.mark.parametrize(("unit", "size"), [("m", "1.25e-09"), ("nm", "1.25"), ("um", "0.00125")])
def test_velox_units(tmp_path: Path, unit: str, size: str) -> None:
    files.velox(tmp_path / "a.emd", GREY16[..., None], size, unit)
    assert read_micrograph(tmp_path / "a.emd").pixel_size_nm == pytest.approx(1.25)


def test_velox_frames_detectors_diffraction_and_damaged_notes(tmp_path: Path) -> None:
    path = tmp_path / "a.emd"
    files.velox(path, np.stack([GREY16, GREY16 + 1], axis=-1), height="2.5e-09", pictures=2)
    micrograph = read_micrograph(path)
    np.testing.assert_array_equal(micrograph.pixels, GREY16)
    assert [warning[:24] for warning in micrograph.warnings] == ["a stack of 2 frames, onl", "a stack of 2 pictures of", "its Velox metadata say i"]
    files.velox(path, GREY16[..., None], "1e7", "1/m")
    assert (read_micrograph(path).pixel_size_nm, read_micrograph(path).warnings[0][-33:]) == (None, "(a diffraction pattern?); ignored")
    with h5py.File(path, "a") as file:
        group = next(iter(file["Data/Image"].values()))
        group["Metadata"][:] = 7
    assert (read_micrograph(path).pixel_size_nm, read_micrograph(path).warnings) == (None, ())


def test_another_hdf5_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.emd", "w") as file:
        file["data"] = GREY16
    with pytest.raises(InputError) as error:
        read_micrograph(tmp_path / "a.emd")
    one_line(error, "a.emd", "/Data/Image", "export the picture as TIFF")


def test_mrc_without_a_size_stacks_and_stretched(tmp_path: Path) -> None:
    path = tmp_path / "a.mrc"
    files.mrc(path, GREY16, 0)
    assert (read_micrograph(path).pixel_size_nm, read_micrograph(path).pixel_size_source, read_micrograph(path).warnings) == (None, "unknown", ())
    files.mrc(path, GREY16, 1.0)
    assert read_micrograph(path).pixel_size_nm is None
    assert "programs write that do not know it" in read_micrograph(path).warnings[0]
    files.mrc(path, np.stack([GREY16, GREY16 + 1]), (12.5, 25.0, 1.0))
    np.testing.assert_array_equal(read_micrograph(path).pixels, GREY16)
    assert [warning[:24] for warning in read_micrograph(path).warnings] == ["a stack of 2 sections, o", "its MRC metadata say its"]


def test_mrc_big_endian_without_stamp_and_of_other_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.mrc"
    files.mrc(path, GREY16.astype(">i2"))
    assert path.read_bytes()[:4] == b"\0\0\0F"
    np.testing.assert_array_equal(read_micrograph(path).pixels, GREY16.astype(np.int16))
    files.mrc(path, GREY16)
    data = bytearray(path.read_bytes())
    data[212:216] = bytes(4)
    path.write_bytes(data)
    np.testing.assert_array_equal(read_micrograph(path).pixels, GREY16)
    files.mrc(path, GREY16.astype(np.complex64))
    with pytest.raises(InputError) as error:
        read_micrograph(path)
    one_line(error, "a.mrc", "complex64")
    data[12:16] = b"\7\0\0\0"
    path.write_bytes(data)
    with pytest.raises(InputError) as error:
        read_micrograph(path)
    one_line(error, "a.mrc", "MRC mode 7")


def test_bytes_of_imod_are_unsigned(tmp_path: Path) -> None:
    path = tmp_path / "a.mrc"
    pixels = GREY16.astype(np.uint8)
    with mrcfile.new(path, pixels.view(np.int8)) as file:
        file.voxel_size = 12.5
    data = bytearray(path.read_bytes())
    data[152:160] = (1146047817).to_bytes(4, "little") + bytes(4)
    path.write_bytes(data)
    np.testing.assert_array_equal(read_micrograph(path).pixels, pixels)
    data[156] = 1
    path.write_bytes(data)
    np.testing.assert_array_equal(read_micrograph(path).pixels, pixels.view(np.int8))


def test_an_implausible_size_is_ignored_and_said(tmp_path: Path) -> None:
    files.digital_micrograph(tmp_path / "a.dm3", GREY16, 300.0, "nm")
    files.tia(tmp_path / "a_1.ser", [GREY16], 1.0)
    files.velox(tmp_path / "a.emd", GREY16[..., None], "1e-12")
    files.mrc(tmp_path / "a.mrc", GREY16, 0.1)
    for name, number in (("a.dm3", "300 nm"), ("a_1.ser", "1e+09 nm"), ("a.emd", "0.001 nm"), ("a.mrc", "0.01 nm")):
        micrograph = read_micrograph(tmp_path / name)
        assert (micrograph.pixel_size_nm, micrograph.pixel_size_source) == (None, "unknown")
        assert f"say {number} per pixel, which no such picture has" in micrograph.warnings[0]


def test_of_ncempy_only_the_two_parsers_are_run(tmp_path: Path) -> None:
    """The rest of ncempy is GPL; ``import ncempy.io`` would run it."""
    files.digital_micrograph(tmp_path / "a.dm3", GREY16)
    files.tia(tmp_path / "a_1.ser", [GREY16])
    program = (
        "import sys; from exolight.micrograph import read_micrograph as r; r(sys.argv[1]); r(sys.argv[2]); print([m for m in sys.modules if 'ncempy' in m])"
    )
    run = subprocess.run([sys.executable, "-c", program, tmp_path / "a.dm3", tmp_path / "a_1.ser"], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("kind", WRITERS)
def test_without_the_extra_its_name_is_said(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    WRITERS[kind][0](tmp_path / "a.dat", GREY16)
    for name in ("h5py", "mrcfile"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    ncempy_io.__globals__["_load_alone"].cache_clear()
    for read in (read_micrograph, read_size):
        with pytest.raises(InputError) as error:
            read(tmp_path / "a.dat")
        one_line(error, "a.dat", 'pip install -e ".[microscopy]"')
