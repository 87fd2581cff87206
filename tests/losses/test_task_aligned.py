"""Task-aligned assignment against plain loops, the loss by hand, and what must hold of both."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from exolight.boxes import cxcywh_to_xyxy, paired_ciou
from exolight.losses import TaskAlignedLoss
from exolight.losses.task_aligned import Alignment, align, candidates, distribution_focal_loss, rank_in_group
from exolight.models.distribution_head import BINS, cells, decode_boxes, score_logits

STRIDES = [8, 16, 32]
HW = (64, 96)  # px, not square
NONE = torch.zeros(0, 6)
NO_ANCHORS = torch.zeros(3, 0, 2)


def random_raw(classes: int = 1, batch: int = 2, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, HW[0] // s, HW[1] // s, 4 * BINS + classes, generator=generator) * 2 for s in STRIDES]


def random_targets(count: int, classes: int = 1, batch: int = 2, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.rand(count, 6, generator=generator)
    rows[:, 0] = torch.randint(0, batch, (count,), generator=generator)
    rows[:, 1] = torch.randint(0, classes, (count,), generator=generator)
    rows[:, 4:6] = rows[:, 4:6] * torch.tensor([0.6, 0.7]) + 0.05
    return rows


def aligned(raw: list[Tensor], targets: Tensor, best: int = 10) -> Alignment:
    return align(*parts(raw, targets), [(level.shape[1], level.shape[2]) for level in raw], STRIDES, best)


def parts(raw: list[Tensor], targets: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Boxes, scores, targets and their boxes in px."""
    truth = cxcywh_to_xyxy(targets[:, 2:6] * torch.tensor([HW[1], HW[0], HW[1], HW[0]]))
    return decode_boxes(raw, STRIDES), score_logits(raw).sigmoid(), targets, truth


def overlap(a: list[float], b: list[float]) -> float:
    both = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def slow_align(raw: list[Tensor], targets: Tensor, best: int) -> dict[tuple[int, int], tuple[int, float]]:
    """(image, cell) -> (object, wanted score), with loops."""
    boxes, scores, _, truth = parts(raw, targets)
    centres, strides = cells(raw, STRIDES)
    pairs: dict[tuple[int, int], list[tuple[float, float, int]]] = {}
    for k, row in enumerate(targets.tolist()):
        image, label = int(row[0]), int(row[1])
        x1, y1, x2, y2 = truth[k].tolist()
        candidates = []
        for cell, ((x, y), stride) in enumerate(zip(centres.tolist(), strides.tolist(), strict=True)):
            if abs(x - (x1 + x2) / 2) < max((x2 - x1) / 2, stride / 2) and abs(y - (y1 + y2) / 2) < max((y2 - y1) / 2, stride / 2):
                iou = overlap(boxes[image, cell].tolist(), [x1, y1, x2, y2])
                candidates.append((scores[image, cell, label].item() ** 0.5 * iou**6, iou, cell))
        for t, iou, cell in sorted(candidates, key=lambda found: -found[0])[:best]:  # of equal ones the earlier
            pairs.setdefault((image, cell), []).append((iou, t, k))
    won = {where: max(wanting) for where, wanting in pairs.items()}
    most = {k: (max(t for _, t, j in won.values() if j == k), max(i for i, _, j in won.values() if j == k)) for _, _, k in won.values()}
    return {where: (k, t / most[k][0] * most[k][1]) for where, (_, t, k) in won.items()}


@pytest.mark.parametrize(("classes", "best", "seed"), [(1, 10, 0), (3, 4, 1), (2, 1, 2)])
def test_align_against_loops(classes: int, best: int, seed: int) -> None:
    raw, targets = random_raw(classes, seed=seed), random_targets(14, classes, seed=seed)
    found = aligned(raw, targets, best)
    expected = slow_align(raw, targets, best)
    assert len(expected) > 8
    got = {(i, c): (k, q) for i, c, k, q in zip(*(x.tolist() for x in found), strict=True)}
    assert got.keys() == expected.keys()
    assert len(got) == len(found.cell)  # no prediction twice
    for where, (k, quality) in expected.items():
        assert got[where][0] == k
        assert got[where][1] == pytest.approx(quality, rel=1e-4, abs=1e-6)


def test_an_object_between_the_cells_is_learned() -> None:
    """3 px wide at a corner of four cells of every level: no centre lies in it."""
    targets = torch.tensor([[0, 0, 32 / HW[1], 32 / HW[0], 3 / HW[1], 3 / HW[0]]])
    raw = random_raw(batch=1)
    assert len(aligned(raw, targets).cell) == 0  # just on the edge of their reach
    targets[0, 2:4] += 0.001
    assert len(aligned(raw, targets).cell) == 3


def test_candidates_by_hand() -> None:
    """Levels of 2 x 3 cells of 8 px and 1 x 2 cells of 16 px; a box around the centres (12, 4) and (20, 4), and one within the lower left cell."""
    truth = torch.tensor([[10.0, 2.0, 21.0, 6.0], [3.0, 11.0, 5.0, 13.0]])
    target, cell = candidates(truth, [(2, 3), (1, 2)], [8, 16])
    assert sorted(zip(target.tolist(), cell.tolist(), strict=True)) == [(0, 1), (0, 2), (0, 6), (1, 3), (1, 6)]


def test_rank_in_group_by_hand() -> None:
    group, value = torch.tensor([2, 0, 2, 2, 0, 1]), torch.tensor([0.1, 0.5, 0.9, 0.9, 0.7, 0.0])
    assert rank_in_group(group, value).tolist() == [2, 1, 0, 1, 0, 0]
    assert rank_in_group(group[:0], value[:0]).tolist() == []


def test_distribution_focal_loss_by_hand() -> None:
    p = torch.tensor([0.1, 0.2, 0.3, 0.4])
    wanted = torch.tensor([0.0, 1.25, 3.0, 7.0, -2.0])
    loss = distribution_focal_loss(p.log().expand(5, 4), wanted)
    assert loss.tolist() == pytest.approx(
        [-math.log(0.1), -0.75 * math.log(0.2) - 0.25 * math.log(0.3), -math.log(0.4), -math.log(0.4), -math.log(0.1)], rel=1e-5
    )


@pytest.mark.parametrize("classes", [1, 3])
def test_loss_against_loops(classes: int) -> None:
    raw, targets = random_raw(classes), random_targets(9, classes)
    boxes, _, _, truth = parts(raw, targets)
    centres, strides = cells(raw, STRIDES)
    pairs = slow_align(raw, targets, 10)
    total = max(1.0, sum(quality for _, quality in pairs.values()))
    box = distribution = 0.0
    wanted = torch.zeros_like(score_logits(raw))
    sides = torch.cat([level[..., : 4 * BINS].flatten(1, 2) for level in raw], dim=1).view(2, -1, 4, BINS).log_softmax(-1)
    for (image, cell), (k, quality) in pairs.items():
        wanted[image, cell, int(targets[k, 1])] = quality
        box += quality * (1 - paired_ciou(boxes[image, cell][None], truth[k][None]).item())
        (x, y), stride = centres[cell].tolist(), strides[cell].item()
        x1, y1, x2, y2 = truth[k].tolist()
        for side, distance in enumerate(((x - x1) / stride, (y - y1) / stride, (x2 - x) / stride, (y2 - y) / stride)):
            w = min(max(distance, 0), BINS - 1)
            low = min(int(w), BINS - 2)
            p = sides[image, cell, side]
            distribution -= quality / 4 * ((1 - (w - low)) * p[low].item() + (w - low) * p[low + 1].item())
    terms = TaskAlignedLoss()(raw, targets, NONE, NO_ANCHORS, STRIDES)
    assert terms["box"].item() == pytest.approx(box / total, rel=1e-4)
    assert terms["distribution"].item() == pytest.approx(distribution / total, rel=1e-4)
    assert terms["score"].item() == pytest.approx(
        functional.binary_cross_entropy_with_logits(score_logits(raw), wanted, reduction="sum").item() / total, rel=1e-4
    )


def test_nothing_to_find() -> None:
    raw = [level.requires_grad_() for level in random_raw()]
    terms = TaskAlignedLoss()(raw, NONE, NONE, NO_ANCHORS, STRIDES)
    assert terms["box"].item() == terms["distribution"].item() == 0
    assert terms["score"].item() == pytest.approx(functional.softplus(score_logits(raw)).sum().item(), rel=1e-5)
    sum(terms.values()).backward()  # type: ignore[union-attr]
    assert all(level.grad is not None and level.grad.isfinite().all() for level in raw)


def test_ignored_regions_count_neither_way() -> None:
    """The whole right half is ignored: what is predicted there changes nothing, but where an object is."""
    raw, ignored = random_raw(), torch.tensor([[0, 0, 0.75, 0.5, 0.5, 1.0], [1, 0, 0.75, 0.5, 0.5, 1.0]])
    left = torch.tensor([[0, 0, 0.2, 0.5, 0.2, 0.3]])
    right = torch.tensor([[0, 0, 0.8, 0.5, 0.2, 0.3]])
    criterion = TaskAlignedLoss()

    def score(targets: Tensor, shift: float) -> float:
        moved = [level.clone() for level in raw]
        for level in moved:
            level[:, :, math.ceil(level.shape[2] / 2) :, -1] += shift  # the odd middle column of stride 32 lies within
        return criterion(moved, targets, ignored, NO_ANCHORS, STRIDES)["score"].item()

    assert score(left, 0) == pytest.approx(score(left, 3), rel=1e-6)
    assert score(right, 0) != pytest.approx(score(right, 3), rel=1e-3)
    assert score(left, 0) < criterion(raw, left, NONE, NO_ANCHORS, STRIDES)["score"].item()


def test_assignment_tells_the_cells_by_level() -> None:
    raw, targets = random_raw(), random_targets(9)
    levels = TaskAlignedLoss().assignment(raw, targets, NO_ANCHORS, STRIDES)
    found = aligned(raw, targets)
    told = []
    first = 0
    for level, pairs in zip(raw, levels, strict=True):
        height, width = level.shape[1:3]
        assert ((pairs.row < height) & (pairs.column < width) & (pairs.anchor == 0)).all()
        cell = first + pairs.row * width + pairs.column
        told += list(zip(pairs.image.tolist(), cell.tolist(), pairs.target.tolist(), strict=True))
        first += height * width
    assert sorted(told) == sorted(zip(found.image.tolist(), found.cell.tolist(), found.target.tolist(), strict=True))


def test_gains_are_taken_as_they_are() -> None:
    assert TaskAlignedLoss().scaled({"box": 7.5, "score": 0.5}, 4, 3, 320) == {"box": 7.5, "score": 0.5}


def test_predictions_are_drawn_to_the_objects() -> None:
    """Raw numbers that descend along the loss end at the objects' boxes, and score them high and the rest low."""
    raw = [torch.zeros_like(level).requires_grad_() for level in random_raw(batch=1)]
    targets = torch.tensor([[0, 0, 0.25, 0.5, 0.2, 0.4], [0, 0, 0.7, 0.4, 0.1, 0.12]])
    optimizer = torch.optim.Adam(raw, 0.3)
    criterion = TaskAlignedLoss()
    for _ in range(150):
        optimizer.zero_grad()
        terms = criterion(raw, targets, NONE, NO_ANCHORS, STRIDES)
        (7.5 * terms["box"] + 0.5 * terms["score"] + 1.5 * terms["distribution"]).backward()
        optimizer.step()
    boxes, scores, _, truth = parts([level.detach() for level in raw], targets)
    for k in range(2):
        ious = torch.tensor([overlap(box, truth[k].tolist()) for box in boxes[0].tolist()])
        assert scores[0, ious.argmax(), 0] > 0.8
        assert ious.max() > 0.9
    assert (scores > 0.5).sum() <= 20
