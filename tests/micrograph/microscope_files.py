"""Files as microscopes write them, small, byte by byte from what is known of each format; the pixel size is whatever the test says."""

import io
import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import mrcfile
import numpy as np
import tifffile

_DM_TYPES = {"int16": 1, "float32": 2, "uint8": 6, "int32": 7, "int8": 9, "uint16": 10, "uint32": 11, "float64": 12}
_DM_ELEMENTS = {"int16": 2, "int32": 3, "uint16": 4, "uint32": 5, "float32": 6, "float64": 7, "int8": 9, "uint8": 10}
_TIA_TYPES = {"uint8": 1, "uint16": 2, "uint32": 3, "int8": 4, "int16": 5, "int32": 6, "float32": 7, "float64": 8}


class _DigitalMicrograph:
    """Tags of a .dm3 (numbers of 4 bytes in the tags' heads) or .dm4 (of 8): https://www3.ntu.edu.sg/home/cbb/info/dmformat/index.html."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.number = ">I" if version == 3 else ">Q"

    def heads(self, *numbers: int) -> bytes:
        return b"".join(struct.pack(self.number, number) for number in numbers)

    def group(self, *entries: bytes) -> bytes:
        return b"\1\0" + self.heads(len(entries)) + b"".join(entries)

    def entry(self, kind: int, name: str, content: bytes) -> bytes:
        length = self.heads(len(content)) if self.version == 4 else b""
        return struct.pack(">BH", kind, len(name)) + name.encode() + length + content

    def folder(self, name: str, *entries: bytes) -> bytes:
        return self.entry(20, name, self.group(*entries))

    def value(self, name: str, kind: int, form: str, number: float) -> bytes:
        return self.entry(21, name, b"%%%%" + self.heads(1, kind) + struct.pack(form, number))

    def array(self, name: str, values: np.ndarray) -> bytes:
        return self.entry(21, name, b"%%%%" + self.heads(3, 20, _DM_ELEMENTS[values.dtype.name], values.size) + values.tobytes())

    def image(self, data: bytes, kind: int, shape: Sequence[int], scale: Sequence[float], unit: str) -> bytes:
        units = self.array("Units", np.frombuffer(unit.encode("utf-16-le"), np.uint16))
        axes = [self.folder("", self.value("Origin", 6, "<f", 0), self.value("Scale", 6, "<f", one), units) for one in scale]
        calibrations = self.folder("Calibrations", self.folder("Dimension", *axes))
        sides = self.folder("Dimensions", *(self.value("", 5, "<I", side) for side in reversed(shape)))
        tags = self.folder("ImageTags", self.folder("Acquisition"))
        return self.folder("", self.folder("ImageData", calibrations, data, self.value("DataType", 5, "<I", kind), sides), tags)

    def file(self, pixels: np.ndarray, scale: Sequence[float], unit: str, kind: int | None, grey: bool) -> bytes:
        small = np.zeros(12, np.uint8 if grey else np.int32)
        thumbnail = self.image(self.array("Data", small), 6 if grey else 23, (3, 4), (1, 1), "")
        picture = self.image(self.array("Data", pixels.ravel()), kind or _DM_TYPES[pixels.dtype.name], pixels.shape, scale, unit)
        root = self.group(self.folder("ImageList", thumbnail, picture), self.folder("Thumbnails", self.folder("", self.value("ImageIndex", 5, "<I", 0))))
        return struct.pack(">I", self.version) + self.heads(len(root)) + struct.pack(">I", 1) + root + bytes(8)


def digital_micrograph(
    path: Path, pixels: np.ndarray, scale: float | Sequence[float] = 1.25, unit: str = "nm", version: int = 3, kind: int | None = None, grey: bool = False
) -> None:
    """A .dm3 or .dm4 of (H, W) or (frames, H, W), with a ``grey`` or coloured thumbnail; ``scale`` in ``unit`` per pixel along x, or (x, y)."""
    path.write_bytes(_DigitalMicrograph(version).file(pixels, (scale, scale) if isinstance(scale, float | int) else scale, unit, kind, grey))


def tia(path: Path, frames: Sequence[np.ndarray], metres: float | tuple[float, float] = 1.25e-9, version: int = 0x220, kind: int | None = None) -> None:
    """A .ser of pictures: https://www3.ntu.edu.sg/home/cbb/info/TIAformat/index.html."""
    x, y = (metres, metres) if isinstance(metres, float) else metres
    offset = "<q" if version == 0x220 else "<i"
    width = struct.calcsize(offset)
    dimension = struct.pack("<iddii", len(frames), 0, 1, 0, 6) + b"Number" + struct.pack("<i", 0)
    start = 6 + 16 + width + 4 + len(dimension)
    heads = [struct.pack("<ddiddihii", 0, x, 0, 0, y, 0, kind or _TIA_TYPES[one.dtype.name], one.shape[1], one.shape[0]) for one in frames]
    elements = [head + one[::-1].tobytes() for head, one in zip(heads, frames, strict=True)]  # the bottom row first
    places = np.cumsum([start + 2 * width * len(frames)] + [len(element) for element in elements]).tolist()
    data = struct.pack("<HHHiiii", 0x4949, 0x197, version, 0x4122, 0x4152, len(frames), len(frames)) + struct.pack(offset, start) + struct.pack("<i", 1)
    data += dimension + b"".join(struct.pack(offset, place) for place in places[:-1] + [places[-1]] * len(frames))
    path.write_bytes(data + b"".join(elements) + struct.pack("<ii", 0x4152, 0) * len(frames))


def velox(path: Path, frames: np.ndarray, width: str = "1.25e-09", unit: str = "m", height: str | None = None, pictures: int = 1) -> None:
    """An .emd of (H, W, frames), as Velox lays it out in HDF5."""
    metadata = {"BinaryResult": {"PixelSize": {"width": width, "height": height or width}, "PixelUnitX": unit, "PixelUnitY": unit}}
    text = np.frombuffer(json.dumps(metadata).encode().ljust(1000, b"\0"), np.uint8)
    with h5py.File(path, "w") as file:
        for number in range(pictures):
            group = file.create_group(f"Data/Image/{number:032x}")
            group.create_dataset("Data", data=frames, chunks=(*frames.shape[:2], 1), compression="gzip")
            group.create_dataset("Metadata", data=np.repeat(text[:, None], frames.shape[2], axis=1))


def mrc(path: Path, pixels: np.ndarray, angstrom: float | tuple[float, float, float] = 12.5) -> None:
    """An .mrc of (H, W) or (sections, H, W)."""
    with mrcfile.new(path, pixels, overwrite=True) as file:
        if pixels.ndim == 3:
            file.set_image_stack()
        file.voxel_size = angstrom


def sis_tiff(path: Path, pixels: np.ndarray, x: float, y: float, exponent: int) -> None:
    """A TIFF of Olympus SIS: tag 33560 is the place of a structure, ``x`` and ``y`` in units of 10 ** exponent metres."""
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, extratags=[(33560, 4, 1, 0x5A5A5A5A, True)])
    place = len(file.getvalue())
    structure = struct.pack("<4s6x5h6x32sH", b"SIS0", 30, 12, 1, 1, 121, b"picture", 1) + struct.pack("<hhI", 1, 0, place + 68)
    structure += struct.pack("<10xhdd8xd2x34s32s", exponent, x, y, 20000, b"Megaview III", b"")
    path.write_bytes(file.getvalue().replace(struct.pack("<I", 0x5A5A5A5A), struct.pack("<I", place)) + structure)


def tvips_tiff(path: Path, pixels: np.ndarray, x: float, y: float, recorded_hw: tuple[int, int]) -> None:
    """A TIFF of TVIPS EM-MENU: tag 37706 is a structure (its version 2), which begins at the place that tifffile seeks."""
    first = np.zeros(1, np.dtype(tifffile.TIFF.TVIPS_HEADER_V1))
    second = np.zeros(1, [(name, form.replace("V", "S")) for name, form in tifffile.TIFF.TVIPS_HEADER_V2])
    first["Version"] = 2
    second["Magic"], second["PixelSizeX"], second["PixelSizeY"] = 0xAAAAAAAA, x, y
    second["ImageSizeY"], second["ImageSizeX"] = recorded_hw
    structure = first.tobytes() + second.tobytes()
    tifffile.imwrite(path, pixels, extratags=[(37706, 1, len(structure), structure, True)])


def fei_tiff(path: Path, pixels: np.ndarray, sections: dict[str, dict[str, Any]], tag: int = 34682) -> None:
    """A TIFF of FEI: an INI text in tag 34680 or 34682."""
    text = "".join(f"[{name}]\r\n" + "".join(f"{key}={value}\r\n" for key, value in keys.items()) + "\r\n" for name, keys in sections.items())
    tifffile.imwrite(path, pixels, extratags=[(tag, 2, 0, text, True)])


def digital_micrograph_tiff(path: Path, pixels: np.ndarray, scale: tuple[float, float], unit: str | bytes) -> None:
    """DigitalMicrograph's own TIFF export: private tags 65003 and 65004 (units), 65009 and 65010 (scales)."""
    kind, count = (2, 0) if isinstance(unit, str) else (1, len(unit))
    units = [(code, kind, count, unit, True) for code in (65003, 65004)]
    tifffile.imwrite(path, pixels, extratags=units + [(code, 12, 1, value, True) for code, value in zip((65009, 65010), scale, strict=True)])
