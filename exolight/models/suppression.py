"""Non-maximum suppression: from a detector's candidate boxes to the ones that are kept. Pure, deterministic, without a time limit."""

import torch
from torch import Tensor
from torchvision.ops import batched_nms, nms

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
    if thresholds.class_agnostic or scores.shape[-1] == 1:
        keep = nms(boxes, candidates, thresholds.iou)
    else:
        # batched_nms shifts each class by the largest coordinate, which separates classes only where no coordinate is negative
        origin = boxes.min() if len(boxes) else 0
        keep = batched_nms(boxes - origin, candidates, labels, thresholds.iou)
    keep = torch.sort(keep).values[: thresholds.max_detections]  # candidates stand best first, so ascending index is descending score
    return boxes[keep], candidates[keep], labels[keep]
