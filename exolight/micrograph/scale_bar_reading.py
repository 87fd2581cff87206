"""The label of a scale bar, read: which round length in nm, µm or mm stands beside it.

No sentence is read, only labels of a fixed list are recognised: the characters' probabilities (``scale_bar_glyphs``) are joined along every way to cut a line
of text into characters, and the likeliest label wins if no other one comes near it.
"""

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from exolight.micrograph.scale_bar_glyphs import CHARACTERS, frame, probabilities

_ROUND = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 15, 20, 25, 30, 40, 50, 60, 75, 80, 100, 150, 200, 250, 300, 400, 500, 600, 800, 1000)
_FRACTIONS = (0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5)
_UNITS_NM = {"nm": 1.0, "µm": 1e3, "um": 1e3, "mm": 1e6}
_LEVELS = (0.15, 0.3, 0.45, 0.6, 0.75, 0.88)  # of the ink above the background, where the text is cut out
_FURTHEST = 3.0  # digit heights between bar and label
_CREDIT = 2.0  # log of how much likelier a character is lost than found where none is: 200 nm may be taken for 20 nm, 20 nm never for 200 nm
_MOST_PIECES = 48  # of a line; more is texture, not text
# Gaps in digit heights: what stands nearer than the first to the left of a label may be its beginning; the rest are the widest between the characters of one.
_ALONE, _BEFORE_UNIT, _BETWEEN_DIGITS, _WITHIN = 1.1, 1.6, 0.45, 0.75
_MOST_COMPONENTS = 2500

Box = tuple[float, float, float, float]


class Label(NamedTuple):
    """What stands beside a bar: ``text`` with one space before the unit, ``length_nm``, ``confidence`` in 0..1, ``box`` xyxy px."""

    text: str
    length_nm: float
    confidence: float
    box: Box


@dataclass(frozen=True)
class _Line:
    """Components of one line of text (x1, x2 px each, from left to right), the rows between which its digits stand, and its ink (H, W) in 0..1.

    ``unmasked`` is the ink before all but these components was wiped away.
    """

    spans: list[tuple[int, int]]
    top: float
    baseline: float
    ink: NDArray[np.float32]
    unmasked: NDArray[np.float32]

    @property
    def cap(self) -> float:
        return self.baseline - self.top

    def is_bare(self, left: int, right: int) -> bool:
        """Whether nothing stands in a gap: a digit on a bright patch may have been lost."""
        between = self.unmasked[int(self.top) : math.ceil(self.baseline), left + 1 : right - 1]
        strokes = (between > 0.5).mean(axis=0) > 0.25  # grain is no stroke
        return float(strokes.sum()) <= 0.1 * self.cap


class _Reading(NamedTuple):
    cost: float  # -log of the joint probability of its characters
    text: str
    box: Box


def read_label(pixels: NDArray[np.uint8], bar_xyxy: tuple[int, int, int, int]) -> Label | None:
    """The likeliest length written above, below or beside a bar; None where there is none, or two different ones.

    Args:
        pixels: (H, W) uint8.
        bar_xyxy: the bar, px; what is inside is not looked at. The text may be of its ink or of the opposite one.
    """
    readings: list[_Reading] = []
    height, width = pixels.shape
    x1, y1, x2, y2 = bar_xyxy
    above, aside = round(0.16 * height), round(0.5 * width)
    left, top = max(x1 - aside, 0), max(y1 - above, 0)
    window = pixels[top : y2 + above, left : x2 + aside].astype(np.float32)
    bar = (x1 - left, y1 - top, x2 - left, y2 - top)
    for line in _lines(window, bar):
        readings += _read(line, bar)
    return _decide([reading._replace(box=_shift(reading.box, left, top)) for reading in readings])


def _decide(readings: list[_Reading]) -> Label | None:
    """The likeliest reading. Its confidence is its share of the probability of all readings, times how likely its likeliest characters are."""
    best: dict[float, _Reading] = {}
    weight: dict[float, float] = {}
    for reading in readings:
        length = labels()[reading.text]
        weight[length] = weight.get(length, 0.0) + math.exp(_CREDIT * len(reading.text) - reading.cost)
        if length not in best or reading.cost < best[length].cost:
            best[length] = reading
    if not best:
        return None
    length = max(weight, key=lambda each: weight[each])
    reading = best[length]
    number, unit = reading.text[:-2], reading.text[-2:]
    quality = math.exp(-reading.cost / len(reading.text)) * min(1.0, (reading.box[3] - reading.box[1]) / 12)
    return Label(f"{number} {unit}", length, quality * weight[length] / sum(weight.values()), reading.box)


@functools.cache
def labels() -> dict[str, float]:
    """Every label that is recognised, without spaces, and its length in nm."""
    lengths: dict[str, float] = {}
    for unit, nanometres in _UNITS_NM.items():
        for value in (0.5, *_ROUND, 2000, 5000) if unit == "nm" else (*_FRACTIONS, *_ROUND):
            texts = {f"{value:g}"}
            if unit != "nm" and (value in (0.1, 0.2, 0.3, 0.4, 0.5) or value in _ROUND[: _ROUND.index(60)]):
                texts |= {f"{value:.1f}", f"{value:.2f}"} if value * 10 == round(value * 10) else set()
            lengths.update({text + unit: value * nanometres for text in texts})
    return lengths


def _rarity(text: str) -> float:
    """-log of how often such a label is seen, more or less: um is written more rarely than µm, and bars of 1, 2, 5, 10, ... are the rule."""
    return {"nm": 0.0, "µm": 0.0, "um": 0.7, "mm": 1.0}[text[-2:]] + (0.0 if text[:-2].strip("0.")[:2] in ("1", "2", "5") else 0.7)


@functools.cache
def _tree() -> dict[str, Any]:
    """The labels as a tree of characters; at a leaf "" holds the whole text."""
    root: dict[str, Any] = {}
    for text in labels():
        node = root
        for character in text:
            node = node.setdefault(character, {})
        node[""] = text
    return root


def _lines(window: NDArray[np.float32], bar: tuple[int, int, int, int]) -> Iterator[_Line]:
    """Lines of text near a bar, cut out at several levels, in the bar's ink and in the opposite one."""
    low, high = np.percentile(window, (0.3, 99.7))
    for side in (1.0, -1.0):
        signed = window * side
        for level in _LEVELS:
            mask = (signed > side * (low + (high - low) * level)).astype(np.uint8)
            mask[max(bar[1] - 1, 0) : bar[3] + 1, max(bar[0] - 2, 0) : bar[2] + 2] = 0
            for components, top, baseline in _rows_of_text(mask, bar):
                line = _line(signed, mask, components, top, baseline)
                if line is not None:
                    yield line


def _rows_of_text(mask: NDArray[np.uint8], bar: tuple[int, int, int, int]) -> Iterator[tuple[NDArray[np.int32], float, float]]:
    """Components (N, 5) x, y, width, height, area that stand on one line, from left to right, with the rows of its digits' tops and feet."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count > _MOST_COMPONENTS:  # the level lies within the grain
        return
    found = stats[1:]
    x, y, w, h, _ = found.T
    found = found[(h <= 0.8 * mask.shape[0]) & (w <= 0.7 * mask.shape[1])]
    found = found[np.argsort(found[:, 0], kind="stable")]
    x, y, w, h, area = found.T
    bottom = y + h
    seen: list[tuple[int, int, int, int]] = []
    for k in np.flatnonzero((h >= 6) & (w >= 0.12 * h) & (w <= 6 * h) & (area >= 0.12 * w * h)):
        cap = int(h[k])
        if any(abs(upper - y[k]) <= 0.12 * cap and abs(lower - bottom[k]) <= 0.12 * cap and left <= x[k] < right for upper, lower, left, right in seen):
            continue
        if not _near((int(x[k]), int(y[k]), int(x[k] + w[k]), int(bottom[k])), bar, 10 * cap, _FURTHEST * cap):
            continue
        point = (h >= 0.06 * cap) & (h <= 0.4 * cap) & (w <= 0.4 * cap) & (bottom >= bottom[k] - 0.12 * cap) & (bottom <= bottom[k] + 0.3 * cap)
        letter = (h > 0.4 * cap) & (y >= y[k] - 0.25 * cap) & (bottom <= bottom[k] + 0.45 * cap) & (bottom >= bottom[k] - 0.3 * cap)
        mates = np.flatnonzero(point | letter)
        ends = np.maximum.accumulate(x[mates] + w[mates])
        breaks = np.flatnonzero(x[mates][1:] - ends[:-1] > 2.1 * cap) + 1
        part = next(part for part in np.split(mates, breaks) if k in part)
        full = [m for m in part if abs(h[m] - cap) <= 0.15 * cap and abs(y[m] - y[k]) <= 0.15 * cap]
        seen.append((int(y[k]), int(bottom[k]), int(x[part[0]]), int((x[part] + w[part]).max())))
        if 2 <= len(part) <= _MOST_PIECES:
            yield found[part], float(np.median(y[full])), float(np.median(bottom[full]))


def _line(signed: NDArray[np.float32], mask: NDArray[np.uint8], components: NDArray[np.int32], top: float, baseline: float) -> _Line | None:
    """The line with its ink scaled to 0..1; None where there is next to no contrast."""
    x, _, w, _, _ = components.T
    cap = baseline - top
    rows = slice(max(int(top - 0.3 * cap), 0), math.ceil(baseline + 0.5 * cap))
    columns = slice(int(x.min()), int((x + w).max()))
    inside = mask[rows, columns] > 0
    reach = 2 * max(round(cap / 12), 1) + 1
    around = cv2.dilate(mask[rows, columns], np.ones((reach, reach), np.uint8)) > 0
    part = signed[rows, columns]
    if around.all() or not inside.any():
        return None
    background, full = float(np.median(part[~around])), float(np.percentile(part[inside], 80))
    if full - background < 20:
        return None
    ink, unmasked = np.zeros((2, *signed.shape), np.float32)
    unmasked[rows, columns] = np.clip((part - background) / (full - background), 0, 1)
    ink[rows, columns] = np.where(around, unmasked[rows, columns], 0)
    return _Line(_pieces(ink, components, top, baseline), top, baseline, ink, unmasked)


def _pieces(ink: NDArray[np.float32], components: NDArray[np.int32], top: float, baseline: float) -> list[tuple[int, int]]:
    """Columns of the smallest pieces a line falls into: components, those above one another joined, wide ones cut where they have little ink."""
    cap = baseline - top
    joined: list[list[int]] = []
    for x, w in components[:, (0, 2)].tolist():
        if joined and x < joined[-1][1] - 0.02 * cap:
            joined[-1][1] = max(joined[-1][1], x + w)
        else:
            joined.append([x, x + w])
    pieces: list[tuple[int, int]] = []
    for left, right in joined:
        cuts = [left]
        if right - left > 0.5 * cap:
            profile = cv2.GaussianBlur(ink[int(top) : math.ceil(baseline), left:right].sum(axis=0)[None], (0, 0), max(0.6, cap / 24))[0]
            for k in range(2, right - left - 2):
                if profile[k] <= profile[k - 1] and profile[k] < profile[k + 1] and profile[k] < 0.6 * profile.max() and left + k - cuts[-1] >= 0.12 * cap:
                    cuts.append(left + k)
        pieces += zip(cuts, [*cuts[1:], right], strict=True)
    return pieces


def _read(line: _Line, bar: tuple[int, int, int, int]) -> list[_Reading]:
    """Every label that some pieces of the line can be, each with its cheapest way to be cut into characters."""
    cuts = _characters(line)
    if not cuts:
        return []
    gaps = [math.inf, *(right[0] - left[1] for left, right in itertools.pairwise(line.spans)), math.inf]
    bare = [True, *(line.is_bare(left[1], right[0]) for left, right in itertools.pairwise(line.spans)), True]
    best: dict[tuple[str, int, int], float] = {}

    def extend(node: dict[str, Any], text: str, start: int, at: int, cost: float) -> None:
        if "" in node and gaps[at] >= 0.5 * line.cap:
            key = (node[""], start, at)
            best[key] = min(cost, best.get(key, math.inf))
        for end, costs in cuts.get(at, ()):
            for character, child in node.items():
                if not character or costs[character] > 3.2:
                    continue
                if text and (gaps[at] > _widest_gap(text[-1], character) * line.cap or not bare[at]):
                    continue
                extend(child, text + character, start, end, cost + costs[character])

    for start in range(len(line.spans)):
        if gaps[start] >= _ALONE * line.cap:
            extend(_tree(), "", start, start, 0.0)
    found = [_Reading(cost + _rarity(text), text, (line.spans[a][0], line.top, line.spans[b - 1][1], line.baseline)) for (text, a, b), cost in best.items()]
    return [reading for reading in found if _near(reading.box, bar, _FURTHEST * line.cap, _FURTHEST * line.cap)]


def _widest_gap(before: str, after: str) -> float:
    """Digit heights between two characters of a label. Where a decimal point was not seen, two digits are further apart than digits are."""
    if before.isdigit() and after.isdigit():
        return _BETWEEN_DIGITS
    return _WITHIN if before.isalpha() or not after.isalpha() else _BEFORE_UNIT


def _characters(line: _Line) -> dict[int, list[tuple[int, dict[str, float]]]]:
    """First piece -> (piece after the last one, character -> cost) for every run of pieces that may be one character."""
    spans, cap = line.spans, line.cap
    top, bottom = max(int(line.top - 0.5 * cap), 0), math.ceil(line.baseline + 0.7 * cap)
    runs: list[tuple[int, int]] = []
    frames: list[NDArray[np.float32]] = []
    widths: list[float] = []
    for first in range(len(spans)):
        for after in range(first + 1, min(first + 5, len(spans)) + 1):
            left, right = spans[first][0], spans[after - 1][1]
            if right - left > 1.7 * cap or (after > first + 1 and spans[after - 1][0] - spans[after - 2][1] > 0.15 * cap):
                break
            framed = frame(np.ascontiguousarray(line.ink[top:bottom, left:right]), cap, line.baseline - top)
            if framed is not None:
                runs.append((first, after))
                frames.append(framed)
                widths.append((right - left) / cap)
    if not runs:
        return {}
    costs = -np.log(np.maximum(probabilities(np.stack(frames), np.array(widths, np.float32)), 0.01))
    cuts: dict[int, list[tuple[int, dict[str, float]]]] = {}
    for (first, after), row in zip(runs, costs.tolist(), strict=True):
        cuts.setdefault(first, []).append((after, dict(zip(CHARACTERS, row, strict=False))))
    return cuts


def _near(box: Box, bar: Sequence[float], sideways: float, upwards: float) -> bool:
    """Whether at most so many px lie between a box and the bar."""
    return max(bar[0] - box[2], box[0] - bar[2]) <= sideways and max(bar[1] - box[3], box[1] - bar[3]) <= upwards


def _shift(box: Box, x: float, y: float) -> Box:
    return box[0] + x, box[1] + y, box[2] + x, box[3] + y
