"""The verdict on a picture: usable, to be looked at, or not to be analysed, with the reasons in words."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from exolight.micrograph.micrograph import Micrograph
from exolight.quality import film, focus, greys
from exolight.quality.burned_in import Mask, extremes, label_boxes, strip_rows
from exolight.quality.spectrum import anisotropy, flatness, spectra

Verdict = Literal["usable", "warn", "reject"]


class Limit(NamedTuple):
    """Above which score a picture is to be looked at, from which on it is not to be analysed, and how that is said: the fault, and its extent."""

    warn: float
    reject: float
    fault: str
    extent: str


# Every score grows with its fault. What they are on simulated faults and on real pictures: benchmarks/quality.py.
LIMITS: Mapping[str, Limit] = {
    # ``flatness``: blank simulated fields exceed 0.6; with film, however blurred, it stays under 0.12. Lattices of particles reach 0.4.
    "nearly_empty": Limit(0.4, 0.5, "nearly empty", "no film to be seen, only noise or a single grey"),
    # ``drawn_share``: micrographs stay under 0.71, those on a clipped background included; plots and label masks exceed 0.9.
    "drawing": Limit(0.8, 0.9, "not a micrograph", "a drawing, a plot or a mask of plain greys"),
    # Blur over the one allowed, see ``allowed_blur_px``. At twice that, 10 nm, it is 24 nm across, and the smallest vesicles have 30 nm.
    "out_of_focus": Limit(1.0, 2.0, "out of focus", "a blur of {blur} (standard deviation)"),
    # ``anisotropy``: pictures of vesicles stay under 0.2, simulated and real; drift by 20 nm gives 0.3 to 0.9. Particles that lie in lines reach 1.1.
    "drift": Limit(0.4, 1.4, "drift or astigmatism", "blurred along one direction"),
    # Share of the pixels. Simulated fields stay under 0.04; with most of the film clipped there is no background to see a vesicle on.
    "saturated": Limit(0.05, 0.6, "saturated", "{share:.0%} of the pixels are plain black or white"),
    # Share of the field. From a hundredth on it is found at all; a quarter of a field can still be counted.
    "no_film": Limit(0.02, 0.75, "grid bar or torn film", "over {share:.0%} of the field"),
    # Factor beyond ``PIXEL_SIZES_NM``, as its base-2 logarithm. Twice too coarse, a vesicle of 30 nm has 3 px, which nothing finds.
    "magnification": Limit(0.0, 1.0, "wrong magnification", "{nm:.3g} nm per pixel, vesicles need {low:g} to {high:g}"),
}
PIXEL_SIZES_NM = (0.2, 5.0)  # coarser, vesicles of 30 nm have less than 6 px; finer, one of 200 nm fills 1000 px. Common are 0.6 to 2.5
ALLOWED_BLUR_NM = 5.0  # standard deviation, 12 nm across: the dark trough at the rim and the cup, 8 to 20 nm wide, begin to go
ALLOWED_BLUR_PX = 2.0  # at least: sampling, or an enlargement afterwards, gives nearly as much
ALLOWED_BLUR_SHARE = 0.008  # of the short side, where nobody knows the pixel size: 8 nm in a field of 1 um
MIN_SIDE_PX = 96  # of smaller pictures too few waves are seen
MIN_FILM_SIDE_PX = 128  # in smaller ones film is not looked for: any vesicle would be as large as a hole
WORK_NM, WORK_SIDE_PX = 1.5, 512  # blur is measured at no finer a sampling than it needs, as long as the short side keeps that many px
BLANK = 0.995  # of a strip that is plain; any letters take more than the rest
GRID_SIDE_PX = 256  # short side of the coarse grid on which the rest is looked for, at least


@dataclass(frozen=True, eq=False)
class Quality:
    """Whether a picture can be analysed, and which part of it.

    Attributes:
        verdict: "usable", "warn" (look at it; what is found may be wrong) or "reject" (nothing found here means anything).
        reasons: in words, the gravest first, each "fault: its extent"; () of a usable picture.
        scores: by the names of ``LIMITS``, growing with the fault; nan where it was not assessed.
        mask: (h, w) true where the picture shows no film, which is torn, covered by a grid bar or by what was burned in; on a coarse grid over the whole
            picture, None where all of it is film. Densities leave it out.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    scores: Mapping[str, float]
    mask: Mask | None = None

    @property
    def reason(self) -> str:
        """All reasons in one line."""
        return "; ".join(self.reasons)

    @property
    def faults(self) -> str:
        """The reasons without their extent, so that pictures of one fault say the same."""
        return ", ".join(reason.partition(":")[0] for reason in self.reasons)

    @property
    def analysed_share(self) -> float:
        """Share of the picture that is not masked."""
        return 1.0 if self.mask is None else 1.0 - float(self.mask.mean())


def assess(picture: Micrograph | NDArray[Any], pixel_size_nm: float | None = None) -> Quality:
    """Looks at a picture as recorded, grey levels (H, W) of any depth, with its nm per pixel where they are known; given ones win over a micrograph's own.

    What was burned in over part of the field does not count. Without a pixel size blur is judged by the picture's size, and the magnification is not judged.
    What grey levels cannot tell is not told: a photograph, a scanning or a cryo-electron micrograph passes as a picture of something.

    Raises:
        ValueError: the pixels are not two-dimensional, or none, or ``pixel_size_nm`` is not above 0.
    """
    pixels: NDArray[Any] = picture.pixels if isinstance(picture, Micrograph) else picture
    if pixel_size_nm is None and isinstance(picture, Micrograph):
        pixel_size_nm = picture.pixel_size_nm
    if pixels.ndim != 2 or pixels.size == 0:
        raise ValueError(f"a picture (height, width) is needed, not an array of shape {pixels.shape}")
    if pixel_size_nm is not None and not 0 < pixel_size_nm < math.inf:
        raise ValueError(f"a pixel size of {pixel_size_nm} nm: must be above 0")
    scores = dict.fromkeys(LIMITS, math.nan)
    if pixel_size_nm is not None:
        scores["magnification"] = max(math.log2(pixel_size_nm / PIXEL_SIZES_NM[1]), math.log2(PIXEL_SIZES_NM[0] / pixel_size_nm))
    if pixels.dtype not in (np.uint8, np.uint16, np.float32):
        pixels = pixels.astype(np.float32)
    if pixels.min() == pixels.max():
        scores["nearly_empty"] = 1.0
        return _judged(scores, pixel_size_nm)
    if min(pixels.shape) < MIN_SIDE_PX:
        return _judged(scores, pixel_size_nm, also=(f"too small to be judged: {pixels.shape[0]} x {pixels.shape[1]} px",))

    field = _field(pixels)
    short = min(field.specimen.shape)
    scores["no_film"] = float((field.bare.sum() + field.blank) / max(np.count_nonzero(~field.boxes) + field.blank, 1))
    scores["saturated"] = greys.clipped_share(field.extreme, ~field.boxes & ~field.bare)
    factor = short // WORK_SIDE_PX
    factor = max(min(factor, int(WORK_NM / pixel_size_nm)) if pixel_size_nm else factor, 1)
    found = spectra(_reduced(field.specimen, factor), ~field.bare & ~field.boxes)
    scores["nearly_empty"] = flatness(found)
    blur_px = math.nan
    if scores["nearly_empty"] < LIMITS["nearly_empty"].reject:  # else there is nothing to be drawn or in focus
        scores["drawing"] = greys.drawn_share(field.specimen, field.step)
        blur_px = focus.blur_px(found) * factor
        scores["out_of_focus"] = blur_px / allowed_blur_px(short, pixel_size_nm)
        scores["drift"] = anisotropy(found)
    mask = np.ones((pixels.shape[0] // field.step, pixels.shape[1] // field.step), bool)
    mask[field.top : field.top + len(field.bare)] = field.bare | field.boxes
    return _judged(scores, pixel_size_nm, blur_px, mask if mask.any() else None)


def allowed_blur_px(short_side_px: int, pixel_size_nm: float | None) -> float:
    """Standard deviation, px, of the blur that a picture may have."""
    return max(ALLOWED_BLUR_NM / pixel_size_nm if pixel_size_nm else ALLOWED_BLUR_SHARE * short_side_px, ALLOWED_BLUR_PX)


def _judged(
    scores: Mapping[str, float], pixel_size_nm: float | None, blur_px: float = math.nan, mask: Mask | None = None, also: tuple[str, ...] = ()
) -> Quality:
    """The verdict that scores amount to; ``also`` are further reasons to look at the picture."""
    grave: list[str] = []
    slight = list(also)
    blur = f"{blur_px * pixel_size_nm:.1f} nm" if pixel_size_nm else f"{blur_px:.1f} px"
    for name, limit in LIMITS.items():
        if scores[name] > limit.warn:  # never of nan
            extent = limit.extent.format(blur=blur, share=scores[name], nm=pixel_size_nm, low=PIXEL_SIZES_NM[0], high=PIXEL_SIZES_NM[1])
            (grave if scores[name] >= limit.reject else slight).append(f"{limit.fault}: {extent}")
    return Quality("reject" if grave else "warn" if slight else "usable", (*grave, *slight), scores, mask)


class _Field(NamedTuple):
    """What a picture shows between strips: ``specimen`` at full size; the rest on a grid (h, w) of ``step`` px, from the grid's row ``top`` on.

    ``blank`` are the cells of strips in which nothing is written: they may as well be a bar of the grid.
    """

    specimen: NDArray[Any]
    step: int
    top: int
    blank: int
    extreme: Mask
    boxes: Mask
    bare: Mask


def _field(pixels: NDArray[Any]) -> _Field:
    step = max(min(pixels.shape) // GRID_SIDE_PX, 1)
    reduced = _reduced(pixels, step)
    dark, bright = extremes(pixels[::step, ::step][: reduced.shape[0], : reduced.shape[1]])
    top, bottom = strip_rows(dark, bright)
    if (len(dark) - top - bottom) * step < MIN_SIDE_PX:
        top = bottom = 0
    rows = slice(top, len(dark) - bottom)
    strips = np.delete(dark | bright, rows, axis=0)
    blank = strips.size if strips.size and strips.mean() > BLANK else 0
    dark, bright, reduced = dark[rows], bright[rows], reduced[rows]
    boxes = label_boxes(dark, bright)
    bare = film.bare(reduced, boxes) if min(reduced.shape) * step >= MIN_FILM_SIDE_PX else np.zeros(boxes.shape, bool)
    specimen = pixels[top * step : len(pixels) if bottom == 0 else rows.stop * step]
    return _Field(specimen, step, top, blank, dark | bright, boxes, bare)


def _reduced(pixels: NDArray[Any], step: int) -> NDArray[Any]:
    """Means of ``step`` x ``step`` px; what is left over at the right and lower border is dropped."""
    height, width = (side // step for side in pixels.shape)
    whole = np.ascontiguousarray(pixels[: height * step, : width * step])
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)) if step > 1 else whole
