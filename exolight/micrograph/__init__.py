"""Pictures as they come from the microscope: read_micrograph(path) -> Micrograph (pixels as recorded, nm per pixel, where that is known from)."""

from exolight.micrograph.micrograph import Header, Micrograph
from exolight.micrograph.pixel_size import PIXEL_SIZE_RANGE_NM, check_pixel_size
from exolight.micrograph.pixels import finite_pixels
from exolight.micrograph.plausibility import doubts_of_scale
from exolight.micrograph.reading import PICTURE_SUFFIXES, read_header, read_micrograph, read_size
from exolight.micrograph.scale_bar import ScaleBar, find_scale_bar

__all__ = [
    "PICTURE_SUFFIXES",
    "PIXEL_SIZE_RANGE_NM",
    "Header",
    "Micrograph",
    "ScaleBar",
    "check_pixel_size",
    "doubts_of_scale",
    "find_scale_bar",
    "finite_pixels",
    "read_header",
    "read_micrograph",
    "read_size",
]
