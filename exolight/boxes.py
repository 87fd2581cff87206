"""Box geometry: conversions, areas, overlaps, clipping. Pure functions on tensors, no classes, no state.

Boxes are ``xyxy`` in pixels, x right and y down; (0, 0) is the outer corner of the first pixel, and x2, y2 are exclusive, so that width = x2 - x1.
"""

import math

import torch
from torch import Tensor


def cxcywh_to_xyxy(boxes: Tensor) -> Tensor:
    """(..., 4) centre x, centre y, width, height -> (..., 4) corners."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat((centre - half, centre + half), dim=-1)


def xyxy_to_cxcywh(boxes: Tensor) -> Tensor:
    """(..., 4) corners -> (..., 4) centre x, centre y, width, height."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return torch.cat(((low + high) / 2, high - low), dim=-1)


def box_area(boxes: Tensor) -> Tensor:
    """(..., 4) corners -> (...,) area in square pixels; an empty or inverted box has none."""
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(dim=-1)


def clip_boxes(boxes: Tensor, hw: tuple[float, float]) -> Tensor:
    """(..., 4) corners cut to a picture of ``hw`` = (height, width) pixels."""
    height, width = hw
    limit = boxes.new_tensor([width, height, width, height])
    return torch.minimum(boxes.clamp(min=0), limit)


def paired_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of box i of ``a`` with box i of ``b``: (N, 4), (N, 4) -> (N,) in [0, 1]."""
    overlap = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(dim=-1)
    union = box_area(a) + box_area(b) - overlap
    return overlap / union.clamp(min=torch.finfo(union.dtype).eps)


def paired_ciou(a: Tensor, b: Tensor) -> Tensor:
    """Complete IoU of box i of ``a`` with box i of ``b``: (N, 4), (N, 4) -> (N,) in (-1.5, 1].

    CIoU = IoU - d^2 / c^2 - alpha v, with d the distance of the centres, c the diagonal of the enclosing box,
    v = 4 / pi^2 (atan(w_b / h_b) - atan(w_a / h_a))^2 and alpha = v / (1 - IoU + v), which carries no gradient
    (Zheng et al., AAAI 2020, arXiv:1911.08287, eqs. 7-11).
    """
    eps = torch.finfo(a.dtype).eps
    iou = paired_iou(a, b)
    enclosing = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    diagonal = enclosing.pow(2).sum(dim=-1).clamp(min=eps)
    distance = ((a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2).pow(2).sum(dim=-1)
    w_a, h_a = (a[..., 2:] - a[..., :2]).clamp(min=eps).unbind(dim=-1)
    w_b, h_b = (b[..., 2:] - b[..., :2]).clamp(min=eps).unbind(dim=-1)
    v = (4 / math.pi**2) * (torch.atan(w_b / h_b) - torch.atan(w_a / h_a)).pow(2)
    with torch.no_grad():
        alpha = v / (1 - iou + v).clamp(min=eps)
    return iou - distance / diagonal - alpha * v
