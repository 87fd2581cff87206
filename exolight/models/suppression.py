"""Non-maximum suppression: from a detector's candidate boxes to the ones that are kept. Pure, deterministic, without a time limit."""

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import batched_nms, nms

from exolight.detections import Detections
from exolight.thresholds import Thresholds

# Best candidates a picture that enter the suppression, whose cost is quadratic. It never bites at usual thresholds (0.25 leaves hundreds), and at
# evaluation's 0.001 it only cuts the tail far behind the 1000 boxes kept afterwards.
MAX_CANDIDATES = 4096


def suppress(boxes: Tensor, scores: Tensor, thresholds: Thresholds) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Keep the best of boxes that overlap, picture by picture, so that a batch gives what its pictures give alone.

    Args:
        boxes: (B, N, 4) xyxy px; half precision is computed in float32.
        scores: (B, N, C) in [0, 1]. Every (box, class) at or above ``thresholds.score`` is a candidate of its own.
        thresholds: see ``Thresholds``.

    Returns:
        For each picture boxes (n, 4) float32, scores (n,) float32 and labels (n,) int64, the best first. Of equal scores the earlier box goes first.
    """
    return [_suppress_one(picture, score, thresholds) for picture, score in zip(boxes.float(), scores.float(), strict=True)]


def _suppress_one(boxes: Tensor, scores: Tensor, thresholds: Thresholds) -> tuple[Tensor, Tensor, Tensor]:
    """(N, 4), (N, C) -> boxes (n, 4), scores (n,), labels (n,)."""
    rows, labels = (scores >= thresholds.score).nonzero(as_tuple=True)  # one candidate a (box, class)
    candidates = scores[rows, labels]
    best = candidates.sort(descending=True, stable=True).indices[:MAX_CANDIDATES]  # stable: topk leaves the order of ties open
    boxes, candidates, labels = boxes[rows[best]], candidates[best], labels[best]
    keep = _survivors(boxes, candidates, labels, thresholds, scores.shape[-1] == 1)[: thresholds.max_detections]
    return boxes[keep], candidates[keep], labels[keep]


def merge(found: Detections, thresholds: Thresholds) -> Detections:
    """Suppress once more, over what is left of several views of one picture, however many boxes that is; the best first."""
    order = np.argsort(-found.scores, kind="stable")
    boxes, scores, labels = found.boxes[order], found.scores[order], found.labels[order]
    keep = _survivors(torch.from_numpy(boxes), torch.from_numpy(scores), torch.from_numpy(labels), thresholds, not labels.any()).numpy()
    return Detections(boxes[keep], scores[keep], labels[keep])


def _survivors(boxes: Tensor, scores: Tensor, labels: Tensor, thresholds: Thresholds, one_class: bool) -> Tensor:
    """Indices, ascending, of the boxes (N, 4), standing best first, that suppression keeps."""
    if thresholds.class_agnostic or one_class:
        keep = nms(boxes, scores, thresholds.iou)
    else:
        # batched_nms shifts each class by the largest coordinate, which separates classes only where no coordinate is negative
        origin = boxes.min() if len(boxes) else 0
        keep = batched_nms(boxes - origin, scores, labels, thresholds.iou)
    return torch.sort(keep).values  # so the order of equal scores stays
