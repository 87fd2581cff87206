"""Box geometry against numbers computed by hand and against torchvision."""

import math

import pytest
import torch
from torch import Tensor
from torchvision.ops import box_iou, complete_box_iou

from exolight.boxes import box_area, clip_boxes, cxcywh_to_xyxy, paired_ciou, paired_iou, xyxy_to_cxcywh


def random_boxes(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return cxcywh_to_xyxy(torch.rand(count, 4, generator=generator) * torch.tensor([200.0, 100.0, 60.0, 30.0]) + torch.tensor([0.0, 0.0, 1.0, 1.0]))


def test_conversions_by_hand() -> None:
    boxes = torch.tensor([[10.0, 20.0, 14.0, 28.0]])
    assert xyxy_to_cxcywh(boxes).tolist() == [[12, 24, 4, 8]]
    assert cxcywh_to_xyxy(torch.tensor([[12.0, 24.0, 4.0, 8.0]])).tolist() == boxes.tolist()


@pytest.mark.parametrize("shape", [(0,), (5,), (2, 3)])
def test_conversions_are_inverse_in_any_shape(shape: tuple[int, ...]) -> None:
    boxes = random_boxes(math.prod(shape), 0).reshape(*shape, 4)
    torch.testing.assert_close(cxcywh_to_xyxy(xyxy_to_cxcywh(boxes)), boxes)


def test_area_of_empty_and_inverted_boxes_is_zero() -> None:
    boxes = torch.tensor([[0.0, 0, 4, 3], [2, 2, 2, 9], [5, 5, 1, 1], [1, 5, 3, 2]])
    assert box_area(boxes).tolist() == [12, 0, 0, 0]


def test_clip_knows_height_from_width() -> None:
    boxes = torch.tensor([[-5.0, -6, 300, 400], [10, 20, 30, 40], [250, 150, 260, 160]])
    assert clip_boxes(boxes, (100, 200)).tolist() == [[0, 0, 200, 100], [10, 20, 30, 40], [200, 100, 200, 100]]


def test_ciou_by_hand() -> None:
    a = torch.tensor([[0.0, 0, 4, 2], [0, 0, 4, 2], [0, 0, 2, 2]])
    b = torch.tensor([[2.0, 0, 6, 2], [0, 0, 2, 4], [4, 3, 6, 5]])
    v = 4 / math.pi**2 * (math.atan(0.5) - math.atan(2)) ** 2
    assert paired_iou(a, b).tolist() == pytest.approx([1 / 3, 1 / 3, 0])
    # d^2 / c^2: 4 / (6^2 + 2^2), 2 / (4^2 + 4^2), (4^2 + 3^2) / (6^2 + 5^2)
    assert paired_ciou(a, b).tolist() == pytest.approx([1 / 3 - 4 / 40, 1 / 3 - 2 / 32 - v * v / (2 / 3 + v), -25 / 61])


def test_overlaps_agree_with_torchvision() -> None:
    a, b = random_boxes(300, 1), random_boxes(300, 2)
    torch.testing.assert_close(paired_iou(a, b), box_iou(a, b).diagonal(), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(paired_ciou(a, b), complete_box_iou(a, b).diagonal(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(paired_ciou(a, b), paired_ciou(b, a))


def test_ciou_of_equal_boxes_is_one_with_finite_gradient() -> None:
    boxes = random_boxes(20, 3)
    moving = boxes.clone().requires_grad_()
    ciou = paired_ciou(moving, boxes)
    torch.testing.assert_close(ciou, torch.ones(20))
    ciou.sum().backward()
    assert moving.grad.isfinite().all()


def test_ciou_pulls_boxes_that_do_not_touch_and_survives_empty_ones() -> None:
    a = torch.tensor([[0.0, 0, 2, 2], [5, 5, 5, 5], [1, 1, 1 + 1e-4, 9], [0, 0, 1e4, 1]], requires_grad=True)
    b = torch.tensor([[50.0, 3, 52, 5], [5, 5, 5, 5], [0, 0, 4, 4], [0, 0, 1, 1e4]])
    ciou = paired_ciou(a, b)
    assert ((ciou > -1.5) & (ciou <= 1)).all()
    ciou.sum().backward()
    assert a.grad.isfinite().all()
    assert a.grad[0, 0] + a.grad[0, 2] > 0  # moving the box right, towards the other, raises CIoU
    assert paired_ciou(torch.zeros(0, 4), torch.zeros(0, 4)).shape == (0,)


def test_ciou_gradient_is_that_of_the_formula_with_alpha_held() -> None:
    """torchvision holds alpha too; its gradients are an independent computation."""
    a, b = random_boxes(50, 4), random_boxes(50, 5)
    ours, theirs = a.clone().requires_grad_(), a.clone().requires_grad_()
    paired_ciou(ours, b).sum().backward()
    complete_box_iou(theirs, b).diagonal().sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=1e-3)
