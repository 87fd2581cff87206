"""What a person should know about the scale of several pictures before anything is measured in them: what their headers say, compared."""

from collections import Counter
from collections.abc import Sequence

from exolight.micrograph.micrograph import Header

MIXED = 1.5  # between the largest and the smallest nm per pixel; drift of a calibration stays far below
SAME = 0.02  # relative; neighbouring steps of magnification differ by more than a tenth
NAMED = 3  # pictures
LISTED = 4  # magnifications; of more only the range is told
# Whose pixel sizes are the microscope's; ImageJ writes the new one when it resizes.
_RECORDED = ("DigitalMicrograph", "DigitalMicrograph TIFF", "FEI TIFF", "MRC", "OME-TIFF", "Olympus SIS TIFF", "TIA", "TVIPS TIFF", "Velox")


def doubts_of_scale(headers: Sequence[Header]) -> list[str]:
    """Why sizes measured in these pictures may not belong together, a sentence each, ``what was found; what to do``; [] where nothing speaks for it.

    What is doubtful about one picture by itself is in its ``Header.warnings``. Where the user has said the pixel size of all, nothing is doubtful here.

    Args:
        headers: of one folder, or of one data set, in any order.

    Returns:
        At most one sentence each: magnifications are mixed (by more than a factor of 1.5); some pictures have a pixel size and others have none; pictures have
        the pixel size of others of the same source but another width, as exports have that were resized after recording and kept their metadata.
    """
    known = sorted((header for header in headers if header.pixel_size_nm), key=_pixel_size)
    without = [header for header in headers if not header.pixel_size_nm]
    doubts = []
    magnifications = _magnifications(known)
    if known and _pixel_size(known[-1]) > MIXED * _pixel_size(known[0]):
        if len(magnifications) > LISTED:
            low, high = known[0], known[-1]
            found = f"{_pixel_size(low):.4g} nm per pixel ({low.path.name}) to {_pixel_size(high):.4g} ({high.path.name})"
        else:
            found = ", ".join(f"{_pixel_size(group[0]):.4g} nm per pixel in {_some(group)}" for group in magnifications)
        doubts.append(f"mixed magnifications: {found}; sizes in nm are right only if each of these is")
    if known and without:
        doubts.append(f"nm per pixel unknown in {_some(without)}, known in the other {len(known):,}; sizes stay in pixels where it is unknown")
    resized = [header for group in magnifications for header in _other_widths(group)]
    if resized:
        what = f"{_some(resized)} of another width, {resized[0].image_hw[1]} px, than others of the same microscope with the same nm per pixel"
        doubts.append(f"{what}; harmless if they were cropped, but if they were resized after recording their sizes are wrong: measure the originals")
    return doubts


def _pixel_size(header: Header) -> float:
    return header.pixel_size_nm or 0.0


def _magnifications(known: Sequence[Header]) -> list[list[Header]]:
    """Headers sorted by pixel size, taken apart wherever that differs from the first of a group."""
    groups: list[list[Header]] = []
    for header in known:
        if not groups or _pixel_size(header) > (1 + SAME) * _pixel_size(groups[-1][0]):
            groups.append([])
        groups[-1].append(header)
    return groups


def _other_widths(group: Sequence[Header]) -> list[Header]:
    """Of pictures of one magnification those whose width is not the most frequent one of their source.

    Height is not asked: information bars are added and cut off. Nor is a picture whose own metadata tell another width, which its own warnings say.
    """
    told = [header for header in group if header.pixel_size_source in _RECORDED and not any("after recording" in one for one in header.warnings)]
    widths = Counter((header.pixel_size_source, header.image_hw[1]) for header in told)
    usual: dict[str, int] = {}
    for (source, width), _ in widths.most_common():  # the most frequent first
        usual.setdefault(source, width)
    return [header for header in told if header.image_hw[1] != usual[header.pixel_size_source]]


def _some(headers: Sequence[Header]) -> str:
    """How many pictures, and the first of them."""
    names = ", ".join(header.path.name for header in headers[:NAMED])
    return f"{len(headers):,} picture{'' if len(headers) == 1 else 's'} ({names}{', ...' if len(headers) > NAMED else ''})"
