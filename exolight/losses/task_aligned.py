"""Task-aligned assignment, and the loss of a DistributionHead over it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from exolight.boxes import cxcywh_to_xyxy, paired_ciou, paired_iou
from exolight.losses.assignment import Assignment
from exolight.losses.criterion import Criterion
from exolight.losses.detection import counting_predictions
from exolight.models.distribution_head import cells, decode_boxes, score_logits, side_logits


class Alignment(NamedTuple):
    """K pairs of a prediction and an object; all tensors are (K,). A prediction is in one pair at most, an object in none or several.

    Attributes:
        image, cell, target: int64; ``cell`` counts through all levels, as decoding orders them.
        quality: the score that is wanted of the prediction, in [0, 1].
    """

    image: Tensor
    cell: Tensor
    target: Tensor
    quality: Tensor


@torch.no_grad()
def align(
    boxes: Tensor,
    scores: Tensor,
    targets: Tensor,
    truth: Tensor,
    grids: Sequence[tuple[int, int]],
    strides: Sequence[int],
    best: int = 10,
    alpha: float = 0.5,
    beta: float = 6.0,
) -> Alignment:
    """Pair objects with the predictions that do best at both tasks, by t = score^alpha IoU^beta (TOOD, arXiv:2108.07755, sec. 3.2).

    Of an object's ``candidates`` the ``best`` by t are its own. A prediction that several objects want goes to the one it overlaps most. The wanted score is
    t, scaled so that an object's best is its largest IoU.

    Args:
        boxes: (B, N, 4) xyxy px, predicted.
        scores: (B, N, C) in [0, 1].
        targets: (M, 6) image index, class, ...
        truth: (M, 4) xyxy px, their boxes.
        grids: (height, width) of each level, which have N cells together.
        strides: px of each level.
        best: pairs an object has at most.
        alpha, beta: what the score and the overlap weigh.
    """
    target, cell = candidates(truth, grids, strides)
    image, label = targets[target, 0].long(), targets[target, 1].long()
    iou = paired_iou(boxes[image, cell], truth[target]).clamp(min=0)
    t = scores[image, cell, label] ** alpha * iou**beta

    own = rank_in_group(target, t) < best
    image, cell, target, iou, t = (x[own] for x in (image, cell, target, iou, t))
    won = rank_in_group(image * boxes.shape[1] + cell, iou) < 1
    image, cell, target, iou, t = (x[won] for x in (image, cell, target, iou, t))
    nothing = torch.zeros_like(truth[:, 0])
    largest_t, largest_iou = (nothing.scatter_reduce(0, target, x, reduce="amax")[target] for x in (t, iou))
    return Alignment(image, cell, target, t / largest_t.clamp(min=torch.finfo(t.dtype).tiny) * largest_iou)


def candidates(truth: Tensor, grids: Sequence[tuple[int, int]], strides: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Pairs (K,), (K,) of a box of ``truth`` (M, 4) xyxy px and a cell, counted through all levels, whose centre lies inside it.

    A box narrower than a stride is taken as one wide, or it would slip between the centres.
    """
    middle, half = (truth[:, :2] + truth[:, 2:]) / 2, (truth[:, 2:] - truth[:, :2]) / 2
    targets, found, first = [], [], 0
    for (height, width), stride in zip(grids, strides, strict=True):
        reach = half.clamp(min=stride / 2)
        # x and y apart: of every object and cell a byte is made, not four floats
        across, down = (_nearer(middle[:, axis], reach[:, axis], n, stride) for axis, n in ((0, width), (1, height)))
        target, row, column = (down[:, :, None] & across[:, None, :]).nonzero(as_tuple=True)
        targets.append(target)
        found.append(first + row * width + column)
        first += height * width
    return torch.cat(targets), torch.cat(found)


def _nearer(middle: Tensor, reach: Tensor, count: int, stride: int) -> Tensor:
    """(M, count): whether the centre of each of ``count`` cells in a row is within ``reach`` (M,) px of ``middle`` (M,) px."""
    centres = (torch.arange(count, device=middle.device) + 0.5) * stride
    return (centres - middle[:, None]).abs() < reach[:, None]


def rank_in_group(group: Tensor, value: Tensor) -> Tensor:
    """(K,) int64: 0 for the largest ``value`` (K,) of each ``group`` (K,), 1 for the next, and so on; of equal ones the earlier first."""
    order = value.argsort(descending=True, stable=True)
    order = order[group[order].argsort(stable=True)]
    place = torch.arange(len(group), device=group.device)
    ordered = group[order]
    begins = torch.cat((torch.ones_like(ordered[:1], dtype=torch.bool), ordered[1:] != ordered[:-1]))
    rank = torch.empty_like(place)
    rank[order] = place - (place * begins).cummax(dim=0).values
    return rank


class TaskAlignedLoss(Criterion):
    """The loss of a ``DistributionHead``; returns raw terms, weights are applied by whoever sums them.

    box: 1 - CIoU of assigned predictions. distribution: the distribution focal loss of their sides. Both are means weighted with the wanted scores.
    score: binary cross-entropy of every prediction against the wanted score of its object (0 where it has none), summed and divided by the sum of the wanted
    scores (TOOD, arXiv:2108.07755; generalized focal loss, arXiv:2006.04388).

    Args:
        best, alpha, beta: see ``align``.
    """

    head = "distribution"

    def __init__(self, best: int = 10, alpha: float = 0.5, beta: float = 6.0) -> None:
        super().__init__()
        self.best, self.alpha, self.beta = best, alpha, beta

    def forward(self, raw: list[Tensor], targets: Tensor, ignored: Tensor, anchors: Tensor, strides: list[int]) -> dict[str, Tensor]:
        """Score raw numbers (B, H_i, W_i, 4 * BINS + C); the rest is as for every ``Criterion``, and there are no anchors.

        Returns:
            ``box``, ``distribution``, ``score``: scalars.
        """
        boxes, logits = decode_boxes(raw, strides), score_logits(raw)
        truth = self._truth(raw, targets, strides)
        centres, cell_strides = cells(raw, strides)
        found = self._align(raw, boxes, logits, targets, truth, strides)

        wanted = torch.zeros_like(logits)
        wanted[found.image, found.cell, targets[found.target, 1].long()] = found.quality
        term = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        if len(ignored):
            term = term * _counting(ignored, wanted, raw)
        total = found.quality.sum().clamp(min=1)

        iou = paired_ciou(boxes[found.image, found.cell], truth[found.target])
        centre, stride = centres[found.cell], cell_strides[found.cell, None]
        sides = torch.cat((centre - truth[found.target, :2], truth[found.target, 2:] - centre), dim=1) / stride
        spread = distribution_focal_loss(side_logits(raw)[found.image, found.cell], sides).mean(dim=1)
        return {
            "box": ((1 - iou) * found.quality).sum() / total,
            "distribution": (spread * found.quality).sum() / total,
            "score": term.sum() / total,
        }

    def assignment(self, raw: list[Tensor], targets: Tensor, anchors: Tensor, strides: list[int]) -> list[Assignment]:
        """See ``Criterion.assignment``; every pair's anchor is 0."""
        found = self._align(raw, decode_boxes(raw, strides), score_logits(raw), targets, self._truth(raw, targets, strides), strides)
        levels, first = [], 0
        for level in raw:
            height, width = level.shape[1:3]
            here = (found.cell >= first) & (found.cell < first + height * width)
            cell = found.cell[here] - first
            levels.append(Assignment(found.image[here], cell // width, cell % width, torch.zeros_like(cell), found.target[here]))
            first += height * width
        return levels

    def scaled(self, gains: Mapping[str, float], levels: int, classes: int, image_size: int) -> dict[str, float]:
        """``gains`` as they are: all terms are per wanted score."""
        return dict(gains)

    def _align(self, raw: list[Tensor], boxes: Tensor, logits: Tensor, targets: Tensor, truth: Tensor, strides: list[int]) -> Alignment:
        grids = [(level.shape[1], level.shape[2]) for level in raw]
        return align(boxes.detach(), logits.detach().sigmoid(), targets, truth, grids, strides, self.best, self.alpha, self.beta)

    @staticmethod
    def _truth(raw: list[Tensor], targets: Tensor, strides: list[int]) -> Tensor:
        """(M, 4) xyxy px."""
        height, width = (n * strides[0] for n in raw[0].shape[1:3])
        return cxcywh_to_xyxy(targets[:, 2:6].float() * targets.new_tensor([width, height, width, height], dtype=torch.float32))


def distribution_focal_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """-(1 - s) log p(floor w) - s log p(floor w + 1) with s = w - floor w (arXiv:2006.04388, eq. 6).

    Args:
        logits: (..., bins) of p over 0, 1, ..., bins - 1.
        wanted: (...) distances w in bins; those out of reach are taken as the nearest that is not.

    Returns:
        (...), at least 0.
    """
    wanted = wanted.clamp(0, logits.shape[-1] - 1)
    low = wanted.floor().clamp(max=logits.shape[-1] - 2)
    share = wanted - low
    likelihood = functional.log_softmax(logits, dim=-1)
    lower, upper = (likelihood.gather(-1, index.long()[..., None])[..., 0] for index in (low, low + 1))
    return -((1 - share) * lower + share * upper)


def _counting(ignored: Tensor, wanted: Tensor, raw: list[Tensor]) -> Tensor:
    """``counting_predictions`` through all levels: (B, N, C)."""
    shapes = [level.shape[1:3] for level in raw]
    parts = wanted.split([height * width for height, width in shapes], dim=1)
    return torch.cat([counting_predictions(ignored, part.unflatten(1, shape)).flatten(1, 2) for part, shape in zip(parts, shapes, strict=True)], dim=1)
