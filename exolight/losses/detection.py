"""DetectionLoss: how far the raw numbers of an anchor head are from the objects, as named terms."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from exolight.boxes import cxcywh_to_xyxy, paired_ciou
from exolight.losses.assignment import Assignment, assign
from exolight.losses.criterion import Criterion
from exolight.models.box_coder import AnchorBoxCoder

BALANCE = {3: (4.0, 1.0, 0.4)}
BALANCE_OTHERWISE = (4.0, 1.0, 0.25, 0.06, 0.02)


class DetectionLoss(Criterion):
    """YOLOv5's published loss over L levels; returns raw terms, weights are applied by whoever sums them.

    box: mean of 1 - CIoU over assigned predictions, summed over levels.
    objectness: binary cross-entropy of every prediction against the CIoU, at least 0, of its box with its object (0 where it has none), mean over predictions,
    summed over levels with the weights 4.0, 1.0, 0.4 (three levels). Of several objects that claim one prediction the one that it fits best counts.
    class: binary cross-entropy of assigned predictions, mean over them and the classes, summed over levels; none where there is only one class.

    Args:
        label_smoothing: class targets are 1 - label_smoothing / 2 and label_smoothing / 2 instead of 1 and 0.
    """

    head = "anchor"

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, raw: list[Tensor], targets: Tensor, ignored: Tensor, anchors: Tensor, strides: list[int]) -> dict[str, Tensor]:
        """Score raw numbers (B, H_i, W_i, A, 5 + C), without class numbers where C = 1; the rest is as for every ``Criterion``.

        Returns:
            ``box``, ``objectness``, ``class``: scalars.
        """
        zero = raw[0].new_zeros((), dtype=torch.float32)
        box, objectness, classes = zero, zero, zero
        balance = BALANCE.get(len(raw), BALANCE_OTHERWISE)
        for i, level in enumerate(raw):
            values = level.float()
            grid_hw = (values.shape[1], values.shape[2])
            found = assign(targets, anchors[i], grid_hw, strides[i])
            wanted = torch.zeros_like(values[..., 4])
            if len(found.target):
                picked = values[found.image, found.row, found.column, found.anchor]
                iou = paired_ciou(self._boxes(picked, found, anchors[i], strides[i]), self._truth(targets, found, grid_hw, strides[i]))
                box = box + (1 - iou).mean()
                index = (found.image, found.row, found.column, found.anchor)
                wanted = best_claim(wanted, index, iou.detach().clamp(0, 1))
                if values.shape[-1] > 5:
                    classes = classes + self._class_term(picked[:, 5:], targets[found.target, 1].long())
            counts = counting_predictions(ignored, wanted)
            term = functional.binary_cross_entropy_with_logits(values[..., 4], wanted, reduction="none")
            objectness = objectness + balance[i] * ((term * counts).sum() / counts.sum().clamp(min=1) if len(ignored) else term.mean())
        return {"box": box, "objectness": objectness, "class": classes}

    def assignment(self, raw: list[Tensor], targets: Tensor, anchors: Tensor, strides: list[int]) -> list[Assignment]:
        """See ``Criterion.assignment``."""
        return [assign(targets, shapes, (level.shape[1], level.shape[2]), stride) for level, shapes, stride in zip(raw, anchors, strides, strict=True)]

    def scaled(self, gains: Mapping[str, float], levels: int, classes: int, image_size: int) -> dict[str, float]:
        """YOLOv5's ``gains``, published for three levels, 640 px and 80 classes; one class has no class term."""
        per_level = 3 / levels
        scaled = {"box": gains["box"] * per_level, "objectness": gains["objectness"] * (image_size / 640) ** 2 * per_level}
        return scaled | ({"class": gains["class"] * classes / 80 * per_level} if classes > 1 else {})

    @staticmethod
    def _boxes(picked: Tensor, found: Assignment, anchors: Tensor, stride: int) -> Tensor:
        cells = torch.stack((found.column, found.row), dim=1).to(picked.dtype)
        return cxcywh_to_xyxy(AnchorBoxCoder.decode(picked[:, :4], cells, anchors[found.anchor], stride))

    @staticmethod
    def _truth(targets: Tensor, found: Assignment, grid_hw: tuple[int, int], stride: int) -> Tensor:
        height, width = grid_hw
        return cxcywh_to_xyxy(targets[found.target, 2:6] * targets.new_tensor([width, height, width, height]) * stride)

    def _class_term(self, logits: Tensor, labels: Tensor) -> Tensor:
        wanted = torch.full_like(logits, self.label_smoothing / 2)
        wanted[torch.arange(len(labels), device=labels.device), labels] = 1 - self.label_smoothing / 2
        return functional.binary_cross_entropy_with_logits(logits, wanted)


def best_claim(field: Tensor, index: tuple[Tensor, ...], values: Tensor) -> Tensor:
    """``field`` with, at every ``index``, the largest of the ``values`` that claim it; the order of the claims does not matter."""
    flat_index = torch.zeros_like(index[0])
    for size, part in zip(field.shape, index, strict=True):
        flat_index = flat_index * size + part
    return field.flatten().scatter_reduce(0, flat_index, values.to(field.dtype), reduce="amax", include_self=True).view(field.shape)


def counting_predictions(ignored: Tensor, wanted: Tensor) -> Tensor:
    """1 for the predictions (B, H, W, A) that count, 0 for those without an object whose cell's centre lies in an ignored region (K, 6).

    A region narrower than a cell is taken as wide as one: it would slip between the centres and become background.
    """
    counts = torch.ones_like(wanted)
    height, width = wanted.shape[1:3]
    y = (torch.arange(height, device=wanted.device) + 0.5) / height
    x = (torch.arange(width, device=wanted.device) + 0.5) / width
    for image, _, cx, cy, w, h in ignored.tolist():
        inside = ((y - cy).abs() <= max(h, 1 / height) / 2)[:, None] & ((x - cx).abs() <= max(w, 1 / width) / 2)[None]
        counts[int(image)][inside] = 0
    return torch.maximum(counts, (wanted > 0).to(counts.dtype))
