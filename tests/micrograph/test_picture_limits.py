"""What a picture may ask for: memory. Refused by its header, with its size, before anything is decoded."""

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import microscope_files as files
import numpy as np
import pytest
import tifffile
from PIL import Image

from exolight.errors import InputError
from exolight.micrograph import read_header, read_micrograph, read_size

SMALL = np.arange(256, dtype=np.uint16).reshape(16, 16)


def refused(path: Path, *parts: str, readers: tuple[Callable[[Path], object], ...] = (read_micrograph, read_header, read_size)) -> None:
    for read in readers:
        with pytest.raises(InputError) as error:
            read(path)
        message = str(error.value)
        assert message.startswith(str(path))
        assert "\n" not in message
        for part in parts:
            assert part in message


def test_a_png_of_40000_px(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    for depth, colour, mib in ((8, 0, 1526), (16, 6, 12208), (1, 0, 1526), (8, 3, 6104)):
        head = chunk(b"IHDR", struct.pack(">2I5B", 40000, 40000, depth, colour, 0, 0, 0))
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b""))
        refused(tmp_path / "a.png", f"40000 x 40000 px would take {mib} MiB of memory, more than 512")


def test_a_png_part_that_is_longer_than_the_file(tmp_path: Path) -> None:
    """OpenCV would set aside 2 GiB for it."""
    file = io.BytesIO()
    Image.fromarray(SMALL.astype(np.uint8)).convert("P").save(file, "PNG")
    place = file.getvalue().index(b"PLTE") - 4
    (tmp_path / "a.png").write_bytes(file.getvalue()[:place] + b"\x7f\xff\xff\xff" + file.getvalue()[place + 4 :])
    assert read_size(tmp_path / "a.png") == (16, 16)
    refused(tmp_path / "a.png", "the picture is cut short", readers=(read_micrograph,))


def test_a_damaged_count_of_tags_does_not_keep_the_parser_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exolight.micrograph.digital_micrograph._MOST_TAGS", 1000)
    (tmp_path / "a.dm3").write_bytes(struct.pack(">III2xI", 3, 100000, 1, 1 << 30) + bytes(100000))
    refused(tmp_path / "a.dm3", "more than 1000 tags")


def test_a_chain_of_pages_that_bites_its_tail_has_an_end(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.stack([SMALL] * 150), photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path) as tiff:
        last, other = tiff.pages[149], tiff.pages[140]
    data = bytearray(path.read_bytes())
    place = last.offset + 2 + 12 * len(last.tags)
    assert data[place : place + 4] == bytes(4)
    data[place : place + 4] = struct.pack("<I", other.offset)
    path.write_bytes(data)
    np.testing.assert_array_equal(read_micrograph(path).pixels, SMALL)
    assert read_header(path).warnings[0].startswith("a stack of 150 pages")


def test_a_jpeg_and_a_bmp_of_50000_px(tmp_path: Path) -> None:
    for name, kind, old, new in (
        ("a.jpg", "JPEG", struct.pack(">HH", 16, 16), struct.pack(">HH", 50000, 50000)),
        ("a.bmp", "BMP", struct.pack("<ii", 16, 16), struct.pack("<ii", 50000, 50000)),
    ):
        file = io.BytesIO()
        Image.fromarray(SMALL.astype(np.uint8)).save(file, kind)
        assert file.getvalue().count(old) == 1
        (tmp_path / name).write_bytes(file.getvalue().replace(old, new))
        refused(tmp_path / name, "50000 x 50000 px would take 2385 MiB")


def test_a_compressed_tiff_of_30000_px_or_with_such_a_tile(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    for tags, size in ((("ImageWidth", "ImageLength"), "30000 x 30000"), (("TileWidth", "TileLength"), "16 x 16")):
        tifffile.imwrite(path, SMALL, compression="adobe_deflate", tile=(16, 16))
        with tifffile.TiffFile(path, mode="r+b") as file:
            for name in tags:
                file.pages.first.tags[name].overwrite(30000)
        refused(path, f"{size} px would take 1717 MiB")


def test_an_emd_of_30000_px_without_a_pixel_in_it(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.emd", "w") as file:
        file.create_dataset("Data/Image/0/Data", shape=(30000, 30000, 1), dtype=np.uint16, chunks=(1000, 1000, 1), compression="gzip")
    refused(tmp_path / "a.emd", "30000 x 30000 px would take 1717 MiB")


def test_streams_that_inflate_to_more_than_their_part_of_the_picture(tmp_path: Path) -> None:
    bomb = zlib.compress(bytes(1 << 22), 9)
    path = tmp_path / "a.emd"
    files.velox(path, SMALL[..., None])
    with h5py.File(path, "a") as file:
        next(iter(file["Data/Image"].values()))["Data"].id.write_direct_chunk((0, 0, 0), bomb)
    assert read_size(path) == (16, 16)
    refused(path, "16 x 16 px inflates to more than its 576 bytes", readers=(read_micrograph,))
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, SMALL, compression="adobe_deflate", tile=(16, 16))
    place = path.stat().st_size
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages.first.tags["TileOffsets"].overwrite(place)
        tiff.pages.first.tags["TileByteCounts"].overwrite(len(bomb))
    with path.open("ab") as file:
        file.write(bomb)
    refused(path, "damaged or cut short", readers=(read_micrograph,))


def test_files_shorter_than_their_header_promises(tmp_path: Path) -> None:
    for name, write, place in (("a.mrc", lambda path: files.mrc(path, SMALL), 0), ("a_1.ser", lambda path: files.tia(path, [SMALL]), -8 - 512 - 8)):
        write(tmp_path / name)
        data = bytearray((tmp_path / name).read_bytes())
        place %= len(data)
        data[place : place + 8] = struct.pack("<ii", 30000, 30000)
        (tmp_path / name).write_bytes(data)
        refused(tmp_path / name, "cut short", f"({len(data)} bytes of 1800")


def test_a_picture_without_pixels(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.emd", "w") as file:
        file.create_dataset("Data/Image/0/Data", shape=(0, 30, 1), dtype=np.uint16)
    refused(tmp_path / "a.emd", "30 x 0 px")


def test_the_limit_can_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((1024, 1025), np.uint16))
    monkeypatch.setenv("EXOLIGHT_MAX_PICTURE_MIB", "2")
    refused(tmp_path / "a.tif", "1025 x 1024 px would take 3 MiB of memory, more than 2; cut it into parts, or set EXOLIGHT_MAX_PICTURE_MIB")
    monkeypatch.setenv("EXOLIGHT_MAX_PICTURE_MIB", "3")
    assert read_micrograph(tmp_path / "a.tif").pixels.shape == (1024, 1025)
    monkeypatch.setenv("EXOLIGHT_MAX_PICTURE_MIB", "much")
    with pytest.raises(InputError, match="EXOLIGHT_MAX_PICTURE_MIB=much: no number of MiB"):
        read_size(tmp_path / "a.tif")


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="only Linux says how much memory a process held at most")
def test_a_large_field_is_read_in_a_few_copies(tmp_path: Path) -> None:
    field = np.random.default_rng(0).integers(0, 4000, (2000, 2000), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "plain.tif", field)
    tifffile.imwrite(tmp_path / "lzw.tif", field, compression="lzw", tile=(256, 256))
    Image.fromarray(field).save(tmp_path / "a.png", compress_level=1)
    files.digital_micrograph(tmp_path / "a.dm4", field, version=4)
    files.tia(tmp_path / "a_1.ser", [field])
    files.velox(tmp_path / "a.emd", field[..., None])
    files.mrc(tmp_path / "a.mrc", field)
    large = sorted(tmp_path.iterdir())
    small = tmp_path / "small"
    small.mkdir()
    for path in large:
        (small / path.name).write_bytes(path.read_bytes()[:5000])  # enough to load the parsers and be refused
    run = subprocess.run([sys.executable, "-c", _PEAK, *map(str, [*small.iterdir(), "-", *large])], capture_output=True, text=True, check=True)
    idle, *peaks = map(float, run.stdout.split())
    assert len(peaks) == 7
    assert max(peaks) - idle < 4 * field.nbytes / (1 << 20)


_PEAK = """
import contextlib, sys
from exolight.errors import InputError
from exolight.micrograph import read_micrograph
def peak():
    print(next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
at = sys.argv.index("-")
for path in sys.argv[1:at]:
    with contextlib.suppress(InputError):
        read_micrograph(path)
peak()
for path in sys.argv[at + 1:]:
    assert read_micrograph(path).pixels.shape == (2000, 2000)
    peak()
"""
