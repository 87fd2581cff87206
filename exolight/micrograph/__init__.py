"""Pictures as they come from the microscope: read_micrograph(path) -> Micrograph (pixels as recorded, nm per pixel, where that is known from)."""

from exolight.micrograph.micrograph import Header, Micrograph
from exolight.micrograph.pixel_size import PIXEL_SIZE_RANGE_NM, check_pixel_size, pixel_size_warnings
from exolight.micrograph.pixels import finite_pixels
from exolight.micrograph.reading import PICTURE_SUFFIXES, read_header, read_micrograph, read_size

__all__ = [
    "PICTURE_SUFFIXES",
    "PIXEL_SIZE_RANGE_NM",
    "Header",
    "Micrograph",
    "check_pixel_size",
    "finite_pixels",
    "pixel_size_warnings",
    "read_header",
    "read_micrograph",
    "read_size",
]
