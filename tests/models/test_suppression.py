"""Non-maximum suppression: a case computed by hand, and the properties its docstring promises."""

import pytest
import torch

from exolight.models.suppression import MAX_CANDIDATES, suppress
from exolight.thresholds import Thresholds

# IoU of boxes 0 and 1: 80 / 120 = 2/3; box 2 stands apart; box 3 equals box 0; box 4 overlaps box 2 by 50 / 150 = 1/3
BOXES = torch.tensor([[0, 0, 10, 10], [2, 0, 12, 10], [30, 5, 40, 15], [0, 0, 10, 10], [35, 5, 45, 15]], dtype=torch.float32)
SCORES = torch.tensor([0.6, 0.9, 0.5, 0.2, 0.3])


def test_by_hand() -> None:
    [(boxes, scores, labels)] = suppress(BOXES[None], SCORES[None, :, None], Thresholds(score=0.25, iou=0.45))
    assert scores.tolist() == pytest.approx([0.9, 0.5, 0.3])  # 1 beats 0; 3 is under 0.25; 2 and 4 overlap too little
    assert torch.equal(boxes, BOXES[[1, 2, 4]])
    assert labels.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("thresholds", "expected"),
    [
        (Thresholds(score=0.25, iou=0.3), [0.9, 0.5]),
        (Thresholds(score=0.25, iou=0.7), [0.9, 0.6, 0.5, 0.3]),
        (Thresholds(score=0.5, iou=0.7), [0.9, 0.6, 0.5]),  # at least the threshold
        (Thresholds(score=0.25, iou=0.45, max_detections=1), [0.9]),
    ],
)
def test_thresholds(thresholds: Thresholds, expected: list[float]) -> None:
    [(_, scores, _)] = suppress(BOXES[None], SCORES[None, :, None], thresholds)
    assert scores.tolist() == pytest.approx(expected)


def test_classes_suppress_each_other_only_when_agnostic() -> None:
    scores = torch.zeros(1, 5, 2)
    scores[0, 0, 0], scores[0, 1, 1], scores[0, 2] = 0.6, 0.9, torch.tensor([0.5, 0.4])
    [(_, aware, labels)] = suppress(BOXES[None], scores, Thresholds(score=0.25, iou=0.45))
    assert aware.tolist() == pytest.approx([0.9, 0.6, 0.5, 0.4])  # box 2 is a candidate of both classes
    assert labels.tolist() == [1, 0, 0, 1]
    [(_, agnostic, labels)] = suppress(BOXES[None], scores, Thresholds(score=0.25, iou=0.45, class_agnostic=True))
    assert agnostic.tolist() == pytest.approx([0.9, 0.5])
    assert labels.tolist() == [1, 0]


def test_classes_stay_apart_at_negative_coordinates() -> None:
    """torchvision's shift by class moves the second box almost onto the first."""
    boxes = torch.tensor([[[0, 0, 500, 500], [-500, -500, 0, 0]]], dtype=torch.float32)
    scores = torch.tensor([[[0.9, 0.0], [0.0, 0.8]]])
    [(_, kept, _)] = suppress(boxes, scores, Thresholds())
    assert len(kept) == 2


@pytest.mark.parametrize("classes", [1, 3])
def test_batch_equals_single(classes: int) -> None:
    generator = torch.Generator().manual_seed(0)
    low = torch.rand(4, 300, 2, generator=generator) * 300
    boxes = torch.cat((low, low + 5 + torch.rand(4, 300, 2, generator=generator) * 60), dim=-1)
    scores = torch.rand(4, 300, classes, generator=generator).round(decimals=1)  # many ties
    scores[2] = 0  # a picture in which nothing is found
    thresholds = Thresholds(score=0.3, iou=0.5)
    together = suppress(boxes, scores, thresholds)
    assert len(together[2][0]) == 0
    for index, picture in enumerate(together):
        [alone] = suppress(boxes[index : index + 1], scores[index : index + 1], thresholds)
        assert all(torch.equal(a, b) for a, b in zip(picture, alone, strict=True))
        assert (picture[1].diff() <= 0).all()


def test_half_precision_is_computed_in_float32() -> None:
    half = suppress(BOXES[None].half(), SCORES[None, :, None].half(), Thresholds())
    assert half[0][0].dtype == half[0][1].dtype == torch.float32
    assert torch.equal(half[0][0], BOXES[[1, 2, 4]])


@pytest.mark.parametrize("count", [0, 7])
def test_nothing_above_the_threshold(count: int) -> None:
    [(boxes, scores, labels)] = suppress(torch.rand(1, count, 4), torch.zeros(1, count, 2), Thresholds())
    assert boxes.shape == (0, 4)
    assert scores.shape == labels.shape == (0,)
    assert labels.dtype == torch.int64


def test_more_candidates_than_enter() -> None:
    """The best stay, however many there are, and of equal scores the earlier ones."""
    count = MAX_CANDIDATES + 500
    x = torch.arange(count, dtype=torch.float32) * 20
    boxes = torch.stack((x, x * 0, x + 10, x * 0 + 10), dim=-1)
    scores = torch.full((count,), 0.5)
    scores[-1] = 0.9
    [(kept, best, _)] = suppress(boxes[None], scores[None, :, None], Thresholds(max_detections=10_000))
    assert len(kept) == MAX_CANDIDATES
    assert best[0] == pytest.approx(0.9)
    assert torch.equal(kept[1:], boxes[: MAX_CANDIDATES - 1])
