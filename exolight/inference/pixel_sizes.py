"""How the pictures of a prediction get their nanometres per pixel: what each file says, what the user says, or the scale bar drawn in each picture."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from exolight.errors import InputError
from exolight.micrograph import Micrograph, ScaleBar, check_pixel_size, doubts_of_scale, find_scale_bar, read_header, read_micrograph
from exolight.micrograph.pixel_size import is_plausible

SURE = 0.9  # a scale bar less certain than this is pointed out
SAME = 0.05  # relative; a scale bar and a file that differ by more disagree. A bar of 100 px is certain to 2 %


@dataclass(frozen=True)
class PixelSize:
    """Where nm per pixel are from; without arguments: each file's own.

    Attributes:
        nm: nm per pixel of all pictures; wins over what the files say.
        scale_bar: whether the bar drawn in a picture tells, where its file does not; it is compared with what the file says.
        scale_bar_nm: length of that bar, the same in all pictures; None: as its label says.

    Raises:
        InputError: ``nm`` is no pixel size, ``scale_bar_nm`` no length, or both a number of nm per pixel and a scale bar are asked for.
    """

    nm: float | None = None
    scale_bar: bool = False
    scale_bar_nm: float | None = None

    def __post_init__(self) -> None:
        if self.scale_bar_nm is not None:
            if not 0 < self.scale_bar_nm < float("inf"):
                raise InputError(f"scalebar_nm={self.scale_bar_nm:g}: a bar has a length above 0; give the nanometres written at it, such as scalebar_nm=500")
            object.__setattr__(self, "scale_bar", True)
        if self.nm is not None:
            check_pixel_size(self.nm, f"pixel_size={self.nm:g}")
            if self.scale_bar:
                raise InputError(f"pixel_size={self.nm:g} and a scale bar both say how large a pixel is: leave one of them out")

    def read(self, path: Path) -> tuple[Micrograph, ScaleBar | None]:
        """A picture with its pixel size, and its scale bar where that was asked for and found. Raises ``InputError`` as ``read_micrograph`` does."""
        micrograph = read_micrograph(path, self.nm)
        if not self.scale_bar:
            return micrograph, None
        bar = find_scale_bar(micrograph, self.scale_bar_nm)
        return size_by(micrograph, bar), bar


def doubts_before(paths: Sequence[Path], pixel_size: PixelSize) -> list[str]:
    """What ``doubts_of_scale`` says of the files' headers, before anything is sized; files that cannot be read are told of elsewhere."""
    headers = []
    for path in paths if len(paths) > 1 and pixel_size.nm is None else ():
        with suppress(InputError):
            headers.append(read_header(path))
    return doubts_of_scale([header for header in headers if header.pixel_size_nm or not pixel_size.scale_bar])


def size_by(micrograph: Micrograph, bar: ScaleBar | None) -> Micrograph:
    """The picture with the nm per pixel of its scale bar where the file says none, and with a warning where the bar does not help, is unsure, or disagrees."""
    recorded, drawn = micrograph.pixel_size_nm, None if bar is None else bar.nm_per_pixel
    if bar is None or drawn is None or not is_plausible(drawn):
        if recorded is not None:
            return micrograph
        if bar is None:
            problem = "no scale bar was found"
        elif drawn is None:
            problem = "the scale bar's label could not be read (scalebar_nm= gives it)"
        else:
            problem = "the scale bar comes to nm per pixel that no such picture has"
        return _warned(micrograph, f"{problem}: sized in px only")
    if recorded is None:
        source = f"scale bar ({bar.label}, confidence {bar.confidence:.2f})"
        sized = replace(micrograph, pixel_size_nm=drawn, pixel_size_source=source)
        return sized if bar.confidence >= SURE else _warned(sized, "the scale bar or its label may be mistaken: look at the one outlined on the overlay")
    if abs(drawn - recorded) <= SAME * recorded:
        return micrograph
    source = micrograph.pixel_size_source
    return _warned(micrograph, f"its {source} metadata say {recorded:.4g} nm per pixel, its scale bar {drawn:.4g}; the former is used, check which is right")


def _warned(micrograph: Micrograph, warning: str) -> Micrograph:
    return replace(micrograph, warnings=(*micrograph.warnings, warning))
