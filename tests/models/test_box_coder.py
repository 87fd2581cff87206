"""``decode(encode(boxes)) == boxes``, that very sentence, and the reach of an anchor."""

import math

import pytest
import torch

from exolight.models.box_coder import AnchorBoxCoder


def reachable(count: int, stride: float, seed: int) -> tuple[torch.Tensor, ...]:
    """Boxes with the cells (column, row) and anchors that may answer for them: half a cell around, size up to 4 times."""
    generator = torch.Generator().manual_seed(seed)
    cells = torch.stack((torch.randint(0, 40, (count,), generator=generator), torch.randint(0, 20, (count,), generator=generator)), dim=1).float()
    anchors = torch.rand(count, 2, generator=generator) * torch.tensor([60.0, 20.0]) + 4
    centres = (cells + torch.rand(count, 2, generator=generator) * 1.9 - 0.45) * stride
    sizes = anchors * (torch.rand(count, 2, generator=generator) * 3.7 + 0.26)
    return torch.cat((centres, sizes), dim=1), cells, anchors


@pytest.mark.parametrize("stride", [4, 8, 32])
def test_decode_of_encode_is_the_box(stride: int) -> None:
    boxes, cells, anchors = reachable(500, stride, stride)
    raw = AnchorBoxCoder.encode(boxes, cells, anchors, stride)
    assert raw.isfinite().all()
    torch.testing.assert_close(AnchorBoxCoder.decode(raw, cells, anchors, stride), boxes, atol=1e-2, rtol=1e-4)


def test_encode_of_decode_is_raw() -> None:
    _, cells, anchors = reachable(100, 8, 0)
    raw = torch.randn(100, 4)
    torch.testing.assert_close(AnchorBoxCoder.encode(AnchorBoxCoder.decode(raw, cells, anchors, 8), cells, anchors, 8), raw, atol=1e-3, rtol=1e-3)


def test_by_hand() -> None:
    cells, anchors = torch.tensor([[3.0, 5.0]]), torch.tensor([[10.0, 40.0]])
    assert AnchorBoxCoder.decode(torch.zeros(1, 4), cells, anchors, 16).tolist() == [[56, 88, 10, 40]]
    third = math.log(3)  # sigmoid 3/4 and 1/4
    torch.testing.assert_close(AnchorBoxCoder.decode(torch.tensor([[third, -third, third, -third]]), cells, anchors, 16), torch.tensor([[64.0, 80, 22.5, 10]]))


def test_reach() -> None:
    """Half a cell beyond the cell's own, 0 to 4 times the anchor; what lies beyond is not finite."""
    cells, anchors = torch.tensor([[2.0, 2.0]]), torch.tensor([[10.0, 10.0]])
    low, high = (AnchorBoxCoder.decode(torch.full((1, 4), t), cells, anchors, 8)[0] for t in (-50.0, 50.0))
    torch.testing.assert_close(low, torch.tensor([12.0, 12, 0, 0]))
    torch.testing.assert_close(high, torch.tensor([28.0, 28, 40, 40]))
    assert not AnchorBoxCoder.encode(torch.tensor([[29.0, 20, 41, 10]]), cells, anchors, 8)[0, [0, 2]].isfinite().any()


def test_no_boxes() -> None:
    empty = torch.zeros(0, 4)
    assert AnchorBoxCoder.decode(empty, empty[:, :2], empty[:, :2], 8).shape == (0, 4)
    assert AnchorBoxCoder.encode(empty, empty[:, :2], empty[:, :2], 8).shape == (0, 4)
