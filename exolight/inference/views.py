"""Views: the inputs of the network that one picture becomes (whole, in tiles, flipped, at other scales), and how what was found in them comes together."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import box_iou

from exolight.detections import Detections
from exolight.models.suppression import MAX_CANDIDATES, merge
from exolight.preprocessing import FIELD_STEP, Placement, letterbox_factor, pad, place, rescale
from exolight.thresholds import Thresholds

Edges = tuple[float, float, float, float]

EVERYWHERE: Edges = (-np.inf, -np.inf, np.inf, np.inf)
# Test-time augmentation: flips (x, y), which TEM has for nothing because it knows no up; and scales, as factors of the usual one.
FLIPS = ((False, False), (True, False), (False, True), (True, True))
SCALES = (0.83, 1.2)
EDGE_PX = 2.0  # of the network's input: a box this near to a tile's inner edge is cut by it
COVERED = 0.6  # a cut box with this share of its area inside a whole one shows a piece of the same object
LARGE = 0.8  # of the overlap: objects longer than this may be cut in every tile, and are taken from the whole picture too


class View(NamedTuple):
    """One input of the network.

    Attributes:
        field: (h, w) uint8, multiples of every stride; a flipped one lies so already.
        placement: picture px -> px of the field before it was flipped.
        flip: whether the field is mirrored in x and in y.
        window: x1, y1, x2, y2 in picture px of what the field shows; infinite where that ends with the picture itself.
    """

    field: NDArray[np.uint8]
    placement: Placement
    flip: tuple[bool, bool] = (False, False)
    window: Edges = EVERYWHERE


class Part(NamedTuple):
    """What was found in one view.

    Attributes:
        found: in px of the picture, not clipped to it.
        window: of the view.
        scale: px of the network's input per px of the picture.
        coarse: whether tiles look closer: they know better where an object is that one of them sees whole.
    """

    found: Detections
    window: Edges
    scale: float
    coarse: bool = False


def whole_views(image: NDArray[np.uint8], size: int, factor: float | None, augmented: bool = False) -> Iterator[View]:
    """A normalised picture (H, W) as the network was trained to see it; ``augmented``: also flipped, and at other scales.

    ``size`` and ``factor`` as in ``exolight.preprocessing.place``.
    """
    field, placement = place(image, size, factor)
    for flip in FLIPS if augmented else FLIPS[:1]:
        yield View(flipped(field, flip), placement, flip)
    if augmented:
        usual = letterbox_factor((image.shape[0], image.shape[1]), size) if factor is None else factor
        for scale in SCALES:
            yield View(*place(image, size, usual * scale))


def tile_views(image: NDArray[np.uint8], factor: float, side: int, overlap: int, augmented: bool = False) -> Iterator[View]:
    """A normalised picture (H, W), rescaled by ``factor``, in overlapping tiles, row by row; ``augmented`` as in ``whole_views``.

    Args:
        factor: px of the network's input per px of the picture.
        side, overlap: of the tiles, px of the rescaled picture.
    """
    for scale in (1.0, *SCALES) if augmented else (1.0,):
        rescaled, placement = rescale(image, factor * scale)
        height, width = rescaled.shape
        field_side = -(-side // FIELD_STEP) * FIELD_STEP
        for top, bottom in spans(height, side, overlap):
            for left, right in spans(width, side, overlap):
                field, x, y = pad(rescaled[top:bottom, left:right], (field_side, field_side))
                here = placement._replace(offset_x=float(x - left), offset_y=float(y - top))
                inner = (left > 0, top > 0, right < width, bottom < height)
                edges = (left / placement.scale_x, top / placement.scale_y, right / placement.scale_x, bottom / placement.scale_y)
                x1, y1, x2, y2 = (edge if cut else limit for edge, cut, limit in zip(edges, inner, EVERYWHERE, strict=True))
                for flip in FLIPS if augmented and scale == 1.0 else FLIPS[:1]:
                    yield View(flipped(field, flip), here, flip, (x1, y1, x2, y2))


def spans(length: int, side: int, overlap: int) -> list[tuple[int, int]]:
    """Where tiles of ``side`` px begin and end along ``length`` px; the last one is shifted inwards, so that all but a shorter length's are whole."""
    if length <= side:
        return [(0, length)]
    starts = [*range(0, length - side, side - overlap), length - side]
    return [(start, start + side) for start in starts]


def flipped(field: NDArray[np.uint8], flip: tuple[bool, bool]) -> NDArray[np.uint8]:
    """(h, w) mirrored in x and in y where asked for."""
    return field[:: -1 if flip[1] else 1, :: -1 if flip[0] else 1]


def in_picture(found: Detections, view: View) -> Part:
    """Detections in px of a view's field, in px of the picture."""
    height, width = view.field.shape
    boxes = found.boxes
    if view.flip[0]:
        boxes = np.stack((width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]), axis=1)
    if view.flip[1]:
        boxes = np.stack((boxes[:, 0], height - boxes[:, 3], boxes[:, 2], height - boxes[:, 1]), axis=1)
    scale = (view.placement.scale_x * view.placement.scale_y) ** 0.5
    return Part(Detections(view.placement.to_image(boxes), found.scores, found.labels), view.window, scale)


def large_ones(part: Part, side: float) -> Part:
    """Of a look at a whole picture that goes on in tiles, only the objects with a side of at least ``side`` px of the picture."""
    sides = (part.found.boxes[:, 2:] - part.found.boxes[:, :2]).max(axis=1, initial=0)
    return part._replace(found=part.found.filter(sides >= side), coarse=True)


def together(parts: Sequence[Part], thresholds: Thresholds, hw: tuple[int, int], augmented: bool = False) -> Detections:
    """What was found in all views of a picture of ``hw``, each object once, clipped to the picture; what lies in the padding alone is dropped.

    A box that the inner edge of a tile cuts is dropped where another tile sees the object whole, or where a whole box covers most of it; of a coarse and a
    close look at one object the close one stays; then one non-maximum suppression runs over all that is left. ``max_detections`` has been applied view by
    view. Boxes under ``thresholds.score`` stay, but displace none above it. ``augmented``: boxes and scores become the views' mean (``mean_of_views``).
    """
    result = Detections.concatenate([part.found for part in parts])
    if len(parts) > 1:
        cut = np.concatenate([cut_by(part.window, part) for part in parts])
        seen_whole = np.concatenate([seen_elsewhere(part, parts) for part in parts])
        coarse = np.repeat([part.coarse for part in parts], [len(part.found) for part in parts])
        sure = result.scores >= thresholds.score
        kept = ~(cut & seen_whole)
        weak = np.flatnonzero(kept & ~sure)
        kept[weak[np.argsort(-result.scores[weak], kind="stable")[MAX_CANDIDATES:]]] = False  # an untrained detector finds a thousand in each tile
        kept &= shared(result, coarse & kept, kept & ~cut & ~coarse & sure, "union") <= thresholds.iou
        kept &= shared(result, kept & cut, kept & ~cut & sure, "own") <= COVERED
        result = merge(result.filter(kept), thresholds)
    if augmented:
        result = merge(mean_of_views(result, parts, thresholds.iou), thresholds)  # boxes that were apart may have met
    height, width = hw
    boxes = np.clip(result.boxes, 0, np.array([width, height, width, height], np.float32))
    there = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return Detections(boxes, result.scores, result.labels).filter(there)


def mean_of_views(found: Detections, parts: Sequence[Part], iou: float) -> Detections:
    """Detections with the mean of what the views that show them whole say: of the scores, 0 where a view has no such box, and, weighted by them, of the boxes.

    Taking the best of several looks instead would raise the scores of real and false objects alike, and thresholds chosen with one look would no longer fit.
    After weighted boxes fusion (Solovyev et al., Image Vis. Comput. 107 (2021) 104117).
    """
    seen, total, boxes = np.zeros(len(found)), np.zeros(len(found)), np.zeros((len(found), 4))
    for coarse in (False, True):
        unseen = seen == 0  # by the closer looks
        for part in (part for part in parts if part.coarse is coarse):
            rows = np.flatnonzero(~cut_by(part.window, part._replace(found=found)) & unseen)
            seen[rows] += 1
            if not len(part.found) or not len(rows):
                continue
            overlaps = box_iou(torch.from_numpy(found.boxes[rows]), torch.from_numpy(part.found.boxes)).numpy()
            overlaps[found.labels[rows, None] != part.found.labels[None]] = 0
            best = overlaps.argmax(axis=1)
            scores = np.where(overlaps.max(axis=1) > iou, part.found.scores[best], 0)
            total[rows] += scores
            boxes[rows] += scores[:, None] * part.found.boxes[best]
    known = total > 0  # what every tile cuts stays as it is
    mean_boxes = np.where(known[:, None], boxes / np.maximum(total, 1e-9)[:, None], found.boxes).astype(np.float32)
    mean_scores = np.where(known, total / np.maximum(seen, 1), found.scores).astype(np.float32)
    return Detections(mean_boxes, mean_scores, found.labels)


def cut_by(window: Edges, part: Part) -> NDArray[np.bool_]:
    """For each detection of a part whether it reaches the edges of ``window`` (picture px) or beyond."""
    margin = EDGE_PX / part.scale
    boxes = part.found.boxes
    low, high = np.array(window[:2]) + margin, np.array(window[2:]) - margin
    return np.asarray(((boxes[:, :2] <= low) | (boxes[:, 2:] >= high)).any(axis=1))


def seen_elsewhere(part: Part, parts: Sequence[Part]) -> NDArray[np.bool_]:
    """For each detection of a part whether some tile shows all of it and some more around."""
    result = np.zeros(len(part.found), dtype=np.bool_)
    x1, y1, x2, y2 = part.window
    for window in {other.window for other in parts if other.window != EVERYWHERE}:
        if window[0] < x2 and x1 < window[2] and window[1] < y2 and y1 < window[3]:
            result |= ~cut_by(window, part)
    return result


def shared(found: Detections, ours: NDArray[np.bool_], others: NDArray[np.bool_], of: Literal["own", "union"]) -> NDArray[np.float64]:
    """(N,): for each of ``ours`` (N,) the largest share of its own area, or of the union, that it has in common with one of ``others`` (N,) of its class.

    0 for all that are not ours.
    """
    boxes, result = found.boxes.astype(np.float64), np.zeros(len(found))
    wholes, labels = boxes[others], found.labels[others]
    areas = (wholes[:, 2:] - wholes[:, :2]).prod(axis=1)
    for i in np.flatnonzero(ours):
        box = boxes[i]
        common = np.maximum(np.minimum(wholes[:, 2:], box[2:]) - np.maximum(wholes[:, :2], box[:2]), 0).prod(axis=1) * (labels == found.labels[i])
        own = (box[2:] - box[:2]).prod()
        result[i] = (common / np.maximum(own if of == "own" else own + areas - common, 1e-9)).max(initial=0)
    return result
