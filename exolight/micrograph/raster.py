"""PNG, JPEG and BMP: decoded by OpenCV. None of them says how large a pixel is in the specimen (their dots per inch are a printer's)."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile

from exolight.errors import InputError
from exolight.micrograph.opened import Opened
from exolight.micrograph.pixels import as_recorded, luminance

PNG, JPEG, BMP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM"
_PNG_CHANNELS = {0: 1, 2: 3, 3: 4, 4: 4, 6: 4}  # as OpenCV decodes the colour types: palettes become colour


def is_raster(head: bytes) -> bool:
    """Whether a file begins as a PNG, JPEG or BMP."""
    return head.startswith((PNG, JPEG, BMP))


@contextmanager
def open_raster(path: Path) -> Iterator[Opened]:
    """A PNG, JPEG or BMP. EXIF orientation is ignored: annotation tools do not agree on it."""
    with path.open("rb") as file:
        head = file.read(33)
    image_hw, decoded_bytes = _png_size(head) if head.startswith(PNG) else _pillow_size(path, head)
    yield Opened(image_hw, decoded_bytes, lambda: _decode(path))


def _png_size(head: bytes) -> tuple[tuple[int, int], int]:
    """Of the first chunk (PNG specification, 11.2.1 IHDR)."""
    kind, width, height, depth, colour, checksum = struct.unpack(">4s2I2B3xI", head[12:33])
    if kind != b"IHDR" or zlib.crc32(head[12:29]) != checksum:
        raise ValueError("a damaged PNG header")
    return (height, width), height * width * _PNG_CHANNELS[colour] * (depth + 7 >> 3)


def _pillow_size(path: Path, head: bytes) -> tuple[tuple[int, int], int]:
    with (JpegImageFile if head.startswith(JPEG) else BmpImageFile)(path) as picture:  # not Image.open, which has a limit of its own
        return (picture.height, picture.width), picture.height * picture.width * len(picture.getbands())


def _decode(path: Path) -> NDArray[np.generic]:
    """(H, W). The bytes are read here because cv2.imread fails on non-ASCII names on Windows."""
    data = path.read_bytes()
    png_cut = data.startswith(PNG) and not _has_all_chunks(data)
    jpeg_cut = data.startswith(JPEG) and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")  # no end of image after the last scan
    if png_cut or jpeg_cut:  # some versions of OpenCV fill the missing part with grey and say nothing
        raise InputError(f"{path}: the picture is cut short; copy it again, or take it out of the folder")
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)  # unchanged includes: not turned by EXIF
    if decoded is None:
        raise ValueError("OpenCV cannot decode it")
    pixels = as_recorded(decoded, path)
    return pixels if pixels.ndim == 2 else luminance(pixels, cv2.COLOR_BGR2GRAY)


def _has_all_chunks(png: bytes) -> bool:
    """Whether every chunk up to IEND lies within the file: OpenCV sets aside the memory for whatever length a damaged one states."""
    place = len(PNG)
    while place + 12 <= len(png):
        length, kind = struct.unpack_from(">I4s", png, place)
        place += 12 + length
        if kind == b"IEND":
            return place <= len(png)
    return False
