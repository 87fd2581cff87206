"""find_scale_bar(picture) -> ScaleBar: the bar burned into a picture, and the length written beside it.

Everything in the picture that has the shape of a bar is a candidate (``scale_bar_candidates``). The label beside the likelier ones is read
(``scale_bar_reading``), and a logistic model weighs a few features of each: what has a length written beside it is hardly anything but a bar.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from exolight.micrograph.micrograph import Micrograph
from exolight.micrograph.reading import read_micrograph
from exolight.micrograph.scale_bar_candidates import Candidate, candidates, eight_bit, reduced
from exolight.micrograph.scale_bar_reading import Box, Label, read_label

# Log-odds that a candidate is a bar, a weight for each feature of ``_shape_odds``, and for the confidence of its label. Fitted by logistic regression (a ridge
# of 0.001) to the 326 candidates in 114 pictures of EMPS (train.txt and val.txt, shuffled), 92 of them bars as seen by eye. Half a bar with its label in the
# middle counted as a bar.
_LEVELS, _UNEVEN, _BESET, _ENDS, _SHORT, _CONSTANT = 1.9, -2.9, -6.3, -3.9, -6.6, 0.8
_LABEL = 4.6

_MOST_READ = 8  # candidates whose surroundings are searched for a label
_WORTH_READING = -5.0  # log-odds without a label
_LEAST = 0.5  # probability that a bar which is returned is one
_LEGIBLE = 0.6  # confidence of a label that counts as read; those misread in the pictures above had less
_MOST = 0.99  # confidence; there were not bars enough to tell more
_SAME = 0.03  # relative; bars whose nm per pixel differ by more contradict each other


@dataclass(frozen=True)
class ScaleBar:
    """A scale bar burned into a picture.

    Attributes:
        length_px: from end to end, px of the picture, where the ink has half its contrast.
        box_xyxy: around it, px of the picture.
        label: its length as read or as given, such as "500 nm"; None where nothing could be read.
        length_nm: the same as a number.
        label_xyxy: around the label, px of the picture; None where it was not read.
        confidence: 0..1: that this is the bar and, where it was read, that its label says this.
    """

    length_px: float
    box_xyxy: Box
    label: str | None
    length_nm: float | None
    label_xyxy: Box | None
    confidence: float

    @property
    def nm_per_pixel(self) -> float | None:
        """What the bar says, plausible or not; None without a label."""
        return None if self.length_nm is None else self.length_nm / self.length_px


class _Bar(NamedTuple):
    left: Candidate
    right: Candidate  # the same one, unless the label stands in the middle of the bar
    label: Label | None
    odds: float

    @property
    def probability(self) -> float:
        return 1 / (1 + math.exp(-self.odds))

    @property
    def nm_per_pixel(self) -> float | None:
        return None if self.label is None or self.label.confidence < _LEGIBLE else self.label.length_nm / (self.right.x2 - self.left.x1)


def find_scale_bar(picture: str | Path | Micrograph, length_nm: float | None = None) -> ScaleBar | None:
    """The scale bar of a picture; None where nothing in it is more likely a bar than not.

    Looked for is a horizontal rectangle of even ink, brighter or darker than what is around it, with or without a label above, below or beside it, or a line
    that is interrupted by its label. Not found are rulers of dots, bars that touch the picture's border, and slanting or vertical ones.

    Args:
        picture: a file, or what ``read_micrograph`` made of it.
        length_nm: length of the bar where that is known: its label need not be readable then.

    Raises:
        InputError: the file cannot be read.
    """
    pixels = (picture if isinstance(picture, Micrograph) else read_micrograph(picture)).pixels
    small, factor = reduced(pixels)
    bars = sorted(_bars(eight_bit(small)), key=lambda bar: bar.odds, reverse=True)
    if not bars or bars[0].probability < _LEAST:
        return None
    best, scale = bars[0], bars[0].nm_per_pixel
    left, right = _end(pixels, best.left, factor, left=True), _end(pixels, best.right, factor, left=False)
    box = (left, float(best.left.y1 * factor), right, float(best.left.y2 * factor))
    unread = ScaleBar(right - left, box, None, None, None, min(best.probability, _MOST))
    if length_nm is not None:
        return replace(unread, label=f"{length_nm:g} nm", length_nm=float(length_nm))
    if best.label is None or scale is None:
        return unread
    rivals = [bar.odds for bar in bars[1:] if bar.nm_per_pixel is not None and abs(bar.nm_per_pixel - scale) > _SAME * scale]
    confidence = best.label.confidence / (1 + sum(math.exp(odds - best.odds) for odds in (0.0, *rivals)))  # one of them is the bar, or nothing is
    if confidence < _LEAST:
        return unread
    x1, y1, x2, y2 = (factor * side for side in best.label.box)
    return ScaleBar(right - left, box, best.label.text, best.label.length_nm, (x1, y1, x2, y2), min(confidence, _MOST))


def _bars(grey: NDArray[np.uint8]) -> Iterator[_Bar]:
    """Everything that may be the bar of an uint8 picture (H, W)."""
    shapes = sorted(((_shape_odds(candidate, grey.shape[1]), candidate) for candidate in candidates(grey)), key=lambda shape: shape[0], reverse=True)
    shapes = [shape for shape in shapes if shape[0] > _WORTH_READING and not any(_surrounds(shape, other) for other in shapes)][:_MOST_READ]
    read = [(odds, candidate, _label(grey, candidate)) for odds, candidate in shapes]
    halves: set[Candidate] = set()
    for (odds, a, label), (other_odds, b, other_label) in itertools.permutations(read, 2):
        between = label or other_label
        if between is not None and _interrupted(a, b, between.box):
            halves |= {a, b}
            yield _Bar(a, b, between, odds + other_odds + _LABEL)  # two equal lines around a length: read well or badly, it is one
    for odds, candidate, label in read:
        if candidate not in halves and not (label is not None and (_goes_on(grey, candidate, label.box) or _is_paper(grey, candidate, label.box))):
            yield _Bar(candidate, candidate, label, odds + (0 if label is None else _LABEL * label.confidence))


def _shape_odds(candidate: Candidate, width: int) -> float:
    """Log-odds that something of this shape is a bar, where nothing is known of a label, in a picture of ``width`` px."""
    return (
        _CONSTANT
        + _LEVELS * min(candidate.levels, 5) / 5
        + _UNEVEN * min(candidate.unevenness, 0.3) / 0.3
        + _BESET * (1 - min(candidate.free[:2]))
        + _ENDS * (1 - min(candidate.free[2:]))
        + _SHORT * (1 - min(math.log2(candidate.width / (0.02 * width)) / 3, 1.0))  # 0 from 16 % of the picture's width on
    )


def _label(grey: NDArray[np.uint8], candidate: Candidate) -> Label | None:
    """What is written beside a candidate; None too where the candidate is rather a stroke of the letters."""
    label = read_label(grey, (candidate.x1, candidate.y1, candidate.x2, candidate.y2))
    if label is None:
        return None
    x1, y1, x2, y2 = label.box
    within = min(candidate.x2, x2) > max(candidate.x1, x1) and min(candidate.y2, y2) > max(candidate.y1, y1)
    return None if within or candidate.width < y2 - y1 else label


def _surrounds(shape: tuple[float, Candidate], other: tuple[float, Candidate]) -> bool:
    """Whether something is only the frame of the other one or the strip of paper beside it: of the opposite ink and close by, less likely or longer."""
    (odds, a), (other_odds, b) = shape, other
    beside = min(a.x2, b.x2) > max(a.x1, b.x1) and max(a.y1 - b.y2, b.y1 - a.y2) <= 2
    return a.bright != b.bright and beside and odds < other_odds + (1 if b.width < a.width else -1)


def _interrupted(a: Candidate, b: Candidate, label: Box) -> bool:
    """Whether a and b are the left and the right part of a line that has its label in its middle."""
    alike = a.bright == b.bright and max(a.width, b.width) < 1.2 * min(a.width, b.width) and min(a.y2, b.y2) > max(a.y1, b.y1)
    return alike and a.x2 <= label[0] + 1 and label[2] <= b.x1 + 1 and label[1] < a.y2 and a.y1 < label[3]


def _goes_on(grey: NDArray[np.uint8], candidate: Candidate, label: Box) -> bool:
    """Whether a line with a label at its end goes on behind the label: it is a part of the bar, whose other part was not found."""
    if not label[1] < (candidate.y1 + candidate.y2) / 2 < label[3]:
        return False
    on_its_left = candidate.x2 <= label[0] + 1
    gap = max(label[0] - candidate.x2 if on_its_left else candidate.x1 - label[2], 0)
    reach = round(2 * gap) + 12
    start = round(label[2]) if on_its_left else max(round(label[0]) - reach, 0)
    beyond = grey[candidate.y1 : candidate.y2, start : start + reach].astype(np.float64)
    ink = float(np.median(grey[candidate.y1 : candidate.y2, candidate.x1 : candidate.x2]))
    return beyond.size > 0 and float((np.abs(beyond - ink) < candidate.contrast / 2).mean()) > 0.5


def _is_paper(grey: NDArray[np.uint8], candidate: Candidate, label: Box) -> bool:
    """Whether something is a margin of the box that the label is printed on: as bright or dark as what is around the letters and from there to it."""
    x1, y1, x2, y2 = (round(side) for side in label)
    rim = max((y2 - y1) // 5, 1)
    around = grey[max(y1 - rim, 0) : y2 + rim, max(x1 - rim, 0) : x2 + rim].astype(np.float64)
    around[min(rim, y1) : -rim, min(rim, x1) : -rim] = np.nan
    (left, right), (top, bottom) = _gap((candidate.x1, candidate.x2), (x1, x2)), _gap((candidate.y1, candidate.y2), (y1, y2))
    between = grey[top + 1 : bottom - 1, left + 1 : right - 1].astype(np.float64)  # without the blur of the edges
    ink = float(np.median(grey[candidate.y1 : candidate.y2, candidate.x1 : candidate.x2]))
    alike = candidate.contrast / 3
    return bool(abs(np.nanmedian(around) - ink) < alike and (not between.size or abs(np.median(between) - ink) < alike))


def _gap(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    """What lies between two intervals, or what they share."""
    inner = max(a[0], b[0]), min(a[1], b[1])
    return min(inner), max(inner)


def _end(pixels: NDArray[np.generic], candidate: Candidate, factor: int, left: bool) -> float:
    """x px at which a bar ends, to a part of a pixel: where the grey levels cross the middle between its ink and what lies beyond.

    Args:
        pixels: (H, W), the picture as recorded, ``factor`` times as large as the one that the candidate was found in.
    """
    found = factor * (candidate.x1 if left else candidate.x2)
    reach = min(3 + 2 * factor, found)
    part = pixels[factor * candidate.y1 : factor * candidate.y2, found - reach : found + reach].astype(np.float64)
    profile = np.median(part, axis=0)[:: 1 if left else -1]  # from outside inwards
    outside, ink = float(np.median(profile[: reach // 2])), float(np.median(profile[-(reach // 2) :]))
    inked = (profile - (outside + ink) / 2) / (ink - outside or 1.0)  # -0.5 outside to 0.5 within
    if inked[-1] <= 0 or inked.min() >= 0:
        return float(found)
    before = int(np.flatnonzero(inked < 0)[-1])
    crossing = before + 0.5 - inked[before] / (inked[before + 1] - inked[before])  # values are those of the middles of pixels
    return float(found - reach + crossing if left else found - reach + len(profile) - crossing)
